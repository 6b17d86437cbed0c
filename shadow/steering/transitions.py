"""Which move leads where: a pure function of where a route stands and where it shall stand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from shadow.cutover.decision import WHOLE, Phase, Ramp
from shadow.cutover.moves import MoveRefused, Stand

ORDER = tuple(Phase)
NEXT: dict[Phase, tuple[Phase, ...]] = {
    Phase.LEGACY: (Phase.SHADOW,),
    Phase.SHADOW: (Phase.RAMP, Phase.LIVE),
    Phase.RAMP: (Phase.RAMP, Phase.LIVE),
    Phase.LIVE: (Phase.LIVE, Phase.RETIRED),
    Phase.RETIRED: (),
}
"""Forward. `ramp` to itself is another share, `live` to itself another `cutover.reverse`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a route shall stand, as somebody asks for it."""

    phase: Phase
    share: int | None = None
    """None: as before."""
    allow: Collection[str] | None = None
    deny: Collection[str] | None = None

    def stand(self, current: Stand, reverse: bool) -> Stand:
        """Where it shall stand, seen from where it stands.

        Args:
            reverse: whether its tasks declare that legacy runs without authority where the candidate has it.

        Raises:
            MoveRefused: a share or list that makes no sense.
        """
        if self.phase is not Phase.RAMP:
            if self.share is not None or self.allow is not None or self.deny is not None:
                raise MoveRefused(f"a share and lists of keys are of ramp; in {self.phase} all keys are treated alike")
            wanted = Stand(self.phase, reverse=reverse and self.phase is Phase.LIVE)
        else:
            wanted = Stand(Phase.RAMP, self._ramp(current), reverse)
        if reverse and not current.reverse and leads_back(current, wanted):
            return Stand(wanted.phase, wanted.ramp)  # the way back begins nothing
        return wanted

    def _ramp(self, current: Stand) -> Ramp:
        if self.share is None and current.phase is not Phase.RAMP:
            raise MoveRefused(
                "a ramp needs a share: the percentage of keys for which the candidate shall have authority"
            )
        before = current.ramp
        wanted = Ramp(
            before.share if self.share is None else self.share,
            before.allow if self.allow is None else frozenset(self.allow),
            before.deny if self.deny is None else frozenset(self.deny),
        )
        if not 0 <= wanted.share <= WHOLE:
            raise MoveRefused(f"a share is a whole percentage from 0 to 100, not {wanted.share}")
        if both := wanted.allow & wanted.deny:
            raise MoveRefused(f"allowed and denied at once: {', '.join(sorted(both))}")
        return wanted


def leads_back(current: Stand, wanted: Stand) -> bool:
    """Whether it gives keys back to legacy and takes none from it; or takes back a move before it takes effect."""
    if current.phase is not wanted.phase:
        return ORDER.index(wanted.phase) < ORDER.index(current.phase)
    if wanted.reverse and not current.reverse:
        return False
    mine, theirs = current.ramp, wanted.ramp
    return theirs.share <= mine.share and theirs.allow <= mine.allow and theirs.deny >= mine.deny


def begins_contained(current: Phase, wanted: Phase) -> bool:
    """Whether the candidate runs without authority after that move, and did not before."""
    contained = (Phase.SHADOW, Phase.RAMP)
    return wanted in contained and current not in contained


def why_not_next(current: Phase, wanted: Phase) -> str:
    """Why a move forward can be made by force only, whatever the gates say; empty where it is the next one."""
    if wanted in NEXT[current]:
        return ""
    names = " or ".join(phase for phase in NEXT[current] if phase is not current)
    return f"after {current} comes {names}, not {wanted}"
