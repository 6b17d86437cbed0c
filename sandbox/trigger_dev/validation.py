"""Checks of request bodies that complain in the words of the service's validator (zod with
zod-validation-error).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
MISSING = object()


@dataclass(frozen=True)
class Issue:
    """One complaint about the value at `path`."""

    message: str
    path: Path

    def sentence(self) -> str:
        """The complaint with its place, e.g. `Required at "options.tags[0]"`."""
        return f'{self.message} at "{_written(self.path)}"' if self.path else self.message


def _written(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def kind_of(value: Any) -> str:
    """The JavaScript type name of a JSON value."""
    if value is MISSING:
        return "undefined"
    if value is None:
        return "null"
    for kind, types in (("boolean", bool), ("number", (int, float)), ("string", str), ("array", list)):
        if isinstance(value, types):
            return kind
    return "object"


@dataclass
class Check:
    """Collects issues; the readers return the value when it has the wanted type, else None."""

    issues: list[Issue] = field(default_factory=list)

    def complain(self, message: str, path: Path) -> None:
        """Add an issue of one's own."""
        self.issues.append(Issue(message, path))

    def _typed(self, value: Any, expected: str, path: Path, optional: bool) -> bool:
        received = kind_of(value)
        if received == expected:
            return True
        if received == "undefined":
            if not optional:
                self.complain("Required", path)
        else:
            self.complain(f"Expected {expected}, received {received}", path)
        return False

    def mapping(self, value: Any, path: Path = (), *, optional: bool = False) -> dict[str, Any] | None:
        """An object."""
        return value if self._typed(value, "object", path, optional) else None

    def array(self, value: Any, path: Path) -> list[Any] | None:
        """An array."""
        return value if self._typed(value, "array", path, False) else None

    def string(
        self,
        holder: dict[str, Any],
        name: str,
        path: Path = (),
        *,
        longest: int | None = None,
        required: bool = False,
    ) -> str | None:
        """A string member, of at most `longest` characters."""
        value = holder.get(name, MISSING)
        if not self._typed(value, "string", (*path, name), not required):
            return None
        if longest is not None and len(value) > longest:
            self.complain(f"{name} must be {longest} characters or less", (*path, name))
        return str(value)

    def number(self, holder: dict[str, Any], name: str, path: Path = ()) -> float | None:
        """A number member."""
        value = holder.get(name, MISSING)
        return value if self._typed(value, "number", (*path, name), True) else None

    def integer(
        self,
        holder: dict[str, Any],
        name: str,
        path: Path = (),
        *,
        least: int | None = None,
        required: bool = False,
    ) -> int | None:
        """An integer member, of at least `least`."""
        value = holder.get(name, MISSING)
        if not self._typed(value, "number", (*path, name), not required):
            return None
        if value != int(value):
            self.complain("Expected integer, received float", (*path, name))
        elif least is not None and value < least:
            self.complain(f"Number must be greater than or equal to {least}", (*path, name))
        return int(value)

    def boolean(self, holder: dict[str, Any], name: str, path: Path = ()) -> bool | None:
        """A boolean member."""
        value = holder.get(name, MISSING)
        return value if self._typed(value, "boolean", (*path, name), True) else None

    def choice(self, holder: dict[str, Any], name: str, path: Path, choices: Sequence[str]) -> str | None:
        """One of some strings."""
        value = holder.get(name, MISSING)
        if value is MISSING:
            return None
        if value not in choices:
            wanted = " | ".join(f"'{choice}'" for choice in choices)
            if isinstance(value, str):
                self.complain(f"Invalid enum value. Expected {wanted}, received '{value}'", (*path, name))
            else:
                self.complain(f"Expected {wanted}, received {kind_of(value)}", (*path, name))
            return None
        return str(value)

    def either(self, holder: dict[str, Any], name: str, path: Path, kinds: Sequence[str]) -> Any:
        """A member of one of several types; the complaint of a union names each of them."""
        value = holder.get(name, MISSING)
        if value is MISSING:
            return None
        if kind_of(value) in kinds:
            return value
        place = (*path, name)
        options = [Issue(f"Expected {kind}, received {kind_of(value)}", place).sentence() for kind in kinds]
        self.complain(", or ".join(options), ())
        return None

    def each(self, values: list[Any] | None, path: Path, read: Callable[[Any, Path], Any]) -> list[Any]:
        """Read every element of an array."""
        return [read(value, (*path, index)) for index, value in enumerate(values or ())]

    def text(self) -> str | None:
        """The error text of a 400, or None when there is nothing to complain about."""
        if not self.issues:
            return None
        return "Validation error: " + "; ".join(issue.sentence() for issue in self.issues)
