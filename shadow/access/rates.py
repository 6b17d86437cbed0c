"""How many requests somebody may make: one figure a key, in this process. Pure: time in seconds is an argument.

The generic cell rate algorithm (ITU-T I.371): what is kept of a key is when it would have used up what it has had. It
admits what a token bucket does, and costs one look-up and one store.
"""

from __future__ import annotations

from collections.abc import Hashable

_MOST_KEYS = 10_000
"""Beyond which those are cleared away that have all of their burst again."""


class Rates:
    """Admits `per_second` requests of each key on average, and `burst` at once."""

    def __init__(self, per_second: float, burst: float | None = None) -> None:
        """
        Args:
            burst: at least 1; twice what a second has by default.
        """
        self._gap = 1.0 / per_second
        self._slack = (max(1.0, per_second * 2 if burst is None else burst) - 1.0) * self._gap
        self._used_up: dict[Hashable, float] = {}
        self._most = _MOST_KEYS

    @classmethod
    def of(cls, per_second: float | None) -> Rates | None:
        """Those of a setting; None where it sets no limit."""
        return None if per_second is None else cls(per_second)

    def wait(self, key: Hashable, now: float) -> float:
        """0 when the request may be made, which counts it; else the seconds until it may."""
        used_up = self._used_up.get(key, now)
        if used_up < now:
            used_up = now
        over = used_up - now - self._slack
        if over > 1e-9:
            return over
        self._used_up[key] = used_up + self._gap
        if len(self._used_up) > self._most:
            self._clear(now)
        return 0.0

    def _clear(self, now: float) -> None:
        """Forget keys that nobody uses: a flood of them, such as of addresses, takes bounded memory."""
        self._used_up = {key: at for key, at in self._used_up.items() if at > now}
        # Those that are left are all in use: looked through again when they are twice as many, not at every request.
        self._most = max(_MOST_KEYS, 2 * len(self._used_up))
