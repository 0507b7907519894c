"""The whole way of a post in a real Chromium: accounts by one click, a post to three platforms,
results that come by themselves, one that fails and is sent again alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from appliance import sessions
from appliance.settings import Settings
from tests.browsing import Watched, launched, visiting
from tests.tasks.publish.posting import Poster, connected, posting, working
from web.practice.meta import videos

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

ACCOUNTS = {
    "youtube": "Practice on YouTube",
    "facebook": "Practice Page",
    "instagram": "@practice.page",
}


@pytest.fixture
def box(settings: Settings) -> Iterator[Poster]:
    with posting(settings.model_copy(update={"sweep_s": 0.5, "development": True})) as poster:
        yield poster


@pytest.fixture
def watched(box: Poster) -> Iterator[Watched]:
    with connected():
        token = sessions.start(box.user, address="127.0.0.1", agent="tests", settings=box.settings)
    with launched() as browser, visiting(browser, box.url, token) as context:
        yield Watched(context.new_page())


def test_from_no_account_to_three_posts(box: Poster, watched: Watched) -> None:
    with working(box.settings):
        make_accounts(watched)
    break_youtube(watched)

    video = box.video(title="Harbour at dawn", duration_s=20.0)
    page = watched.open(f"/videos/{video.public_id}")
    compose(page)
    # Nobody delivers anything yet: it can't have waited for a platform.
    expect(page.locator("#dialog")).to_be_hidden()
    expect(page.locator("#toasts")).to_contain_text("Posting to 3 accounts")

    page = watched.open("/posts")
    page.get_by_role("link", name="Harbour at dawn").first.click()
    told, badge = page.locator(".told"), page.locator("article header .badge")
    expect(told).to_have_text("Your video is queued for posting...")
    with working(box.settings):
        # Nobody reloads: what is shown comes over the stream.
        expect(line_of(page, "facebook").locator(".badge")).to_have_text("Posted", timeout=30_000)
        expect(line_of(page, "instagram").locator(".badge")).to_have_text("Posted", timeout=30_000)
        expect(line_of(page, "youtube").locator(".badge")).to_have_text("Failed", timeout=30_000)
        expect(badge).to_have_text("Partly posted")
        expect(told).to_contain_text("not to YouTube.")
        assert there(box) == {"youtube": 1, "facebook": 1, "instagram": 1}
        before = ids_there(box)

        line_of(page, "youtube").get_by_role("button", name="Retry").click()
        expect(badge).to_have_text("Posted", timeout=30_000)
        expect(told.get_by_role("link")).to_have_count(3)
    assert there(box) == {"youtube": 1, "facebook": 1, "instagram": 1}
    after = ids_there(box)
    assert {name for name in after if after[name] != before[name]} == {"youtube"}
    assert watched.problems() == []
    for platform in ACCOUNTS:
        page = watched.open(f"/practice/of/{platform}")
        expect(page.get_by_role("row", name="Harbour at dawn")).to_have_count(1)


def make_accounts(watched: Watched) -> None:
    page = watched.open("/settings/accounts")
    page.get_by_role("button", name="Make practice accounts").click()
    for name in ACCOUNTS.values():
        # They come in live.
        expect(page.get_by_role("link", name=name).first).to_be_visible(timeout=30_000)
    assert watched.problems() == []


def break_youtube(watched: Watched) -> None:
    page = watched.open("/practice/of/youtube")
    fault = page.locator(".faults > li", has_text="The next video is called unfit.")
    fault.get_by_role("button").click()
    expect(page.get_by_role("button", name="Clear")).to_be_visible()


def compose(page: Page) -> None:
    page.locator("#post").click()
    form = page.locator("#post-form")
    for name in ACCOUNTS.values():
        account = form.locator(".choice", has=page.get_by_text(name, exact=True))
        account.locator("input[name=accounts]").check()
        expect(account.locator(".card")).to_be_attached()
    expect(form.locator("[aria-busy]")).to_have_count(0)
    form.get_by_role("button", name="Post", exact=True).last.click()


def line_of(page: Page, platform: str) -> Locator:
    return page.locator(f".results > li[data-platform={platform}]")


def ids_there(box: Poster) -> dict[str, list[str]]:
    """What the stand-ins have, by their own lists."""
    state: Any = box.running.app.state
    return {
        "youtube": [video["id"] for video in state.google.ground.all("video")],
        "facebook": [video["id"] for video in videos.published(state.meta)],
        "instagram": [reel["id"] for reel in state.meta.instagram.containers.published()],
    }


def there(box: Poster) -> dict[str, int]:
    return {name: len(ids) for name, ids in ids_there(box).items()}
