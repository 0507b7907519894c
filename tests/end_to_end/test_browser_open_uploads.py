"""The page of unfinished uploads in Chromium: it follows what happens, and cancels."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import httpx
import pytest

from appliance import sessions
from appliance.db import database
from appliance.models import Upload
from appliance.settings import Settings
from appliance.states import UploadState
from tests.browsing import Watched, launched, visiting
from tests.web.serving import add_user, prepare, script, serving

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]

TUS = {"Tus-Resumable": "1.0.0"}


def begin(client: httpx.Client, name: str) -> str:
    named = b64encode(name.encode()).decode()
    headers = {**TUS, "Upload-Length": "1000000", "Upload-Metadata": f"filename {named}"}
    return client.post("/files", headers=headers).headers["Location"]


def append(client: httpx.Client, address: str, offset: int, size: int) -> None:
    headers = {
        **TUS,
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
    }
    assert client.patch(address, headers=headers, content=bytes(size)).status_code == 204


def test_the_page_follows_and_cancels(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path / "data",
        listen="127.0.0.1:0",
        disk_reserve="10 MiB",  # type: ignore[arg-type]  # pydantic reads the unit
    )
    prepare(settings)
    with launched() as browser, serving(settings) as url:
        owner = add_user()
        with database.connection_context():
            token = sessions.start(owner, address="127.0.0.1", agent="tests", settings=settings)
        with visiting(browser, url, token) as context, script(url, owner) as client:
            watched = Watched(context.new_page())
            page = watched.open("/uploads")
            page.get_by_role("heading", name="No unfinished uploads").wait_for()

            def row(name: str) -> Locator:
                return page.locator("#open-uploads tr", has_text=name)

            first, second = begin(client, "First.mp4"), begin(client, "Second.mp4")
            append(client, first, 0, 250_000)
            row("First").get_by_text("250 kB of 1.0 MB").wait_for()
            row("Second").get_by_text("0 bytes of 1.0 MB").wait_for()

            row("First").get_by_role("link", name="Cancel").click()
            page.locator("#dialog").get_by_text("250 kB of “First” have arrived").wait_for()
            assert watched.problems() == []
            page.get_by_role("link", name="Keep it").click()
            page.locator("#dialog[open]").wait_for(state="detached")
            assert row("First").count() == 1

            row("First").get_by_role("link", name="Cancel").click()
            page.get_by_role("button", name="Cancel upload").click()
            row("First").wait_for(state="detached")
            row("Second").wait_for()
            with database.connection_context():
                assert Upload.get(Upload.filename == "First.mp4").state is UploadState.TERMINATED

            # What is finished goes from the list by itself.
            append(client, second, 0, 1_000_000)
            page.get_by_role("heading", name="No unfinished uploads").wait_for()
            assert watched.problems() == []
