"""What a connection's transaction has done so far: told to the run only when it is committed. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shadow.capture.run import Run


@dataclass
class Transaction:
    """The transaction of one connection, one after the other."""

    marked_for: tuple[str, int] | None = None
    """The run and attempt that the server was told of in this transaction."""
    _written: list[tuple[Run, dict[str, Any]]] = field(default_factory=list)
    _savepoints: list[tuple[str, int]] = field(default_factory=list)

    def begin(self) -> None:
        """A new one: whatever the last has left was never committed."""
        self.marked_for = None
        self._written.clear()
        self._savepoints.clear()

    def note(self, run: Run, effects: list[dict[str, Any]]) -> None:
        """A run wrote rows."""
        self._written.extend((run, effect) for effect in effects)

    def here(self) -> int:
        """This moment, to go back to."""
        return len(self._written)

    def back_to(self, moment: int) -> None:
        """What came after was undone; the server has forgotten whose it is, if it was told since."""
        del self._written[moment:]
        self.marked_for = None

    def savepoint(self, name: str) -> None:
        """A savepoint was set by a statement."""
        self._savepoints.append((name, self.here()))

    def back_to_savepoint(self, name: str) -> None:
        """A statement went back to it."""
        moments = [moment for known, moment in self._savepoints if known == name]
        self.back_to(moments[-1] if moments else 0)

    def committed(self) -> None:
        """It is done: the runs did it."""
        for run, effect in self._written:
            run.effects.append(effect)
        self.begin()
