"""Recording a screen, in a real Chromium with a screen and a microphone of its own making."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browsing import Watched, axe_violations, launched, visiting
from tests.end_to_end.box import Box, running_box, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

FAKES = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
# Chromium's fake screen is a camera inside, and our policy says that pages use none.
HARMLESS = "Permissions policy violation: camera"

LOCAL_SHA256 = """async () => {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("recordings");
  for await (const [, handle] of folder.entries()) {
    const bytes = await (await handle.getFile()).arrayBuffer();
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
  }
}"""

KEPT = """async () => {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("recordings", { create: true });
  let names = [];
  for await (const name of folder.keys()) names.push(name);
  return names.length + Object.keys(localStorage).filter((k) => k.startsWith("recording:")).length;
}"""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with running_box(tmp_path_factory.mktemp("record"), development="true") as box:
        yield box


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched(*FAKES) as browser:
        yield browser


@pytest.fixture(scope="module")
def cookies(box: Box, browser: Browser) -> Any:
    with visiting(browser, box.url) as context:
        page = Watched(context.new_page()).open("/sign-in")
        page.fill("#email", "owner@example.org")
        page.fill("#password", "correct horse battery")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Library")
        return context.storage_state()["cookies"]


@pytest.fixture
def context(box: Box, browser: Browser, cookies: Any) -> Iterator[BrowserContext]:
    with visiting(browser, box.url) as context:
        context.add_cookies(cookies)
        yield context


@pytest.fixture
def watched(context: BrowserContext) -> Iterator[Watched]:
    watched = Watched(context.new_page())
    yield watched
    assert [p for p in watched.problems(axe=False) if HARMLESS not in p] == []


def part(page: Page, name: str) -> Any:
    return page.locator(f"[data-part={name}]")


def start(page: Page) -> None:
    part(page, "start").click()
    page.locator("[data-step=recording]").wait_for()
    expect(part(page, "kept")).to_have_text(re.compile("[kM]B"))  # the first second is there


def stop(page: Page) -> str:
    """The sha256 of what is kept in the browser."""
    part(page, "stop").click()
    page.locator("[data-step=review]").wait_for()
    digest = page.evaluate(LOCAL_SHA256)
    assert isinstance(digest, str)
    return digest


def arrived(box: Box, title: str) -> Any:
    def look() -> Any:
        found = box.get("/api/v1/videos")["items"]
        return next(
            (v for v in found if v["title"] == title and v["state"] in ("ready", "failed")), None
        )

    return wait_for(f"“{title}” is ready", look)


def original_sha256(box: Box, video: Any) -> str:
    path = box.data / "media" / video["video_id"] / "original"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_recording_is_looked_at_named_and_sent(box: Box, watched: Watched) -> None:
    page = watched.open("/record")
    assert axe_violations(page) == []
    part(page, "meanwhile").uncheck()
    start(page)
    assert axe_violations(page) == []
    assert float(part(page, "meter").evaluate("(meter) => meter.value")) >= 0
    digest = stop(page)
    assert axe_violations(page) == []
    expect(part(page, "film")).to_have_js_property("videoWidth", 1280)
    part(page, "title").fill("How to file a report")
    page.keyboard.press("Enter")
    page.locator("[data-step=sent]").wait_for()
    video = arrived(box, "How to file a report")
    assert (video["state"], video["source"]) == ("ready", "recording")
    assert original_sha256(box, video) == digest
    page.wait_for_function(KEPT.replace("return names", "return 0 === names"))


def test_bytes_arrive_while_the_screen_is_recorded(box: Box, watched: Watched) -> None:
    page = watched.open("/record")
    start(page)

    def receiving() -> Any:
        uploads = box.data / "uploads"
        return any(file.stat().st_size > 10_000 for file in uploads.iterdir())

    wait_for("bytes on the box before the recording ends", receiving)
    part(page, "pause").click()
    expect(part(page, "state")).to_have_text("Paused")
    paused_at = part(page, "time").text_content()
    part(page, "pause").click()
    expect(part(page, "time")).not_to_have_text(paused_at or "")
    digest = stop(page)
    part(page, "title").fill("Sent meanwhile")
    page.keyboard.press("Enter")
    video = arrived(box, "Sent meanwhile")
    assert original_sha256(box, video) == digest
    page.wait_for_function(KEPT.replace("return names", "return 0 === names"))


def test_what_a_lost_page_had_recorded_is_offered_again(
    box: Box, context: BrowserContext, watched: Watched
) -> None:
    lost = context.new_page()
    Watched(lost).open("/record")
    start(lost)
    wait_for("some seconds are kept", lambda: part(lost, "time").text_content() >= "0:03")
    lost.close()  # as a crash would: no goodbye

    page = watched.open("/record")
    row = page.locator(".unsent")
    expect(row).to_contain_text("Screen recording")
    assert axe_violations(page) == []
    digest = page.evaluate(LOCAL_SHA256)
    with page.expect_download() as download:
        row.get_by_text("Save on this device").click()
    assert hashlib.sha256(download.value.path().read_bytes()).hexdigest() == digest
    title = (row.locator("p").text_content() or "").split("”")[0].removeprefix("“")
    row.get_by_text("Upload", exact=True).click()
    video = arrived(box, title)
    assert video["state"] == "ready"
    assert original_sha256(box, video) == digest
    expect(row).to_have_count(0)
    # What the lost page had sent meanwhile is no upload any more.
    wait_for("no upload is open", lambda: not list((box.data / "uploads").iterdir()))


def test_discarding_can_be_undone_and_then_leaves_nothing(box: Box, watched: Watched) -> None:
    page = watched.open("/record")
    start(page)
    stop(page)
    part(page, "discard").click()
    page.locator(".toast").get_by_text("Undo").click()
    page.locator("[data-step=review]").wait_for()
    part(page, "discard").click()
    page.wait_for_function(KEPT.replace("return names", "return 0 === names"), timeout=15_000)
    wait_for("no upload is open", lambda: not list((box.data / "uploads").iterdir()))


def test_a_refusal_says_how_to_allow_it(context: BrowserContext) -> None:
    context.add_init_script(
        "MediaDevices.prototype.getDisplayMedia = "
        "() => Promise.reject(new DOMException('Permission denied', 'NotAllowedError'))"
    )
    page = Watched(context.new_page()).open("/record")
    part(page, "start").click()
    expect(part(page, "problem")).to_contain_text("Start again and choose")
    expect(part(page, "start")).to_be_enabled()
    assert axe_violations(page) == []


def test_phones_are_shown_the_way_to_uploading(box: Box, browser: Browser, cookies: Any) -> None:
    with visiting(browser, box.url, size="phone") as context:
        context.add_cookies(cookies)
        context.add_init_script("delete MediaDevices.prototype.getDisplayMedia")
        watched = Watched(context.new_page())
        page = watched.open("/record")
        expect(page.locator("[data-step=unsupported]")).to_be_visible()
        assert watched.problems() == []
