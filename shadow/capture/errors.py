"""What capture raises in a worker."""

from __future__ import annotations


class Misconfigured(ValueError):
    """The configuration contradicts itself, or something that it needs is missing."""


class HostDenied(Exception):
    """A call to a host that is neither a target nor allowed; nothing was sent.

    Not an error of the HTTP client's own: what retries or swallows outages must not swallow this.
    """

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Shadow denies calls to {host}: it is neither a target (SHADOW_TARGETS={host}=NAME) nor allowed "
            f"(SHADOW_ALLOW={host})"
        )
        self.host = host


class RetryLater(Exception):
    """The gateway cannot answer yet, because the run's twin has not made the call: run again later.

    Within an Inngest function it is an `inngest.RetryAfterError` too.
    """

    def __init__(self, message: str, after: float) -> None:
        Exception.__init__(self, message)  # not super(): beside it there may be an error of the platform's SDK
        self.after = after
        """Seconds."""
