"""What a person does in a real Chromium, against the whole box in processes of its own."""

from __future__ import annotations

import hashlib
import signal
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests import media
from tests.browsing import Watched, launched, visiting
from tests.end_to_end.box import Box, running_box, wait_for
from tests.end_to_end.sending import PASSWORD, drop, network, padded, slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page, Route

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with running_box(tmp_path_factory.mktemp("browser"), development="true") as box:
        yield box


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def signed_in(box: Box, browser: Browser) -> dict[str, Any]:
    """The cookies of somebody who has signed in, by keyboard alone."""
    with visiting(browser, box.url) as context:
        page = Watched(context.new_page()).open("/")
        assert page.url.endswith("/sign-in")
        page.keyboard.press("Tab")  # the link that skips to the content
        _tab_to(page, "#email")
        page.keyboard.type("owner@example.org")
        _tab_to(page, "#password")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Library")
        return context.storage_state()


@pytest.fixture
def context(box: Box, browser: Browser, signed_in: dict[str, Any]) -> Iterator[BrowserContext]:
    with visiting(browser, box.url) as context:
        context.add_cookies(signed_in["cookies"])
        yield context


@pytest.fixture
def watched(context: BrowserContext) -> Iterator[Watched]:
    watched = Watched(context.new_page())
    yield watched
    assert watched.problems(axe=False) == []


