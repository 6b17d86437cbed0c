"""The shape of a value: what remains when its generated ids and moments are left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

from comparators.canonical import JSON, canonical
from comparators.generated import HOLE, take_apart, tokens_in
from comparators.path import Parts

NO_COLOURS: Mapping[str, str] = MappingProxyType({})


def shape(value: JSON, constants: Collection[str], colours: Mapping[str, str] = NO_COLOURS) -> bytes:
    """Canonical form of a value with a hole for each generated-looking part of its texts.

    `constants` are values that stay; an id that has a colour is replaced by it instead of by a hole.
    """
    return canonical(masked(value, constants, colours))


def ids(value: JSON, constants: Collection[str]) -> Iterator[tuple[Parts, str]]:
    """The generated ids in a value, each with the path of the text that holds it, in a stable order."""
    for parts, leaf in leaves(value):
        if isinstance(leaf, str):
            for token in tokens_in(leaf):
                if not token.is_instant and token.text not in constants:
                    yield parts, token.text


def leaves(value: JSON, parts: Parts = ()) -> Iterator[tuple[Parts, JSON]]:
    """The scalars and empty containers of a value with their paths, members in the order of their names."""
    if isinstance(value, dict) and value:
        for name in sorted(value):
            yield from leaves(value[name], (*parts, name))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*parts, index))
    else:
        yield parts, value


def masked(value: JSON, constants: Collection[str], colours: Mapping[str, str]) -> JSON:
    """The value with a colour, or a hole, for each generated-looking part of its texts that is no constant."""
    if isinstance(value, str):
        if not tokens_in(value):
            return value
        return take_apart(value).filled(lambda t: t.text if t.text in constants else colours.get(t.text, HOLE))
    if isinstance(value, list):
        return [masked(item, constants, colours) for item in value]
    if isinstance(value, dict):
        return _members(value, constants, colours)
    return value


def _members(value: dict[str, JSON], constants: Collection[str], colours: Mapping[str, str]) -> JSON:
    if not any(map(tokens_in, value)):
        return {name: masked(member, constants, colours) for name, member in value.items()}
    shown = [
        (str(masked(name, constants, colours)), masked(member, constants, colours)) for name, member in value.items()
    ]
    members: dict[str, JSON] = {}
    # Names that have become one are told apart again, by what they hold and not by what they were.
    for name, member in sorted(shown, key=lambda named: (named[0], canonical(named[1]))):
        while name in members:
            name += HOLE
        members[name] = member
    return members
