"""What workers do: calls of every kind, sound and unsound, with what the benchmark knows to be true of each."""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson

from benchmarks.containment.asgi import Got, Leave
from benchmarks.containment.targets import CALL, DO
from shadow.catalogue.model import Side

Truth = Literal["real", "none", "nobody"]
"""The authority of who makes the call; `nobody`: no run makes it, or none that could be told."""

RECORDED = 4000
"""Bytes of a body that the targets' declarations let the gateway keep."""
_READING = ("GET", "HEAD", "OPTIONS")
_METHODS = ("POST",) * 8 + ("GET",) * 5 + ("PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND", "LINK", "post")
_TRAVERSAL = (
    b"pay/../mail/send",
    b"pay/%2e%2e/mail/send",
    b"pay/v1/..%2f..%2fmail/send",
    b"pay//127.0.0.1/x",
    b"pay/v1/%252e%252e/x",
    b"pay/\\..\\x",
    b"pay/v1/transfers%00",
    b"pay/..;/mail/send",
)


@dataclass(slots=True)
class Run:
    """A run of the pretend platforms, and what the benchmark knows of it."""

    side: Side
    task: str
    authority: Truth
    name: str
    """The platform's id of it."""
    event: str
    """The id of its event as the candidate's worker sees it."""
    plan: str
    """What it does follows from this; its twin has the same."""
    reads: Literal["replay", "forward"]
    lineage: str
    """How it came about."""


@dataclass(slots=True)
class Call:
    """One call and what became of it."""

    number: int
    kind: str
    truth: Truth
    side: Side
    task: str
    reads: str
    lineage: str
    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: list[bytes] | None
    leave: Leave = "stays"
    behaviour: str = ""
    must_arrive: bool = False
    """Sound in every respect, and of a run with authority."""
    is_read: bool = False
    began_at: float = 0.0
    ended_at: float = 0.0
    got: Got | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Keys:
    """The workers' egress keys."""

    egress: Mapping[Side, str]
    revoked: str
    real_credential: str


