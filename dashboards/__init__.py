"""Grafana dashboards and Prometheus settings, written as code with the generated files beside it.

`python -m dashboards` writes them anew.
"""

from __future__ import annotations
