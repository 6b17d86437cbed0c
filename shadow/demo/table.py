"""The demo's result for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from shadow.demo.findings import Findings, TaskFinding

WORST = 3
"""Signatures shown."""
_WIDTH = 150
"""Columns that the table needs; a narrower terminal wraps its lines itself."""


def show(console: Console, findings: Findings) -> None:
    """The parity table and the worst signatures, one readable difference each."""
    table = Table(title="Does the candidate do what legacy does?", title_justify="left")
    table.add_column("task", no_wrap=True)
    for name in ("events", "pairs", "match", "mismatch", "missing", "not comparable", "pending", "parity"):
        table.add_column(name, justify="right", min_width=len(name.split()[-1]))
    table.add_column("legacy's calls", no_wrap=True)
    table.add_column("candidate's calls", no_wrap=True)
    table.add_column("fault switched on", no_wrap=True)
    for task, finding in findings.tasks.items():
        parity = "-" if finding.parity is None else f"{finding.parity:.1%}"
        style = "green" if finding.full else "red"
        counts = (finding.events, finding.pairs, finding.match, finding.mismatch, finding.missing)
        table.add_row(
            task,
            *map(str, counts),
            str(finding.not_comparable),
            str(finding.pending),
            f"[{style}]{parity}[/]",
            _calls(finding, "legacy"),
            _calls(finding, "candidate"),
            finding.fault or "",
        )
    console.print(table, width=max(console.width, _WIDTH), crop=False, no_wrap=True)
    leaks = "[green]none[/]" if findings.leaks == 0 else f"[red]{findings.leaks}[/]"
    console.print(
        f"Leaks: {leaks}. The targets' own books show {findings.writes} writes, all by runs with authority."
        if findings.leaks == 0
        else f"Leaks: {leaks} of {findings.writes} writes in the targets' own books.",
        highlight=False,
    )
    later = sum(finding.scheduled for finding in findings.tasks.values())
    if later:
        console.print(f"{later} runs that these started are due on later days: they are paired, and not counted here.")
    if not findings.signatures:
        console.print("No differences.")
        return
    console.print(f"\nWorst differences ({min(WORST, len(findings.signatures))} of {len(findings.signatures)}):")
    for number, signature in enumerate(findings.signatures[:WORST], 1):
        pairs = "pair" if signature.pairs == 1 else "pairs"
        console.print(
            f" {number}. [bold]{signature.task}[/bold] {signature.kind}"
            f" ({signature.severity}, {signature.pairs} {pairs})",
            highlight=False,
        )
        console.print(f"    {signature.sentence}", highlight=False, markup=False, soft_wrap=True)


def _calls(finding: TaskFinding, side: str) -> str:
    """What became of that side's calls to targets."""
    return ", ".join(f"{number} {name}" for name, number in sorted(finding.dispositions.get(side, {}).items()))
