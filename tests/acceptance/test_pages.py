"""The pages in a browser: signing in, looking, acting, with a keyboard alone, in the dark, on a narrow screen.

What the pages look like is kept in `build/screenshots/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from api.control import ControlServices, control_app
from shadow.access.tokens import Scope, issue
from shadow.store.database import Database
from tests.acceptance.chromium import axe, chromium, serving
from tests.conftest import emptied
from tests.integration.pages.migration import Seeded, catalogue, seed

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 360, "height": 740}
_PATIENCE = 15_000
"""Milliseconds."""


@dataclass
class Visit:
    """A browser at the pages of a migration that is half way."""

    url: str
    browser: Browser
    operator: str
    """A token."""
    reader: str
    seeded: Seeded
    said: list[str] = field(default_factory=list)
    """Errors that the browser's console had."""
    signed_in: dict[str, Any] = field(default_factory=dict)
    """Token -> the browser's state once somebody had signed in with it."""

    def addresses(self) -> dict[str, str]:
        return {
            "board": "/pages/",
            "task": "/pages/tasks/order-sync",
            "pairs": "/pages/pairs",
            "pair": f"/pages/pairs/{self.seeded.mismatch}",
            "explanation": f"/pages/pairs/{self.seeded.mismatch}/explanation",
            "signatures": "/pages/signatures",
            "signature": f"/pages/signatures/{self.seeded.signature}",
            "audit": "/pages/audit",
            "problem": "/pages/nothing",
        }

    def page(self, token: str | None = None, **settings: Any) -> Page:
        """A page of a window of its own, where somebody is signed in with that token."""
        state = None if token is None else self._state(token)
        shown: Any = {"viewport": WIDE, **settings}
        context = self.browser.new_context(base_url=self.url, storage_state=state, **shown)
        return self._page(context)

    def _state(self, token: str) -> Any:
        if token not in self.signed_in:
            page = self.page()
            page.goto("/pages/sign-in")
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", level=1)).to_have_text("Migration board")
            self.signed_in[token] = page.context.storage_state()
            page.context.close()
        return self.signed_in[token]

    def _page(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.set_default_timeout(_PATIENCE)
        page.on("console", self._heard)
        page.on("request", self._asked)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        return page

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
            self.said.append(f"{request.url} is not ours")

    def _heard(self, message: ConsoleMessage) -> None:
        # A page that says what was wrong has a status that says so, too; the browser mentions that.
        if message.type in ("error", "warning") and "the server responded with a status of 4" not in message.text:
            self.said.append(message.text)


@pytest.fixture(scope="module")
def visit(migrated_url: str) -> Iterator[Visit]:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    async def prepare(database: Database) -> tuple[Seeded, str, str]:
        seeded = await seed(database)
        operator, _ = await issue(database.engine, "ann", Scope)
        reader, _ = await issue(database.engine, "bob", [Scope.READ])
        return seeded, operator, reader

    def app(database: Database) -> Any:
        return control_app(ControlServices(database, catalogue()))

    with (
        emptied(migrated_url),
        serving(migrated_url, app, prepare) as (url, (seeded, operator, reader)),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield Visit(url, browser, operator, reader, seeded)
        browser.close()


@pytest.fixture(autouse=True)
def nothing_goes_wrong(visit: Visit) -> Iterator[None]:
    """The console stays silent, whatever is done: the pages' own policy forbids nothing that they need. And nothing
    is asked of anybody else."""
    visit.said.clear()
    yield
    for context in visit.browser.contexts:
        context.close()
    assert visit.said == []


def shoot(page: Page, name: str) -> None:
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def test_the_document_of_the_api_is_shown_without_anything_from_elsewhere(visit: Visit) -> None:
    page = visit.page()
    page.goto("/docs")
    expect(page.get_by_role("heading", name="Shadow control API")).to_be_visible(timeout=60_000)
    page.get_by_text("/v1/dead-letters/{dispatch}/resend").click()
    expect(page.get_by_text("Make the dispatch due at once")).to_be_visible()
    page.get_by_role("button", name="Authorize").first.click()
    expect(page.get_by_label("auth-bearer-value")).to_be_visible()
    shoot(page, "docs")


def test_from_signing_in_to_what_differs(visit: Visit) -> None:
    page = visit.page()
    page.goto("/")
    expect(page).to_have_title("Sign in · Shadow")
    shoot(page, "sign-in")
    page.get_by_label("Token").fill("shadow_not-it")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Token")).to_be_focused()
    expect(page.get_by_label("Token")).to_have_accessible_description("This token is unknown, expired or revoked.")
    page.get_by_label("Token").fill(visit.reader)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_title("Board · Shadow")
    expect(page.locator(".lead")).to_contain_text("3 of 10 tasks may take their next step now")
    page.get_by_role("link", name="order-sync").click()
    expect(page.get_by_role("row", name="critical signatures")).to_contain_text("not met")
    expect(page.get_by_role("heading", name="Move it")).to_have_count(0)
    page.get_by_role("link", name="candidate called POST /v1/transfers").click()
    page.get_by_role("link", name="The pair that shows it best").click()
    page.locator("tr.differs").get_by_text("both values").click()
    expect(page.locator("tr.differs .minus")).to_contain_text('"amount": 1250')
    page.get_by_role("link", name="How the judge came to its verdict").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("How the judge came to its verdict")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_contain_text("You are signed out.")
    page.goto("/pages/audit")
    expect(page).to_have_title("Sign in · Shadow")


def test_a_refused_move_says_what_holds_it(visit: Visit) -> None:
    page = visit.page(visit.operator)
    page.goto("/pages/tasks/order-sync")
    page.get_by_label("To phase").select_option("ramp")
    page.get_by_label("Share in percent").fill("10")
    page.get_by_label("Reason").fill("it looks good")
    page.get_by_role("button", name="Move", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("the gate of 'order-sync'")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_label("Reason")).to_have_value("it looks good")
    shoot(page, "move-refused")


def test_a_critical_signature_is_allowed_knowingly(visit: Visit) -> None:
    page = visit.page(visit.operator)
    page.goto(visit.addresses()["signature"])
    allow = page.get_by_role("form", name="Allow it")
    allow.get_by_label("Reason").fill("the note is sent by the shop now")
    allow.get_by_label("For", exact=True).select_option("the tenant acme")
    allow.get_by_role("button", name="Allow").click()
    expect(allow.get_by_role("checkbox")).to_be_focused()
    shoot(page, "allow-refused")
    allow.get_by_role("checkbox").check()
    allow.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("It is allowed.")
    expect(page.get_by_role("row", name="the note is sent by the shop now")).to_contain_text("stands")


def test_a_keyboard_is_enough(visit: Visit) -> None:
    page = visit.page(visit.operator)
    page.goto("/pages/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0, "it is seen once it has the focus"
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style != "none", "where the focus is can be seen"
        if page.evaluate("document.activeElement.textContent") == "order-sync":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("order-sync")
    page.get_by_label("To phase").focus()
    page.keyboard.type("leg")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("back, to be safe")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The move is on record")
    expect(page.get_by_role("row", name="back, to be safe")).to_contain_text("legacy")


def test_in_the_dark_and_by_choice(visit: Visit) -> None:
    page = visit.page(visit.reader, color_scheme="dark")
    page.goto("/pages/")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    for name in ("board", "task", "pair"):
        page.goto(visit.addresses()[name])
        shoot(page, f"{name}-dark")
    switch = page.get_by_role("button", name="Theme")
    switch.click()
    expect(switch).to_have_text("Theme: light")
    assert page.evaluate(background) != dark
    page.reload()
    expect(switch).to_have_text("Theme: light")
    assert page.evaluate(background) != dark, "it is remembered"
    switch.click()
    assert page.evaluate(background) == dark


def test_nothing_is_wider_than_a_narrow_screen(visit: Visit) -> None:
    page = visit.page(visit.operator, viewport=NARROW)
    for name, address in visit.addresses().items():
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], name
        if name in ("board", "task", "pair", "signature"):
            page.reload()
            shoot(page, f"{name}-narrow")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_from_using_a_page(visit: Visit, scheme: str) -> None:
    page = visit.page(visit.operator, color_scheme=scheme)
    for name, address in visit.addresses().items():
        page.goto(address)
        if scheme == "light":
            shoot(page, name)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        page.evaluate(axe())
        found = page.evaluate("axe.run({resultTypes: ['violations']})")
        wrong = [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
        assert wrong == [], name


def test_without_a_script_everything_works(visit: Visit) -> None:
    page = visit.page(visit.operator, java_script_enabled=False)
    page.goto("/pages/tasks/attribution")
    expect(page.get_by_role("button", name="Theme")).to_be_hidden()
    page.get_by_label("To phase").select_option("legacy")
    page.get_by_label("Reason").fill("no script was needed")
    page.get_by_role("button", name="Move", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("The move is on record")
