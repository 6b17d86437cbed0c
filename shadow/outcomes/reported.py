"""What workers tell at `/shadow/runs` and `/shadow/effects`, checked. Pure: bytes in, values out.

The format is described in docs/reference/reports.md.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from comparators.nesting import TooDeep, read
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.effects.record import SeenEffect
from shadow.model.json_text import write_json
from shadow.model.moments import EARLIEST, LATEST, credible
from shadow.outcomes.outcome import LearnedBy, RunOutcome, Status
from shadow.outcomes.statuses import REPORTED
from shadow.platforms.json_text import read_json

MOST = 5000
"""Runs or effects in one report."""
_LONGEST = 1024
"""Characters of what is searched: index rows must stay below a third of a page."""
_LONGEST_TEXT = 10_000
_MOST_ATTEMPTS = 100_000


class ReportRefused(ValueError):
    """A report that cannot be taken; each problem says where and what."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems[:5]))
        self.problems = problems


def _storable(value: Any) -> Any:
    """Text without what PostgreSQL can't keep."""
    if isinstance(value, str) and ("\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise ValueError("text must hold neither NUL nor a lone surrogate")
    return value


def _instant(value: Any) -> Any:
    """Text with a zone, or milliseconds since 1970; of this century."""
    instant = _read_instant(value)
    if credible(instant) is None:
        raise ValueError(f"expected an instant from {EARLIEST:%Y-%m-%d} to {LATEST:%Y-%m-%d}, found {value!r:.60}")
    return instant


def _read_instant(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("expected an ISO 8601 instant or milliseconds since 1970")
    if isinstance(value, int):
        try:
            return datetime.fromtimestamp(value / 1000, UTC)
        except (OverflowError, OSError, ValueError):
            raise ValueError("milliseconds since 1970 out of range") from None
    parsed = datetime.fromisoformat(value)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _status(value: Any) -> Any:
    status = REPORTED.get(value.lower()) if isinstance(value, str) else None
    if status is None:
        raise ValueError(f"expected one of {', '.join(status.value for status in Status)}")
    return status


Name = Annotated[str, Field(min_length=1, max_length=_LONGEST), BeforeValidator(_storable)]
Words = Annotated[str, Field(max_length=_LONGEST_TEXT), BeforeValidator(_storable)]
Instant = Annotated[datetime, BeforeValidator(_instant)]


class _Report(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Effect(_Report):
    id: Name | None = None
    kind: Name
    target: Name
    operation: Name
    identity: Annotated[Any, BeforeValidator(_storable)] = None
    data: Any = None
    attempt: int | None = Field(None, ge=1, le=_MOST_ATTEMPTS)
    idempotency_key: Name | None = None
    occurred_at: Instant | None = None


class _FlatEffect(_Effect):
    run: Name
    task: Name | None = None
    event: Name | None = None


class _EffectsOfRun(_Report):
    run: Name
    task: Name | None = None
    event: Name | None = None
    attempt: int | None = Field(None, ge=1, le=_MOST_ATTEMPTS)
    effects: tuple[_Effect, ...] = Field(max_length=MOST)


class _Error(_Report):
    name: Words | None = None
    message: Words | None = None
    stack: Any = None
    """Taken and left: workers tend to send it, and nothing compares it."""


class _Run(_Report):
    run: Name
    task: Name
    status: Annotated[Status, BeforeValidator(_status)]
    output: Any = None
    error: _Error | None = None
    event: Name | None = None
    event_name: Name | None = None
    idempotency_key: Name | None = None
    platform: Name | None = None
    attempts: int | None = Field(None, ge=1, le=_MOST_ATTEMPTS)
    version: Name | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None
    cost_cents: float | None = Field(None, ge=0, allow_inf_nan=False)
    executions: int | None = Field(None, ge=1, le=1_000_000)


Model = TypeVar("Model", bound=BaseModel)
Read = TypeVar("Read")

_EFFECT_FIELDS = _Effect.model_fields.keys()
_GROUPED_FIELDS = _EffectsOfRun.model_fields.keys()

_FLAT = TypeAdapter(_FlatEffect)
_GROUPED = TypeAdapter(_EffectsOfRun)
_RUN = TypeAdapter(_Run)


def effects_of(body: bytes) -> list[SeenEffect]:
    """The effects of a report: `{"run", "effects": [...]}`, one effect with its `run`, or an array of either.
    `{"effects": [...]}` without a run holds effects that each name theirs.

    Raises:
        ReportRefused: something in it is wrong; nothing of it may be kept.
    """
    return _at_once(effects_in_steps(body))


def _at_once(steps: Generator[None, None, Read]) -> Read:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            read: Read = done.value
            return read


def effects_in_steps(body: bytes) -> Generator[None, None, list[SeenEffect]]:
    """The same, with a pause before each run.

    Raises:
        ReportRefused: something in it is wrong; nothing of it may be kept.
    """
    problems: list[str] = []
    effects: list[SeenEffect] = []
    for where, part in _parts(body, "effects"):
        yield
        if isinstance(part, dict) and "effects" in part:
            if (read := _plainly_grouped(part)) is not None:
                effects += read
            elif (grouped := _checked(_GROUPED, part, where, problems)) is not None:
                effects += [_effect(grouped, grouped.attempt, effect) for effect in grouped.effects]
        else:
            flat = _checked(_FLAT, part, where, problems)
            if flat is not None:
                effects.append(_effect(flat, None, flat))
    if len(effects) > MOST:
        problems.append(f"at most {MOST} effects in one report, found {len(effects)}")
    if problems:
        raise ReportRefused(problems)
    return effects


def runs_of(body: bytes, side: Side, catalogue: ResolvedCatalogue) -> list[RunOutcome]:
    """The outcomes of a report: one run, or an array of runs.

    Args:
        side: of the key that brought it: it says on which platform the run is.

    Raises:
        ReportRefused: something in it is wrong; nothing of it may be kept.
    """
    return _at_once(runs_in_steps(body, side, catalogue))


def runs_in_steps(body: bytes, side: Side, catalogue: ResolvedCatalogue) -> Generator[None, None, list[RunOutcome]]:
    """The same, with a pause before each run.

    Raises:
        ReportRefused: something in it is wrong; nothing of it may be kept.
    """
    problems: list[str] = []
    outcomes: list[RunOutcome] = []
    for where, part in _parts(body, "runs"):
        yield
        run = _checked(_RUN, part, where, problems)
        if run is None:
            continue
        try:
            outcomes.append(_outcome(run, side, catalogue))
        except ValueError as error:
            problems.append(f"{where}{error}")
    if len(outcomes) > MOST:
        problems.append(f"at most {MOST} runs in one report, found {len(outcomes)}")
    if problems:
        raise ReportRefused(problems)
    return outcomes


def _parts(body: bytes, plural: str) -> list[tuple[str, Any]]:
    """What a report is made of, with the place of each in it."""
    try:
        document = _read(body)
    except (ValueError, RecursionError) as error:
        raise ReportRefused([f"the body is no JSON: {error}"]) from None
    if isinstance(document, dict) and document.keys() == {plural} and isinstance(document[plural], list):
        return [(f"{plural}[{index}].", part) for index, part in enumerate(document[plural])]
    if isinstance(document, list):
        return [(f"[{index}].", part) for index, part in enumerate(document)]
    return [("", document)]


def _read(body: bytes) -> Any:
    """Raises ValueError or RecursionError for what is no JSON, or nested too deeply."""
    try:
        return read(body)
    except TooDeep:
        raise
    except ValueError:
        return read_json(body)


def _checked(adapter: TypeAdapter[Model], part: Any, where: str, problems: list[str]) -> Model | None:
    try:
        return adapter.validate_python(part)
    except ValidationError as error:
        for found in error.errors(include_url=False, include_input=False):
            place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in found["loc"]).lstrip(".")
            said = found["msg"].removeprefix("Value error, ")
            problems.append(f"{where}{place}: {said}" if where or place else f"the report: {said}")
        return None


def _plainly_grouped(part: dict[str, Any]) -> list[SeenEffect] | None:
    """The effects of one run, where every field is plainly what it should be; else None: the models know what is wrong.

    Workers report many effects, and the models take longer to check one than all else that is done before it is stored.
    """
    listed, attempt = part["effects"], part.get("attempt")
    run, task, event = part.get("run"), part.get("task"), part.get("event")
    if (
        not part.keys() <= _GROUPED_FIELDS
        or not isinstance(listed, list)
        or len(listed) > MOST
        or run is None
        or not (_is_name(run) and _is_name(task) and _is_name(event) and _is_count(attempt))
    ):
        return None
    effects = []
    for effect in listed:
        if not isinstance(effect, dict) or not effect.keys() <= _EFFECT_FIELDS:
            return None
        told = effect.get
        kind, target, operation = told("kind"), told("target"), told("operation")
        key, reporter_id, own, moment = told("idempotency_key"), told("id"), told("attempt"), told("occurred_at")
        if kind is None or target is None or operation is None:
            return None
        if not (
            _is_name(kind) and _is_name(target) and _is_name(operation) and _is_name(key) and _is_name(reporter_id)
        ):
            return None
        identity = told("identity")
        if not _is_count(own) or (isinstance(identity, str) and ("\x00" in identity or not _says(identity))):
            return None
        try:
            occurred_at = None if moment is None else _instant(moment)
        except ValueError:
            return None
        effects.append(
            SeenEffect(
                run=run,
                task=task,
                event=event,
                kind=kind,
                target=target,
                operation=operation,
                data=write_json(told("data")),
                attempt=own or attempt or 1,
                identity=_identity(identity),
                idempotency_key=key,
                occurred_at=occurred_at,
                reporter_id=reporter_id,
            )
        )
    return effects


def _is_name(value: Any) -> bool:
    """Whether it is plainly a `Name`, or is missing."""
    return value is None or (
        type(value) is str and 0 < len(value) <= _LONGEST and (value.isascii() or _says(value)) and "\x00" not in value
    )


def _says(text: str) -> bool:
    """Whether a text has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_count(value: Any) -> bool:
    """Whether it is plainly an attempt, or is missing."""
    return value is None or (type(value) is int and 1 <= value <= _MOST_ATTEMPTS)


def _identity(identity: Any) -> str | None:
    if identity is None or isinstance(identity, str):
        return identity
    return json.dumps(identity, sort_keys=True, separators=(",", ":"))


def _effect(of: _FlatEffect | _EffectsOfRun, attempt: int | None, effect: _Effect) -> SeenEffect:
    return SeenEffect(
        run=of.run,
        task=of.task,
        event=of.event,
        kind=effect.kind,
        target=effect.target,
        operation=effect.operation,
        data=write_json(effect.data),
        attempt=effect.attempt or attempt or 1,
        identity=_identity(effect.identity),
        idempotency_key=effect.idempotency_key,
        occurred_at=effect.occurred_at,
        reporter_id=effect.id,
    )


def _outcome(run: _Run, side: Side, catalogue: ResolvedCatalogue) -> RunOutcome:
    """Raises ValueError for a task or platform that the catalogue does not have on that side."""
    found = catalogue.tasks.get(run.task) or catalogue.task_of_function(run.task)
    if found is None:
        legacy = (catalogue.task_of_legacy(name, run.task) for name in catalogue.platforms)
        found = next((task for task in legacy if task is not None), None)
    if found is None:
        raise ValueError(f"task: the catalogue has no task {run.task!r}")
    usual = found.legacy.platform if side is Side.LEGACY else found.candidate.platform
    platform = run.platform or usual
    if platform not in catalogue.platforms or catalogue.platforms[platform].side is not side:
        raise ValueError(f"platform: {platform!r} is no platform of the {side.value} side")
    told = run.error or _Error()
    return RunOutcome(
        platform=platform,
        platform_run_id=run.run,
        status=run.status,
        learned_by=LearnedBy.REPORT,
        task=found.id,
        event_id=run.event,
        event_name=run.event_name,
        idempotency_key=run.idempotency_key,
        # Nothing said of the output is not the same as `null`: a poll may still bring it.
        output=write_json(run.output) if "output" in run.model_fields_set else None,
        error_name=told.name,
        error_message=told.message,
        attempts=run.attempts,
        version=run.version,
        started_at=run.started_at,
        finished_at=run.finished_at,
        cost_cents=run.cost_cents,
        executions=run.executions,
    )
