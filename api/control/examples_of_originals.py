"""Examples of originals that are read."""

from __future__ import annotations

from typing import Any

from api.control.examples import EVENT

REQUEST: dict[str, Any] = {"reason": "INC-311: the shop says that the address was cut off"}
ORIGINALS: dict[str, Any] = {
    "read": "0196b0a1-5f00-7a10-8a4e-9f1d2c3b4a59",
    "read_at": "2026-05-02T08:00:00Z",
    "event": EVENT["id"],
    "tenant": EVENT["tenant"],
    "state": "kept",
    "parts": [{"part": "data", "encoding": "utf-8", "content": '{"email":"ada@shop.test","order":1001}'}],
}
