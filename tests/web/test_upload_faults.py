"""The disk says no, call by call: what was acknowledged stays, and the upload can go on.

The kernel's answers are changed by strace, for one call on one file of a running web process.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from appliance.clock import now
from appliance.db import database
from appliance.models import Job, Upload, Video
from appliance.settings import Settings
from storage import uploads
from storage.layout import Layout
from tests.web.serving import add_user, prepare, script, serving, serving_process, wait_until
from tests.web.test_upload_crashes import small_disk
from tests.web.tus_client import create, delete, head, made, offset_of, patch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.models import User

BODY = random.Random(12).randbytes(600_000)
FIRST = 200_000
WRITES = "pwrite64,pwritev,pwritev2,write,writev"

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@contextmanager
def failing(process: subprocess.Popen[bytes], path: Path, calls: str, error: str) -> Iterator[None]:
    """The next of ``calls`` on ``path`` fails with ``error``. Source: strace(1), inject."""
    strace = subprocess.Popen(
        ["strace", "-f", "-q", "-P", str(path), "-e", f"trace={calls}"]
        + ["-e", f"inject={calls}:error={error}:when=1", "-o", "/dev/null", "-p", str(process.pid)],
        stderr=subprocess.PIPE,
    )
    try:
        wait_attached(process.pid, strace)
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=20)


def wait_attached(pid: int, strace: subprocess.Popen[bytes]) -> None:
    def all_threads() -> bool:
        if strace.poll() is not None:
            assert strace.stderr is not None
            pytest.skip(f"strace may not attach here: {strace.stderr.read().decode()}")
        tracers = []
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/status") as status:
                tracers += [line for line in status if line.startswith("TracerPid")]
        return all(int(line.split()[1]) for line in tracers)

    wait_until("strace watches all threads", all_threads)


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, subprocess.Popen[bytes], Layout, User]]:
    """One web process for all faults."""
    settings = Settings(data=tmp_path_factory.mktemp("faults") / "data")
    prepare(settings)
    owner = add_user()
    with serving_process(settings) as (url, process):
        yield url, process, Layout(settings.data), owner


@pytest.mark.parametrize(
    ("calls", "error", "status"),
    [
        (WRITES, "ENOSPC", 507),
        (WRITES, "EDQUOT", 507),
        (WRITES, "EIO", 500),
        ("fdatasync", "ENOSPC", 507),
        ("fdatasync", "EIO", 500),
        ("rename,renameat,renameat2", "ENOSPC", 507),
        ("rename,renameat,renameat2", "EIO", 500),
    ],
    ids=lambda value: str(value).partition(",")[0],
)
def test_a_failing_disk_costs_no_acknowledged_byte(
    running: tuple[str, subprocess.Popen[bytes], Layout, User], calls: str, error: str, status: int
) -> None:
    url, process, layout, owner = running
    with script(url, owner) as client:
        location = made(client, len(BODY))
        path = layout.upload(location.removeprefix("/files/").partition(".")[0])
        assert patch(client, location, 0, BODY[:FIRST]).status_code == 204
        with failing(process, path, calls, error):
            failed = patch(client, location, FIRST, BODY[FIRST:])
        assert failed.status_code == status, failed.text
        assert status != 507 or "run out of room" in failed.text
        told = int(failed.headers["Upload-Offset"])
        assert FIRST <= told <= len(BODY)
        offset = offset_of(client, location)
        assert told <= offset <= len(BODY)
        assert patch(client, location, offset, BODY[offset:]).status_code == 204
        video_id = head(client, location).headers["Appliance-Video-Id"]
    assert layout.original(video_id).read_bytes() == BODY
    with database.connection_context():
        video = Video.get(Video.public_id == video_id)
        assert Job.select().where(Job.video == video, Job.kind == "probe").count() == 1


def test_a_look_at_a_failing_disk_says_so(
    running: tuple[str, subprocess.Popen[bytes], Layout, User],
) -> None:
    """Bytes that were written before a crash can't be forced to disk now: they aren't told."""
    url, process, layout, owner = running
    with script(url, owner) as client:
        location = made(client, len(BODY))
        path = layout.upload(location.removeprefix("/files/").partition(".")[0])
        assert patch(client, location, 0, BODY[:FIRST]).status_code == 204
        with path.open("ab") as file:
            file.write(BODY[FIRST:-1])
        with failing(process, path, "fdatasync", "EIO"):
            assert head(client, location).status_code == 500
        # The kernel says it once, and may have dropped the bytes: they are not trusted any more.
        assert offset_of(client, location) == FIRST
        assert patch(client, location, FIRST, BODY[FIRST:]).status_code == 204


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_no_room_for_another_file_is_no_room(settings: Settings) -> None:
    """A disk may have bytes left, and no inode."""
    with small_disk(settings.data, "64m,nr_inodes=60"):
        roomy = settings.model_copy(update={"disk_reserve": 0, "max_open_uploads": 500})
        prepare(roomy)
        with serving(roomy) as url, script(url, add_user()) as client:
            answers: list[httpx.Response] = []
            while not answers or answers[-1].status_code == 201:
                answers.append(create(client, 1000))
            assert answers[-1].status_code == 507
            assert len(answers) > 10
            first = answers[0].headers["Location"]
            second = answers[1].headers["Location"]
            assert patch(client, first, 0, bytes(500)).status_code == 204
            assert delete(client, second).status_code == 204
            assert create(client, 1000).status_code == 201
            assert offset_of(client, first) == 500
        database.close()


def fill(ballast: Path) -> None:
    """To the last byte."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_ending_uploads_works_on_a_disk_without_a_byte_left(settings: Settings) -> None:
    with small_disk(settings.data, "24m"):
        roomy = settings.model_copy(update={"disk_reserve": 0})
        prepare(roomy)
        with serving(roomy) as url, script(url, add_user()) as client:
            cancelled, expired = made(client, 2_000_000), made(client, 2_000_000)
            for location in (cancelled, expired):
                assert patch(client, location, 0, bytes(1_000_000)).status_code == 204
            with database.connection_context():
                first, second = Upload.select().order_by(Upload.id)
                Upload.update(expires_at=now() - timedelta(days=9)).where(
                    Upload.id == second.id
                ).execute()
                fill(roomy.data / "ballast")
                uploads.cancel(roomy, first.public_id, None)
                fill(roomy.data / "more ballast")
                assert uploads.recover(roomy).ended == 1
            assert head(client, cancelled).status_code == 410
            assert head(client, expired).status_code == 410
        database.close()
