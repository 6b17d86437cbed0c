"""The secrets of a catalogue that a candidate's worker must not hold: all but those that are the candidate's own."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import InngestSource, Origin, Side, TriggerSource

_SHORTEST_PIECE = 4
"""Characters: a shorter piece of a secret (a port, a user `app`) is in many values that are no secret."""


def real_secrets(catalogue: ResolvedCatalogue) -> dict[str, frozenset[str]]:
    """Where each stands in the catalogue -> the texts that would give it away: itself and what it is made of.

    Whatever the catalogue holds for a secret is real unless it belongs to the candidate: its platform, its sources and
    report keys, and the database that Shadow reads for it.
    """
    own = _candidates_own(catalogue)
    return {
        ".".join(path): frozenset(_pieces(secret))
        for path, secret in _secrets(catalogue.catalogue, ())
        if not any(path[: len(prefix)] == prefix for prefix in own)
    }


def _candidates_own(catalogue: ResolvedCatalogue) -> list[tuple[str, ...]]:
    return [
        ("report_keys", Side.CANDIDATE.value),
        *(("platforms", name) for name, one in catalogue.platforms.items() if one.side is Side.CANDIDATE),
        *(
            ("sources", name)
            for name, one in catalogue.sources.items()
            if isinstance(one, InngestSource | TriggerSource) and one.origin is Origin.CANDIDATE
        ),
        *(("databases", name, Side.CANDIDATE.value) for name in catalogue.databases),
    ]


def _secrets(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every secret below `value`, with where it stands."""
    if isinstance(value, SecretStr):
        yield path, value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _secrets(below, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, below in enumerate(value):
            yield from _secrets(below, (*path, str(index)))


def _pieces(secret: str) -> Iterator[str]:
    """The secret, and what a worker may hold of it: the token of `Bearer`, either half of `Basic`, a URL's password."""
    yield secret
    scheme, _, token = secret.strip().partition(" ")
    token = token.strip()
    pieces = [token]
    if scheme.lower() == "basic" and token:
        pieces += _basic(token)
    if "://" in secret:
        pieces += _password(secret)
    yield from (piece for piece in pieces if len(piece) >= _SHORTEST_PIECE)


def _basic(token: str) -> list[str]:
    try:
        decoded = base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return []
    user, _, password = decoded.partition(":")
    # Some providers take their key for a user without a password.
    return [decoded, password] if password else [decoded, user]


def _password(url: str) -> list[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return []
    return [password, unquote(password)] if password else []
