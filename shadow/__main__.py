"""`python -m shadow` is the `shadow` command."""

from __future__ import annotations

from shadow.cli import main

main()
