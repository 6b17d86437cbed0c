"""The `shadow` command: one file a group of commands, mounted here."""

from __future__ import annotations

import typer

from shadow.cli import (
    allow,
    board,
    contain,
    costs,
    dead_letters,
    demo,
    deployment,
    egress_key,
    evidence,
    explain,
    forget,
    gate,
    judge,
    map,
    noise,
    notices,
    originals,
    phase,
    processes,
    replay,
    report,
    sealing_key,
    tasks,
    token,
)
from shadow.observe import logs

app = typer.Typer(
    name="shadow",
    help="Dual-run parity verification: does the new function do what the old task did?",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(processes.up)
app.command("serve")(processes.serve)
app.command("work")(processes.work)
app.command("demo")(demo.demo)
app.command("phase")(phase.phase)
app.command("contain")(contain.contain)
app.command("gate")(gate.gate)
app.command("sign-off")(gate.sign_off)
app.command("deployment")(deployment.deployment)
app.command("epoch")(deployment.epoch)
app.command("explain")(explain.explain)
app.command("evidence")(evidence.evidence)
app.command("replay")(replay.replay)
app.command("board")(board.board)
app.command("costs")(costs.costs)
app.command("report")(report.report)
app.command("judge")(judge.judge)
app.command("allow")(allow.allow)
app.command("originals")(originals.originals)
app.command("forget")(forget.forget)
app.add_typer(allow.app, name="allowances")
app.add_typer(sealing_key.app, name="sealing-key")
app.add_typer(tasks.app, name="tasks")
app.add_typer(map.app, name="map")
app.add_typer(noise.app, name="noise")
app.add_typer(notices.app, name="notices")
app.add_typer(token.app, name="token")
app.add_typer(egress_key.app, name="egress-key")
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Entry of the console script."""
    logs.configure(level="warning")  # by itself structlog would show local variables
    app()
