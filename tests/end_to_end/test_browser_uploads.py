"""Uploading in a real Chromium: judged before it is sent, and never lost while it is."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import expect

from tests import media
from tests.browsing import Watched, launched, visiting
from tests.end_to_end.box import Box, running_box, sha256, wait_for
from tests.end_to_end.sending import drop, network, padded, rows, sign_in, slow, video_id
from tests.iso_boxes import boxes, index_last
from tests.web.test_index_move import packets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page, Request, Route

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

MOST = 30_000_000


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("uploads")
    with running_box(
        folder, development="true", max_upload_bytes=MOST, auto_renditions="false"
    ) as it:
        yield it


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def cookies(box: Box, browser: Browser) -> list[Any]:
    return sign_in(box, browser)


@pytest.fixture
def context(box: Box, browser: Browser, cookies: list[Any]) -> Iterator[BrowserContext]:
    with visiting(browser, box.url) as context:
        context.add_cookies(cookies)
        yield context


@pytest.fixture
def watched(context: BrowserContext) -> Iterator[Watched]:
    watched = Watched(context.new_page())
    yield watched
    assert watched.problems(axe=False) == []


def _sent(page: Page) -> list[Request]:
    """Requests to the upload addresses, as they are made from now on."""
    seen: list[Request] = []
    page.on("request", lambda r: seen.append(r) if "/files" in r.url else None)
    return seen


def _same_bytes(box: Box, video: str, file: Path) -> bool:
    with box.client() as client:
        original = client.get(f"/media/{video}/original").content
    return sha256(original) == sha256(file.read_bytes())


def _noisy(name: Path, size_bytes: int) -> Path:
    return padded(media.h264_aac(), name, size_bytes)


def _wait_part(page: Page, part: float) -> None:
    bar = rows(page).first.locator("progress")
    wait_for(f"{part} is sent", lambda: bar.evaluate("(b) => b.value") > part, seconds=40)


# Before a byte is sent


def test_what_can_not_be_taken_is_refused_before_a_request_is_made(
    watched: Watched, tmp_path: Path
) -> None:
    files = {
        "notes.mp4": b"Dear all, here is the video.",
        "paper.mov": b"%PDF-1.7 and so on",
        "photo.mkv": b"\x89PNG\r\n\x1a\n" + bytes(40),
        "old.wmv": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        "empty.mp4": b"",
        "long.mp4": media.very_long().read_bytes(),
        "cut.mp4": media.truncated_without_index().read_bytes(),
    }
    says = [
        "This is no video file: it holds text. Choose the video itself.",
        "This is no video file: it holds a PDF.",
        "This is no video file: it holds a picture.",
        "The box can't read WMV. Export the video as MP4, then send that.",
        "This file is empty.",
        "This video is 7 h long; the box takes up to 6 h. Cut it into parts.",
        "The index at the end of this video is missing: its recording or its copy was cut off.",
        "This file has 30.1 MB; the box takes up to 30.0 MB. Export it smaller.",
    ]
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    large = _noisy(tmp_path / "zz large.mp4", MOST)
    page = watched.open("/upload")
    asked = _sent(page)
    page.locator("input[type=file]").set_input_files([*(tmp_path / name for name in files), large])
    for row, words in zip(range(len(says)), says, strict=True):
        expect(rows(page).nth(row)).to_contain_text(words)
        expect(rows(page).nth(row)).to_have_attribute("data-state", "refused")
    assert asked == []
    expect(page.locator(".tray-head span")).to_have_text("8 files were not sent")
    page.get_by_role("button", name="Remove: notes.mp4").click()
    expect(rows(page)).to_have_count(7)
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#uploads")).to_be_hidden()


def test_room_is_looked_for_before_and_asked_again(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = _noisy(tmp_path / "Much.mp4", 3_000_000)
    page = watched.open("/upload")
    asked = _sent(page)

    def tell(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "room_bytes": 2_000_000})

    page.route("**/api/v1/uploads/limits", tell)
    page.locator("input[type=file]").set_input_files(file)
    row = rows(page).first
    expect(row).to_contain_text("the box has room for 2.0 MB")
    assert asked == []
    page.unroute("**/api/v1/uploads/limits")
    row.get_by_role("button", name="Retry:").click()
    expect(row).to_have_attribute("data-state", "done")
    assert _same_bytes(box, video_id(row), file)


def test_file_that_was_sent_before_is_only_sent_again_when_asked(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = _noisy(tmp_path / "Twice.mp4", 1_000)
    page = watched.open("/upload")
    page.locator("input[type=file]").set_input_files(file)
    expect(rows(page).first).to_have_attribute("data-state", "done")
    first = video_id(rows(page).first)
    renamed = tmp_path / "Renamed.mp4"
    renamed.write_bytes(file.read_bytes())
    page.reload()
    asked = _sent(page)
    page.locator("input[type=file]").set_input_files([file, renamed])
    expect(rows(page).nth(0)).to_contain_text("This file is on the box already, sent today.")
    expect(rows(page).nth(1)).to_contain_text("This file is on the box already, sent today.")
    page.get_by_role("button", name="Skip: Renamed.mp4").click()
    assert asked == []
    page.get_by_role("button", name="Upload again: Twice.mp4").click()
    expect(rows(page).first).to_have_attribute("data-state", "done")
    second = video_id(rows(page).first)
    assert first != second
    # Deleted videos aren't there any more: then nothing is asked.
    with box.client() as client:
        for video in (first, second):
            assert client.delete(f"/api/v1/videos/{video}").status_code < 300
    page.reload()
    page.locator("input[type=file]").set_input_files(file)
    expect(rows(page).first).to_have_attribute("data-state", "done")
    watched.errors.clear()  # that the deleted one is not found is the point


# Ways in


@pytest.fixture
def lendable() -> Iterator[Path]:
    """Chromium lends no handle of a folder below /dev, where tmp_path is when it is in memory."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("way", ["handles", "entries", "button"])
