"""What gates say as JUnit XML, for CI: a test suite a task, a test case a condition."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from shadow.gate.report import State
from shadow.reports.formats import in_xml
from shadow.reports.gate_shapes import GateView


def as_junit(gates: Iterable[GateView]) -> str:
    """A suite for each gate. A condition that is not met fails; one that does not apply is skipped."""
    suites = ElementTree.Element("testsuites", name="shadow.gates")
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for gate in gates:
        suite = _suite(gate)
        suites.append(suite)
        for name in totals:
            totals[name] += int(suite.get(name, "0"))
    for name, number in totals.items():
        suites.set(name, str(number))
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(gate: GateView) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=f"shadow.gate.{gate.task}")
    suite.set("timestamp", gate.evaluated_at.isoformat(timespec="seconds"))
    failures = skipped = 0
    for condition in gate.conditions:
        case = ElementTree.SubElement(suite, "testcase", classname=gate.task, name=condition.name.value)
        says = in_xml(condition.says)
        if condition.state is State.UNMET:
            failure = ElementTree.SubElement(case, "failure", type=condition.name.value, message=says)
            failure.text = in_xml(f"{condition.says}\n{gate.outlook}")
            failures += 1
        elif condition.state is State.NOT_APPLICABLE:
            ElementTree.SubElement(case, "skipped", message=says)
            skipped += 1
        else:
            ElementTree.SubElement(case, "system-out").text = says
    suite.set("tests", str(len(gate.conditions)))
    suite.set("failures", str(failures))
    suite.set("errors", "0")
    suite.set("skipped", str(skipped))
    return suite
