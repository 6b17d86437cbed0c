"""What people are told as it happens: notices, and their delivery to the catalogue's channels."""

from __future__ import annotations
