"""Slack messages: blocks that nobody can act upon need no name of their own.

Slack names every block that the caller leaves nameless, and many libraries do so with a random word. The name comes
back with what a person does in the block, so where something can be done the name is meant, and is compared.
"""

from __future__ import annotations

from comparators.canonical import JSON

_WITHOUT_ACTION = frozenset({"header", "divider", "context", "image", "rich_text", "markdown", "video", "file"})
_HOLDERS = ("blocks", "attachments")


def message(body: JSON) -> JSON:
    """The body of a call with the generated names of its blocks left out; what has no blocks stays."""
    if not isinstance(body, dict) or not any(isinstance(body.get(name), list) for name in _HOLDERS):
        return body
    told = dict(body)
    if isinstance(blocks := body.get("blocks"), list):
        told["blocks"] = [_block(block) for block in blocks]
    if isinstance(attachments := body.get("attachments"), list):
        told["attachments"] = [message(attachment) for attachment in attachments]
    return told


def _block(block: JSON) -> JSON:
    if not isinstance(block, dict) or "block_id" not in block:
        return block
    kind = block.get("type")
    passive = kind in _WITHOUT_ACTION or (kind == "section" and "accessory" not in block)
    return {name: held for name, held in block.items() if name != "block_id"} if passive else block
