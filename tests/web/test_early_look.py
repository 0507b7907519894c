"""What a sender, a script and the pages hear of a file long before all of it is here."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.clock import now
from appliance.db import database
from appliance.models import Upload
from appliance.settings import Settings
from storage.layout import Layout
from tests.tasks.doing import worker
from tests.tasks.test_early_look import index_first, padded
from tests.web.serving import add_user, browser, script, served, wait_until
from tests.web.test_upload_races import TUS, Sender, sending

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from appliance.models import User
    from tests.web.serving import Served

MIB = 1 << 20


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A web process and the worker that looks."""
    settings = Settings(
        data=tmp_path_factory.mktemp("early") / "data",
        lease_s=2,
        disk_reserve="10 MiB",  # type: ignore[arg-type]
    )
    with served(settings) as running, worker(settings, "quick"):
        yield running


@pytest.fixture(scope="module")
def owner(box: Served) -> User:
    return add_user()


@pytest.fixture
def client(box: Served, owner: User) -> Iterator[httpx.Client]:
    with script(box.url, owner) as client:
        yield client


def begin(client: httpx.Client, length: int) -> tuple[str, str]:
    """Location and video."""
    answer = client.post("/files", headers={**TUS, "Upload-Length": str(length)})
    return str(answer.headers["Location"]), str(answer.headers["Appliance-Video-Id"])


def answered(sender: Sender) -> bool:
    return bool(select.select([sender.socket], [], [], 0)[0])


def drip(sender: Sender, content: bytes, rate_bps: int) -> int:
    """Send as a slow uplink does, until there is an answer; how much was sent."""
    sent, step = 0, 64 * 1024
    while sent < len(content) and not answered(sender):
        sender.send(content[sent : sent + step])
        sent += step
        time.sleep(step / rate_bps)  # the uplink
    return sent


def status(client: httpx.Client, video_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/videos/{video_id}/status").json()
    return found


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (b"%PDF-1.7\n", "This is a PDF document, not a video. Upload the video in it."),
        (
            b"PK\x03\x04\x14\x00",
            "This is a ZIP archive or an office document, not a video. Upload the video in it.",
        ),
    ],
)
def test_the_wrong_file_is_refused_after_its_first_bytes(
    box: Served, client: httpx.Client, head: bytes, sentence: str
) -> None:
    """A 30 MB file with the name of a video, over a slow line, in one request."""
    content = padded(head, 30_000_000)
    location, video_id = begin(client, len(content))
    with sending(box.url, location, 0, len(content)) as sender:
        sent = drip(sender, content, 1_500_000)
        answer = sender.answer()
        assert (answer.status, answer.text) == (410, sentence)
    assert MIB <= sent < len(content)
    assert client.head(location, headers=TUS).status_code == 410
    found = status(client, video_id)
    assert (found["state"], found["error"]) == ("failed", sentence)
    look = found["early_look"]
    assert (look["verdict"], look["sentence"], look["code"]) == ("refused", sentence, "not_a_video")
    assert found["poll_after_s"] is None
    assert list(Layout(box.settings.data).uploads.iterdir()) == []


def test_the_right_file_is_told_what_will_be_done(
    box: Served, client: httpx.Client, owner: User
) -> None:
    content = index_first().read_bytes() + bytes(40 * MIB)
    location, video_id = begin(client, len(content))
    assert status(client, video_id)["early_look"] is None
    with sending(box.url, location, 0, len(content)) as sender:
        sender.send(content[: MIB // 2])
        wait_until("a second has passed since its beginning", lambda: old_enough(location))
        sender.send(content[MIB // 2 : 2 * MIB])
        drops = iter(range(2 * MIB, 20 * MIB, 4096))

        def looked() -> bool:
            at = next(drops)
            sender.send(content[at : at + 4096])
            return status(client, video_id)["early_look"] is not None

        wait_until("it was looked into", looked)
        look = status(client, video_id)["early_look"]
        assert (look["verdict"], look["sentence"]) == ("fine", "No re-encoding needed.")
        assert look["facts"]["width"] == 640 and look["facts"]["method"] == "remux"
        with browser(box.url, owner) as pages:
            page = pages.get(f"/videos/{video_id}").text
            assert "No re-encoding needed." in page and "640 × 360, H.264 and AAC" in page
            assert "No re-encoding needed." in pages.get("/").text
    shape = client.get(f"/api/v1/videos/{video_id}").json()
    assert shape["early_look"] == look
    client.delete(location, headers=TUS)


def old_enough(location: str) -> bool:
    upload_id = location.rpartition("/")[2].partition(".")[0]
    with database.connection_context():
        row = Upload.get(Upload.public_id == upload_id)
    return (now() - row.created_at).total_seconds() > 1.2
