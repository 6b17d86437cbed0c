"""What an app answers to a call: its output, its failure, or the operations (steps) it wants done."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from sandbox.inngest.durations import parse_retry_after

UNREACHABLE = "Unable to reach SDK URL"
NOT_AN_SDK = "The response did not come from an Inngest SDK: x-inngest-sdk is missing"
ERROR_FIELDS = ("name", "message", "stack", "data", "cause")


@dataclass(frozen=True, slots=True)
class Operation:
    """One opcode. `error` is present for StepError and StepFailed."""

    op: str
    id: str
    name: str
    display_name: str
    opts: dict[str, Any]
    data: Any
    error: dict[str, Any] | None

    @classmethod
    def parse(cls, raw: Any) -> Operation:
        """Raises ValueError for something that is no opcode."""
        if not isinstance(raw, dict) or not isinstance(raw.get("op"), str):
            raise ValueError(f"expected an opcode (an object with op), found {orjson.dumps(raw)[:80].decode()}")
        name = str(raw.get("name") or "")
        opts = raw.get("opts")
        return cls(
            op=raw["op"],
            id=str(raw.get("id") or ""),
            name=name,
            display_name=str(raw.get("displayName") or name),
            opts=opts if isinstance(opts, dict) else {},
            data=raw.get("data"),
            error=step_error(raw["error"]) if isinstance(raw.get("error"), dict) else None,
        )


@dataclass(frozen=True, slots=True)
class Output:
    """The function returned (HTTP 200)."""

    data: Any


@dataclass(frozen=True, slots=True)
class Operations:
    """The function stopped at steps (HTTP 206)."""

    items: list[Operation]
    no_retry: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The function's body failed, or the app could not be called. `reason` is the server's own account."""

    output: Any
    reason: str
    no_retry: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one call, with the protocol version which the SDK named (None when it named none)."""

    result: Output | Operations | Failure
    request_version: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, or the inner one of a streamed answer. Header names are lower case."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def step_error(raw: dict[str, Any]) -> dict[str, Any]:
    """A step's error with the fields which are memoised; the SDK's others are lost, as on the real server."""
    return {key: raw[key] for key in ERROR_FIELDS if raw.get(key) is not None}


def read_answer(answer: Answer, now: datetime) -> Reply:
    """Read an app's answer by the rules of the protocol: 200 output, 206 opcodes, 201 a wrapper, else
    failure.
    """
    if answer.status == 201:
        answer = _unwrapped(answer)
    if "x-inngest-sdk" not in answer.headers:
        return Reply(Failure({"name": "Error", "message": NOT_AN_SDK}, NOT_AN_SDK))
    version = answer.headers.get("x-inngest-req-version")
    request_version = int(version) if version is not None and version.lstrip("-").isdigit() else None
    no_retry = answer.headers.get("x-inngest-no-retry", "").lower() == "true"
    retry_header = answer.headers.get("retry-after")
    retry_after = parse_retry_after(retry_header, now) if retry_header else None
    body = _json_or_text(answer.body)
    if answer.status == 200:
        return Reply(Output(body), request_version)
    if answer.status == 206:
        try:
            items = [Operation.parse(raw) for raw in (body if isinstance(body, list) else [body])]
        except ValueError as error:
            message = f"error reading generator opcode response: {error}"
            return Reply(Failure({"name": "Error", "message": message}, message), request_version)
        return Reply(Operations(items, no_retry, retry_after), request_version)
    reason = f"invalid status code: {answer.status}"
    return Reply(Failure(body, reason, no_retry, retry_after), request_version)


def _unwrapped(answer: Answer) -> Answer:
    """The answer inside a streamed one; its body may be JSON or JSON encoded as a string."""
    wrapper = _json_or_text(answer.body)
    if not isinstance(wrapper, dict) or not isinstance(wrapper.get("status"), int):
        return answer
    inner = wrapper.get("body")
    body = inner.encode() if isinstance(inner, str) else orjson.dumps(inner)
    headers = {str(name).lower(): str(value) for name, value in (wrapper.get("headers") or {}).items()}
    return Answer(wrapper["status"], body, {**answer.headers, **headers})


def _json_or_text(body: bytes) -> Any:
    if not body.strip():
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", errors="replace")
