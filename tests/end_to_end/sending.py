"""What a person's hands and network do in a real Chromium while files are sent."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from tests.browsing import Watched, visiting

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, CDPSession, Locator, Page

    from tests.end_to_end.box import Box

PASSWORD = "correct horse battery"


def sign_in(box: Box, browser: Browser) -> list[Any]:
    """The cookies of the box's owner."""
    with visiting(browser, box.url) as context:
        page = Watched(context.new_page()).open("/sign-in")
        page.locator("#email").fill("owner@example.org")
        page.locator("#password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Library")
        return list(context.cookies())


def padded(clip: Path, target: Path, size_bytes: int) -> Path:
    """The same video with a box of noise behind it, which players skip: large, and quickly made."""
    noise = os.urandom(size_bytes)
    target.write_bytes(clip.read_bytes() + struct.pack(">I", len(noise) + 8) + b"free" + noise)
    return target


def drop(page: Page, *files: Path) -> None:
    """Drop files from the desktop onto the page; a real drop, not an event made by script."""
    cdp = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        cdp.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})
    cdp.detach()


def slow(page: Page, bytes_per_s: int) -> CDPSession:
    """Limit what the page can send; the session is for further changes by ``network``."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("Network.enable")
    network(cdp, bytes_per_s)
    return cdp


def network(cdp: CDPSession, bytes_per_s: int, *, offline: bool = False) -> None:
    conditions = {"latency": 5, "downloadThroughput": -1, "uploadThroughput": bytes_per_s}
    cdp.send("Network.emulateNetworkConditions", {"offline": offline, **conditions})


def rows(page: Page) -> Locator:
    return page.locator("#uploads .uploads > li:not(.note)")


def video_id(row: Locator) -> str:
    href = row.locator("a").first.get_attribute("href")
    assert href is not None
    return href.removeprefix("/videos/")
