"""A task's report as text: Markdown for people, JSON for programs, JUnit XML for CI."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

from pydantic import BaseModel, ConfigDict

from shadow.reports.shapes import Counts, Parity, SignatureSummary
from shadow.reports.ticks import DAYS, TickCounts

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAMES = {
    "events": "events",
    "pairs": "pairs",
    "match": "match",
    "allowed": "allowed to differ",
    "mismatch": "mismatch",
    "missing_candidate": "missing candidate",
    "missing_legacy": "missing legacy",
    "not_comparable": "not comparable",
    "pending": "pending",
}


DIFFERENCES = "Differences (all time, all tenants)"
"""The head of the list of signatures, which knows neither days nor tenants, whatever the counts are of."""


class Report(BaseModel):
    """How a task stands, and the differences that most of its pairs show now."""

    model_config = ConfigDict(frozen=True)

    parity: Parity
    signatures: list[SignatureSummary]
    ticks: TickCounts | None = None
    """Of a task that a clock starts."""

    @property
    def partial(self) -> bool:
        """Whether the counts are of some days or one tenant only. The signatures never are."""
        return (self.parity.since, self.parity.until, self.parity.tenant) != (None, None, None)


def figures(counts: Counts) -> list[tuple[str, str]]:
    """(name, figure) of all counts and the parity, for people."""
    named = [(name, f"{getattr(counts, field):,}") for field, name in _NAMES.items()]
    return [*named, ("parity", percent(counts.parity))]


def tick_figures(ticks: TickCounts | None) -> list[tuple[str, str]]:
    """(name, figure) of a scheduled task's ticks, for people."""
    named = ticks.model_dump() if ticks is not None else {}
    return [(f"ticks {name}, {DAYS} days", f"{number:,}") for name, number in named.items()]


def percent(parity: float | None) -> str:
    """A parity for people. It says 100 % only when nothing differs."""
    if parity is None:
        return "nothing compared"
    return "100 %" if parity == 1 else f"{min(parity, 0.9999):.2%}".replace("%", " %")


def title(parity: Parity) -> str:
    """What a report is of, in a line."""
    scope = [f"phase {parity.phase}"]
    if parity.tenant is not None:
        scope.append(f"tenant {parity.tenant}" if parity.tenant else "events without a tenant")
    if parity.since is not None:
        scope.append(f"from {parity.since}")
    if parity.until is not None:
        scope.append(f"to {parity.until}")
    return f"{parity.task} ({', '.join(scope)})"


def as_json(report: Report) -> str:
    return report.model_dump_json(indent=2)


def as_markdown(report: Report) -> str:
    lines = [f"# {_cell(title(report.parity))}", "", "| | |", "|---|---:|"]
    told = [*figures(report.parity.counts), *tick_figures(report.ticks)]
    lines += [f"| {name} | {figure} |" for name, figure in told]
    if report.signatures:
        lines += ["", f"## {DIFFERENCES}", ""]
        lines += ["| pairs | allowed | severity | difference | signature |", "|---:|---:|---|---|---|"]
        lines += [
            f"| {found.pairs:,} | {found.allowed:,} | {found.severity} | {_cell(found.sentence)} | `{found.id}` |"
            for found in report.signatures
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """`text` as it stands in a Markdown table."""
    flat = " ".join(text.split())
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", flat)


@dataclass(frozen=True)
class _Check:
    name: str
    failure: Callable[[Counts], str | None]
    skips: bool = False
    """Whether it is reported as skipped: no success, and no failure either."""


_CHECKS = (
    _Check("pairs were compared", lambda c: "nothing was compared" if c.parity is None else None),
    _Check("no pair differs", lambda c: f"{c.mismatch} pairs differ" if c.mismatch else None),
    _Check(
        "no pair differs in what is allowed",
        lambda c: f"{c.allowed} pairs are allowed to differ" if c.allowed else None,
        skips=True,
    ),
    _Check(
        "no run of the candidate is missing",
        lambda c: f"{c.missing_candidate} pairs without it" if c.missing_candidate else None,
    ),
    _Check(
        "no run of legacy is missing", lambda c: f"{c.missing_legacy} pairs without it" if c.missing_legacy else None
    ),
    _Check(
        "every pair could be compared",
        lambda c: f"{c.not_comparable} pairs could not" if c.not_comparable else None,
        skips=True,
    ),
    _Check("no pair waits for its verdict", lambda c: f"{c.pending} pairs wait" if c.pending else None, skips=True),
)


def _ticks_amiss(report: Report) -> list[tuple[str, int]]:
    """What no tick of a scheduled task may be, and how many are. They know neither days nor tenants."""
    if report.ticks is None or report.partial:
        return []
    return [("missed", report.ticks.missed), ("doubled", report.ticks.doubled)]


def in_xml(text: str) -> str:
    """`text` without what XML can't hold."""
    return _NOT_IN_XML.sub("\ufffd", text)


def as_junit(report: Report) -> str:
    """A test suite: a case for each thing that should hold of the counts, and a failed one for each signature.

    A signature that is allowed in every pair is skipped: no success, and no failure either. Signatures may come from
    days or tenants that were not asked for: a partial report fails by its counts alone.
    """
    task = report.parity.task
    suite = ElementTree.Element("testsuite", name=f"shadow.{task}")
    failures = skipped = 0
    for check in _CHECKS:
        case = ElementTree.SubElement(suite, "testcase", classname=task, name=check.name)
        message = check.failure(report.parity.counts)
        if message is not None:
            ElementTree.SubElement(case, "skipped" if check.skips else "failure", message=message)
            failures += not check.skips
            skipped += check.skips
    for name, number in _ticks_amiss(report):
        case = ElementTree.SubElement(suite, "testcase", classname=task, name=f"no tick was {name}")
        if number:
            ElementTree.SubElement(case, "failure", message=f"{number} ticks of the last {DAYS} days were {name}")
            failures += 1
    for found in () if report.partial else report.signatures:
        case = ElementTree.SubElement(suite, "testcase", classname=task, name=f"{found.kind} {found.id}")
        message = in_xml(found.sentence)
        if not found.open:
            ElementTree.SubElement(case, "skipped", message=f"allowed in all {found.pairs} pairs: {message}")
            skipped += 1
            continue
        failure = ElementTree.SubElement(case, "failure", type=found.severity, message=message)
        allowed = f" (allowed in {found.allowed})" if found.allowed else ""
        text = f"{found.pairs} pairs{allowed}, such as {found.example_pair}\n{found.path}"
        failure.text = in_xml(text)
        failures += 1
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    suite.set("errors", "0")
    suite.set("skipped", str(skipped))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
