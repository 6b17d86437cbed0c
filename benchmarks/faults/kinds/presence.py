"""Something is not done, or done too much, or done again."""

from __future__ import annotations

from benchmarks.faults.fault import ANY, MISSING, MORE, Expected, Fault, Spoiling
from benchmarks.faults.script import Call, Deed, Emission, Row
from benchmarks.faults.shop import Shop
from benchmarks.faults.symbols import births, born, mapped


class _Missing(Fault):
    """A deed that is left out. One of several that say the same is missing as well as any."""

    def deeds(self, it: Spoiling) -> list[Deed]:
        raise NotImplementedError

    def spoil(self, it: Spoiling) -> Expected | None:
        deed = it.pick(self.deeds(it))
        if deed is None:
            return None
        numbers = it.take(deed, *it.alike(deed))
        it.drop(deed)
        # Of two alike but for their words, the other may be said to be missing and this one to be changed.
        return Expected(ANY if len(_of_identity(it, deed)) else MISSING, numbers)


def _of_identity(it: Spoiling, deed: Deed) -> list[Deed]:
    """Others that go by the same business identity."""
    if isinstance(deed, Call):
        return [other for other in it.script.deeds if isinstance(other, Call) and other.target == deed.target]
    if isinstance(deed, Row):
        return [other for other in it.script.rows(deed.table) if other is not deed]
    return []


class MissingCall(_Missing):
    """A step with a call was forgotten."""

    def deeds(self, it: Spoiling) -> list[Deed]:
        return [*it.script.calls()]


class MissingMail(_Missing):
    """A mail was forgotten."""

    def deeds(self, it: Spoiling) -> list[Deed]:
        return [*it.script.mails()]


class MissingRow(_Missing):
    """A row is not written."""

    def deeds(self, it: Spoiling) -> list[Deed]:
        return [*it.script.rows()]


class MissingEvent(_Missing):
    """What comes next is never scheduled."""

    def deeds(self, it: Spoiling) -> list[Deed]:
        return [*it.script.events()]


class _Added(Fault):
    def added(self, it: Spoiling) -> Deed | None:
        raise NotImplementedError

    def spoil(self, it: Spoiling) -> Expected | None:
        deed = self.added(it)
        if deed is None:
            return None
        it.script.deeds.append(deed)
        return Expected(MORE, it.take(deed))


class ExtraCall(_Added):
    """The team is told of what legacy never told it."""

    def added(self, it: Spoiling) -> Deed | None:
        if it.script.calls("slack"):
            return None
        return Call("slack", "POST", "/api/chat.postMessage", {"channel": "#ops", "text": "done"}, stage=1)


class ExtraMail(_Added):
    """A second mail goes to somebody else, about something else."""

    def added(self, it: Spoiling) -> Deed | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        extra = mail.again()
        assert isinstance(extra, Call)
        extra.body |= {"categories": ["copy-for-support"]}
        extra.body["personalizations"] = [{"to": [{"email": "support@platform.example"}]}]
        return extra


class ExtraRow(_Added):
    """A row that legacy does not write."""

    def added(self, it: Spoiling) -> Deed | None:
        row = it.pick(it.script.rows())
        if row is None:
            return None
        extra = row.again()
        assert isinstance(extra, Row)
        extra.values["id"] = f"{row.values['id']}-shadow" if row.verb == "upsert" else born("extra-row")
        extra.table = it.rng.choice(("audit_log", row.table)) if row.verb == "upsert" else "audit_log"
        return extra


class ExtraEvent(_Added):
    """An event that legacy does not emit."""

    def added(self, it: Spoiling) -> Deed | None:
        if it.script.tenant is None or it.script.status != "completed":
            return None
        return Emission("digest/refresh.requested", {"tenantId": it.script.tenant, "orderId": "digest"}, stage=3)


class _DoneAgain(Fault):
    """The very same, once more by a retry that nobody can tell from a second order."""

    def deeds(self, it: Spoiling) -> list[Deed]:
        raise NotImplementedError

    def spoil(self, it: Spoiling) -> Expected | None:
        deed = it.pick(self.deeds(it))
        if deed is None:
            return None
        again = deed.again()
        again.attempt = deed.attempt + it.rng.choice((1, 1, 2))
        if isinstance(again, Row):
            fresh = {name: f"{name}-again" for name in births(again.values)}
            again.values = mapped(
                again.values, lambda text: _renamed(text, fresh) if text in (deed_id(deed),) else text
            )
        it.script.deeds.append(again)
        return Expected(ANY if _of_identity(it, deed) else MORE, it.take(deed, again))


def deed_id(deed: Deed) -> object:
    return deed.values.get("id") if isinstance(deed, Row) else None


def _renamed(text: str, names: dict[str, str]) -> str:
    for name, other in names.items():
        text = text.replace(f"\ue002{name}\ue002", f"\ue002{other}\ue002")
    return text


class CallRetriedWithoutKey(_DoneAgain):
    """A call without an idempotency key was made again by a retry."""

    def deeds(self, it: Spoiling) -> list[Deed]:
        return [call for call in it.script.calls() if call.key is None and call.status < 300]


