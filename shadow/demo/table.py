"""The demo's result for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from shadow.demo.findings import Findings

WORST = 3
"""Signatures shown."""
_WIDTH = 132
"""Columns that the table needs; a narrower terminal wraps its lines itself."""


def show(console: Console, findings: Findings) -> None:
    """The parity table and the worst signatures, one readable difference each."""
    table = Table(title="Does the candidate do what legacy does?", title_justify="left")
    table.add_column("task", no_wrap=True)
    for name in ("events", "pairs", "match", "mismatch", "missing", "not comparable", "pending", "parity"):
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
            finding.fault or "",
        )
    console.print(table, width=max(console.width, _WIDTH), crop=False, no_wrap=True)
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
