"""Which headers go on to the next hop."""

from __future__ import annotations

from shadow.platforms.client import end_to_end


def test_headers_of_one_hop_stay_behind() -> None:
    headers = [
        ("Host", "here"),
        ("Connection", "keep-alive, X-Secret-Hop"),
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "chunked"),
        ("X-Secret-Hop", "1"),
        ("Content-Length", "12"),
        ("X-Shopify-Hmac-Sha256", "abc="),
    ]
    assert end_to_end(headers) == [("X-Shopify-Hmac-Sha256", "abc=")]


def test_order_case_and_repetition_are_kept() -> None:
    headers = [("X-B", "1"), ("x-a", "2"), ("X-B", "3")]
    assert end_to_end(headers) == headers
