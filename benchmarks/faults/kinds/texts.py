"""What people read: mails, posts, names."""

from __future__ import annotations

import re
from html import escape

from benchmarks.faults.fault import ANY, CHANGED, Expected, Fault, Spoiling
from benchmarks.faults.script import Call
from benchmarks.faults.symbols import BEGIN, END, GAP_SYMBOL, MARKUP, SEPARATOR, markup

_MARKUP = re.compile(f"{BEGIN}{MARKUP}{SEPARATOR}([^{BEGIN}{END}]*){END}")


def _mojibake(text: str) -> str:
    return text.encode().decode("latin-1")


class _Html(Fault):
    def changed(self, html: str, it: Spoiling) -> str:
        """The HTML with the fault; the same where it does not fit."""
        raise NotImplementedError

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        content = mail.body["content"][-1]
        changed = self.changed(content["value"], it)
        if changed == content["value"]:
            return None
        content["value"] = changed
        return Expected(ANY, it.take(mail))


class HtmlEscapedTwice(_Html):
    """What is escaped already is escaped again: people read &amp;."""

    def changed(self, html: str, it: Spoiling) -> str:
        return _MARKUP.sub(lambda found: markup(escape(found[1])) if escape(found[1]) != found[1] else found[0], html)


class HtmlNotEscaped(_Html):
    """What people wrote is taken for markup, and part of it is not to be seen."""

    def changed(self, html: str, it: Spoiling) -> str:
        return _MARKUP.sub(lambda found: found[1] if "<" in found[1] else found[0], html)


class Mojibake(Fault):
    """UTF-8 read as Latin-1."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [
            (row, name)
            for row in it.free(it.script.rows())
            for name, value in row.values.items()
            if isinstance(value, str) and BEGIN not in value and not value.isascii()
        ]
        if among and it.rng.random() < 0.7:
            row, name = it.rng.choice(among)
            row.values[name] = _mojibake(row.values[name])
            return Expected(CHANGED, it.take(row), (name,))
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        if it.rng.random() < 0.5 and not mail.body["subject"].isascii():
            mail.body["subject"] = _mojibake(mail.body["subject"])
            return Expected(ANY, it.take(mail))
        content = mail.body["content"][-1]
        changed = _MARKUP.sub(lambda found: markup(_mojibake(found[1])), content["value"])
        if changed == content["value"]:
            return None
        content["value"] = changed
        return Expected(ANY, it.take(mail))


class QuestionMarks(Fault):
    """What is no ASCII was lost."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [
            (row, name)
            for row in it.free(it.script.rows())
            for name, value in row.values.items()
            if isinstance(value, str) and BEGIN not in value and not value.isascii()
        ]
        if not among:
            return None
        row, name = it.rng.choice(among)
        row.values[name] = row.values[name].encode("ascii", "replace").decode()
        return Expected(CHANGED, it.take(row), (name,))


class TextTruncated(Fault):
    """A text is cut off."""

    def spoil(self, it: Spoiling) -> Expected | None:
        post = it.pick(call for call in it.script.calls("slack") if len(call.body["text"]) > 20)
        if post is not None and it.rng.random() < 0.5:
            numbers = it.take(post, *it.alike(post))
            post.body["text"] = post.body["text"][:15]
            return Expected(ANY, numbers, ("text",))
        row = it.pick(row for row in it.script.rows() if len(str(row.values.get("title", ""))) > 6)
        if row is None:
            return None
        row.values["title"] = row.values["title"][:5]
        return Expected(CHANGED, it.take(row), ("title",))


class ParagraphDropped(_Html):
    """A part of the mail is missing."""

    def changed(self, html: str, it: Spoiling) -> str:
        parts = html.split(GAP_SYMBOL)
        shown = [place for place, part in enumerate(parts) if re.sub(r"<[^>]*>", "", part).strip()]
        if len(shown) < 2:
            return html
        parts.pop(it.rng.choice(shown))
        return GAP_SYMBOL.join(parts)


class WrongFigureInText(_Html):
    """Another percentage, or another amount, than is meant."""

    def changed(self, html: str, it: Spoiling) -> str:
        return re.sub(r"\b(\d+)(% off|\.\d\d [A-Z]{3})", lambda found: f"{int(found[1]) + 1}{found[2]}", html)


class PlaceholderLeft(_Html):
    """A name that was never filled in."""

    def changed(self, html: str, it: Spoiling) -> str:
        return _MARKUP.sub(it.rng.choice(("{{name}}", "undefined", "[object Object]", "null")), html, count=1)


class LinkToAnotherOrder(_Html):
    """A link that leads to somebody else's."""

    tasks = ("send-review-email", "process-payout")

    def changed(self, html: str, it: Spoiling) -> str:
        return re.sub(r"(/orders/[\w-]+|of=request-\d+)(?=[/\"])", lambda found: found[1][:-1] + "x", html, count=1)


class LinkToAnotherHost(_Html):
    """A link to the staging system."""

    def changed(self, html: str, it: Spoiling) -> str:
        return re.sub(r'href="https://', 'href="https://staging.', html, count=1)


class LinkDropped(_Html):
    """The words are there, the link behind them is not."""

    def changed(self, html: str, it: Spoiling) -> str:
        return re.sub(r'<a href="[^"]*">(\w+)</a>', r"\1", html, count=1)


class WrongSubject(Fault):
    """Another subject."""

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        subject = mail.body["subject"]
        mail.body["subject"] = it.rng.choice((f"{subject}!", f"Re: {subject}", subject.upper(), ""))
        if mail.body["subject"] == subject:
            return None
        return Expected(ANY, it.take(mail))


class WrongLocale(_Html):
    """Another language."""

    def changed(self, html: str, it: Spoiling) -> str:
        return html.replace("<p>Hello ", "<p>Hallo ")


class WrongTemplate(Fault):
    """The right person, the wrong mail."""

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        again = mail.again()
        assert isinstance(again, Call)
        again.body["categories"] = ["welcome"]
        numbers = it.take(mail)
        it.replace(mail, again)
        return Expected(ANY, (*numbers, *it.take(again)))


class WrongReference(Fault):
    """About another order, says the reference."""

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        again = mail.again()
        assert isinstance(again, Call)
        again.body["custom_args"]["reference"] += "0"
        numbers = it.take(mail)
        it.replace(mail, again)
        return Expected(ANY, (*numbers, *it.take(again)))


class SpaceLost(Fault):
    """Two words became one."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [
            (row, name)
            for row in it.free(it.script.rows())
            for name in ("customer_name", "title", "name")
            if " " in str(row.values.get(name, ""))
        ]
        if not among:
            return None
        row, name = it.rng.choice(among)
        row.values[name] = row.values[name].replace(" ", "", 1)
        return Expected(CHANGED, it.take(row), (name,))


class PlainTextForHtml(Fault):
    """Tags shown as text."""

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        mail.body["content"][-1]["type"] = "text/plain"
        return Expected(ANY, it.take(mail))
