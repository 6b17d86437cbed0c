"""The control API: reports, operations and metrics for operators."""

from __future__ import annotations

from api.control.app import control_app
from api.control.services import ControlServices

__all__ = ["ControlServices", "control_app"]
