"""A port for a server that is yet to be started, by whoever has to tell others of it first."""

from __future__ import annotations

import random
import socket

_LEAST, _MOST = 11_000, 32_000
"""Below those that systems give to connections on their way out (from 32,768): one of these would be taken by the next
connection before the server is there."""
_TRIES = 100
_given: set[int] = set()
"""By this process: whoever got one may not listen yet, or may not listen just now."""


def free_port() -> int:
    """A port of loopback on which nobody listens, another each time.

    Raises:
        OSError: none was found.
    """
    for _ in range(_TRIES):
        port = random.SystemRandom().randint(_LEAST, _MOST)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise OSError("no port is free")
