"""Where the targets are, as the tasks call them. No such host exists: only by way of Shadow is anything there."""

from __future__ import annotations

from types import MappingProxyType

HOSTS = MappingProxyType(
    {
        "shopify": "admin.shopify.example",
        "mail": "api.mail.example",
        "slack": "slack.example",
        "meta": "graph.meta.example",
        "ga4": "collect.ga4.example",
        "swiftpay": "api.swiftpay.example",
        "bankwire": "api.bankwire.example",
    }
)
"""Target to host."""

TARGETS = MappingProxyType({host: target for target, host in HOSTS.items()})
"""Host to target, as the client package is told."""


def url(target: str, path: str) -> str:
    """The address of a path at a target."""
    return f"https://{HOSTS[target]}{path}"