def test_folder_is_sent_without_what_the_system_left_in_it(
    box: Box, watched: Watched, lendable: Path, way: str
) -> None:
    card = lendable / f"DCIM {way}"
    (card / "100MEDIA").mkdir(parents=True)
    for number, name in enumerate(["A 1.mp4", "100MEDIA/B 10.mp4", "100MEDIA/B 2.mp4"]):
        _noisy(card / name, 1000 + number)
    for name in (".DS_Store", "100MEDIA/._B 2.mp4", "100MEDIA/.a.mp4"):
        (card / name).write_bytes(b"\0\0system")
    (card / "100MEDIA/index.xml").write_text("<clips/>")
    if way == "entries":  # as in browsers that lend no handles
        watched.page.add_init_script("delete DataTransferItem.prototype.getAsFileSystemHandle")
    page = watched.open("/upload")
    if way == "button":
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose a folder").click()
        chooser.value.set_files(card)
    else:
        drop(page, card)
    expect(rows(page)).to_have_count(3)
    for name in ["B 2.mp4", "B 10.mp4", "A 1.mp4"]:
        row = rows(page).filter(has_text=name)
        expect(row).to_have_attribute("data-state", "done")
    note = page.locator("#uploads .note")
    expect(note).to_contain_text("Skipped 3 hidden or system files and 1 file that is no video.")
    note.get_by_text("Which").click()
    expect(note).to_contain_text("100MEDIA/index.xml")
    box.wait_video(video_id(rows(page).last), "ready", "received", "processing")


def test_pasted_files_are_sent_but_not_those_meant_for_a_field(
    watched: Watched,
) -> None:
    page = watched.open("/")
    clip = list(media.h264_aac().read_bytes())
    paste = """([bytes, target]) => {
      const files = new DataTransfer();
      files.items.add(new File([new Uint8Array(bytes)], "Pasted.mp4", { type: "video/mp4" }));
      const event = { clipboardData: files, bubbles: true, cancelable: true };
      document.querySelector(target).dispatchEvent(new ClipboardEvent("paste", event));
    }"""
    page.evaluate(paste, [clip, "input[type=search]"])
    page.evaluate(paste, [clip, "main"])
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_contain_text("Pasted.mp4")
    expect(rows(page).first).to_have_attribute("data-state", "done")


