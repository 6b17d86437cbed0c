"""What runs cost: the price book, `prices` in the catalogue."""

from __future__ import annotations

from pydantic import Field

from shadow.catalogue.values import Strict


class PlatformPrice(Strict):
    """What a platform charges."""

    monthly: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Per month, whatever runs."""
    per_run: float = Field(0.0, ge=0, allow_inf_nan=False)
    """On top of what the platform itself says that a run cost."""
    per_execution: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Inngest counts a run and each of its steps as an execution."""
    included_executions: int = Field(0, ge=0)
    """A month, of the whole platform."""


class PriceBook(Strict):
    """Prices in the currency's unit (not cents)."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    platforms: dict[str, PlatformPrice] = {}
    """By the catalogue's name for the platform."""
    executions: dict[str, float] = {}
    """By task: of how many executions a run of its candidate is made, the run itself and its steps, where nobody
    tells."""