def _tab_to(page: Page, selector: str, *, key: str = "Tab") -> None:
    """Press Tab until the element has the focus, as somebody without a mouse does."""
    for _ in range(60):
        if page.evaluate("(s) => document.activeElement?.matches(s) ?? false", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{selector} can't be reached by {key}")


def _video_id(page: Page) -> str:
    href = page.locator("#uploads .uploads a").first.get_attribute("href")
    assert href is not None
    return href.removeprefix("/videos/")


def test_dropped_video_survives_a_reload_and_arrives_byte_for_byte(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = padded(media.h264_aac(), tmp_path / "Holiday by the sea.mp4", 14_000_000)
    page = watched.open("/")
    slow(page, 2_000_000)
    drop(page, file)

    bar = page.locator("#uploads .uploads progress")
    expect(page.locator("#uploads .uploads li")).to_have_attribute("data-state", "sending")
    wait_for("a quarter is sent", lambda: bar.evaluate("(b) => b.value") > 0.25, seconds=30)
    # The card comes by itself, and shows how far it is.
    card = page.locator("#videos .card", has_text="Holiday by the sea")
    expect(card.locator(".badge")).to_contain_text("Uploading")

    page.reload()
    row = page.locator("#uploads .uploads li")
    expect(row).to_be_visible()
    if row.get_attribute("data-state") == "missing":
        # The browser asks again before it lets a page read the file: one click.
        row.get_by_role("button", name="Resume:").click()
    began = wait_for("it goes on", lambda: bar.evaluate("(b) => b.value"), seconds=20)
    assert began > 0.2, "it began anew instead of going on"
    expect(row).to_have_attribute("data-state", "done", timeout=60_000)

    video_id = _video_id(page)
    box.wait_video(video_id, "ready")
    with box.client() as client:
        original = client.get(f"/media/{video_id}/original").content
    assert hashlib.sha256(original).digest() == hashlib.sha256(file.read_bytes()).digest()
    expect(card.locator(".badge")).to_have_text("Ready")
    expect(card.locator("img")).to_have_js_property("complete", True)


def test_paused_upload_goes_on_and_a_cancelled_one_can_be_undone(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = padded(media.h264_aac(), tmp_path / "Pause me.mp4", 6_000_000)
    page = watched.open("/upload")
    slow(page, 1_500_000)
    page.locator("input[type=file]").set_input_files(str(file))
    row = page.locator("#uploads .uploads li")
    expect(row).to_have_attribute("data-state", "sending")

    row.get_by_role("button", name="Pause:").click()
    expect(row).to_have_attribute("data-state", "paused")
    row.get_by_role("button", name="Cancel:").click()
    expect(row).to_have_attribute("data-state", "cancelled")
    row.get_by_role("button", name="Undo:").click()
    expect(row).to_have_attribute("data-state", "paused")
    row.get_by_role("button", name="Resume:").click()
    expect(row).to_have_attribute("data-state", "done", timeout=30_000)
    box.wait_video(_video_id(page), "ready")


def test_upload_goes_on_while_its_sender_looks_at_other_pages(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = padded(media.h264_aac(), tmp_path / "Look around.mp4", 8_000_000)
    page = watched.open("/upload")
    slow(page, 1_500_000)
    page.locator("input[type=file]").set_input_files(str(file))
    row = page.locator("#uploads .uploads li")
    expect(row).to_have_attribute("data-state", "sending")
    page.get_by_role("link", name="Jobs").click()
    expect(page.locator("h1")).to_have_text("Jobs")
    expect(page).to_have_title("Jobs · Media Appliance")
    assert page.url.endswith("/jobs")
    page.get_by_role("link", name="Library", exact=True).click()
    card = page.locator("#videos .card", has_text="Look around")
    expect(card.locator(".badge")).to_contain_text("Uploading")
    card.get_by_role("link").click()
    expect(page.locator("h1")).to_have_text("Look around")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Library")
    expect(row).to_have_attribute("data-state", "sending")
    expect(row).to_have_attribute("data-state", "done", timeout=30_000)
    # The content that was put in its place is as live as the first one.
    expect(card.locator(".badge")).to_have_text("Ready", timeout=60_000)


def test_upload_waits_for_the_network_and_for_a_box_that_was_killed(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = padded(media.h264_aac(), tmp_path / "Train ride.mp4", 9_000_000)
    page = watched.open("/upload")
    page.locator("upload-panel[data-ready]").wait_for(state="attached")
    cdp = slow(page, 1_500_000)
    network(cdp, 0, offline=True)
    page.locator("input[type=file]").set_input_files(str(file))
    row = page.locator("#uploads .uploads li")
    expect(row).to_contain_text("Waiting for the network")
    network(cdp, 1_500_000)

    bar = row.locator("progress")
    wait_for("a part is sent", lambda: bar.evaluate("(b) => b.value") > 0.2, seconds=60)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    assert box.signal("web", signal.SIGKILL)
    expect(row).to_have_attribute("data-state", "done", timeout=90_000)
    assert "HEAD" in asked, "it went on without asking how much the box still has"
    assert "POST" not in asked, "it began anew instead of going on"
    with box.client() as client:
        original = client.get(f"/media/{_video_id(page)}/original").content
    assert hashlib.sha256(original).digest() == hashlib.sha256(file.read_bytes()).digest()
    watched.errors.clear()  # the broken requests are the point of this test


def test_files_that_are_no_videos_are_refused_before_a_byte_is_sent(
    watched: Watched, tmp_path: Path
) -> None:
    notes = tmp_path / f"notes with a {'very ' * 30}long name.txt"
    notes.write_text("no video")
    (tmp_path / "empty.mp4").touch()
    page = watched.open("/")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "/files" in r.url else None)
    drop(page, notes, tmp_path / "empty.mp4")
    rows = page.locator("#uploads .uploads li")
    expect(rows.nth(0)).to_contain_text("This is no video file")
    expect(rows.nth(1)).to_contain_text("This file is empty")
    assert rows.nth(0).evaluate("(row) => row.scrollWidth <= row.clientWidth")
    assert asked == []


def test_post_from_the_dialog_reaches_the_practice_platform(box: Box, watched: Watched) -> None:
    video = box.wait_video(box.upload(media.h264_aac(), name="Post me.mp4"), "ready")
    page = watched.open(f"/videos/{video['video_id']}")
    page.locator("#post").click()
    form = page.locator("#post-form")
    expect(form).to_be_visible()

    # Nothing chosen: the form stays, says so, and keeps what was typed.
    form.get_by_label("Title", exact=True).fill("Typed by hand")
    form.get_by_role("button", name="Post", exact=True).click()
    expect(form.get_by_role("alert")).to_contain_text("Choose at least one account")
    expect(form.get_by_label("Title", exact=True)).to_have_value("Typed by hand")
    # A limit of the platform is told before anything is sent.
    form.get_by_label("Practice channel").check()
    form.get_by_label("Title", exact=True).fill("x" * 101)
    expect(form.locator(".finding")).to_contain_text("100")
    form.get_by_label("Title", exact=True).fill("Typed by hand")
    expect(form.locator(".finding")).to_have_count(0)

    form.get_by_role("button", name="Post", exact=True).click()
    expect(page.locator("#dialog")).to_be_hidden()
    expect(page.locator("#post")).to_be_focused()
    expect(page.locator("#toasts")).to_contain_text("Posting to Practice channel")
    result = page.locator("#results li").first
    expect(result.locator(".badge")).to_have_text("Posted", timeout=60_000)
    link = result.get_by_role("link", name="Open")
    there = link.get_attribute("href")
    assert there is not None
    watch = watched.page.context.new_page()
    watch.goto(there)
    expect(watch.locator("video")).to_be_visible()
    expect(watch.locator("body")).to_contain_text("Typed by hand")
    watched.errors = [e for e in watched.errors if "422" not in e]  # the empty form, on purpose


def test_whole_way_from_library_to_post_by_keyboard(box: Box, watched: Watched) -> None:
    box.wait_video(box.upload(media.h264_aac(), name="Keyboard way.mp4"), "ready")
    page = watched.open("/")
    page.keyboard.press("/")
    page.keyboard.type("keyb")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Results for “keyb”")
    page.locator("html[data-ready]").wait_for()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#videos h2 a").first).to_be_focused()
    page.keyboard.press("p")
    expect(page.locator("#post-form")).to_be_visible()
    _tab_to(page, "#post-accounts input[type=checkbox]")
    page.keyboard.press("Space")
    expect(page.locator("#post-accounts input:checked")).to_have_count(1)
    _tab_to(page, "#post-form button.primary")
    page.keyboard.press("Enter")
    expect(page.locator("#dialog")).to_be_hidden()
    expect(page.locator("#videos h2 a").first).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page.locator("h1")).to_have_text("Posts")
    expect(page.locator("#posts li").first.locator(".badge")).to_have_text("Posted", timeout=60_000)


def test_without_script_a_video_is_uploaded_posted_and_deleted(
    box: Box, browser: Browser, signed_in: dict[str, Any]
) -> None:
    with visiting(browser, box.url, script=False) as context:
        context.add_cookies(signed_in["cookies"])
        page = context.new_page()
        page.goto("/upload")
        page.locator("input[type=file]").set_input_files(str(media.h264_aac()))
        page.get_by_role("button", name="Upload video").click()
        video_id = page.url.rsplit("/", 1)[-1]
        box.wait_video(video_id, "ready")
        page.goto(f"/videos/{video_id}")
        page.get_by_role("link", name="Post", exact=True).click()
        page.get_by_label("Practice channel").check()
        page.get_by_role("button", name="Post", exact=True).click()
        assert page.url.endswith(f"/videos/{video_id}")
        expect(page.locator("#results li")).to_have_count(1)
        page.locator(".in-place > summary").click()
        page.get_by_label("Title", exact=True).fill("Renamed without script")
        page.get_by_role("button", name="Save changes").click()
        expect(page.locator("h1")).to_have_text("Renamed without script")
        page.get_by_role("button", name="Delete video").click()
        expect(page.locator("main")).to_contain_text("“Renamed without script” is in the bin")
        page.get_by_role("button", name="Undo").click()
        expect(page.locator("h1")).to_have_text("Renamed without script")


def test_badge_on_screen_follows_a_change_within_a_second(box: Box, watched: Watched) -> None:
    video = box.wait_video(box.upload(media.h264_aac(), name="Quick change.mp4"), "ready")
    page = watched.open("/")
    page.locator("html[data-live=on]").wait_for()
    card = page.locator(f"#video-{video['video_id']}")
    expect(card).to_be_visible()
    with box.client() as client:
        client.patch(f"/api/v1/videos/{video['video_id']}", json={"title": "Renamed elsewhere"})
    expect(card.locator("h2")).to_have_text("Renamed elsewhere", timeout=3000)
    with box.client() as client:
        client.delete(f"/api/v1/videos/{video['video_id']}")
    expect(card).to_have_count(0, timeout=3000)


def test_live_updates_go_on_after_the_web_process_came_back(box: Box, watched: Watched) -> None:
    video = box.wait_video(box.upload(media.h264_aac(), name="Restart.mp4"), "ready")
    page = watched.open("/")
    page.locator("html[data-live=on]").wait_for()
    assert box.signal("web", signal.SIGKILL)
    wait_for("the box answers again", box.answers, seconds=30)
    with box.client() as client:
        client.patch(f"/api/v1/videos/{video['video_id']}", json={"title": "After the restart"})
    card = page.locator(f"#video-{video['video_id']}")
    expect(card.locator("h2")).to_have_text("After the restart", timeout=30_000)
    expect(page.locator("#connection")).to_be_hidden()
    watched.errors.clear()  # refused connections are the point of this test


@pytest.mark.parametrize("how", ["refused", "broken"])
def test_region_whose_fetch_failed_catches_up(box: Box, watched: Watched, how: str) -> None:
    video = box.wait_video(box.upload(media.h264_aac(), name="Behind.mp4"), "ready")
    page = watched.open("/")
    page.locator("html[data-live=on]").wait_for()
    card = page.locator(f"#video-{video['video_id']}")

    def fail(route: Route) -> None:
        if how == "broken":
            route.fulfill(status=503, body="<p>The box is starting.</p>")
        else:
            route.abort("connectionrefused")

    page.route("**/_card", fail)
    with box.client() as client, page.expect_request("**/_card"):
        client.patch(f"/api/v1/videos/{video['video_id']}", json={"title": "Missed"})
    expect(page.locator("#connection")).to_be_visible()
    expect(card.locator("h2")).to_have_text("Behind")  # old, but still there
    page.unroute("**/_card")
    # No other event comes: it must ask by itself.
    expect(card.locator("h2")).to_have_text("Missed", timeout=20_000)
    expect(page.locator("#connection")).to_be_hidden()
    watched.errors.clear()  # the failed fetches are the point of this test


def test_page_that_was_offline_catches_up_at_once(box: Box, watched: Watched) -> None:
    video = box.wait_video(box.upload(media.h264_aac(), name="Tunnel.mp4"), "ready")
    page = watched.open("/")
    page.locator("html[data-live=on]").wait_for()
    card = page.locator(f"#video-{video['video_id']}")
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_be_visible()
    with box.client() as client:
        client.patch(f"/api/v1/videos/{video['video_id']}", json={"title": "After the tunnel"})
    added = box.upload(media.h264_aac(), name="Meanwhile.mp4")
    page.context.set_offline(False)
    expect(card.locator("h2")).to_have_text("After the tunnel")
    expect(page.locator(f"#video-{added}")).to_be_visible()
    expect(page.locator("#connection")).to_be_hidden()
    watched.errors.clear()  # what failed without a network is the point of this test
