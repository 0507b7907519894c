"""What a hostile file could reach: nothing but its folder, no network, and not for long."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance import jobs
from appliance.errors import JobFailed
from appliance.settings import Settings
from tasks import sandbox, sandbox_local
from tasks.context import Context
from tasks.ffmpeg import find_ffmpeg
from tasks.probe.look import look
from tasks.sandbox_types import MIB, Command, Ended, Limits, TookTooLong
from tasks.seccomp import build_filter
from tests import hostile, media
from tests.end_to_end.box import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.layout import Layout

LIMITS = Limits(memory_bytes=512 * MIB, cpu_s=20, file_bytes=MIB)
BUBBLEWRAP = sandbox.sandbox_backend(Settings(sandbox="auto")).name == "bubblewrap"
needs_bubblewrap = pytest.mark.skipif(
    not BUBBLEWRAP, reason="bubblewrap does not work on this machine"
)


@pytest.fixture(params=["limits", pytest.param("bubblewrap", marks=needs_bubblewrap)])
def held(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    return settings.model_copy(update={"sandbox": request.param})


@pytest.fixture
def folder(layout: Layout) -> Path:
    folder = layout.tmp / "job"
    folder.mkdir()
    return folder


def python(
    code: str, folder: Path, settings: Settings, limits: Limits = LIMITS, timeout_s: float = 30
) -> Ended:
    command = Command(
        argv=(sys.executable, "-I", "-c", code),
        folder=folder,
        limits=limits,
        reads=sandbox.python_reads(),
    )
    return sandbox.run(command, settings, check=lambda: None, timeout_s=timeout_s)


def test_output_words_and_code_come_back(held: Settings, folder: Path) -> None:
    ended = python("import sys; print('out'); sys.exit('words')", folder, held)
    assert (ended.code, ended.output, ended.words) == (1, b"out\n", "words\n")


def test_the_folder_is_where_it_runs_and_may_be_written(held: Settings, folder: Path) -> None:
    assert python("open('made', 'w').write('x')", folder, held).code == 0
    assert (folder / "made").read_text() == "x"


@needs_bubblewrap
def test_nothing_else_can_be_read_or_written(folder: Path, settings: Settings) -> None:
    secret = settings.data / "secret.key"
    secret.write_text("a secret")
    for path in (secret, settings.database_path, Path("/etc/passwd"), Path(__file__)):
        ended = python(f"import os; os.stat({str(path)!r})", folder, settings)
        assert "FileNotFoundError" in ended.words, path
    for place in ("/usr/made", "/made", "/tmp/made", "/dev/made", "/proc/sys/kernel/hostname"):
        ended = python(f"open({place!r}, 'w')", folder, settings)
        assert "Read-only file system" in ended.words or "Permission" in ended.words, place


@needs_bubblewrap
def test_other_jobs_and_processes_are_not_there(
    folder: Path, settings: Settings, layout: Layout
) -> None:
    other = layout.tmp / "other"
    other.mkdir()
    code = f"""
import os
print([entry for entry in os.listdir("/proc") if entry.isdecimal() and int(entry) > 9])
print(os.listdir({str(layout.tmp)!r}), os.listdir("/"), os.path.exists("/sys"))
print(os.open("/proc/1/environ", os.O_RDONLY) and open("/proc/1/environ").read())
"""
    ended = python(code, folder, settings)
    processes, seen, environment = ended.output.decode().splitlines()
    assert processes == "[]"
    assert seen.startswith("['job'] ") and seen.endswith(" False")
    assert "APPLIANCE" not in environment


REFUSED = {
    "a socket": "import socket; socket.socket()",
    "a socket to the box itself": "import socket; socket.socket(socket.AF_UNIX)",
    "a link": "import os; os.symlink('/etc/passwd', 'made')",
    "a second name": "import os; open('one', 'w').close(); os.link('one', 'made')",
    "a folder": "import os; os.mkdir('made')",
    "a pipe with a name": "import os; os.mkfifo('made')",
    "another process": "import os; os.fork()",
    "another program": "import subprocess; subprocess.run(['true'])",
    "a namespace": (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.unshare(0x10000000): raise PermissionError(ctypes.get_errno())"
    ),
    "words for the terminal": "import fcntl; fcntl.ioctl(0, 0x5412, b'x')",
}


@pytest.mark.skipif(
    build_filter(processes=False, own_pid=None) is None, reason="no filter on this machine"
)
@pytest.mark.parametrize("what", REFUSED)
def test_a_decoder_needs_no(what: str, held: Settings, folder: Path) -> None:
    ended = python(REFUSED[what], folder, held)
    assert "PermissionError" in ended.words, ended
    assert not os.path.lexists(folder / "made")


def test_others_can_not_be_signalled(settings: Settings, folder: Path) -> None:
    """Without a namespace of its own it sees our processes, and is one of our user's."""
    alone = settings.model_copy(update={"sandbox": "limits"})
    code = "import os; os.kill(os.getpid(), 0); print('itself', flush=True); "
    ended = python(f"{code} os.kill({os.getpid()}, 0)", folder, alone)
    assert ended.output == b"itself\n" and "PermissionError" in ended.words
    assert python("import os; os.abort()", folder, alone).code == -signal.SIGABRT


