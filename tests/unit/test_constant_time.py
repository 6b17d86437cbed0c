"""Secrets are compared in constant time, or looked up by digest: nowhere by what stops at the first difference."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from api.front.keys import KeyRing
from shadow.access import tokens
from shadow.egress import keys

ROOT = Path(__file__).parents[2]
SECRET = re.compile(r"(^|_)(secrets?|tokens?|passwords?|digests?|signatures?|proofs?|hmac|mac|credentials?)($|_)")
LEFT_OUT = ("shadow/demo/", "shadow/capture/")
"""What guards nothing of ours: a demonstration, and the package that runs within workers."""
HARMLESS = {
    # where -> why it is no comparison of what somebody may try out with a secret
    "shadow/access/sessions.py": "by digest, in the database",
    "shadow/access/tokens.py": "by digest, in the database",
    "shadow/egress/matching.py": "digests of effects' contents",
}
CHECKING = ("shadow/intake/signatures.py", "api/front/keys.py", "api/pages/visitors.py", "shadow/egress/gateway.py")
OF_DIFFERENCES = re.compile(r"^shadow/(judge|reports|learning|replays|archive|cli|gate)/|^api/(control|pages)/")
"""Where a signature is that of a difference."""


def names(node: ast.expr) -> Iterator[str]:
    """What an operand is called."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Call):
        yield from names(node.func)


def comparisons(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that compare what is called like a secret, with something else than a constant or a type."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Compare) or not any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            continue
        operands = [node.left, *node.comparators]
        if any(isinstance(one, ast.Constant) for one in operands):
            continue
        called = [name for one in operands for name in names(one)]
        if any(SECRET.search(name.lower()) for name in called):
            yield node.lineno, ast.unparse(node)


def test_no_secret_is_compared_character_by_character() -> None:
    found = {}
    for package in ("shadow", "api"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith(LEFT_OUT) or name in HARMLESS:
                continue
            hits = [
                (line, text)
                for line, text in comparisons(path)
                if not (OF_DIFFERENCES.match(name) and "signature" in text)
            ]
            if hits:
                found[name] = hits
    assert found == {}


def test_whoever_checks_what_somebody_sends_does_so_in_constant_time() -> None:
    """The places at which strangers' signatures and proofs come in."""
    for name in CHECKING:
        assert "hmac.compare_digest(" in (ROOT / name).read_text(), name


def test_doors_find_keys_by_digest() -> None:
    ring = KeyRing([("app", [SecretStr("first"), SecretStr("second")])])
    assert all(len(digest) == 32 and b"first" not in digest for digest in ring._holders)
    assert [ring.holder(key) for key in ("first", "second", "firs", "")] == ["app", "app", None, None]


def test_tokens_and_egress_keys_have_as_much_entropy_as_their_digest_has_bits() -> None:
    assert tokens._RANDOM_BYTES == keys._RANDOM_BYTES == 32
    assert len(tokens._digest("x")) == len(keys._digest("x")) == 32
