"""How runs end: errors swallowed and invented, retries that end too early, work left half done."""

from __future__ import annotations

from benchmarks.faults.fault import ANY, MISSING, Expected, Fault, Spoiling
from benchmarks.faults.script import Call, Deed, Row
from benchmarks.faults.shop import Shop
from benchmarks.faults.tasks import any_script
from sandbox.commerce.messages import incentive_percent

_OUTCOME = ("outcome",)


class SwallowedError(Fault):
    """Legacy failed; the candidate says that all went well."""

    combines = False

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.ended or it.script.status != "failed":
            return None
        it.ended = True
        it.script.status, it.script.error, it.script.output = "completed", None, {"success": True}
        return Expected(run=_OUTCOME)


class RaisedError(Fault):
    """The candidate fails after everything was done."""

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.ended or it.script.status != "completed":
            return None
        it.ended = True
        it.script.status, it.script.output = "failed", None
        it.script.error = "Cannot read properties of undefined (reading 'id')"
        return Expected(run=_OUTCOME)


class AnotherError(Fault):
    """Both fail, not for the same reason."""

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.ended or it.script.status != "failed":
            return None
        it.ended = True
        it.script.error = it.rng.choice(("ETIMEDOUT", f"{it.script.error} (2)", "step execute-payout was not found"))
        return Expected(run=_OUTCOME)


class TimedOut(Fault):
    """The candidate's platform ended the run."""

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.ended or it.script.status != "completed":
            return None
        it.ended = True
        it.script.status, it.script.output = it.rng.choice(("timed_out", "cancelled", "crashed")), None
        return Expected(run=_OUTCOME)


class NeverRan(Fault):
    """The candidate's run never came."""

    combines = False

    def spoil(self, it: Spoiling) -> Expected | None:
        return Expected(verdict="missing_candidate")


class SkippedWrongly(Fault):
    """A condition by which nothing is done, where legacy did it."""

    tasks = ("send-review-email",)
    combines = False

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.script.status != "completed" or not it.script.deeds or it.ended:
            return None
        it.ended = True
        numbers = it.take(*it.script.deeds)
        it.script.deeds = []
        it.script.output = {"skipped": True, "reason": "already_reviewed"}
        return Expected(MISSING, numbers)


class NotSkipped(Fault):
    """Somebody who has reviewed already is asked again."""

    tasks = ("send-review-email",)
    combines = False

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.script.deeds or it.ended:
            return None
        it.ended = True
        sequence = it.script.data["sequence"]
        while True:
            other = any_script(it.rng, "send-review-email")
            if other.mails():
                break
        mail = other.mails()[0]
        assert isinstance(mail, Call)
        mail.body["custom_args"]["reference"] = f"{it.script.data['orderId']}/{sequence}"
        it.script.deeds = [mail]
        it.script.output = {"success": True, "sequence": sequence}
        assert incentive_percent(sequence)
        return Expected(ANY, it.take(mail))


class RetriesExhaustedEarlier(Fault):
    """The target would have taken it at the next attempt; the candidate did not try again."""

    combines = False

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick([*it.script.calls(), *it.script.mails()])
        if it.ended or call is None or call.status >= 300:
            return None
        it.ended = True
        call.status = it.rng.choice((503, 429))
        after = [deed for deed in it.script.deeds if deed.stage > call.stage]
        numbers = it.take(call, *after)
        it.drop(*after)
        it.script.status, it.script.output = "failed", None
        it.script.error = f"{call.target} answered {call.status}"
        it.script.attempts = it.rng.choice((1, 2))
        return Expected(ANY, numbers, ("status",), run=_OUTCOME)


class RateLimitIgnored(Fault):
    """Calls side by side, more than the target takes: it refuses some with 429, and nobody makes them again.

    That is how it shows within a pair. Calls that were refused and made again did no harm, and are no difference.
    """

    tasks = ("process-creator-application", "process-attribution", "send-review-email")

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick(c for c in [*it.script.calls(), *it.script.mails()] if c.status < 300)
        if call is None:
            return None
        numbers = it.take(call, *it.alike(call))
        call.status = 429
        return Expected(ANY, numbers, ("status",))


class PartialWrite(Fault):
    """The run broke off between two rows that belong together."""

    combines = False

    def spoil(self, it: Spoiling) -> Expected | None:
        rows: list[Row] = it.free(it.script.rows())
        if it.ended or len(rows) < 2 or it.script.status != "completed":
            return None
        it.ended = True
        kept = it.rng.randrange(1, len(rows))
        rest: list[Deed] = [*rows[kept:], *it.script.calls(), *it.script.mails(), *it.script.events()]
        numbers = it.take(*rest)
        it.drop(*rest)
        if it.rng.random() < 0.5:
            it.script.status, it.script.output, it.script.error = "failed", None, "connection terminated unexpectedly"
        return Expected(ANY, numbers)


class WrongCounts(Fault):
    """The caller is told other figures."""

    tasks = ("process-webhook-queue", "aggregate-daily-metrics")

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.ended or not isinstance(it.script.output, dict):
            return None
        it.ended = True
        name = it.rng.choice([name for name, value in it.script.output.items() if not isinstance(value, bool)])
        it.script.output[name] += it.rng.choice((1, -1, 10))
        return Expected(run=("output",))


class OutputFieldDropped(Fault):
    """The caller misses a member."""

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.ended or not isinstance(it.script.output, dict):
            return None
        it.ended = True
        del it.script.output[it.rng.choice(sorted(it.script.output))]
        return Expected(run=("output",))


class OutputFieldAdded(Fault):
    """The caller gets a member more."""

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.ended or not isinstance(it.script.output, dict):
            return None
        it.ended = True
        it.script.output["ok"] = it.rng.choice((True, 1, None))
        return Expected(run=("output",))


class NothingReturned(Fault):
    """The caller gets null."""

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.ended or not isinstance(it.script.output, dict):
            return None
        it.ended = True
        it.script.output = it.rng.choice((None, "ok", []))
        return Expected(run=("output",))


class ErrorWrittenDifferently(Fault):
    """The books give another reason for what failed."""

    tasks = ("process-payout", "process-webhook-queue")

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows() if "error" in row.values)
        if row is None:
            return None
        row.values["error"] = "Error: unknown"
        return Expected(ANY, it.take(row), ("error",))


class DeclinedTakenForSuccess(Fault):
    """The provider said no, the books say paid."""

    tasks = ("process-payout",)

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.script.status != "failed" or it.ended:
            return None
        row = it.pick(it.script.rows("withdrawals"))
        if row is None:
            return None
        row.values["status"] = "completed"
        del row.values["error"]
        return Expected(ANY, it.take(row), ("status", "error"))


class OnlyTheFirst(Fault):
    """Of several codes only the first is looked at."""

    tasks = ("sync-shopify-order",)

    def spoil(self, it: Spoiling) -> Expected | None:
        rows = it.free(it.script.rows("commissions"))
        if len(rows) < 2:
            return None
        numbers = it.take(*rows[1:])
        it.drop(*rows[1:])
        return Expected(MISSING, numbers)


class AnotherTenantsQueue(Fault):
    """Marks what belongs to another queue."""

    tasks = ("process-webhook-queue",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(it.script.rows("webhook_queue"))
        if row is None:
            return None
        again = row.again()
        assert isinstance(again, Row)
        again.values["id"] = f"queued-{Shop(it.rng).tenant.domain[5:7]}-99999-000"
        if again.values["id"] == row.values["id"]:
            return None
        numbers = it.take(row)
        it.replace(row, again)
        return Expected(ANY, (*numbers, *it.take(again)))
