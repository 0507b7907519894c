"""Whole uploads by clients of the IETF draft, over a network that cuts.

Two clients: our own (tests/draft_client.py), by the client sections of the text, and
tus-js-client, which speaks the draft as of interop version 6 and is otherwise as it is published.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.models import Upload, Video
from appliance.states import UploadState, VideoState
from storage.layout import Layout
from tests.cutting import bad_network, faults
from tests.draft_client import DraftClient, GaveUp
from tests.web.draft_wire import BODY, digest, probes
from tests.web.serving import (
    ROOT,
    Served,
    add_token,
)

if TYPE_CHECKING:
    from appliance.models import User

NODE = shutil.which("node")
FILE_BYTES = 1_500_000


def authorization(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {add_token(user)}"}


def only_complete(box: Layout) -> bytes:
    """The bytes of the one upload that was completed; creations may have been repeated."""
    (row,) = Upload.select().where(Upload.state == UploadState.COMPLETE)
    assert row.video.state is VideoState.RECEIVED
    assert probes() == 1
    return box.original(row.video.public_id).read_bytes()


@pytest.mark.parametrize("part_bytes", [None, 200_000])
@pytest.mark.parametrize("seed", range(5))
def test_our_client_over_a_network_that_cuts(
    one_server: Served, owner: User, box: Layout, seed: int, part_bytes: int | None
) -> None:
    data = random.Random(seed).randbytes(FILE_BYTES)
    plan = faults(seed, 8, within_bytes=600_000)
    with bad_network(one_server.url, plan) as network:
        client = DraftClient(
            f"{network.url}/files",
            data,
            headers={**authorization(owner), "Repr-Digest": digest(data)},
            part_bytes=part_bytes,
        )
        status, body = client.send()
    assert status == 201, body
    assert client.cuts >= 1
    stored = only_complete(box)
    assert hashlib.sha256(stored).digest() == hashlib.sha256(data).digest()
    assert json.loads(body)["video_id"] == Video.get(state=VideoState.RECEIVED).public_id


def test_our_client_hears_that_it_sent_something_else(one_server: Served, owner: User) -> None:
    """“4xx … indicate in this case that … an error occurred while processing it.”"""
    headers = {**authorization(owner), "Repr-Digest": digest(b"other")}
    client = DraftClient(f"{one_server.url}/files", BODY, headers=headers)
    status, body = client.send()
    assert (status, json.loads(body)["code"]) == (400, "digest_mismatch")
    assert Video.get().state is VideoState.FAILED


def test_our_client_gives_up_when_told_to(one_server: Served, owner: User) -> None:
    client = DraftClient(f"{one_server.url}/files", BODY, headers=authorization(owner))
    client.create()
    Upload.update(state=UploadState.TERMINATED).execute()
    with pytest.raises(GaveUp, match="410"):
        client.send()


@pytest.mark.skipif(NODE is None, reason="Node isn't installed")
@pytest.mark.parametrize(("chunk_bytes", "cuts"), [(10_000_000, 0), (200_000, 6)])
def test_tus_js_client(
    one_server: Served, owner: User, box: Layout, tmp_path: Path, chunk_bytes: int, cuts: int
) -> None:
    data = random.Random(1).randbytes(FILE_BYTES)
    file = tmp_path / "clip.mp4"
    file.write_bytes(data)
    plan = faults(3, cuts, within_bytes=150_000)
    with bad_network(one_server.url, plan) as network:
        done = subprocess.run(
            [
                NODE or "",
                ROOT / "tests/web/draft_by_tus_js.mjs",
                file,
                f"{network.url}/files",
                add_token(owner),
                str(chunk_bytes),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert (network.done > 0) == (cuts > 0)
    assert hashlib.sha256(only_complete(box)).digest() == hashlib.sha256(data).digest()
    assert Video.get(state=VideoState.RECEIVED).title == "by tus-js"