class RetriedAfterAnUnclearAnswer(Fault):
    """A call without a key was answered with an error that leaves open whether it was done, and was made again."""

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick(
            call for call in [*it.script.calls(), *it.script.mails()] if call.key is None and call.status < 300
        )
        if call is None:
            return None
        first = call.again()
        assert isinstance(first, Call)
        first.status = it.rng.choice((500, 502, 504))
        call.attempt = 2
        it.script.deeds.append(first)
        return Expected(ANY, it.take(call, first, *it.alike(call)))


class MailSentAgainByRetry(_DoneAgain):
    """A mail was sent again by a retry."""

    def deeds(self, it: Spoiling) -> list[Deed]:
        return [*it.script.mails()]


class RowInsertedAgainByRetry(_DoneAgain):
    """A row with an id of its own was inserted again by a retry."""

    tasks = ("process-payout",)

    def deeds(self, it: Spoiling) -> list[Deed]:
        return [row for row in it.script.rows("ledger_transactions") if any(births(row.values["id"]))]


class PaidAgainUnderAnotherKey(Fault):
    """Every attempt makes a new idempotency key, so a retry pays twice."""

    tasks = ("process-payout",)

    def spoil(self, it: Spoiling) -> Expected | None:
        pay = it.pick([call for call in it.script.calls() if call.key is not None and call.status < 300])
        if pay is None:
            return None
        again = pay.again()
        assert isinstance(again, Call)
        again.key, again.attempt = f"{pay.key}-attempt-2", pay.attempt + 1
        it.script.deeds.append(again)
        return Expected(MORE, it.take(pay, again))


class OutsideAStep(Fault):
    """A side effect outside of a step: again at every re-entry of the function, all in one attempt."""

    def spoil(self, it: Spoiling) -> Expected | None:
        deed = it.pick([*it.script.mails(), *it.script.calls(), *it.script.events()])
        if deed is None or (isinstance(deed, Call) and deed.status >= 300):
            return None
        copies = [deed.again() for _ in range(it.rng.randint(1, 4))]
        for copy in copies:
            if isinstance(copy, Call):
                copy.key = None
        if isinstance(deed, Call):
            deed.key = None
        it.script.deeds += copies
        return Expected(ANY if _of_identity(it, deed) else MORE, it.take(deed, *copies))


class EventEmittedTwice(Fault):
    """The next step is scheduled twice."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = it.pick(it.script.events())
        if event is None:
            return None
        again = event.again()
        it.script.deeds.append(again)
        return Expected(MORE, it.take(event, again))


class RowUnderAnotherKeyToo(Fault):
    """A row is there twice, under two keys."""

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows() if row.verb == "upsert" and "retries" not in row.values)
        if row is None:
            return None
        again = row.again()
        assert isinstance(again, Row)
        again.values["id"] = f"{row.values['id']}-2"
        it.script.deeds.append(again)
        return Expected(MORE, it.take(again))


class ItemTwiceInOneCall(Fault):
    """One call carries the same thing twice."""

    tasks = ("process-attribution", "process-creator-application")

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick([*it.script.calls("meta"), *it.script.calls("ga4")])
        if call is None:
            return None
        name = "data" if call.target == "meta" else "events"
        call.body[name].append(dict(call.body[name][0]))
        return Expected(ANY, it.take(call), (name,))


class TruncatedPage(Fault):
    """Only the first page is worked off."""

    def spoil(self, it: Spoiling) -> Expected | None:
        tables = {row.table for row in it.free(it.script.rows())}
        among = [rows for table in sorted(tables) if len(rows := it.free(it.script.rows(table))) >= 4]
        if not among:
            return None
        rows = it.rng.choice(among)
        rest = rows[it.rng.choice((len(rows) // 2, len(rows) - 1, 100 if len(rows) > 100 else len(rows) // 2)) :]
        numbers = it.take(*rest)
        it.drop(*rest)
        # Which of several writes of one row is missing, and which changed, cannot be said.
        return Expected(ANY, numbers)


class WorkedOffTooMuch(Fault):
    """A page more than legacy takes."""

    tasks = ("process-webhook-queue", "aggregate-daily-metrics")

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(it.script.rows())
        if row is None:
            return None
        more = []
        for number in range(it.rng.randint(1, 5)):
            another = row.again()
            assert isinstance(another, Row)
            another.values["id"] = f"{row.values['id']}-more-{number}"
            more.append(another)
        it.script.deeds += more
        return Expected(MORE, it.take(*more))


class SentForAnotherTenantToo(Fault):
    """What one tenant asked for is done for a second one as well."""

    tasks = ("aggregate-daily-metrics",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(it.script.rows())
        if row is None:
            return None
        known = {str(other.values["tenant_id"]) for other in it.script.rows()}
        tenant = Shop(it.rng).other_tenant()
        if tenant.id in known:
            return None
        more = row.again()
        assert isinstance(more, Row)
        more.values |= {"id": f"{tenant.id}/{row.values['day']}", "tenant_id": tenant.id}
        it.script.deeds.append(more)
        return Expected(MORE, it.take(more))
