"""What the official Inngest SDK leaves to be done around it."""

from __future__ import annotations

import logging

import inngest


def quiet_logger() -> logging.Logger:
    """A logger for the SDK, which reports every error that a function raises: the sandbox raises on purpose."""
    logger = logging.getLogger("sandbox.inngest_sdk")
    logger.setLevel(logging.CRITICAL)
    return logger


async def close(client: inngest.Inngest) -> None:
    """Close a client's connections: the SDK keeps two pools and has no way to give them back."""
    held = client._http_client
    await held._http_client.aclose()
    held._http_client_sync.close()
