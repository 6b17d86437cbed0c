"""The keys of the pretend outside world. None opens anything but the sandbox, so they are the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

TARGET_SECRETS = MappingProxyType(
    {
        "shopify": "shpat_real_0000000000000000000000000001",
        "mail": "Bearer SG.real-0000000000000000.0000000000000002",
        "slack": "Bearer xoxb-real-000000000000-0000000000003",
        "meta": "EAAreal0000000000000000000000000000004",
        "ga4": "real-api-secret-00000005",
        "swiftpay": "Bearer sp_live_00000000000000000000006",
        "bankwire": "bw_live_0000000000000000000000007",
    }
)
"""The real credentials of the targets, as they stand in a call. Only the gateway holds them."""


@dataclass(frozen=True)
class Keys:
    """One key for each party, because keys tell where something comes from."""

    trigger_platform: str = "tr_prod_PretendShadow00000000000"
    """With which Shadow itself speaks to Trigger.dev: the environment's root key."""
    trigger_app: str = "tr_prod_sk_PretendShopApp0000000000"
    """With which the app triggers tasks."""
    trigger_worker: str = "tr_prod_sk_PretendWorker00000000000"
    """With which legacy's workers trigger tasks."""
    event_platform: str = "pretend-event-key-shadow"
    """With which Shadow itself sends events to Inngest."""
    event_app: str = "pretend-event-key-app"
    """With which the app sends events."""
    event_worker: str = "pretend-event-key-candidate"
    """With which the candidate's functions send events."""
    signing_key: str | None = "5ad0c0de5ad0c0de5ad0c0de5ad0c0de"
    """Inngest's signing key, for its API and for its calls to apps; None for a development server."""
    shopify_secret: str = "pretend-shopify-secret"
    """With which Shopify signs webhooks."""
    report_legacy: str = "pretend-report-key-legacy"
    """With which legacy's workers report the rows they write."""
    report_candidate: str = "pretend-report-key-candidate"
    """With which the candidate's workers report the rows they write."""
    target_secrets: Mapping[str, str] = field(default_factory=lambda: TARGET_SECRETS)
    """The targets' real credentials. No worker has them."""

    @property
    def trigger_keys(self) -> tuple[str, ...]:
        """All that the pretend Trigger.dev accepts, the root key first."""
        return (self.trigger_platform, self.trigger_app, self.trigger_worker)

    @property
    def event_keys(self) -> frozenset[str]:
        """All that the pretend Inngest accepts."""
        return frozenset({self.event_platform, self.event_app, self.event_worker})
