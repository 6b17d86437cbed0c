"""Members of what is written and sent: their names, their types, their values."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.faults.fault import ANY, CHANGED, Expected, Fault, Spoiling, document_of
from benchmarks.faults.script import Call, Deed, Row
from benchmarks.faults.symbols import BEGIN


def members(it: Spoiling) -> list[tuple[Deed, dict[str, Any], str]]:
    """(deed, object, member): all that a port may get wrong without changing which deed it is."""
    found: list[tuple[Deed, dict[str, Any], str]] = []
    for deed in it.free(it.script.deeds):
        document = document_of(deed)
        if document is None or (isinstance(deed, Call) and (deed.form or deed.target == "mail")):
            continue
        stack: list[dict[str, Any]] = [document]
        while stack:
            value = stack.pop()
            for name, member in value.items():
                if isinstance(member, dict):
                    stack.append(member)
                elif isinstance(member, list):
                    stack += [item for item in member if isinstance(item, dict)]
                if BEGIN not in name and name not in (
                    "id",
                    "reference",
                    "event_id",
                    "transaction_id",
                    "orderId",
                    "request_id",
                    "channel",
                ):
                    found.append((deed, value, name))
    return found


def _plain(value: Any) -> bool:
    """A scalar that no run makes for itself."""
    return isinstance(value, str | int | float | bool) and not (isinstance(value, str) and BEGIN in value)


class FieldDropped(Fault):
    """A member is left out."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [found for found in members(it) if BEGIN not in found[2]]
        if not among:
            return None
        deed, holder, name = it.rng.choice(among)
        del holder[name]
        # With what says which effect it is, it is another one.
        return Expected(ANY, it.take(deed), (name,))


class FieldAdded(Fault):
    """A member that legacy does not have."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = members(it)
        if not among:
            return None
        deed, holder, _name = it.rng.choice(among)
        holder["schema_version"] = it.rng.choice((2, None, "v2", [], {}))
        return Expected(CHANGED, it.take(deed), ("schema_version",))


class FieldRenamed(Fault):
    """camelCase for snake_case, or the other way round."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [found for found in members(it) if "_" in found[2] and BEGIN not in found[2]]
        if not among:
            return None
        deed, holder, name = it.rng.choice(among)
        first, *rest = name.split("_")
        other = first + "".join(word.capitalize() for word in rest)
        holder[other] = holder.pop(name)
        return Expected(CHANGED, it.take(deed), (name, other))


class NullForAValue(Fault):
    """Nothing where a value was."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [found for found in members(it) if _plain(found[1][found[2]])]
        if not among:
            return None
        deed, holder, name = it.rng.choice(among)
        holder[name] = None
        return Expected(ANY, it.take(deed), (name,))


class NullForAbsent(Fault):
    """A member that is null where legacy leaves it out, or is left out where legacy says null."""

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(it.script.rows())
        if row is None:
            return None
        empty = [name for name, value in row.values.items() if value is None]
        name = empty[0] if empty else it.rng.choice(("note", "deleted_at", "error_code"))
        if empty:
            del row.values[name]
        else:
            row.values[name] = None
        return Expected(CHANGED, it.take(row), (name,))


class EmptyTextForAValue(Fault):
    """A value was lost on the way, its place is kept."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [found for found in members(it) if isinstance(found[1][found[2]], str) and found[1][found[2]]]
        if not among:
            return None
        deed, holder, name = it.rng.choice(among)
        holder[name] = ""
        return Expected(CHANGED, it.take(deed), (name,))


