"""The gateway's engine: whose a call is, whether it may reach its target, what else it is answered with."""

from __future__ import annotations
