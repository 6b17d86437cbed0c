"""The example of an evidence pack in the OpenAPI document. A test holds it against its model."""

from __future__ import annotations

from typing import Any

from api.control import examples

Example = dict[str, Any]

EVIDENCE: Example = {
    "format": 1,
    "made_at": "2026-06-01T08:00:05Z",
    "made_for": "01997f40-0000-7abc-8def-0123456789b4",
    "shadow_version": "0.1.0",
    "task": examples.TASK,
    "parity": examples.PARITY,
    "gate": None,
    "epochs": [],
    "deployments": [],
    "sign_offs": [],
    "signatures": [],
    "allowances": [],
    "rules": examples.TASK_RULES,
    "containment": [],
    "moves": [],
    "incidents": [],
    "examples": [],
}
EVIDENCE_PAGE = '<!doctype html>\n<html lang="en">\n...'
