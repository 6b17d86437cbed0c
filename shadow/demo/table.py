"""The demo's result for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from shadow.demo.findings import Findings

WORST = 3
"""Signatures shown."""
_WIDTH = 240
"""Columns that the table may take; a narrower terminal wraps its lines itself."""

_CALLS = {
    "calls forwarded": ("legacy", "forward"),
    "replayed": ("candidate", "replay"),
    "stubbed": ("candidate", "stub"),
    "refused": ("candidate", "refuse"),
}
"""Column to the side whose calls it counts, and what became of them."""


def show(console: Console, findings: Findings) -> None:
    """The parity table and the worst signatures, one readable difference each."""
    table = Table(title="Does the candidate do what legacy does?", title_justify="left")
    table.add_column("task", no_wrap=True)
    for name in ("events", "pairs", "match", "mismatch", "missing", "not comparable", "pending", "parity", *_CALLS):
        table.add_column(name, justify="right", min_width=len(name.split()[-1]))
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
            *(str(finding.dispositions.get(side, {}).get(disposition, 0)) for side, disposition in _CALLS.values()),
            finding.fault or "",
        )
    console.width = max(console.width, _WIDTH)
    console.print(table, no_wrap=True)
    leaks = "[green]none[/]" if findings.leaks == 0 else f"[red]{findings.leaks}[/]"
    console.print(
        f"Leaks: {leaks}. The targets' own books show {findings.writes} writes, all by runs with authority."
        if findings.leaks == 0
        else f"Leaks: {leaks} of {findings.writes} writes in the targets' own books.",
        highlight=False,
    )
    proven = ", ".join(task for task, finding in findings.tasks.items() if finding.containment == "proven")
    if proven:
        console.print(
            f"Contained: {proven} by proof (shadow contain shows it), the others by declaration.", highlight=False
        )
    later = sum(finding.scheduled for finding in findings.tasks.values())
    if later:
        console.print(
            f"{later} runs that these started are due on later days: they are paired, and not counted here.",
            highlight=False,
        )
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
