"""What runs cost on each side, by the catalogue's price book."""

from __future__ import annotations