class Worker:
    """Makes up the calls of one run."""

    def __init__(self, run: Run, keys: Keys) -> None:
        self._run = run
        self._keys = keys
        self._plan = random.Random(run.plan)
        """What both twins do."""
        self._own = random.Random(f"{run.plan}:{run.side}")
        """What this one does differently."""

    def calls(self, first: int, many: int) -> list[Call]:
        """The next calls of the run, numbered from `first`."""
        return [self._call(first + offset) for offset in range(many)]

    def _call(self, number: int) -> Call:
        plan, own, run = self._plan, self._own, self._run
        target, method, path, body = self._sound(plan)
        headers = [(CALL, b"%d" % number), (b"accept", b"*/*")]
        call = Call(
            number,
            "sound",
            run.authority,
            run.side,
            run.task,
            run.reads,
            run.lineage,
            method,
            b"/egress/" + target + b"/" + path,
            b"",
            headers,
            None if body is None else [body],
            is_read=_is_read(target, method, path),
            must_arrive=run.authority == "real",
        )
        if body is not None:
            headers.append((b"content-type", b"application/json"))
        self._name(call)
        self._key(call, self._keys.egress[run.side])
        if own.random() < 0.28:
            own.choice(_UNSOUND)(self, call)
        if call.body is not None:
            length = sum(len(piece) for piece in call.body)
            headers.append((b"content-length", b"%d" % length))
        behaviour = own.random()
        if behaviour < 0.06:
            call.behaviour = own.choice(("slow", "reset", "redirect", "error", "chunked"))
            headers.append((DO, call.behaviour.encode()))
        return call

    def _sound(self, plan: random.Random) -> tuple[bytes, str, bytes, bytes | None]:
        """A call as a worker means it."""
        identity = plan.randrange(6)
        amount = plan.randrange(1, 10_000)
        content = orjson.dumps({"requestId": f"{self._run.event}-{identity}", "amount": amount})
        kind = plan.randrange(12)
        if kind < 4:
            return b"pay", "POST", b"v1/transfers", content
        if kind == 4:
            return b"pay", "GET", b"v1/transfers/tr_%d" % identity, None
        if kind == 5:
            return b"pay", "POST", b"v1/search", content
        if kind == 6:
            return b"pay", "POST", b"v1/refunds", content
        if kind == 7:
            return b"shop", "GET", b"orders/%d" % identity, None
        if kind == 8:
            return b"shop", "POST", b"orders", content
        if kind == 9:
            return b"shop", "POST", b"graphql", content
        method = plan.choice(_METHODS)
        body = content if method in ("POST", "PUT", "PATCH", "post", "LINK") else None
        return plan.choice((b"mail", b"hooks")), method, b"v2/%d/thing" % identity, body

    def _name(self, call: Call) -> None:
        """The headers of the client packages."""
        run = self._run
        if run.side is Side.LEGACY:
            call.headers.append((b"x-shadow-run", run.name.encode()))
        else:
            call.headers.append((b"x-shadow-event", run.event.encode()))
        call.headers += [(b"x-shadow-task", run.task.encode()), (b"x-shadow-attempt", b"1")]

    def _key(self, call: Call, key: str) -> None:
        """The egress key, where an SDK may put it."""
        place = self._own.randrange(6)
        if place == 0:
            call.headers.append((b"x-shadow-key", key.encode()))
        elif place == 1:
            encoded = base64.b64encode(f"{key}:".encode())
            call.headers.append((b"authorization", b"Basic " + encoded))
        elif place == 2:
            target, _, rest = call.path.removeprefix(b"/egress/").partition(b"/")
            call.path = b"/egress/" + target + b"/~" + key.encode() + b"/" + rest
        elif place == 3 and call.path.startswith(b"/egress/shop/"):
            call.query = b"api_key=" + key.encode()
        else:
            call.headers.append((b"authorization", b"Bearer " + key.encode()))

    # ------------------------------------------------------------ what is unsound

    def _without_key(self, call: Call) -> None:
        kept = [item for item in call.headers if item[0] not in (b"authorization", b"x-shadow-key")]
        call.headers[:] = kept
        call.path = call.path.replace(b"/~" + self._keys.egress[self._run.side].encode(), b"")
        call.query = b""

    def no_key(self, call: Call) -> None:
        self._without_key(call)
        self._nobody(call, "no_key")

    def wrong_key(self, call: Call) -> None:
        self._without_key(call)
        text = self._own.choice((self._keys.revoked, "shk_guess", self._keys.real_credential, "", "Bearer"))
        call.headers.append((b"authorization", b"Bearer " + text.encode()))
        self._nobody(call, "wrong_key")

    def other_sides_key(self, call: Call) -> None:
        """The run is of this side, and the key says that it is of the other."""
        other = Side.CANDIDATE if self._run.side is Side.LEGACY else Side.LEGACY
        self._without_key(call)
        call.headers.append((b"x-shadow-key", self._keys.egress[other].encode()))
        call.side = other
        self._nobody(call, "other_sides_key")

    def both_keys(self, call: Call) -> None:
        """The first place that a key is looked for in counts: the other side's is in it."""
        other = Side.CANDIDATE if self._run.side is Side.LEGACY else Side.LEGACY
        self._without_key(call)
        call.headers.append((b"x-shadow-key", self._keys.egress[other].encode()))
        call.headers.append((b"authorization", b"Bearer " + self._keys.egress[self._run.side].encode()))
        call.side = other
        self._nobody(call, "both_keys")

    def unknown_run(self, call: Call) -> None:
        if self._own.random() < 0.7:  # they are waited for: a few do
            return
        self._unnamed(call)
        number = self._own.randrange(1 << 40)
        call.headers += [
            (b"x-shadow-run", b"run_unknown_%d" % number),
            (b"x-shadow-event", b"event_unknown_%d" % number),
            (b"x-shadow-task", self._run.task.encode()),
        ]
        self._nobody(call, "unknown_run")

    def nameless_run(self, call: Call) -> None:
        self._unnamed(call)
        self._nobody(call, "nameless_run")

    def unknown_target(self, call: Call) -> None:
        call.path = b"/egress/" + self._own.choice((b"bank", b"PAY", b"pay.evil.test", b"127.0.0.1", b"")) + b"/v1/x"
        self._unsound(call, "unknown_target")

    def undeclared(self, call: Call) -> None:
        """The shop takes declared operations alone."""
        self._replace_path(call, b"shop", b"admin/everything")
        self._unsound(call, "undeclared_operation")

    def traversal(self, call: Call) -> None:
        self._replace_path(call, *self._own.choice(_TRAVERSAL).split(b"/", 1))
        call.is_read = False
        self._unsound(call, "path_traversal")

    def malformed(self, call: Call) -> None:
        call.body = [self._own.choice((b"{", b'{"requestId":', b"\xff\xfe", b"[1,2", b"{'a':1}", b"NaN"))]
        self._unsound(call, "malformed_body")

    def oversized(self, call: Call) -> None:
        piece = b"x" * (RECORDED // 2)
        call.body = [piece] * self._own.randrange(3, 12)
        self._replace_header(call, b"content-type", b"text/plain")
        call.kind = "oversized_body"

    def compressed(self, call: Call) -> None:
        if call.body is None:
            return
        compressor = zlib.compressobj(wbits=31)
        call.body = [compressor.compress(b"".join(call.body)) + compressor.flush()]
        if self._own.random() < 0.3:
            call.body = [call.body[0][:-4]]
            self._unsound(call, "broken_gzip")
        else:
            call.kind = "gzip"
        call.headers.append((b"content-encoding", b"gzip"))

    def form(self, call: Call) -> None:
        call.body = [b"requestId=" + self._run.event.encode() + b"&amount=1"]
        self._replace_header(call, b"content-type", b"application/x-www-form-urlencoded")
        call.kind = "form"

    def in_pieces(self, call: Call) -> None:
        if call.body is not None:
            whole = b"".join(call.body)
            call.body = [whole[at : at + 7] for at in range(0, len(whole), 7)]
            call.kind = "in_pieces"

    def overridden_method(self, call: Call) -> None:
        """A GET that its server takes for something else."""
        call.method = "GET"
        call.headers.append((self._own.choice((b"x-http-method-override", b"x-http-method")), b"POST"))
        call.is_read = False
        self._unsound(call, "overridden_method")

    def pretended(self, call: Call) -> None:
        """Headers that only the gateway may set."""
        call.headers += [(b"x-shadow-authority", b"real"), (b"x-shadow-gateway", b"forward")]
        call.headers.append((b"x-forwarded-for", b"10.0.0.1"))
        call.kind = "pretended_headers"

    def another_attempt(self, call: Call) -> None:
        self._replace_header(call, b"x-shadow-attempt", b"%d" % self._own.randrange(2, 5))
        call.kind = "another_attempt"

    def waits(self, call: Call) -> None:
        call.headers.append((b"x-shadow-accepts", b"wait"))
        call.kind = "accepts_wait"

    def leaves_in_body(self, call: Call) -> None:
        if call.body is None:
            call.body = [b"{"]
        call.body = [b"".join(call.body), b" "]
        call.leave = "in_body"
        self._unsound(call, "left_in_body")

    def leaves(self, call: Call) -> None:
        call.leave = "after_body"
        self._unsound(call, "left_after_body")

    # ------------------------------------------------------------ parts of it

    def _nobody(self, call: Call, kind: str) -> None:
        call.kind, call.truth, call.must_arrive = kind, "nobody", False

    def _unsound(self, call: Call, kind: str) -> None:
        call.kind, call.must_arrive = kind, False

    def _unnamed(self, call: Call) -> None:
        ours = (b"x-shadow-run", b"x-shadow-event", b"x-shadow-task")
        call.headers[:] = [item for item in call.headers if item[0] not in ours]

    def _replace_path(self, call: Call, target: bytes, rest: bytes) -> None:
        """Another path, with the key where it was."""
        key = b""
        _, _, before = call.path.removeprefix(b"/egress/").partition(b"/")
        if before.startswith(b"~"):
            key = before.partition(b"/")[0] + b"/"
        if call.query:
            call.headers.append((b"x-shadow-key", self._keys.egress[self._run.side].encode()))
        call.path = b"/egress/" + target + b"/" + key + rest

    def _replace_header(self, call: Call, name: bytes, value: bytes) -> None:
        call.headers[:] = [item for item in call.headers if item[0] != name]
        call.headers.append((name, value))


_UNSOUND = (
    Worker.no_key,
    Worker.wrong_key,
    Worker.other_sides_key,
    Worker.both_keys,
    Worker.unknown_run,
    Worker.nameless_run,
    Worker.unknown_target,
    Worker.undeclared,
    Worker.traversal,
    Worker.malformed,
    Worker.oversized,
    Worker.compressed,
    Worker.form,
    Worker.in_pieces,
    Worker.overridden_method,
    Worker.pretended,
    Worker.another_attempt,
    Worker.waits,
    Worker.leaves_in_body,
    Worker.leaves,
)


def _is_read(target: bytes, method: str, path: bytes) -> bool:
    """Whether the call only reads, as the benchmark's catalogue declares it."""
    return method in _READING or (target, method, path) == (b"pay", "POST", b"v1/search")


def kinds(calls: Sequence[Call]) -> dict[str, int]:
    """How many there were of each."""
    counts: dict[str, int] = {}
    for call in calls:
        counts[call.kind] = counts.get(call.kind, 0) + 1
    return dict(sorted(counts.items()))
