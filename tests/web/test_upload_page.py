"""What browsers are told before they send a byte, and what the box keeps of what they say."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from appliance.access import Scope
from appliance.models import Upload, User, Video
from tests.web.serving import script

if TYPE_CHECKING:
    import httpx

    from tests.web.serving import Served

TUS = {"Tus-Resumable": "1.0.0"}


def _create(client: httpx.Client, length: int, **said: str) -> httpx.Response:
    pairs = [f"{key} {b64encode(value.encode()).decode()}" for key, value in said.items()]
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": ",".join(pairs)}
    return client.post("/files", headers=headers)


def test_limits_count_what_is_promised(one_server: Served, sender: httpx.Client) -> None:
    before = sender.get("/api/v1/uploads/limits").json()
    assert before["max_bytes"] == one_server.settings.max_upload_bytes
    assert before["max_duration_s"] == 6 * 3600
    assert before["exact_originals"] is False
    assert before["quota_left_bytes"] is None
    promised = before["room_bytes"] // 2
    assert _create(sender, min(promised, before["max_bytes"])).status_code == 201
    after = sender.get("/api/v1/uploads/limits").json()
    # Other programs use the disk, too: not to the byte.
    gone = before["room_bytes"] - after["room_bytes"]
    assert gone == pytest.approx(min(promised, before["max_bytes"]), rel=0.2)


def test_limits_say_what_is_left_of_a_quota(sender: httpx.Client, owner: User) -> None:
    User.update(quota_bytes=10_000_000).where(User.id == owner.id).execute()
    assert sender.get("/api/v1/uploads/limits").json()["quota_left_bytes"] == 10_000_000
    assert _create(sender, 4_000_000).status_code == 201
    assert sender.get("/api/v1/uploads/limits").json()["quota_left_bytes"] == 6_000_000


def test_limits_are_for_those_who_may_upload(one_server: Served, owner: User) -> None:
    with script(one_server.url, owner, scopes=[Scope.READ]) as reader:
        assert reader.get("/api/v1/uploads/limits").status_code == 403


@pytest.mark.parametrize(("said", "moved"), [("1", True), ("0", False), ("yes", False)])
def test_moved_index_is_remembered(sender: httpx.Client, said: str, moved: bool) -> None:
    created = _create(sender, 10, filename="C0001.MP4", indexmoved=said)
    assert created.status_code == 201
    assert Video.get().index_moved is moved


@pytest.mark.parametrize(("state", "sentence"), [("terminated", "cancelled"), ("lost", "gone")])
def test_ended_upload_says_what_became_of_it(
    sender: httpx.Client, state: str, sentence: str
) -> None:
    """Browsers begin anew by themselves only when nobody decided against the file."""
    address = _create(sender, 10).headers["Location"]
    Upload.update(state=state).execute()
    headers = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    answer = sender.patch(address, headers=headers)
    assert answer.status_code == 410
    assert answer.headers["Appliance-Upload-State"] == state
    assert sentence in answer.text
