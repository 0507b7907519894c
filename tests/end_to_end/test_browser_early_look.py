"""A person at the browser hears what will become of a file while it is being sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests import media
from tests.browsing import Watched, launched, visiting
from tests.end_to_end.box import running_box
from tests.end_to_end.sending import padded, rows, sign_in, slow

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SIZE = 15_000_000


def test_first_bytes_are_told_in_the_tray_and_on_the_pages(tmp_path: Path) -> None:
    good = padded(media.h264_aac(), tmp_path / "Good.mp4", SIZE)
    options = (*media.H264, *media.AAC, *media.CONFORMING)
    large = media.clip("early-large.mp4", *options, size="640x480")
    wrong = padded(large, tmp_path / "Large.mp4", SIZE)
    box = running_box(tmp_path / "box", development="true", max_pixels=200_000)
    with box as it, launched() as browser:
        cookies = sign_in(it, browser)
        with visiting(browser, it.url) as context:
            context.add_cookies(cookies)
            watched = Watched(context.new_page())
            page = watched.open("/upload")
            cdp = slow(page, 1_500_000)
            page.locator("input[type=file]").set_input_files([good, wrong])
            sending, refused = rows(page).nth(0), rows(page).nth(1)
            expect(sending).to_contain_text("No re-encoding needed.", timeout=30_000)
            expect(sending).to_have_attribute("data-state", "sending")
            expect(refused).to_contain_text(
                "The picture is 640 × 480 pixels, more than this box takes", timeout=30_000
            )
            expect(refused).to_have_attribute("data-state", "failed")
            library = context.new_page()
            library.goto(it.url)
            card = library.locator(".card", has_text="Good")
            expect(card).to_contain_text("No re-encoding needed.")
            card.locator("h2 a").click()
            expect(library.locator("#phases")).to_contain_text("160 × 120, H.264 and AAC")
            cdp.detach()  # the rest at full speed
            expect(sending).to_contain_text("Uploaded", timeout=30_000)
            # The browser itself writes down answers that aren't 2xx.
            refusals = "Failed to load resource"
            assert [p for p in watched.problems(axe=False) if refusals not in p] == []
