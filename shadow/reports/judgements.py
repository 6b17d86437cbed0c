"""What judging again changed, or would change: pages of it added up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from shadow.judge.again import Again, Difference, Page, Rejudged
from shadow.reports.paging import cursor_of
from shadow.reports.shapes import Judgements

EXAMPLES = 3
"""Pairs named for each change of verdict."""
MOST_SIGNATURES = 50
MOST_UNREADABLE = 100
"""Pairs named for each reason why they can't be judged any more."""


@dataclass
class Changes:
    """All pages of one run so far."""

    wanted: Again
    dry_run: bool
    rules: str = ""
    examined: int = 0
    current: int = 0
    waiting: int = 0
    changed: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    """By reason."""
    listed: dict[str, list[UUID]] = field(default_factory=dict)
    """Which pairs those are, as far as they are told one by one."""
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    differences: dict[str, Difference] = field(default_factory=dict)
    examples: dict[tuple[str, str], list[Rejudged]] = field(default_factory=dict)
    page: Page | None = None

    def add(self, page: Page) -> None:
        self.page = page
        self.rules = page.rules
        self.examined += page.examined
        self.current += page.current
        self.waiting += page.waiting
        for pair, reason in page.unreadable.items():
            self.unreadable[reason] += 1
            listed = self.listed.setdefault(reason, [])
            if len(listed) < MOST_UNREADABLE:
                listed.append(pair)
        for one in page.judged:
            self._add(one)

    def _add(self, one: Rejudged) -> None:
        self.verdicts[one.before, one.after] += 1
        if not one.changed:
            return
        self.changed += 1
        self.added.update(one.added.keys())
        self.removed.update(one.removed.keys())
        for signature, how in (*one.added.items(), *one.removed.items()):
            self.differences.setdefault(signature, how)
        examples = self.examples.setdefault((one.before, one.after), [])
        if len(examples) < EXAMPLES:
            examples.append(one)

    def shape(self) -> Judgements:
        """All of it, for the API and the command."""
        touched = self.added + self.removed
        return Judgements.model_validate(
            {
                "task": self.wanted.task,
                "since": self.wanted.since,
                "until": self.wanted.until,
                "dry_run": self.dry_run,
                "rules": self.rules,
                "examined": self.examined,
                "judged": self.verdicts.total(),
                "current": self.current,
                "waiting": self.waiting,
                "unreadable": [
                    {"reason": reason, "pairs": number, "listed": self.listed[reason]}
                    for reason, number in self.unreadable.most_common()
                ],
                "changed": self.changed,
                "verdicts": [
                    {"before": before, "after": after, "pairs": number}
                    for (before, after), number in self.verdicts.most_common()
                ],
                "signatures": [
                    {
                        "signature": signature,
                        "severity": self.differences[signature].severity,
                        "sentence": self.differences[signature].sentence,
                        "added": self.added[signature],
                        "removed": self.removed[signature],
                    }
                    for signature, _ in touched.most_common(MOST_SIGNATURES)
                ],
                "examples": [_example(one) for examples in self.examples.values() for one in examples],
                "next_cursor": cursor_of(self.page.last) if self.page is not None and self.page.last else None,
            }
        )


def _example(one: Rejudged) -> dict[str, object]:
    shows = next((how.sentence for how in one.added.values()), None)
    shows_no_longer = next((how.sentence for how in one.removed.values()), None)
    return {
        "pair": one.pair,
        "before": one.before,
        "after": one.after,
        "shows": shows,
        "shows_no_longer": shows_no_longer,
    }
