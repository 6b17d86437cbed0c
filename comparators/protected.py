"""Protected paths: amounts, currencies, recipients, tenants and accounts.

Whatever stands there is never ignored, never taken for a generated id, and a difference is critical.
The decision rests on names, since a comparator sees values of systems it has never heard of.
"""

from __future__ import annotations

import re
from functools import lru_cache

from comparators.generated import take_apart
from comparators.path import Parts


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for lists of names that a person reads and extends."""
    return frozenset(text.split())


_MONEY = word_set(
    "amount amounts price prices total totals subtotal tax taxes fee fees cost costs commission commissions"
    " balance discount discounts refund currency currencies revenue value cents"
)
_HOLDERS = frozenset({("value",), ("values",)})
"""As containers they say nothing of what they hold: the parts of a mail are `{"type", "value"}` too."""
_ADDRESSES = word_set("email emails mail phone phones mobile address addresses em ph")
"""Names of recipients as scalars; as containers ("email": {...}) they hold whole messages."""
_PARTIES = word_set(
    "recipient recipients receiver tenant tenants shop account accounts destination iban bic payee"
    " beneficiary bank creditor debtor channel channels cc bcc"
)
"""Names that protect whatever is said about them: their id and all that hangs below."""
REFERENCES = word_set("id ids uuid guid gid key ref reference")
"""An "email id" is the provider's name for a message, not an address; an "amount ref" no amount."""

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


@lru_cache(maxsize=16384)
def is_protected(parts: Parts) -> bool:
    """Whether the value at this path is an amount, a currency, a recipient, a tenant or an account."""
    names = [part for part in parts if isinstance(part, str)]
    if not names:
        return False
    above = [found for name in names[:-1] if (found := words(name)) not in _HOLDERS]
    if any(_names_party(found) or _names_money(found) for found in above):
        return True
    return protects_name(names[-1])


def is_money(parts: Parts) -> bool:
    """Whether the value at this path is an amount or a currency."""
    return any(_names_money(words(part)) for part in parts if isinstance(part, str))


def protects_name(name: str) -> bool:
    """Whether a member of this name is protected wherever it stands."""
    found = words(name)
    if _names_party(found) or _names_money(found):
        return True
    return bool(_ADDRESSES & set(found)) and found[-1] not in REFERENCES


def names_reference(name: str) -> bool:
    """Whether a member of this name says who or what is meant: an address, a party, an id."""
    found = words(name)
    return bool(found) and (_names_party(found) or bool(_ADDRESSES & set(found)) or found[-1] in REFERENCES)


@lru_cache(maxsize=8192)
def words(name: str) -> tuple[str, ...]:
    """The words of a member name, lower case: tenantId, tenant_id and tenant-id are the same two. The letters of an id
    are no words, whatever they spell."""
    return tuple(word.lower() for word in _WORD.findall(take_apart(name).filled(lambda _: " ")))


def _names_party(found: tuple[str, ...]) -> bool:
    return bool(_PARTIES & set(found)) or "to" in (found[:1] + found[-1:])


def _names_money(found: tuple[str, ...]) -> bool:
    return bool(_MONEY & set(found)) and found[-1] not in REFERENCES