def test_the_filter_knows_both_machines() -> None:
    for machine in ("x86_64", "aarch64"):
        program = build_filter(processes=False, own_pid=7, machine=machine)
        assert program is not None and len(program) % 8 == 0 and len(program) // 8 < 4096
    assert build_filter(processes=False, own_pid=7, machine="riscv64") is None


def test_all_that_is_written_is_bounded(held: Settings, folder: Path) -> None:
    code = "for n in range(64): open(f'made-{n}', 'wb').write(bytes(1024**2)) \nimport time\n"
    with pytest.raises(TookTooLong, match="wrote more"):
        python(code + "time.sleep(60)", folder, held)
    with pytest.raises(TookTooLong, match="wrote more"):
        python("for n in range(2000): open(f'n{n}', 'w')\nwhile True: pass", folder, held)


def test_a_planted_link_is_not_followed(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine for which there is no filter: we would move or serve what it leads to."""
    monkeypatch.setattr(sandbox_local, "build_filter", lambda **_: None)
    for backend in ("limits", *(["bubblewrap"] if BUBBLEWRAP else [])):
        unfiltered = settings.model_copy(update={"sandbox": backend})
        if backend == "limits":
            (folder / "made.mp4").symlink_to("/etc/passwd")  # by another program of the job
            code = "import os; os.rename('made.mp4', 'other.mp4')"
        else:
            code = "import os; os.symlink('/etc/passwd', 'made.mp4')"
        with pytest.raises(JobFailed, match="misbehave") as caught:
            python(code, folder, unfiltered)
        assert caught.value.permanent and caught.value.code == "sandbox_broken"
        for name in ("made.mp4", "other.mp4"):
            (folder / name).unlink(missing_ok=True)


@pytest.fixture
def canary() -> Iterator[tuple[str, list[object]]]:
    with hostile.canary() as found:
        yield found


@pytest.mark.parametrize("filtered", [True, False])
def test_there_is_no_network(
    held: Settings,
    folder: Path,
    canary: tuple[str, list[object]],
    filtered: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the filter; and in bubblewrap also without, as it has a network of its own."""
    if not filtered and held.sandbox == "limits":
        pytest.skip("limits have nothing but the filter")
    if not filtered:
        monkeypatch.setattr(sandbox_local, "build_filter", lambda **_: None)
    address, knocks = canary
    code = f"""
import socket
if {held.sandbox == "bubblewrap"}:
    print([line.split(":")[0].strip() for line in open("/proc/net/dev")][2:])
    print(len(open("/proc/net/tcp").readlines()), len(open("/proc/net/route").readlines()))
socket.create_connection(("127.0.0.1", {address.rpartition(":")[2]}), 2)
"""
    ended = python(code, folder, held)
    assert ended.code != 0 and ("Permission" if filtered else "refused") in ended.words
    if held.sandbox == "bubblewrap":
        assert ended.output == b"['lo']\n1 1\n"
    assert knocks == []


def test_memory_is_bounded(held: Settings, folder: Path) -> None:
    assert "MemoryError" in python("bytearray(1024**3)", folder, held).words


def test_what_is_written_is_bounded(held: Settings, folder: Path) -> None:
    ended = python("open('made', 'wb').write(bytes(8 * 1024**2))", folder, held)
    assert ended.code != 0
    assert (folder / "made").stat().st_size <= MIB


def test_time_on_the_processor_is_bounded(held: Settings, folder: Path) -> None:
    limits = Limits(memory_bytes=512 * MIB, cpu_s=1, file_bytes=0)
    ended = python("while True: pass", folder, held, limits)
    assert ended.code != 0


def test_patience_is_bounded(held: Settings, folder: Path) -> None:
    with pytest.raises(TookTooLong):
        python("import time; time.sleep(60)", folder, held, timeout_s=0.5)


def test_what_it_says_is_bounded(held: Settings, folder: Path) -> None:
    with pytest.raises(TookTooLong):
        python("import os\nwhile True: os.write(1, bytes(65536))", folder, held)


def test_children_end_with_it(held: Settings, folder: Path) -> None:
    code = "import subprocess, sys, time; subprocess.Popen(['sleep', '61']); time.sleep(60)"
    limits = Limits(memory_bytes=512 * MIB, cpu_s=20, file_bytes=MIB, processes=True)
    with pytest.raises(TookTooLong):
        python(code, folder, held, limits, timeout_s=1.0)
    give_up_s = time.monotonic() + 5
    while any(_runs(folder)):
        assert time.monotonic() < give_up_s, "sleep goes on"
        time.sleep(0.02)


def _runs(folder: Path) -> list[int]:
    from tests.tasks.doing import at_work_in

    return at_work_in(folder)


def test_the_environment_is_empty(
    held: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_CREDENTIALS_KEY", "a secret")
    ended = python("import os; print(sorted(os.environ))", folder, held)
    assert b"APPLIANCE" not in ended.output


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit_for_jobs_is_held_tightly() -> None:
    """The score goes from 0 (best) to 10; the threshold is ten times the highest allowed."""
    judge = ["systemd-analyze", "security", "--offline=true", "--threshold=5", "--no-pager"]
    done = subprocess.run(
        [*judge, str(ROOT / "systemd/appliance-sandbox@.service")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_a_sandbox_that_was_asked_for_and_is_missing_is_said(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox_local.try_bubblewrap.cache_clear()
    try:
        strict = settings.model_copy(update={"sandbox": "bubblewrap"})
        backend = sandbox.sandbox_backend(strict)
        assert backend.name == "limits" and "not installed" in backend.reason
        with pytest.raises(JobFailed, match="can't be opened safely"):
            python("pass", folder, strict)
    finally:
        sandbox_local.try_bubblewrap.cache_clear()


def context(settings: Settings) -> Context:
    jobs.create("probe", "test")
    job = jobs.claim("quick", "test", lease_s=60)
    assert job is not None
    return Context(job, settings, threading.Event())


@pytest.mark.usefixtures("db")
def test_scripts_fetch_nothing_and_read_no_other_file(
    held: Settings, canary: tuple[str, list[object]], tmp_path: Path
) -> None:
    """Playlists and scripts of every kind: the probe and ffmpeg both refuse them."""
    server, knocks = canary
    address = f"{server}/canary.ts"
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(media.h264_aac().read_bytes())
    here = context(held)
    for script in (
        media.playlist(address, secret),
        media.concat_script(secret),
        media.dash_manifest(address),
        media.svg(address),
        media.sdp(),
    ):
        assert look(script, here).video is None, script.name
        ended = _ffmpeg(script, here)
        assert ended.code != 0, script.name
        assert not (here.folder / "out.mp4").exists(), script.name
    assert knocks == []


def _ffmpeg(file: Path, here: Context) -> Ended:
    """What the encoder would do with it, had the probe let it pass."""
    from tasks.transcode.command import read_options

    ffmpeg = find_ffmpeg(here.settings)
    name = here.folder / "original"
    name.unlink(missing_ok=True)
    name.symlink_to(file)
    command = Command(
        argv=(
            *(str(ffmpeg), "-nostdin", "-y", *read_options(max_pixels=10**7)),
            *("-i", "file:original", "-c", "copy", "-f", "mp4", "file:out.mp4"),
        ),
        folder=here.folder,
        reads=(file, ffmpeg),
        limits=Limits(memory_bytes=2048 * MIB, cpu_s=20, file_bytes=16 * MIB),
    )
    return sandbox.run(command, here.settings, check=lambda: None, timeout_s=30)


@pytest.mark.usefixtures("db")
def test_an_external_reference_is_not_followed(held: Settings) -> None:
    secret = media.h264_aac()
    hostile = media.external_reference(secret)
    here = context(held)
    _ffmpeg(hostile, here)
    made = here.folder / "out.mp4"
    content = made.read_bytes() if made.exists() else b""
    sample = secret.read_bytes()[-20_000:-19_900]
    assert sample not in content
