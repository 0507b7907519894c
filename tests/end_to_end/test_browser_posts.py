"""Posting seen in a real Chromium: live results, one that fails and its retry, change, removal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from appliance import accounts, sessions
from appliance.models import Account
from appliance.settings import Settings
from tests.browsing import Watched, launched, visiting
from tests.tasks.publish.posting import Poster, connected, posting, working
from web.practice.google import grants
from web.practice.ground import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poster]:
    data = tmp_path_factory.mktemp("posts") / "data"
    with posting(Settings(data=data, sweep_s=0.5, development=True)) as poster:
        vault = poster.running.app.state.vault
        token = grants.grant(poster.running.app.state.google.ground)["access_token"]
        with connected():
            accounts.ensure_builtin(poster.settings, vault)
            channel = Account.create(
                platform="youtube",
                name="Practice channel",
                remote_id=grants.CHANNELS[0]["id"],
                practice=True,
            )
            accounts.seal(vault, channel, {"access_token": token})
        yield poster


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def watched(box: Poster, browser: Browser) -> Iterator[Watched]:
    with connected():
        token = sessions.start(box.user, address="127.0.0.1", agent="tests", settings=box.settings)
    with visiting(browser, box.url, token) as context:
        yield Watched(context.new_page())


def videos_there(box: Poster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = box.running.app.state.google.ground.all("video")
    return found


def line_of(page: Page, platform: str) -> Locator:
    return page.locator(f".results > li[data-platform={platform}]")


def test_results_come_live_and_only_what_failed_is_sent_again(
    box: Poster, watched: Watched
) -> None:
    google = box.running.app.state.google
    google.ground.set_faults([Fault("videos.insert", "refuse", "forbidden")])
    post = box.post(box.video(), "youtube", "practice", "folder", title="Harbour at dawn")
    page = watched.open(f"/posts/{post.public_id}")
    told, badge = page.locator(".told"), page.locator("article header .badge")
    expect(told).to_have_text("Your video is queued for posting...")
    assert watched.problems() == []

    with working(box.settings):
        # Nobody reloads: what is shown comes over the stream.
        expect(line_of(page, "youtube").locator(".badge")).to_have_text("Failed")
        expect(line_of(page, "practice").locator(".badge")).to_have_text("Posted")
        expect(badge).to_have_text("Partly posted")
        expect(told).to_contain_text("not to YouTube.")
        link = line_of(page, "practice").get_by_role("link", name="Open")
        expect(link).to_have_attribute("href", box.settings.base_url + "/practice/v/"
                                       + (box.received()[0].post_id or ""))  # fmt: skip
        folded = line_of(page, "youtube").locator("details")
        expect(folded).not_to_have_attribute("open", "")
        folded.locator("summary").click()
        expect(folded).to_contain_text("told to refuse")
        assert watched.problems() == []

        line_of(page, "youtube").get_by_role("button", name="Retry").click()
        expect(badge).to_have_text("Posted")
        expect(told).to_contain_text("Posted successfully! View on:")
        expect(told.get_by_role("link")).to_have_text(["YouTube in a new tab ↗",
                                                       "Practice in a new tab ↗"])  # fmt: skip
    assert len(videos_there(box)) == 1
    assert len(box.received()) == 1
    assert watched.problems() == []


def test_a_post_is_changed_and_removed_where_it_is(box: Poster, watched: Watched) -> None:
    google = box.running.app.state.google
    for video in videos_there(box):
        google.ground.remove("video", video["id"])
    post = box.post(box.video(), "youtube", title="Before")
    page = watched.open(f"/posts/{post.public_id}")
    line = line_of(page, "youtube")
    change = line.get_by_role("link", name="Change text")
    remove = line.get_by_role("link", name="Remove")
    dialog = page.locator("#dialog")
    with working(box.settings):
        expect(line.locator(".badge")).to_have_text("Posted")
    change.click()
    dialog.get_by_label("Title").fill("<b>")
    dialog.get_by_role("button", name="Change it on YouTube").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(dialog.get_by_label("Title")).to_have_value("<b>")
    dialog.get_by_label("Title").fill("After")
    dialog.get_by_role("button", name="Change it on YouTube").click()
    expect(dialog).to_be_hidden()
    expect(change).to_have_count(0)  # while that is under way
    with working(box.settings):
        expect(line).to_contain_text("Text changed there")
        expect(change).to_be_focused()
        assert videos_there(box)[0]["snippet"]["title"] == "After"

        remove.click()
        expect(dialog.locator("h2")).to_have_text("Remove it from YouTube?")
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(remove).to_be_focused()
        assert len(videos_there(box)) == 1
        remove.click()
        dialog.get_by_role("button", name="Remove it from YouTube").click()
        expect(line.locator(".badge")).to_have_text("Removed there")
    assert videos_there(box) == []
    watched.errors = [e for e in watched.errors if "422" not in e]  # the title, on purpose
    assert watched.problems() == []


def test_without_a_stream_the_page_asks_by_itself(box: Poster, watched: Watched) -> None:
    watched.page.route("**/api/v1/events", lambda route: route.abort())
    post = box.post(box.video(), "folder")
    page = watched.open(f"/posts/{post.public_id}")
    expect(page.locator(".told")).to_have_text("Your video is queued for posting...")
    with working(box.settings):
        expect(page.locator(".told")).to_have_text("Posted successfully!", timeout=30_000)