def test_three_are_sent_at_once_and_the_rest_wait_for_their_turn(
    watched: Watched, tmp_path: Path
) -> None:
    files = [_noisy(tmp_path / f"Part {n}.mp4", 700_000 + n) for n in range(5)]
    (tmp_path / "no.txt").write_text("not counted")
    page = watched.open("/upload")
    cdp = slow(page, 400_000)
    page.locator("input[type=file]").set_input_files([*files, tmp_path / "no.txt"])
    states = """() => [...document.querySelectorAll("#uploads .uploads > li")]
      .map((row) => row.dataset.state)"""
    started = ["sending"] * 3 + ["waiting"] * 2 + ["refused"]
    wait_for("three are sent", lambda: page.evaluate(states) == started, seconds=20)
    expect(page.locator(".tray-head span")).to_contain_text("Uploading 1 of 5, ")
    # One that is held doesn't hold the others up, and isn't counted.
    rows(page).nth(1).get_by_role("button", name="Pause:").click()
    expect(rows(page).nth(3)).to_have_attribute("data-state", "sending")
    expect(page.locator(".tray-head span")).to_contain_text("of 4, ")
    network(cdp, -1)
    for row in (0, 2, 3, 4):
        expect(rows(page).nth(row)).to_have_attribute("data-state", "done")
    expect(page.locator(".tray-head span")).to_have_text("Unfinished uploads")
    rows(page).nth(1).get_by_role("button", name="Resume:").click()
    expect(rows(page).nth(1)).to_have_attribute("data-state", "done")
    expect(page.locator(".tray-head span")).to_have_text("5 videos uploaded")


# Broken networks, pages and promises


