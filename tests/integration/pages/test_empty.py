"""Pages of an installation in which nothing has happened yet."""

from __future__ import annotations

import httpx


async def test_every_page_can_do_without_anything_to_show(reader: httpx.AsyncClient) -> None:
    says = {
        "/pages/": "None of 10 tasks may take its next step now",
        "/pages/tasks/order-sync": "It was never moved",
        "/pages/pairs": "No pair is like that",
        "/pages/signatures": "Nothing differs now",
        "/pages/audit?kind=moves": "Nothing is on record yet",
    }
    for address, expected in says.items():
        answer = await reader.get(address)
        assert answer.status_code == 200
        assert expected in answer.text
