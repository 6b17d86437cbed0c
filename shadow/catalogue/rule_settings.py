"""What the judge may be told of a task: the `rules` of a catalogue, and the comparators' rules that they come to.

Each type of rule about values has its own model, so that editors and errors know its keys; what makes a rule wrong
beyond its keys (an amount that would be ignored) is for the comparators to say.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from comparators.rules import VALUE_RULES, EffectPattern, IdentityRule, IgnoreRule, OrderRule, RatioRule, ValueRule
from shadow.catalogue.values import Duration, Strict


class PatternSetting(Strict):
    """Effects by shell-style patterns."""

    kind: str = "*"
    target: str = "*"
    operation: str = "*"


class IdentitySetting(PatternSetting):
    """Which values make an effect that effect: for a transfer at Stripe, `$.requestId`."""

    paths: tuple[str, ...] = Field(min_length=1)


class BeforeSetting(Strict):
    """Effects of the one pattern come before those of the other; of the same identity, where both have identities."""

    first: PatternSetting
    then: PatternSetting
    reason: str = ""


class PlacedSetting(PatternSetting):
    """Values by a path into outputs, or into the data of effects."""

    scope: Literal["output", "effect"]
    path: str
    reason: str = ""


class IgnoreSetting(PlacedSetting):
    """A path whose value is not compared. Amounts, currency and recipients are refused."""

    reason: str


class ExactSetting(PlacedSetting):
    """The same to the letter: nothing there is taken for an id, a moment of the run's clock or float noise."""

    type: Literal["exact"]


class NumberSetting(PlacedSetting):
    """Numbers within a tolerance."""

    type: Literal["number"]
    absolute: float = 0.0
    relative: float = 0.0
    """Of the greater of both, below 1."""


class MoneySetting(PlacedSetting):
    """An amount, as a number or as text: the same whatever its notation, to within a ten-thousandth of its unit."""

    type: Literal["money"]
    unit: Literal["decimal", "minor"] = "decimal"
    """`minor`: amounts count the smallest unit (cents)."""
    currency: str = ""
    """Where the currency's code stands, for its unit: `$...` from the root, `@...` from what holds the amount."""


class TimestampSetting(PlacedSetting):
    """A moment in any notation, or a bare day."""

    type: Literal["timestamp"]
    relative: bool = True
    """Whether it follows each run's own clock; `false`: it comes from data and is the same on both sides."""
    tolerance: Duration | None = None
    timezone: str = ""
    """Of moments that name none, and of days; UTC."""


class IdSetting(PlacedSetting):
    """An id born in the run that does not look like one: it maps one to one and is used consistently."""

    type: Literal["id"]


class TextSetting(PlacedSetting):
    """Words for people."""

    type: Literal["text"]
    whitespace: Literal["collapse", "keep"] = "collapse"
    case: Literal["keep", "fold"] = "keep"
    form: Literal["NFC", "NFKC", "keep"] = "NFC"
    """The Unicode normal form in which they are compared."""


class UrlSetting(PlacedSetting):
    """A URL, whatever the order of its parameters."""

    type: Literal["url"]
    without: tuple[str, ...] = ()
    """Parameters that are left out, as shell-style patterns: `utm_*`."""


class SetSetting(PlacedSetting):
    """An array whose order does not matter."""

    type: Literal["set"]


class ListSetting(PlacedSetting):
    """An array whose items are paired by their keys and compared within."""

    type: Literal["list"]
    by: tuple[str, ...] = Field(min_length=1)
    """JSONPaths into an item: `$.sku`."""


class JsonSetting(PlacedSetting):
    """A text that holds JSON, compared as JSON. Other paths reach inside."""

    type: Literal["json"]


class PresenceSetting(PlacedSetting):
    """Something that is there on both sides, or null on both."""

    type: Literal["presence"]
    reason: str


class RegexSetting(PlacedSetting):
    """Texts or numbers of one form."""

    type: Literal["pattern"]
    regex: str
    """A regular expression for the whole value."""
    reason: str


ValueSetting = Annotated[
    ExactSetting
    | NumberSetting
    | MoneySetting
    | TimestampSetting
    | IdSetting
    | TextSetting
    | UrlSetting
    | SetSetting
    | ListSetting
    | JsonSetting
    | PresenceSetting
    | RegexSetting,
    Field(discriminator="type"),
]


class LatencySetting(Strict):
    """How much longer than legacy's the candidate's run may take."""

    ratio: float = Field(ge=1, allow_inf_nan=False)
    """1.5: half as long again."""
    slack: Duration = timedelta(seconds=1)
    """What may come on top."""


class CostSetting(Strict):
    """How much more than legacy's the candidate's run may cost."""

    ratio: float = Field(ge=1, allow_inf_nan=False)
    """1.5: half as much again."""
    slack: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Cents that may come on top."""


class RuleSettings(Strict):
    """What the judge is told. At each place the most specific of `values` and `ignore` holds."""

    identities: tuple[IdentitySetting, ...] = ()
    ignore: tuple[IgnoreSetting, ...] = ()
    values: tuple[ValueSetting, ...] = ()
    """Typed rules: what two values at a path have in common to be the same."""
    before: tuple[BeforeSetting, ...] = ()
    """Order that matters; without it a run's effects are independent of each other."""
    order: Literal["declared", "learned"] = "declared"
    """`learned`: what legacy's runs always did before something else is taken for declared as well."""
    order_runs: int = Field(50, ge=10, le=1000)
    """How many of legacy's runs must have kept an order, and none broken it, before it is learned."""
    output: bool = True
    attempts: bool = False
    """Whether failed runs must have made equally many attempts. Platforms count them differently."""
    latency: LatencySetting | None = None
    """Left out: the candidate's run may take any time."""
    cost: CostSetting | None = None
    """Left out: it may cost anything. Compared where both platforms tell the cost."""


def identity_rule(setting: IdentitySetting) -> IdentityRule:
    """The comparators' rule. Raises ValueError for a path that is none."""
    return IdentityRule(setting.kind, setting.target, setting.operation, setting.paths)


def ignore_rule(setting: IgnoreSetting) -> IgnoreRule:
    """The comparators' rule. Raises RuleError where it would hide amounts, currency or recipients."""
    return IgnoreRule(**setting.model_dump())


def value_rule(setting: ValueSetting) -> ValueRule:
    """The comparators' rule. Raises RuleError where it says nothing, or would weaken what is protected."""
    fields: dict[str, Any] = {
        key: value.total_seconds() if isinstance(value, timedelta) else value
        for key, value in setting.model_dump(exclude={"type"}).items()
    }
    return VALUE_RULES[setting.type](**fields)


def latency_rule(setting: LatencySetting | None) -> RatioRule | None:
    """The comparators' rule, in seconds."""
    return None if setting is None else RatioRule(setting.ratio, setting.slack.total_seconds())


def cost_rule(setting: CostSetting | None) -> RatioRule | None:
    """The comparators' rule, in cents."""
    return None if setting is None else RatioRule(setting.ratio, setting.slack)


def order_rule(setting: BeforeSetting) -> OrderRule:
    """The comparators' rule."""
    return OrderRule(
        EffectPattern(**setting.first.model_dump()), EffectPattern(**setting.then.model_dump()), setting.reason
    )
