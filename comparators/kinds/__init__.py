"""Kinds of effects, and what is only notation in each.

A normaliser brings the data of an effect into the one form that all its notations have. It changes no meaning: what is
said differently afterwards, was meant differently. Normalising twice is normalising once, for evidence is normalised
before it is hashed, and again when it is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from comparators.canonical import JSON, plain
from comparators.kinds.call import call, is_call
from comparators.kinds.event import emitted
from comparators.kinds.mail import mail
from comparators.kinds.row import row
from comparators.plugins import KINDS, plugins

Normaliser: TypeAlias = Callable[[JSON], JSON]
"""The data of an effect, all of whose whole floats are integers, to its normal form."""

_OWN: dict[str, Normaliser] = {
    "http": call,
    "email": mail,
    "event": emitted,
    "sql": row,
    "state": row,
}
_registered: dict[str, Normaliser] = {}
_ROWS = ("sql", "state")


def normal(kind: str, data: JSON) -> JSON:
    """The data of an effect of that kind in its normal form.

    Raises ValueError or TypeError for what JSON cannot say, PluginError where a package's normaliser can't be used.
    """
    data = plain(data)
    # A mail or a message may have been recorded as the call that it was sent by; a row may have columns of any name.
    own = call if kind not in _ROWS and is_call(data) else _OWN.get(kind)
    if own is not None:
        return own(data)
    others = _of_others(kind)
    return data if others is None else plain(others(data))


def register_kind(kind: str, normaliser: Normaliser) -> None:
    """Say what is notation in effects of a kind of one's own.

    Raises ValueError when the kind has a normaliser.
    """
    if kind in _OWN or _of_others(kind) is not None:
        raise ValueError(f"the kind {kind!r} has a normaliser already")
    _registered[kind] = normaliser


def unregister_kind(kind: str) -> None:
    """Take back what `register_kind` said.

    Raises KeyError when there is none.
    """
    del _registered[kind]


def _of_others(kind: str) -> Normaliser | None:
    return _registered.get(kind) or _of_packages().get(kind)


@lru_cache(maxsize=1)
def _of_packages() -> dict[str, Normaliser]:
    found: dict[str, Normaliser] = {}
    for plugin in plugins(KINDS):
        if plugin.name in _OWN or plugin.name in found:
            raise plugin.refused("is a kind that has a normaliser already")
        found[plugin.name] = plugin.loaded
    return found
