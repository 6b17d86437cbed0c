"""A warning about a catalogue: allowed, but likely not meant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class CatalogueWarning:
    """Something that works, but probably not as was meant."""

    code: str
    """Stable, for machines."""
    key: str
    """Where in the catalogue."""
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message} [{self.code}]"
