"""What is personal or secret, by the name it goes by and by its form. Pure.

Names are taken apart into words (`firstName`, `first_name` and `first-name` are the same two). What is neither named
nor shaped like something personal stays as it is: an amount, a currency, an id, a timestamp, a product's name.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

from comparators.protected import word_set, words


class Kind(StrEnum):
    """What a hash stands for; part of its readable form."""

    SECRET = "secret"  # noqa: S105  # a word
    TOKEN = "token"  # noqa: S105
    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    NAME = "name"
    ADDRESS = "address"
    IBAN = "iban"
    BIRTH = "birth"
    IP = "ip"
    PERSONAL = "personal"
    """An identity document or tax number."""
    HIDDEN = "hidden"
    """What the catalogue names."""


# ---------------------------------------------------------------- by name

_SECRET = word_set(
    "authorization cookie cookies password passwd pwd passphrase passcode pin cvv cvc otp secret secrets credential"
    " credentials apikey"
)
"""Whatever stands under a name with such a last word."""
_SECRET_KEYS = word_set("api access private secret signing encryption auth app license webhook service")
"""Before `key`: `apiKey`, `x-api-key`, `private_key`; not `idempotency_key`."""
_OPEN_TOKENS = word_set("page cursor sync continuation next idempotency client max min input output total prompt usage")
"""Before `token`: places in a list, numbers of words, keys against repetition."""
_PHONES = word_set("phone phones mobile telephone tel msisdn fax ph")
_PERSONS = word_set(
    "customer user person recipient creator contact buyer shopper author sender payee beneficiary reviewer employee"
    " guest member holder cardholder patient driver to from cc bcc"
)
"""Whose `name` is a person's."""
_NAME_WORDS = word_set("first last given family full middle maiden legal sur")
_NAMES = word_set("firstname lastname fullname surname cardholder givenname familyname fn ln")
_ADDRESS_LINES = word_set("address1 address2 street line1 line2 streetaddress")
_BIRTHS = word_set("birthday birthdate dob dateofbirth")
_DOCUMENTS = word_set("ssn passport nationalid taxid vatid sin cpf cnpj nin")


@lru_cache(maxsize=8192)
def kind_of_name(name: str, above: str | None = None) -> Kind | None:
    """What a member of that name holds; None where the name tells nothing.

    Args:
        above: the name of the member in which it stands.
    """
    found = words(name)
    if not found:
        return None
    last, before = found[-1], found[-2] if len(found) > 1 else ""
    if last in _SECRET or (last == "key" and before in _SECRET_KEYS) or "".join(found[-2:]) == "apikey":
        return Kind.SECRET
    if last in ("token", "tokens", "jwt", "csrf"):
        return None if before in _OPEN_TOKENS else Kind.TOKEN
    return _personal(found, last, before, above)


def _personal(found: tuple[str, ...], last: str, before: str, above: str | None) -> Kind | None:
    if _PHONES & set(found) and last not in ("id", "type", "verified", "country", "code"):
        return Kind.PHONE
    joined = "".join(found)
    if last in _NAMES or (last == "name" and before in (_NAME_WORDS | _PERSONS)):
        return Kind.NAME
    if joined == "name" and above is not None and _holds_person(words(above)):
        return Kind.NAME
    if last in _ADDRESS_LINES or joined in _ADDRESS_LINES or _is_address_line(found):
        return Kind.ADDRESS
    if last == "iban":
        return Kind.IBAN
    if joined in _BIRTHS or (last == "date" and "birth" in found) or (before, last) == ("birth", "day"):
        return Kind.BIRTH
    if last == "ip" or (last == "address" and before == "ip"):
        return Kind.IP
    if last in _DOCUMENTS or "".join(found[-2:]) in _DOCUMENTS:
        return Kind.PERSONAL
    return None


def _holds_person(above: tuple[str, ...]) -> bool:
    return bool(above) and (above[-1].removesuffix("s") in _PERSONS or above[-2:] in _POSTAL)


_POSTAL = (("billing", "address"), ("shipping", "address"), ("default", "address"), ("postal", "address"))


def _is_address_line(found: tuple[str, ...]) -> bool:
    """`address_1`, `address_line_2`, `street_address`, `line_1`."""
    if found[-1] in ("1", "2"):
        return found[-2:-1] in (("address",), ("line",))
    return found[-2:] in (("street", "address"), ("address", "line"), ("street", "name"))


# ---------------------------------------------------------------- by form

DOMAIN = r"[\w-]+(?:\.[\w-]+)+"
REDACTED = (
    r"~[a-z]+:(?:[a-z][a-z0-9]{0,15}(?:_[a-z]{1,12})?_)?(?:f0[0-9a-f]{22}|[0-9a-f]{16})(?![0-9A-Za-z])"
    rf"(?:@{DOMAIN})?"
)
"""The form of what is redacted already, see `redaction.py`."""

