"""A box without web in a temporary folder, with real worker processes, to measure on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from appliance import jobs
from appliance.clock import now
from appliance.db import database, open_database
from appliance.migrate import migrate
from appliance.models import Heartbeat, Source, Video, Visibility
from appliance.settings import Settings
from appliance.states import VideoState
from storage.layout import Layout
from tasks.queue import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
WORKER = (
    "import sys; from appliance.settings import load_settings; from tasks.worker import run; "
    "sys.exit(run(load_settings(), sys.argv[1]))"
)


@contextmanager
def box(
    *workers: str, sandbox: Literal["auto", "limits"] = "auto"
) -> Iterator[tuple[Settings, dict[str, int]]]:
    """Settings of a running box, and the process ids of its workers; the database is bound."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, ExitStack() as stack:
        settings = Settings(data=Path(folder, "data"), sandbox=sandbox)
        Layout(settings.data).make_folders()
        open_database(settings.database_path)
        migrate(settings)
        connect(settings)
        pids = {
            name: stack.enter_context(process([sys.executable, "-c", WORKER, name], settings))
            for name in workers
        }
        wait_for(lambda: read(lambda: Heartbeat.select().count()) == len(workers))
        yield settings, pids


def cpu_s(pid: int) -> float:
    """Processor seconds of a process and of its children that have ended. Source: proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def process(command: list[str], settings: Settings) -> Iterator[int]:
    env = {
        **os.environ,
        "APPLIANCE_DATA": str(settings.data),
        "APPLIANCE_SANDBOX": settings.sandbox,
    }
    running = subprocess.Popen(command, cwd=ROOT, env=env)
    try:
        yield running.pid
    finally:
        running.terminate()
        running.wait()


def read(look: Callable[[], Any]) -> Any:
    with database.connection_context():
        return look()


def wait_for(look: Callable[[], Any], *, seconds: float = 600) -> Any:
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        if answer := look():
            return answer
        time.sleep(0.02)
    raise SystemExit("It took too long; nothing was measured.")


def bring_in(settings: Settings, file: Path) -> Video:
    """As if its last byte had just arrived."""
    with database.connection_context():
        video = Video.create(
            filename=file.name,
            title=file.stem,
            source=Source.CLI,
            visibility=Visibility.TEAM,
            state=VideoState.RECEIVED,
            size_bytes=file.stat().st_size,
        )
        original = Layout(settings.data).original(video.public_id)
        original.parent.mkdir()
        shutil.copy(file, original)
        Video.update(received_at=now()).where(Video.id == video.id).execute()
        jobs.create("probe", f"probe:{video.public_id}", video=video)
    return video