def test_offline_upload_waits_and_goes_on_by_itself(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = _noisy(tmp_path / "Tunnel.mp4", 4_000_000)
    page = watched.open("/upload")
    cdp = slow(page, 1_000_000)
    page.locator("input[type=file]").set_input_files(file)
    _wait_part(page, 0.3)
    asked = _sent(page)
    network(cdp, 0, offline=True)
    expect(rows(page).first).to_contain_text("Waiting for the network. It goes on by itself.")
    network(cdp, -1)
    expect(rows(page).first).to_have_attribute("data-state", "done", timeout=30_000)
    assert "POST" not in [request.method for request in asked], "it began anew"
    assert _same_bytes(box, video_id(rows(page).first), file)
    watched.errors.clear()  # what failed without a network is the point of this test


def test_what_is_dropped_while_the_code_can_not_be_loaded_is_kept(
    watched: Watched, tmp_path: Path
) -> None:
    page = watched.open("/")
    page.route("**/static/upload-*.js", lambda route: route.abort("internetdisconnected"))
    drop(page, _noisy(tmp_path / "Early.mp4", 1_000))
    expect(page.locator("#toasts")).to_contain_text("Uploads begin once the network is back.")
    page.unroute("**/static/upload-*.js")
    expect(rows(page).first).to_have_attribute("data-state", "done", timeout=20_000)
    watched.errors.clear()  # what could not be loaded is the point of this test


def test_chosen_file_goes_on_after_a_reload_and_another_one_is_not_spliced_in(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = _noisy(tmp_path / "Reload me.mp4", 5_000_000)
    page = watched.open("/upload")
    cdp = slow(page, 1_500_000)
    page.locator("input[type=file]").set_input_files(file)
    _wait_part(page, 0.3)
    page.on("dialog", lambda dialog: dialog.accept())  # leaving would stop the bytes: it asks
    page.reload()
    row = rows(page).first
    expect(row).to_contain_text("Choose the same file to go on.")
    page.on("request", lambda r: asked.append(r) if "/files" in r.url else None)
    asked: list[Request] = []

    # Same name, same length, same beginning and end: but others' bytes between.
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    whole = bytearray(file.read_bytes())
    whole[2_000_000:3_000_000] = os.urandom(1_000_000)
    other.write_bytes(whole)
    for choice, words in (
        (other, "That is another file. Choose “Reload me.mp4”, as it was."),
        (file, ""),
    ):
        with page.expect_file_chooser() as chooser:
            row.get_by_role("button", name="Choose the same file:").click()
        chooser.value.set_files(choice)
        if words:
            expect(row).to_contain_text(words)
            assert asked == []
    network(cdp, -1)
    expect(row).to_have_attribute("data-state", "done", timeout=30_000)
    assert [request.method for request in asked][:2] == ["HEAD", "PATCH"]
    assert int(asked[1].headers["upload-offset"]) > 1_000_000
    assert _same_bytes(box, video_id(row), file)


def test_two_tabs_with_the_same_file_make_one_video(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = _noisy(tmp_path / "Two tabs.mp4", 5_000_000)
    first = watched.open("/upload")
    slow(first, 800_000)
    first.locator("input[type=file]").set_input_files(file)
    _wait_part(first, 0.1)
    second = Watched(first.context.new_page())
    page = second.open("/upload")
    expect(rows(page).first).to_contain_text("Another tab of this browser is sending this file.")
    asked = _sent(page)
    page.locator("input[type=file]").set_input_files(file)
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_have_attribute("data-state", "elsewhere")
    expect(rows(first).first).to_have_attribute("data-state", "sending")
    first.close(run_before_unload=False)
    expect(rows(page).first).to_have_attribute("data-state", "done", timeout=30_000)
    assert "POST" not in [request.method for request in asked]
    assert _same_bytes(box, video_id(rows(page).first), file)
    watched.page = page


def test_full_box_is_waited_for_and_a_cancelled_upload_says_who_ended_it(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = _noisy(tmp_path / "Full.mp4", 3_000_000)
    page = watched.open("/upload")
    sentence = "The box has run out of room. What has arrived is kept."

    def full(route: Route) -> None:
        headers = {"Tus-Resumable": "1.0.0", "Retry-After": "1"}
        route.fulfill(status=507, headers=headers, content_type="text/plain", body=sentence)

    page.route("**/files/*", lambda r: full(r) if r.request.method == "PATCH" else r.continue_())
    page.locator("input[type=file]").set_input_files(file)
    row = rows(page).first
    expect(row).to_contain_text("Waiting for room on the box.")
    expect(row).to_contain_text(sentence)
    slow(page, 500_000)
    page.unroute("**/files/*")
    _wait_part(page, 0.1)

    # Somebody ends it while bytes flow.
    with box.client() as client:
        found = client.get("/api/v1/uploads").json()["items"]
        (upload,) = [one for one in found if one["filename"] == file.name]
        assert client.delete(f"/api/v1/uploads/{upload['upload_id']}").status_code < 300
    expect(row).to_have_attribute("data-state", "failed", timeout=20_000)
    expect(row).to_contain_text("This upload was cancelled.")
    row.get_by_role("button", name="Retry:").click()
    expect(row).to_have_attribute("data-state", "done", timeout=30_000)
    assert _same_bytes(box, video_id(row), file)
    watched.errors.clear()  # refusals are the point of this test


def test_file_that_changed_on_the_disk_is_not_sent_on(
    box: Box, watched: Watched, tmp_path: Path
) -> None:
    file = _noisy(tmp_path / "Being written.mp4", 3_000_000)
    page = watched.open("/upload")
    slow(page, 500_000)
    page.locator("input[type=file]").set_input_files(file)
    _wait_part(page, 0.1)
    row = rows(page).first
    row.get_by_role("button", name="Pause:").click()
    _noisy(file, 2_500_000)
    row.get_by_role("button", name="Resume:").click()
    expect(row).to_contain_text("The file was moved, renamed or changed while it was sent.")
    with page.expect_file_chooser() as chooser:
        row.get_by_role("button", name="Choose the file:").click()
    chooser.value.set_files(file)
    expect(row).to_have_attribute("data-state", "done", timeout=30_000)
    assert _same_bytes(box, video_id(row), file)
    watched.errors.clear()  # the browser can't read it: the point of this test


# The index in front


@pytest.mark.parametrize("exact", [False, True], ids=["moved", "exact originals"])
def test_index_of_a_camera_file_is_sent_in_front(
    box: Box, watched: Watched, tmp_path: Path, exact: bool
) -> None:
    name = f"Camera {exact}.mp4"
    file = tmp_path / name
    file.write_bytes(index_last(media.index_last().read_bytes(), os.urandom(4_000_000)))
    page = watched.open("/upload")
    if exact:

        def tell(route: Route) -> None:
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "exact_originals": True})

        page.route("**/api/v1/uploads/limits", tell)
    cdp = slow(page, 1_500_000)
    page.locator("input[type=file]").set_input_files(file)
    _wait_part(page, 0.3)
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    # Also what goes on after a reload is arranged as what was sent before.
    row = rows(page).first
    with page.expect_file_chooser() as chooser:
        row.get_by_role("button", name="Choose the same file:").click()
    chooser.value.set_files(file)
    network(cdp, -1)
    with page.expect_response("**/upload/complete") as told:
        expect(row).to_have_attribute("data-state", "done", timeout=30_000)
    expect(row).to_contain_text("Uploaded" if exact else "The browser put the index in front.")
    video = video_id(row)
    with box.client() as client:
        original = client.get(f"/media/{video}/original").content
    arrived = tmp_path / "arrived.mp4"
    arrived.write_bytes(original)
    order = [kind for kind, *_ in boxes(original)]
    assert order == (
        ["ftyp", "free", "mdat", "moov"] if exact else ["ftyp", "moov", "free", "mdat"]
    )
    assert packets(arrived) == packets(file)
    # What the browser says it sent is what is there.
    assert told.value.ok
    assert json.loads(told.value.request.post_data or "")["sha256"] == sha256(original)
    page.goto(f"/videos/{video}")
    facts = page.locator("#facts")
    expect(facts).to_contain_text("Details")
    words = re.compile("The browser put the index in front")
    (expect(facts).not_to_contain_text if exact else expect(facts).to_contain_text)(words)


# By keyboard alone


def test_whole_upload_by_keyboard_alone(box: Box, watched: Watched, tmp_path: Path) -> None:
    file = _noisy(tmp_path / "Keys.mp4", 3_000_000)
    page = watched.open("/")
    line = slow(page, 100_000)  # it must not be done before the last key is pressed
    page.keyboard.press("u")
    expect(page.locator("h1")).to_have_text("Upload videos")
    page.locator("html[data-ready]").wait_for()
    _tab_to(page, "#file")
    _choose_by_enter(page, file)
    row = rows(page).first
    expect(row).to_have_attribute("data-state", "sending")
    for press, state in [
        ("Pause", "paused"),
        ("Resume", "sending"),
        ("Cancel", "cancelled"),
        ("Undo", "sending"),
    ]:
        _tab_to(page, f"#uploads button[aria-label^='{press}:']")
        page.keyboard.press("Enter")
        expect(row).to_have_attribute("data-state", state)
        # The focus stays at what was pressed, not at the top of the page.
        expect(row.locator("button:focus")).to_have_count(1)
    network(line, 20_000_000)
    expect(row).to_have_attribute("data-state", "done", timeout=60_000)
    _tab_to(page, "#uploads button[aria-label^='Open:']")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Keys")
    expect(page.locator("#status")).to_have_count(1)


def _choose_by_enter(page: Page, file: Path) -> None:
    """Chromium may still be arming its interception of choosers when the first key comes."""
    for last in (False, True):
        try:
            with page.expect_file_chooser(timeout=5000) as chooser:
                page.keyboard.press("Enter")
            return chooser.value.set_files(file)
        except PlaywrightTimeout:
            if last:
                raise


def _tab_to(page: Page, selector: str) -> None:
    for _ in range(80):
        if page.evaluate("(s) => document.activeElement?.matches(s) ?? false", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} can't be reached by Tab")
