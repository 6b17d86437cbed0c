"""Spellings: the same content as other bytes. A body as JSON or as form fields, a query string, headers."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

_AGENTS = ("undici", "python-httpx/0.28.1", "axios/1.7.9", "node-fetch", "curl/8.5.0")


class Speller:
    """How one run's HTTP client and JSON library write."""

    def __init__(self, rng: random.Random, *, plain: bool = False) -> None:
        self._rng = rng
        self.sorted = rng.random() < 0.3
        self.shuffled = not self.sorted and rng.random() < 0.4
        self.ascii = rng.random() < 0.5
        self.spaces = rng.random() < 0.3
        self.figures = rng.random() < 0.3
        """Whether whole numbers may be written as 12.0 or 1.2e1."""
        self.noise = rng.random() < 0.4
        """Whether fractions come out of sums in another order."""
        self.slashes = rng.random() < 0.2
        """Whether `/` is escaped, as PHP does."""
        self.zips = rng.random() < 0.1
        self._sums: dict[float, float] = {}
        """Fractions as this run's additions come to them, the same every time."""
        if plain:
            self.sorted = self.shuffled = self.figures = self.noise = self.slashes = self.zips = False

    def json(self, value: Any) -> bytes:
        """A JSON document."""
        if self.figures or self.slashes or self.shuffled:
            return self._written(value).encode()
        if self.noise:
            value = self.jittered(value)
        separators = None if self.spaces else (",", ":")
        return json.dumps(value, ensure_ascii=self.ascii, sort_keys=self.sorted, separators=separators).encode()

    def jittered(self, value: Any) -> Any:
        """Fractions as another order of adding up would have them."""
        if isinstance(value, float):
            if value not in self._sums:
                self._sums[value] = value * (1 + self._rng.choice((-1, 1)) * self._rng.random() * 4e-15)
            return self._sums[value]
        if isinstance(value, dict):
            return {name: self.jittered(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.jittered(item) for item in value]
        return value

    def _written(self, value: Any) -> str:
        if isinstance(value, dict):
            members = list(value.items())
            if self.shuffled:
                self._rng.shuffle(members)
            return "{" + ",".join(f"{self._string(name)}:{self._written(member)}" for name, member in members) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(self._written, value)) + "]"
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, bool) or value is None:
            return json.dumps(value)
        if isinstance(value, int) and self.figures and abs(value) < 2**50:
            return self._rng.choice((f"{value}", f"{value}.0", f"{value}.00", f"{value}e0"))
        if isinstance(value, float) and self.noise:
            value = self.jittered(value)
        return json.dumps(value)

    def _string(self, text: str) -> str:
        written = json.dumps(text, ensure_ascii=self.ascii)
        return written.replace("/", "\\/") if self.slashes else written

    def form(self, fields: dict[str, Any]) -> bytes:
        """Form fields; what is no text is written as JSON."""
        pairs = [
            (name, value if isinstance(value, str) else self.json(value).decode()) for name, value in fields.items()
        ]
        self._rng.shuffle(pairs)
        return urlencode(pairs, quote_via=quote if self.spaces else quote_plus).encode()

    def query(self, parameters: dict[str, Any]) -> bytes:
        """A query string."""
        pairs = list(parameters.items())
        self._rng.shuffle(pairs)
        return urlencode(pairs, quote_via=quote if self.spaces else quote_plus, doseq=True).encode()

    def headers(self, content: bytes, content_type: str) -> tuple[dict[str, str], bytes]:
        """Headers with all their noise, and the content as it is sent."""
        rng = self._rng
        headers = {
            "content-type": content_type + rng.choice(("", "; charset=utf-8", ";charset=UTF-8")),
            "user-agent": rng.choice(_AGENTS),
            "traceparent": f"00-{rng.getrandbits(128):032x}-{rng.getrandbits(64):016x}-01",
            "date": f"Thu, 26 Nov 2026 {rng.randrange(24):02d}:{rng.randrange(60):02d}:00 GMT",
        }
        if self.zips and content:
            content = gzip.compress(content, 1)
            headers["content-encoding"] = "gzip"
        headers["content-length"] = str(len(content))
        return headers, content