class NumberAsText(Fault):
    """ "12" for 12."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [f for f in members(it) if isinstance(f[1][f[2]], int | float) and not isinstance(f[1][f[2]], bool)]
        if not among:
            return None
        deed, holder, name = it.rng.choice(among)
        holder[name] = str(holder[name])
        return Expected(CHANGED, it.take(deed), (name,))


class BooleanAsSomethingElse(Fault):
    """ "true", 1 or "1" for true."""

    tasks = ("sync-shopify-order",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows("orders") if "test" in row.values)
        if row is None:
            return None
        value = row.values["test"]
        row.values["test"] = it.rng.choice((str(value).lower(), int(value), "yes" if value else "no"))
        return Expected(CHANGED, it.take(row), ("test",))


class ObjectAsText(Fault):
    """JSON within a column of text, where an object was."""

    tasks = ("process-attribution",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(it.script.rows("attribution_results"))
        if row is None:
            return None
        row.values["credits_json"] = json.dumps(row.values["credits_json"])
        return Expected(CHANGED, it.take(row), ("credits_json",))


class WrongStatus(Fault):
    """Another word of the same list."""

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows() if "status" in row.values)
        if row is None:
            return None
        others = ("complete", "completed", "processed", "done", "paid", "pending", "PAID")
        row.values["status"] = it.rng.choice([other for other in others if other != row.values["status"]])
        return Expected(CHANGED, it.take(row), ("status",))


class WrongTable(Fault):
    """The right row in the wrong table."""

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(it.script.rows())
        if row is None:
            return None
        again = row.again()
        assert isinstance(again, Row)
        again.table = f"{row.table}_v2"
        numbers = it.take(row, *it.alike(row))
        it.replace(row, again)
        return Expected(ANY, (*numbers, *it.take(again)))


class ColumnsSwapped(Fault):
    """Two values of a row in each other's places."""

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(it.script.rows())
        if row is None:
            return None
        names = [name for name, value in row.values.items() if _plain(value) and name != "id"]
        it.rng.shuffle(names)
        for one in names:
            for other in names:
                a, b = row.values[one], row.values[other]
                if type(a) is type(b) and a != b:
                    row.values[one], row.values[other] = b, a
                    # Where one of them is what identifies the row, it is another row.
                    return Expected(ANY, it.take(row), (one, other))
        return None


class StaleRead(Fault):
    """An older value: read before something else wrote it."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [
            (row, name)
            for row in it.free(it.script.rows())
            for name in ("customer_name", "title", "campaign", "name", "status", "customer_email", "email", "channel")
            if _plain(row.values.get(name))
        ]
        if not among:
            return None
        row, name = it.rng.choice(among)
        value = str(row.values[name])
        row.values[name] = f"old.{value}" if "@" in value else f"{value} (old)"
        return Expected(CHANGED, it.take(row), (name,))


class InsertForUpsert(Fault):
    """A statement that fails when the row is there already."""

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows() if row.verb == "upsert")
        if row is None:
            return None
        again = row.again()
        assert isinstance(again, Row)
        again.verb = it.rng.choice(("insert", "update"))
        numbers = it.take(row, *it.alike(row))
        it.replace(row, again)
        return Expected(ANY, (*numbers, *it.take(again)))


class BodyAsForm(Fault):
    """Form fields where JSON is expected: every number becomes text."""

    tasks = ("process-payout",)

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick(it.script.calls("swiftpay"))
        if call is None:
            return None
        call.form = True
        return Expected(ANY, it.take(call), ("amount",))


class ParameterDropped(Fault):
    """A query parameter is left out, or has another value."""

    tasks = ("process-attribution",)

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick(call for call in it.script.calls("ga4") if len(call.query) > 1)
        if call is None:
            return None
        name = it.rng.choice(("debug", "lang"))
        call.query = {n: v for n, v in call.query.items() if n != name}
        if it.rng.random() < 0.5:
            call.query[name] = "1" if name == "debug" else "en-US"
        return Expected(CHANGED, it.take(call), (name,))


class ListShortened(Fault):
    """One item less in an array within a call."""

    tasks = ("process-attribution", "process-creator-application")

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick(c for c in it.script.calls("ga4") if len(c.body["events"][0]["params"].get("items", ())) > 1)
        if call is None:
            return None
        items = call.body["events"][0]["params"]["items"]
        items.pop(it.rng.randrange(len(items)))
        return Expected(CHANGED, it.take(call), ("items",))


class NumberRoundedDown(Fault):
    """A rate cut to two digits."""

    tasks = ("aggregate-daily-metrics",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows() if "conversion_rate" in row.values)
        if row is None:
            return None
        row.values["conversion_rate"] = int(row.values["conversion_rate"] * 100) / 100
        return Expected(CHANGED, it.take(row), ("conversion_rate",))
