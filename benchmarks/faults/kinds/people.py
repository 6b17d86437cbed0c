"""Recipients, senders, accounts and tenants."""

from __future__ import annotations

from benchmarks.faults.fault import ANY, CHANGED, Expected, Fault, Spoiling
from benchmarks.faults.script import Call
from benchmarks.faults.shop import Shop
from benchmarks.faults.symbols import births
from benchmarks.faults.tasks import hashed


class WrongRecipient(Fault):
    """The mail goes to the shop instead of to the customer."""

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        to = mail.body["personalizations"][0]["to"]
        other = mail.body["from"]["email"] if it.rng.random() < 0.5 else Shop(it.rng).person().email
        if any(known["email"] == other for known in to):
            return None
        to[0] = {"email": other}
        return Expected(ANY, it.take(mail), ("to",))


class AnotherPersonWithTheSameDomain(Fault):
    """A customer whose address is nearly the same."""

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        to = mail.body["personalizations"][0]["to"]
        local, _, domain = to[0]["email"].partition("@")
        to[0] = {"email": f"{local}{it.rng.choice('0123456789')}@{domain}"}
        return Expected(ANY, it.take(mail), ("to",))


class RecipientAdded(Fault):
    """Somebody gets a copy."""

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        envelope = mail.body["personalizations"][0]
        name = it.rng.choice(("to", "cc", "bcc"))
        envelope[name] = [*envelope.get(name, ()), {"email": "team@platform.example"}]
        return Expected(ANY, it.take(mail), (name,))


class RecipientDropped(Fault):
    """One of several gets nothing."""

    tasks = ("process-creator-application", "send-review-email")

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(
            mail
            for mail in it.script.mails()
            if sum(len(people) for people in mail.body["personalizations"][0].values()) > 1
        )
        if mail is None:
            return None
        envelope = mail.body["personalizations"][0]
        if "bcc" in envelope:
            del envelope["bcc"]
        else:
            envelope["to"].pop(it.rng.randrange(len(envelope["to"])))
        return Expected(ANY, it.take(mail), ("to", "bcc"))


class HiddenRecipientShown(Fault):
    """A blind copy becomes an open one: everybody sees who got it."""

    tasks = ("send-review-email",)

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(mail for mail in it.script.mails() if "bcc" in mail.body["personalizations"][0])
        if mail is None:
            return None
        envelope = mail.body["personalizations"][0]
        envelope["cc"] = envelope.pop("bcc")
        return Expected(ANY, it.take(mail), ("cc", "bcc"))


class WrongSender(Fault):
    """Sent in the platform's own name."""

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        mail.body["from"] = {"email": "noreply@platform.example"}
        return Expected(ANY, it.take(mail), ("from",))


class WrongChannel(Fault):
    """Posted where somebody else reads it."""

    tasks = ("process-creator-application",)

    def spoil(self, it: Spoiling) -> Expected | None:
        post = it.pick(it.script.calls("slack"))
        if post is None:
            return None
        others = it.alike(post)
        numbers = it.take(post, *others)
        moved = post.again()
        assert isinstance(moved, Call)
        moved.body["channel"] = "#general"
        it.replace(post, moved)
        return Expected(ANY, (*numbers, *it.take(moved)))


class WrongAccount(Fault):
    """Money to another account."""

    tasks = ("process-payout",)

    def spoil(self, it: Spoiling) -> Expected | None:
        pay = it.pick([*it.script.calls("swiftpay"), *it.script.calls("bankwire")])
        if pay is None:
            return None
        name = "destination" if pay.target == "swiftpay" else "iban"
        account = pay.body[name]
        pay.body[name] = account[:-1] + ("1" if account[-1] != "1" else "2")
        return Expected(ANY, it.take(pay), (name,))


class WrongTenant(Fault):
    """Written for another tenant."""

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows() if "tenant_id" in row.values)
        if row is None:
            return None
        shop = Shop(it.rng)
        if shop.tenant.id == row.values["tenant_id"]:
            return None
        row.values["tenant_id"] = shop.tenant.id
        return Expected(CHANGED, it.take(row), ("tenant_id",))


class WrongTenantEverywhere(Fault):
    """All of a run is done for another tenant, consistently."""

    tasks = ("sync-shopify-order", "process-attribution", "process-webhook-queue")

    def spoil(self, it: Spoiling) -> Expected | None:
        rows = [row for row in it.free(it.script.rows()) if "tenant_id" in row.values]
        other = Shop(it.rng).tenant.id
        if not rows or any(row.values["tenant_id"] == other for row in rows):
            return None
        for row in rows:
            row.values["tenant_id"] = other
        return Expected(CHANGED, it.take(*rows), ("tenant_id",))


class WrongTenantsPixel(Fault):
    """Reported to another tenant's account at an analytics target."""

    tasks = ("process-attribution", "process-creator-application")

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick([*it.script.calls("meta"), *it.script.calls("ga4")])
        if call is None:
            return None
        if call.target == "ga4":
            call.query = {**call.query, "measurement_id": "G-SHOP99"}
            return Expected(ANY, it.take(call), ("measurement_id",))
        _, version, _pixel, events = call.path.split("/")
        call.path = f"/{version}/990000/{events}"
        return Expected(ANY, it.take(call), ("path", "pixel"))


class HashOfAnotherPerson(Fault):
    """The hashed address is somebody else's, or not brought into one notation first."""

    tasks = ("process-attribution", "process-creator-application")

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick(it.script.calls("meta"))
        if call is None:
            return None
        call.body["data"][0]["user_data"]["em"] = [hashed(it.rng.choice(("Someone.Else@Example.com", "")))]
        return Expected(ANY, it.take(call), ("em",))


class AnotherVisitor(Fault):
    """The purchase is told of another visitor."""

    tasks = ("process-attribution", "sync-shopify-order")

    def spoil(self, it: Spoiling) -> Expected | None:
        other = f"visitor-{it.rng.randrange(10**5, 10**6)}"
        call = it.pick(it.script.calls("ga4"))
        if call is not None:
            call.body["client_id"] = other
            return Expected(ANY, it.take(call), ("client_id",))
        row = it.pick(it.script.rows("order_attributions"))
        if row is None:
            return None
        row.values["visitor_id"] = other
        return Expected(CHANGED, it.take(row), ("visitor_id",))


class AnotherCreator(Fault):
    """Somebody else's commission."""

    tasks = ("sync-shopify-order", "process-payout")

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows() if "creator_id" in row.values)
        if row is None or any(births(row.values["creator_id"])):
            return None
        row.values["creator_id"] = f"{row.values['creator_id'][:-1]}x"
        return Expected(CHANGED, it.take(row), ("creator_id",))
