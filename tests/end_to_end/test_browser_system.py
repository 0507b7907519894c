"""An admin looks how the box is, has it checked, and has alerts sent; with a worker at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from appliance import sessions
from appliance.db import database
from appliance.models import Account, AlertChannel
from appliance.states import AccountState
from tests.browsing import THEMES, Watched, launched, visiting
from tests.tasks.alerting.receivers import http_receiver
from tests.tasks.publish.posting import working
from tests.web.serving import Served, add_user, prepare, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

    from appliance.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def box(settings: Settings) -> Iterator[Served]:
    prepare(settings)
    with served(settings) as running, working(running.settings):
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def session(box: Served) -> str:
    user = add_user()
    with database.connection_context():
        return sessions.start(user, address="127.0.0.1", agent="tests", settings=box.settings)


@pytest.fixture
def watched(box: Served, browser: Browser, session: str) -> Iterator[Watched]:
    with visiting(browser, box.url, session) as context:
        yield Watched(context.new_page())


def row_of(page: Page, name: str) -> Locator:
    return page.locator("#channels li").filter(has_text=name)


def test_the_box_is_checked_at_a_press_and_says_what_it_found(watched: Watched) -> None:
    page = watched.open("/settings/system")
    expect(page.get_by_text("Nobody has looked yet.")).to_be_visible()
    page.get_by_role("button", name="Check now").click()
    # Live: nobody reloads the page.
    found = page.locator("#checkup li")
    expect(found.filter(has_text="appliance alerts add")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Check now")).to_be_visible(timeout=60_000)
    page.get_by_text("checks found all well").click()
    expect(found.filter(has_text="Credentials key")).to_be_visible()
    assert watched.problems() == []
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download diagnostics").click()
    assert downloading.value.suggested_filename.endswith(".zip")
    expect(page.locator("#processes li").first).to_contain_text("Working")


def test_a_channel_is_added_tried_and_told_of_what_goes_wrong(
    box: Served, watched: Watched
) -> None:
    page = watched.open("/settings/alerts")
    expect(page.get_by_role("heading", name="Nobody is told yet")).to_be_visible()
    assert watched.problems() == []
    with http_receiver() as got:
        page.get_by_label("Name").fill("Our hook")
        page.get_by_label("Address").fill(f"json://127.0.0.1:{got.port}/hidden-word")
        page.get_by_role("button", name="Add the channel").click()
        expect(row_of(page, "Our hook")).to_contain_text("Works", timeout=30_000)
        assert len(got.requests) == 1 and "hidden-word" not in page.content()

        got.status = 500
        page.get_by_role("button", name="Send a test message to Our hook").click()
        expect(row_of(page, "Our hook")).to_contain_text("Not reached", timeout=30_000)
        assert watched.problems() == []
        got.status = 200

        with database.connection_context():
            Account.create(
                platform="youtube", remote_id="1", name="Pier", state=AccountState.RECONNECT
            )
        opened = page.get_by_role("link", name="“Pier” (youtube) must be connected again")
        expect(opened).to_be_visible(timeout=30_000)
        expect(row_of(page, "Our hook")).to_contain_text("Works", timeout=30_000)
        assert "Pier" in got.requests[-1][1]["title"]
        assert watched.problems() == []
    page.get_by_role("button", name="Remove Our hook").click()
    expect(page.get_by_role("heading", name="Nobody is told yet")).to_be_visible()


@pytest.mark.parametrize("theme", THEMES)
def test_the_pages_on_a_phone(box: Served, browser: Browser, session: str, theme: str) -> None:
    with database.connection_context():
        channel = AlertChannel.create(
            name="A name that is long enough to need two lines on a phone, for sure",
            service="mailtos", sealed="x:y", error="The service did not take the message: 401.",
        )  # fmt: skip
    with visiting(browser, box.url, session, size="phone", theme=theme) as context:
        watched = Watched(context.new_page())
        one = f"/settings/alerts/{channel.public_id}"
        for path in ("/settings/system", "/settings/alerts", one):
            watched.open(path)
            assert watched.problems() == []


def test_without_script_both_pages_work(box: Served, browser: Browser, session: str) -> None:
    with visiting(browser, box.url, session, script=False) as context:
        page = context.new_page()
        page.goto("/settings/alerts")
        page.get_by_label("Name").fill("Old browser")
        page.get_by_label("Address").fill("syslog://")
        page.get_by_role("button", name="Add the channel").click()
        expect(page.get_by_role("alert")).to_contain_text("would tell the machine, not a person")
        page.goto("/settings/system")
        page.get_by_role("button", name="Check now").click()
        expect(page.get_by_role("heading", name="Check-up")).to_be_visible()
