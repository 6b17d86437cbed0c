"""Reads recorded exchanges with a real Trigger.dev, so that the stand-in can be held against them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

FOLDER = Path(__file__).parents[3] / "transcripts" / "trigger_dev"
VOLATILE = {"date", "connection", "keep-alive", "transfer-encoding", "content-length", "server"}


@dataclass(frozen=True)
class Exchange:
    """One request and its answer. Header names are in lower case; host and user agent are left out."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer_headers: dict[str, str]
    answer: bytes

    @property
    def json(self) -> Any:
        """The answer's body."""
        return orjson.loads(self.answer)

    def stable_headers(self) -> set[str]:
        """Names of the answer's headers that do not belong to the connection."""
        return set(self.answer_headers) - VOLATILE


def read(name: str) -> Exchange:
    """The exchange in the file `name`.txt: request lines start with `> `, the answer follows a blank line."""
    text = (FOLDER / f"{name}.txt").read_text()
    sent = [line[2:] for line in text.split("\n") if line.startswith("> ")]
    blank = sent.index("") if "" in sent else len(sent)
    method, path = sent[0].split(" ", 1)
    headers = _headers(sent[1:blank])
    received = text[text.index("HTTP/1.1") :]
    head, _, answer = received.partition("\n\n")
    first, *rest = head.split("\n")
    return Exchange(
        method,
        path,
        {name: value for name, value in headers.items() if name not in ("host", "user-agent")},
        "\n".join(sent[blank + 1 :]).encode(),
        int(first.split(" ")[1]),
        _headers(rest),
        answer.strip().encode(),
    )


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name.lower(): value.strip() for name, _, value in pairs}
