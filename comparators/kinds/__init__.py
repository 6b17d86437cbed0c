"""Kinds of effects, and what is only notation in each.

A normaliser brings the data of an effect into the one form that all its notations have. It changes no meaning: what is
said differently afterwards, was meant differently. Normalising twice is normalising once, for evidence is normalised
before it is hashed, and again when it is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from comparators.canonical import JSON, plain
from comparators.kinds.call import call, is_call
from comparators.kinds.event import emitted
from comparators.kinds.instants import instants
from comparators.kinds.mail import mail

Normaliser: TypeAlias = Callable[[JSON], JSON]
"""The data of an effect, all of whose whole floats are integers, to its normal form."""

_NORMALISERS: dict[str, Normaliser] = {
    "http": call,
    "email": mail,
    "event": emitted,
    "sql": instants,
    "state": instants,
}


_ROWS = ("sql", "state")


def normal(kind: str, data: JSON) -> JSON:
    """The data of an effect of that kind in its normal form.

    Raises ValueError or TypeError for what JSON cannot say.
    """
    data = plain(data)
    # A mail or a message may have been recorded as the call that it was sent by; a row may have columns of any name.
    normaliser = call if kind not in _ROWS and is_call(data) else _NORMALISERS.get(kind)
    return data if normaliser is None else normaliser(data)


def register_kind(kind: str, normaliser: Normaliser) -> None:
    """Say what is notation in effects of a kind of one's own.

    Raises ValueError when the kind has a normaliser.
    """
    if kind in _NORMALISERS:
        raise ValueError(f"the kind {kind!r} has a normaliser already")
    _NORMALISERS[kind] = normaliser


def unregister_kind(kind: str) -> None:
    """Take back what `register_kind` said.

    Raises KeyError when there is none.
    """
    del _NORMALISERS[kind]
