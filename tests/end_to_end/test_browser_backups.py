"""Settings → Backups in a real browser: the key that is shown once, a backup that is removed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from appliance import sessions
from appliance.db import database
from storage.backups import recovery_key
from storage.backups.folder import BackupFolder
from storage.backups.keys import known_key
from storage.layout import Layout
from tests.browsing import Watched, launched, visiting
from tests.storage.backups.boxes import add_video
from tests.tasks.publish.posting import working
from tests.web.serving import add_user, prepare, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

PAGE = "/settings/backups"


@pytest.fixture
def watched(settings: Settings) -> Iterator[Watched]:
    prepare(settings)
    Layout(settings.data).make_folders()
    with served(settings) as box, working(box.settings), launched() as browser:
        user = add_user()
        with database.connection_context():
            session = sessions.start(user, address="::1", agent="tests", settings=box.settings)
            add_video(Layout(settings.data))
        with visiting(browser, box.url, session) as context:
            yield Watched(context.new_page())


def test_a_key_is_shown_once_and_a_backup_goes_when_that_is_confirmed(
    settings: Settings, watched: Watched
) -> None:
    page = watched.open(PAGE)
    page.get_by_role("link", name="Make the recovery key").first.click()
    assert watched.problems() == []
    page.get_by_role("button", name="Make the key and show it").click()
    shown = page.locator("#fresh-key")
    key = shown.inner_text()
    with database.connection_context():
        known = known_key()
    assert known is not None and recovery_key.fits(key, known.verifier)
    assert watched.problems() == []
    # Not again: not on this page, nor by going back or on to where it was.
    page.get_by_role("link", name="I have written it down").click()
    expect(page.get_by_role("heading", name="How to restore")).to_be_visible()
    assert key not in page.content()
    page.goto(f"{PAGE}/key")
    expect(page.get_by_text("There is a key already")).to_be_visible()
    assert key not in page.content()

    page = watched.open(PAGE)
    page.get_by_role("button", name="Back up now").click()
    delete = page.get_by_role("link", name=re.compile("Delete 20"))
    expect(delete).to_be_visible(timeout=30_000)  # live: nobody reloads the page
    (name,) = BackupFolder(settings.backups).names()
    assert watched.problems() == []
    delete.click()
    expect(page.get_by_text("It is the only backup there is.")).to_be_visible()
    assert watched.problems() == []
    page.get_by_role("link", name="Keep it").click()
    expect(delete).to_be_visible()
    assert BackupFolder(settings.backups).names() == [name]
    delete.click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("No backups yet")).to_be_visible(timeout=30_000)
    assert BackupFolder(settings.backups).names() == []
