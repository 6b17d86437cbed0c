"""Which adapter speaks to which platform of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import httpx

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import HttpPlatform, InngestPlatform, Platform, TriggerPlatform
from shadow.platforms.adapter import Adapter
from shadow.platforms.http_endpoint import HttpEndpoint
from shadow.platforms.inngest import InngestEvents
from shadow.platforms.trigger_dev import TriggerDev


def adapters(catalogue: ResolvedCatalogue, http: httpx.AsyncClient) -> Mapping[str, Adapter]:
    """An adapter for each platform, by its name in the catalogue.

    Args:
        http: of `carrying_client`; the caller closes it.
    """
    return {name: adapter(name, platform, http) for name, platform in catalogue.platforms.items()}


def adapter(name: str, platform: Platform, http: httpx.AsyncClient) -> Adapter:
    """The adapter of one platform."""
    match platform:
        case TriggerPlatform():
            return TriggerDev(name, platform, http)
        case InngestPlatform():
            return InngestEvents(name, platform, http)
        case HttpPlatform():
            return HttpEndpoint(name, platform, http)
        case _:
            assert_never(platform)
