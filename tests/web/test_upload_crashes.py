"""Uploads to a web process that is killed, watched by strace, or out of disk space."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.db import database
from appliance.models import Job, Video
from appliance.states import VideoState
from storage.layout import Layout
from tests.web.serving import add_token, add_user, prepare, script, serving, serving_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.settings import Settings

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
ROUNDS = 5
SEED = 20261121


def create(client: httpx.Client, length: int) -> str:
    answer = client.post("/files", headers={**TUS, "Upload-Length": str(length)})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def patch(client: httpx.Client, location: str, offset: int, body: Any) -> httpx.Response:
    return client.patch(
        location, headers={**TUS, **BYTES, "Upload-Offset": str(offset)}, content=body
    )


def offset_of(client: httpx.Client, location: str) -> int:
    answer = client.head(location, headers=TUS)
    assert answer.status_code == 200, answer.status_code
    return int(answer.headers["Upload-Offset"])


def send_until_cut(client: httpx.Client, location: str, offset: int, body: bytes) -> int:
    """Send in small pieces as long as it goes; the offset that was acknowledged last."""
    while offset < len(body):
        try:
            answer = patch(client, location, offset, body[offset : offset + 40_000])
        except httpx.TransportError:
            return offset
        assert answer.status_code == 204, answer.text
        offset = int(answer.headers["Upload-Offset"])
    return offset


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_by_kills(settings: Settings) -> None:
    seeded = random.Random(SEED)
    body = seeded.randbytes(30_000_000)
    prepare(settings)
    token = add_token(add_user())
    location, acknowledged, rounds = "", 0, 0
    while acknowledged < len(body):
        with serving_process(settings) as (url, process):
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=url, headers=headers, timeout=20) as client:
                location = location or create(client, len(body))
                offset = offset_of(client, location)
                assert acknowledged <= offset <= len(body)
                if rounds < ROUNDS:
                    # The random moment is what is tested; the server works on.
                    killer = threading.Timer(seeded.uniform(0.05, 0.6), process.kill)
                    killer.start()
                    acknowledged = send_until_cut(client, location, offset, body)
                    killer.join()
                else:
                    assert patch(client, location, offset, body[offset:]).status_code == 204
                    acknowledged = len(body)
        rounds += 1
    assert rounds > 1
    with database.connection_context():
        video = Video.get()
        assert video.state is VideoState.RECEIVED
        assert Job.select().where(Job.kind == "probe").count() == 1
        stored = Layout(settings.data).original(video.public_id).read_bytes()
    assert hashlib.sha256(stored).hexdigest() == hashlib.sha256(body).hexdigest()


@contextmanager
def traced(process: subprocess.Popen[bytes], output: Path) -> Iterator[None]:
    """Write down what a running process says to its files and to the network."""
    calls = "pwrite64,fsync,fdatasync,rename,write,writev,sendto,sendmsg"
    strace = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "48", "-e", f"trace={calls}", "-o", str(output)]
        + ["-p", str(process.pid)],
        stderr=subprocess.PIPE,
    )
    assert strace.stderr is not None
    try:
        attached = strace.stderr.readline()
        if b"attached" not in attached:
            pytest.skip(f"strace may not attach here: {attached.decode()}")
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=20)


def whole_calls(trace: str) -> Iterator[str]:
    """One line for each call: a sync when it has ended, an answer when it begins."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        if "<unfinished" in call and "HTTP/1.1" not in call:
            begun[thread] = call
        elif " resumed>" in call:
            yield begun.pop(thread, "")
        else:
            yield call


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_bytes_are_forced_to_disk_before_the_answer(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    owner = add_user()
    output = tmp_path / "trace"
    with serving_process(settings) as (url, process), script(url, owner) as client:
        location = create(client, 2000)
        with traced(process, output):
            assert patch(client, location, 0, b"x" * 1000).status_code == 204
            assert patch(client, location, 1000, b"y" * 1000).status_code == 204
    upload = re.escape(location.removeprefix("/files/").partition(".")[0])
    steps = {
        "bytes": rf"pwrite64\(\d+<\S*uploads/{upload}>",
        "sync": rf"fdatasync\(\d+<\S*uploads/{upload}>",
        "rename": r"rename\(",
        "sync folder": r"fsync\(\d+<\S*media/\w+>",
        "sync row": r"f(data)?sync\(\d+<\S*appliance.db-wal>",
        "answer": r"HTTP/1.1 204",
    }
    seen = [
        name
        for line in whole_calls(output.read_text())
        for name, pattern in steps.items()
        if re.search(pattern, line)
    ]
    first, _, second = " ".join(seen).partition("answer")
    assert re.search(r"bytes .*sync .*sync row", first), seen
    assert re.search(r"bytes .*sync .*rename .*sync folder .*sync row .*answer", second), seen


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_a_pause(settings: Settings) -> None:
    body = random.Random(SEED).randbytes(8_000_000)
    with small_disk(settings.data, "24m"):
        roomy = settings.model_copy(update={"disk_reserve": 0})
        prepare(roomy)
        with serving(roomy) as url, script(url, add_user()) as client:
            unwanted = create(client, 3_000_000)
            assert patch(client, unwanted, 0, bytes(2_000_000)).status_code == 204
            location = create(client, len(body))
            assert patch(client, location, 0, body[:1_000_000]).status_code == 204
            # Somebody else takes the room after it was promised.
            ballast = settings.data / "ballast"
            free = shutil.disk_usage(settings.data).free
            ballast.write_bytes(bytes(free - 3_000_000))

            full = patch(client, location, 1_000_000, body[1_000_000:])
            assert full.status_code == 507
            assert "has run out of room" in full.text
            told = int(full.headers["Upload-Offset"])
            assert 1_000_000 <= told < len(body)
            refused = client.post("/files", headers={**TUS, "Upload-Length": "5000000"})
            assert refused.status_code == 507
            assert client.get("/api/v1/videos").status_code == 200
            assert client.delete(unwanted, headers=TUS).status_code == 204

            ballast.unlink()
            offset = offset_of(client, location)
            assert offset >= told
            assert patch(client, location, offset, body[offset:]).status_code == 204
            with database.connection_context():
                video = Video.get()
            stored = Layout(settings.data).original(video.public_id).read_bytes()
            assert stored == body
        database.close()