_LOCAL = r"[^\s@<>()\[\]{},;:\"'`~/\\?&=#|%]"
_NAMES_IN_QUERIES = (
    r"(?:[\w.-]*(?:password|passwd|secret|api_?key|access_?key|access_token|refresh_token|id_token|auth_token|"
    r"x-amz-signature|signature|sig)|token|pwd)"
)
FORMS = re.compile(
    rf"(?P<redacted>{REDACTED})"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z))"
    r"|(?P<jwt>(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
    r"|(?P<scheme>(?<!\w)(?:Bearer|Basic|Token)[ ]+)(?P<credential>(?=[\w.+/=-]*[0-9=])(?!~)[\w.+/=-]{16,})"
    r"|(?P<userinfo>(?<=://)[^\s/:@?#~]+:[^\s/@?#~]+(?=@))"
    rf"|(?P<parameter>(?:(?<=[?&;])|(?<!.)){_NAMES_IN_QUERIES}=)(?P<argument>(?!~)[^&;#\s\"'<>]+)"
    r"|(?P<token>(?<![A-Za-z0-9])(?:"
    r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{8,}|whsec_[A-Za-z0-9+/=]{8,}|shp(?:at|ss|ca|pa)_[A-Za-z0-9]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|xox[abeprs]-[\w-]{10,}"
    r"|tr_(?:dev|prod|stg|preview|pat)_\w{8,}|signkey-[\w-]{8,}|shk_[\w-]{16,}"
    r"|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r")(?![A-Za-z0-9]))"
    rf"|(?P<email>(?<!{_LOCAL})(?P<local>{_LOCAL}++)(?:@|%40)(?P<domain>{DOMAIN}))"
    r"|(?P<card>(?<![\w.+-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w-]))"
    r"|(?P<phone>(?<![\w+])\+[1-9](?:[ ().-]{0,2}\d){7,14}(?!\d))",
    re.DOTALL,
)
"""Everything personal or secret that shows by itself inside a text."""

_CARD_DIGITS = re.compile(r"[0-9][0-9]{3}(?:[ -]?[0-9]){9}")
_ANY_CARD_DIGITS = re.compile(r"\d{4}(?:[ -]?\d){9}")
_WORDS = re.compile(
    r"eyJ|-----B|Bearer|Basic|Token|[sr]k_|whsec|shp|gh[pousr]_|github_|xox|tr_|signkey|shk_|AKIA|AIza|SG\."
)
_EACH_WORD = (
    *("eyJ", "-----B", "Bearer", "Basic", "Token", "k_", "whsec", "shp", "xox", "tr_", "signkey"),
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_", "AKIA", "AIza", "SG.", "\\u", "\0"),
)


def may_have_forms(text: str, *, worded: bool = True) -> bool:
    """Whether `FORMS` may find anything to hash in a text: most texts have none, and are told apart fast here.

    Args:
        worded: whether it may have a word that some form begins with, see `has_words`: to look for them is dear.
    """
    return len(text) >= 5 and (
        "@" in text
        or "=" in text
        or "+" in text
        or "%40" in text
        or (_CARD_DIGITS if text.isascii() else _ANY_CARD_DIGITS).search(text) is not None
        or (worded and _WORDS.search(text) is not None)
    )


_MARK, _DIGIT = b"\1", b"0"
_MARKS = bytes.maketrans(b"@=+<%" + b"123456789", _MARK * 5 + _DIGIT * 9)
_SPACING = b" -"
_AS_MANY_DIGITS = _DIGIT * 13


def is_bare(document: bytes) -> bool:
    """Whether it is plain that no text in a JSON document has a form that anything is known by: nothing that `FORMS`
    finds, no mailbox with a name, no document of its own. Then the names of members alone say what is to be redacted.
    """
    marked = document.translate(_MARKS, _SPACING)
    return not (
        _MARK in marked
        or _AS_MANY_DIGITS in marked
        or b'"{' in document
        or b'"[' in document
        or has_words(document)
        or (not document.isascii() and _ANY_CARD_DIGITS.search(document.decode()) is not None)
    )


def has_words(document: bytes) -> bool:
    """Whether some text in a JSON document may have one of the words: in UTF-8, written by code points, or in another
    encoding."""
    try:
        text = document.decode()  # looked through faster than bytes
    except UnicodeDecodeError:
        return True
    for word in _EACH_WORD:  # noqa: SIM110  # half the time of `any`
        if word in text:
            return True
    return False


_CARD_LENGTHS = {"4": (16, 19), "5": (16,), "2": (16,), "6": (16, 19), "34": (15,), "37": (15,)}


def is_card(digits: str) -> bool:
    """Whether these digits are a payment card's: an issuer's prefix and length, and the check digit.

    Ids of shops and advertisers have as many digits, and one of ten has the right check digit by chance; the
    prefixes and lengths leave few of them.
    """
    lengths = _CARD_LENGTHS.get(digits[:2]) or _CARD_LENGTHS.get(digits[:1], ())
    if len(digits) not in lengths or len(set(digits)) == 1:
        return False
    if digits[0] == "5" and not "51" <= digits[:2] <= "55":
        return False
    if digits[0] == "2" and not "2221" <= digits[:4] <= "2720":
        return False
    if digits[0] == "6" and digits[:4] != "6011" and digits[:2] != "65" and not "644" <= digits[:3] <= "649":
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
