"""The surprises of a real Inngest server, each as a switch that can be set at any time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Traps:
    """Switches for behaviour that has bitten clients of the real server.

    The defaults are what an `inngest dev` or `inngest start` server does. Counters (`int`) count down: each
    answer of their kind uses one up. Change attributes while the server runs; they take effect on the next
    request.
    """

    cache_reads: bool = True
    """v1 GETs are cached by full URL and Authorization: an empty first answer sticks for its lifetime."""

    cached_reply_loses_content_type: bool = True
    """A cached answer comes back as text/plain and without cache headers."""

    errors_as_200: bool = True
    """Errors of v1 GETs are sent with HTTP 200; only `status` in the body tells. Off: true codes, as on
    Cloud.
    """

    runs_appear_after: float = 0.0
    """Seconds for which a new run stays absent from `/v1/events/{id}/runs`."""

    event_runs_stuck_scheduled: float = 0.0
    """Share (0..1) of runs which `/v1/events/{id}/runs` shows as Scheduled for ever. `/v1/runs/{id}` stays
    right.
    """

    event_runs_show_failed_attempts: bool = True
    """While a run waits for its next try after a failed one, `/v1/events/{id}/runs` shows it as Failed,
    without an end. `/v1/runs/{id}` says Running.
    """

    racing_duplicates: float = 0.0
    """Seconds within which a second event with the same id takes the run over from the first, whose list of
    runs is then empty. Runs start only after this time, else there would be nothing to take over.
    """

    reads_rate_limited: int = 0
    """This many v1 and v2 GETs answer 429."""

    sends_rate_limited: int = 0
    """This many event sends answer 429; nothing is accepted."""

    sends_unavailable: int = 0
    """This many event sends answer 503 with a body that is not JSON; nothing is accepted."""

    answers_lost: int = 0
    """This many event sends are accepted, but answered 502 with a body that is not JSON."""

    retry_after: int | None = None
    """Seconds sent as Retry-After with a 429."""

    def strike(self, counter: str) -> bool:
        """Use up one of the named counter; False when none is left."""
        left: int = getattr(self, counter)
        if left <= 0:
            return False
        setattr(self, counter, left - 1)
        return True
