"""A guest with a phone: opens a link, sends a video over a bad network, and sees that it is there.

In a real Chromium, against the whole box in processes of its own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests import media
from tests.browsing import Watched, launched, visiting
from tests.end_to_end.box import Box, running_box, sha256, wait_for
from tests.end_to_end.sending import padded, rows, sign_in, slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with running_box(tmp_path_factory.mktemp("guests"), auto_renditions="false") as box:
        yield box


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def cookies(box: Box, browser: Browser) -> list[Any]:
    return sign_in(box, browser)


def _make(box: Box, **terms: Any) -> Any:
    with box.client() as client:
        answer = client.post("/api/v1/guest-links", json={"title": "Send us your clip", **terms})
    assert answer.status_code == 201, answer.text
    return answer.json()


def _path(link: Any) -> str:
    return str(link["url"]).replace(link["url"].partition("/send/")[0], "")


def _enter(page: Page, name: str, password: str = "") -> None:
    page.get_by_label("Your name").fill(name)
    if password:
        page.get_by_label("Password of the link").fill(password)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Choose your videos").wait_for()


def test_guest_sends_by_phone_over_a_reload_and_is_named(
    box: Box, browser: Browser, cookies: list[Any], tmp_path: Path
) -> None:
    link = _make(box, note="As long as you like.", password="open sesame", tag="party", max_files=2)
    file = padded(media.h264_aac(), tmp_path / "Dance floor.mp4", 9_000_000)
    with visiting(browser, box.url, size="phone") as context:
        watched = Watched(context.new_page())
        page = watched.open(_path(link))
        assert watched.problems() == []
        _enter(page, "Anna", "open sesame")
        expect(page.locator("main")).to_contain_text("As long as you like.")
        expect(page.locator("#file-hint")).to_contain_text("2 more files can be sent.")
        assert watched.problems() == []

        slow(page, 1_500_000)
        page.locator("input[type=file]").set_input_files(str(file))
        bar = rows(page).locator("progress")
        wait_for("a quarter is sent", lambda: bar.evaluate("(b) => b.value") > 0.25, seconds=40)
        assert watched.problems() == []
        page.reload()  # a phone that ran out of memory, say
        expect(rows(page)).to_have_attribute("data-state", "missing")
        with page.expect_file_chooser() as chooser:
            rows(page).get_by_role("button", name=re.compile("^(Choose|Resume)")).click()
        chooser.value.set_files(str(file))
        began = wait_for("it goes on", lambda: bar.evaluate("(b) => b.value"), seconds=20)
        assert began > 0.2, "it began anew instead of going on"
        # It says so by itself, in one place, and still after a reload.
        expect(page.locator("#sent h2")).to_have_text("You sent 1 file", timeout=60_000)
        expect(page.locator("#file-hint")).to_contain_text("One more file can be sent.")
        assert page.locator("#choose").count() == 1
        expect(page.locator("#uploads")).to_be_hidden()
        page.reload()
        expect(page.locator("#sent")).to_contain_text("Dance floor.mp4")
        assert page.locator('a[href^="/videos"]').count() == 0
        assert watched.problems() == []

    (video,) = box.get(f"/api/v1/videos?guest_link={link['link_id']}")["items"]
    assert (video["guest_name"], video["tags"]) == ("Anna", ["party"])
    with box.client() as client:
        original = client.get(f"/media/{video['video_id']}/original").content
    assert sha256(original) == sha256(file.read_bytes())
    with visiting(browser, box.url) as context:
        context.add_cookies(cookies)
        watched = Watched(context.new_page())
        page = watched.open(f"/videos/{video['video_id']}")
        expect(page.locator("#facts")).to_contain_text("Anna, by the link “Send us your clip”")
        page.locator("#facts").get_by_role("link", name="Send us your clip").click()
        expect(page.locator("h1")).to_have_text("Sent by “Send us your clip”")
        expect(page.locator("#videos .card")).to_have_count(1)
        page.locator(".card .tag").click()
        expect(page.locator("h1")).to_have_text("Tag: party")
        assert watched.problems() == []


def test_links_page_follows_what_arrives_and_ends_what_is_sent(
    box: Box, browser: Browser, cookies: list[Any], tmp_path: Path
) -> None:
    file = padded(media.h264_aac(), tmp_path / "Too late.mp4", 20_000_000)
    with (
        visiting(browser, box.url) as editors,
        visiting(browser, box.url, size="phone") as guests,
    ):
        editors.add_cookies(cookies)
        watched = Watched(editors.new_page())
        page = watched.open("/guest-links")
        page.get_by_label("What guests shall send").fill("Last clips")
        page.get_by_label("Files at most").fill("5")
        page.get_by_role("button", name="Make the link").click()
        address = page.locator("#fresh-link").inner_text()
        line = page.locator("#links li", has_text="Last clips")
        expect(line).to_contain_text("0 of 5 files")
        page.locator("html[data-live=on]").wait_for()

        guest = Watched(guests.new_page()).open(address)
        _enter(guest, "Ben")
        slow(guest, 500_000)
        guest.locator("input[type=file]").set_input_files(str(file))
        expect(rows(guest)).to_have_attribute("data-state", "sending")
        expect(line).to_contain_text("1 of 5 files")
        assert watched.problems() == []

        line.locator("summary").click()
        page.get_by_role("button", name="End the link").click()
        expect(page.locator("main")).to_contain_text("The link is ended")
        # Chromium reads an early answer only when the line is closed, some seconds later.
        expect(rows(guest)).to_contain_text(
            "The link that this file was sent by was ended", timeout=30_000
        )
        guest.reload()
        expect(guest.locator("h1")).to_have_text("This link is closed")
        assert watched.problems() == []


def test_guest_without_script(box: Box, browser: Browser) -> None:
    link = _make(box, title="Without script", max_file_bytes=5_000_000)
    with visiting(browser, box.url, size="phone", script=False) as context:
        page = context.new_page()
        page.goto(_path(link))
        _enter(page, "Zoë")
        page.locator("input[type=file]").set_input_files(str(media.h264_aac()))
        page.get_by_role("button", name="Send video").click()
        expect(page.locator("#sent h2")).to_have_text("You sent 1 file")
        page.locator("input[type=file]").set_input_files(
            [{"name": "large.mp4", "mimeType": "video/mp4", "buffer": bytes(5_000_001)}]
        )
        page.get_by_role("button", name="Send video").click()
        expect(page.locator("[role=alert]")).to_contain_text("larger than the 5.0 MB")
        expect(page.locator("#sent h2")).to_have_text("You sent 1 file")
    (video,) = box.get(f"/api/v1/videos?guest_link={link['link_id']}")["items"]
    assert video["guest_name"] == "Zoë"


def test_links_from_the_shell(box: Box) -> None:
    address = box.run(
        "link", "create", "From the shell", "--tag", "Shell", "--max-size", "1.5GB",
        "--expires-days", "2", "--password-stdin", stdin="open sesame\n",
    )  # fmt: skip
    assert address.startswith(f"{box.url}/send/")
    listed = json.loads(box.run("link", "list", "--json"))["items"]
    made = next(item for item in listed if item["url"] == address)
    assert (made["tag"], made["max_file_bytes"], made["has_password"]) == (
        "shell",
        1_500_000_000,
        True,
    )
    assert "1.5 GB" in box.run("link", "show", made["link_id"])
    assert "From the shell" in box.run("link", "list")
    assert json.loads(box.run("link", "revoke", made["link_id"], "--json"))["revoked"] is True
    with box.client() as client:
        assert client.get(address).status_code == 410
