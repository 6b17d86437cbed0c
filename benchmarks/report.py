"""How every benchmark ends: one line of JSON, and an exit code that says whether the required figures hold."""

from __future__ import annotations

import json
import sys
from typing import NoReturn


def finish(bench: str, *, ok: bool, figures: dict[str, object]) -> NoReturn:
    """Print `{"bench", "ok", "figures"}` as the last line and exit 0 or 1."""
    print(json.dumps({"bench": bench, "ok": ok, "figures": figures}))
    sys.exit(0 if ok else 1)
