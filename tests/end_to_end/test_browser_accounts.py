"""A person at the browser connects accounts in practice mode, with a delivery worker at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from appliance import accounts, sessions
from appliance.db import database
from appliance.models import Account, Role, User
from appliance.states import AccountState
from tests.browsing import Watched, launched, visiting
from tests.tasks.publish.posting import working
from tests.web.serving import Served, add_user, prepare, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from appliance.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def box(settings: Settings) -> Iterator[Served]:
    prepare(settings)
    with served(settings) as running, working(running.settings):
        yield running


def session_of(user: User, settings: Settings) -> str:
    with database.connection_context():
        return sessions.start(user, address="127.0.0.1", agent="tests", settings=settings)


def axe_clean(watched: Watched) -> None:
    assert watched.problems() == []


def connect_youtube(watched: Watched) -> None:
    page = watched.open("/settings/accounts")
    axe_clean(watched)
    page.get_by_role("button", name="Try the sign-in: YouTube").click()
    expect(page.get_by_role("heading", name="Practice sign-in to YouTube")).to_be_visible()
    page.get_by_role("link", name="Practice on YouTube", exact=True).click()
    # Live: nobody reloads the page that waits.
    expect(page.get_by_role("heading", name="Connected", exact=True)).to_be_visible(timeout=30_000)
    assert "code=" not in page.url and "state=" not in page.url
    axe_clean(watched)


def choose_pages(page: Page) -> None:
    page.get_by_role("link", name="Pat Practice").click()
    expect(page.get_by_role("heading", name="Which accounts?")).to_be_visible(timeout=30_000)
    page.get_by_role("checkbox", name="Second Practice Page").uncheck()


def test_accounts_come_in_live_and_are_kept_an_eye_on(box: Served) -> None:
    owner = add_user("owner@example.org", Role.OWNER)
    with (
        launched() as browser,
        visiting(browser, box.url, session_of(owner, box.settings)) as window,
    ):
        watched = Watched(window.new_page())
        connect_youtube(watched)

        page = watched.open("/settings/accounts")
        page.get_by_role("button", name="Try the sign-in: Facebook").click()
        choose_pages(page)
        axe_clean(watched)
        page.get_by_role("button", name="Connect these").click()
        expect(page.get_by_role("heading", name="Connected", exact=True)).to_be_visible()
        expect(page.get_by_role("link", name="@practice.page")).to_be_visible()

        # What is lost elsewhere shows on the open page by itself, and on the library.
        page = watched.open("/settings/accounts")
        with database.connection_context():
            account = Account.get(Account.platform == "youtube")
            accounts.mark_lost(account, "Google no longer accepts the sign-in.")
        line = page.locator(f"#account-{account.public_id}")
        expect(line).to_contain_text("Reconnect needed")
        axe_clean(watched)
        page = watched.open("/")
        expect(page.get_by_text("Reconnect needed: Practice on YouTube (YouTube)")).to_be_visible()
        axe_clean(watched)
        page.get_by_role("link", name="Open the account Practice on YouTube").click()
        page.get_by_role("button", name="Reconnect").click()
        page.get_by_role("link", name="Practice on YouTube", exact=True).click()
        expect(page.get_by_role("heading", name="Connected", exact=True)).to_be_visible(
            timeout=30_000
        )

        page = watched.open(f"/settings/accounts/{account.public_id}")
        axe_clean(watched)
        page.get_by_role("link", name="Disconnect").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("What was posted stays there.")
        axe_clean(watched)
        dialog.get_by_role("button", name="Disconnect the account").click()
        expect(page.get_by_text("The account is disconnected.")).to_be_visible()
        expect(page.locator(f"#account-{account.public_id}")).to_have_count(0)

        for path in ("/settings/set-up/google", "/settings/set-up/meta", "/privacy"):
            watched.open(path)
            axe_clean(watched)
        with database.connection_context():
            states = {row.platform: row.state for row in Account.select().where(Account.practice)}
        assert states == {
            "youtube": AccountState.DISABLED,
            "facebook": AccountState.CONNECTED,
            "instagram": AccountState.CONNECTED,
        }


def test_without_script_the_page_reloads_until_it_is_done(box: Served) -> None:
    owner = add_user("owner@example.org", Role.OWNER)
    token = session_of(owner, box.settings)
    with launched() as browser, visiting(browser, box.url, token, script=False) as window:
        page = window.new_page()
        page.goto("/settings/accounts")
        page.get_by_role("button", name="Make practice accounts").click()
        expect(page.get_by_text("appear below in a moment")).to_be_visible()
        page.goto("/settings/accounts")
        page.get_by_role("button", name="Try the sign-in: YouTube").click()
        page.get_by_role("link", name="Second practice channel").click()
        expect(page.get_by_role("heading", name="Connected", exact=True)).to_be_visible(
            timeout=30_000
        )
