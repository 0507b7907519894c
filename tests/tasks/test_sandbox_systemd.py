"""The sandbox of an installed box: real units of the systemd that runs this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from appliance.doctor import Verdict
from appliance.errors import JobFailed
from appliance.models import Job, Method
from appliance.settings import Settings
from appliance.states import JobState, VideoState
from storage.layout import Layout
from tasks import sandbox
from tasks.checkup.programs import check_sandbox
from tasks.sandbox_types import MIB, Command, Ended, Limits, TookTooLong
from tests import media
from tests.end_to_end.box import ROOT, wait_for
from tests.tasks.doing import again, bring_in, rendition_of, run_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNITS = ROOT / "systemd"
NAME = f"appliance-test{os.getpid()}"
LIMITS = Limits(memory_bytes=512 * MIB, cpu_s=20, file_bytes=MIB)
CODE = (ROOT, Path(sys.prefix), Path(sys.base_prefix))  # what the units are shown

pytestmark = [
    pytest.mark.needs_systemd,
    pytest.mark.needs_root,
    pytest.mark.skipif(
        not Path("/run/systemd/system").is_dir() or os.geteuid() != 0,
        reason="needs systemd as the first process, and root to give it units",
    ),
]


@pytest.fixture(scope="module")
def box() -> Iterator[Settings]:
    """The shipped units, for this checkout and a data folder of its own."""
    data = Path("/var/lib", NAME)  # in /tmp nothing can be shown to the unit
    place = Path(f"/run/{NAME}/sandbox.sock")
    Layout(data).make_folders()
    reads = " ".join(f"-{path}" for path in CODE)
    changes = {
        "/opt/appliance/current/bin/python -I -m tasks.keeper": (
            f"{sys.executable} -I -m tasks.keeper '{sys.executable} -I -c'"
        ),
        "BindReadOnlyPaths=-/opt/appliance": f"BindReadOnlyPaths={reads}",
        "TemporaryFileSystem=/var/lib/appliance:": f"TemporaryFileSystem={data}:",
        # A checkout may lie in somebody's home.
        "ProtectHome=yes": "ProtectHome=tmpfs",
    }
    service = (UNITS / "appliance-sandbox@.service").read_text()
    for old, new in changes.items():
        assert service.count(old) == 1, old
        service = service.replace(old, new)
    service = service.replace("/run/appliance/root", f"/run/{NAME}/root")
    socket_unit = "\n".join(
        line.replace("/run/appliance/", f"/run/{NAME}/")
        for line in (UNITS / "appliance-sandbox.socket").read_text().splitlines()
        if not line.startswith(("SocketUser=", "SocketGroup="))
    )
    written = {
        Path(f"/run/systemd/system/{NAME}@.service"): service,
        Path(f"/run/systemd/system/{NAME}.socket"): socket_unit,
        Path("/run/systemd/system/system-appliancejobs.slice"): (
            UNITS / "system-appliancejobs.slice"
        ).read_text(),
    }
    for path, text in written.items():
        path.write_text(text)
    try:
        systemctl("daemon-reload")
        systemctl("start", f"{NAME}.socket")
        yield Settings(
            data=data,
            sandbox="systemd",
            sandbox_socket=place,
            disk_reserve="10 MiB",  # type: ignore[arg-type]
            lease_s=5,
        )
    finally:
        systemctl("stop", f"{NAME}.socket", f"{NAME}@*.service")
        for path in written:
            path.unlink()
        for place in (data, Path("/run", NAME)):
            shutil.rmtree(place, ignore_errors=True)
        systemctl("daemon-reload")


@pytest.fixture
def settings(box: Settings) -> Settings:
    return box


@pytest.fixture
def folder(box: Settings) -> Iterator[Path]:
    folder = Layout(box.data).tmp / "job"
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], check=True, capture_output=True, text=True)
    return done.stdout


def units_at_work() -> str:
    return systemctl("list-units", "--no-legend", "--plain", f"{NAME}@*.service")


def python(
    code: str,
    folder: Path,
    box: Settings,
    *,
    limits: Limits = LIMITS,
    reads: tuple[Path, ...] = (),
    timeout_s: float = 30,
    check: Callable[[], None] = lambda: None,
) -> Ended:
    command = Command((sys.executable, "-I", "-c", code), folder, limits, reads)
    return sandbox.run(command, box, check=check, timeout_s=timeout_s)


def test_output_words_and_code_come_back(box: Settings, folder: Path) -> None:
    ended = python("import sys; print('out'); sys.exit('words')", folder, box)
    assert (ended.code, ended.output, ended.words) == (1, b"out\n", "words\n")
    assert python("import os; os.kill(os.getpid(), 11)", folder, box).code == -signal.SIGSEGV
    assert check_sandbox(box).found == "a systemd unit for each job"


def test_it_is_another_user_and_what_it_makes_is_ours(box: Settings, folder: Path) -> None:
    code = "import os; open('made', 'w').write('x'); print(os.getuid(), os.getgroups())"
    uid, groups = python(code, folder, box).output.decode().split(maxsplit=1)
    assert int(uid) >= 61184 and "0" not in groups.replace(uid, "")
    assert (folder / "made").read_text() == "x"
    assert (folder / "made").stat().st_uid == os.geteuid()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "made").stat().st_mode & 0o777 == 0o600


SECRET = "the canary that nobody may read"


@pytest.fixture
def secrets(box: Settings, folder: Path) -> Iterator[list[Path]]:
    """What a job could be after; gone again before another test opens the database."""
    other = folder.parent / "other"
    other.mkdir()
    other.chmod(0o777)  # as the folder of a job is, while its unit runs
    secrets = [other / "made.mp4", box.database_path, box.data / "secret.key"]
    for secret in secrets:
        secret.write_text(SECRET)
        secret.chmod(0o666)
    yield secrets
    for secret in secrets:
        secret.unlink()
    other.rmdir()


def ways_to_code() -> dict[Path, list[str]]:
    """What homes show of a checkout that lies in one: the way to it, and nothing beside it."""
    homes = (Path("/root"), Path("/home"))
    ways: dict[Path, set[str]] = {home: set() for home in homes}
    for path in CODE:
        for way in path.parents:
            inside = any(way.is_relative_to(code) for code in CODE)
            if any(way.is_relative_to(home) for home in homes) and not inside:
                ways.setdefault(way, set()).add(path.relative_to(way).parts[0])
    return {way: sorted(names) for way, names in ways.items()}


def test_nothing_but_its_files_can_be_reached(
    box: Settings, folder: Path, secrets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_CREDENTIALS_KEY", SECRET)
    original = box.data / "original"
    original.write_text("a film")
    paths = [
        *(*secrets, box.sandbox_socket, *ways_to_code()),
        *("/etc/passwd", "/etc/shadow", "/run/credentials", "/run/systemd", "/sys/class"),
        *("/var/lib", "/proc/1/environ", "/proc/sys/kernel", "/dev/sda", "/dev/kmsg"),
        *("..", "../other", "../other/made.mp4", "../../secret.key", "/proc/self/cwd/.."),
    ]
    code = f"""
import os, socket, sys
def attempt(what, do):
    try:
        found = do()
    except OSError as exc:
        print("no", what, type(exc).__name__)
    else:
        print("YES", what, found)
for path in {[str(path) for path in paths]!r}:
    attempt(
        path,
        lambda: sorted(os.listdir(path)) if os.path.isdir(path) else open(path, "rb").read(99),
    )
for handle in os.listdir("/proc/self/fd"):
    place = f"/proc/self/fd/{{handle}}"
    if os.path.islink(place) and "original" in os.readlink(place):
        print("has the original")
        attempt("writing", lambda: open(place, "r+b").write(b"x"))
        attempt("cutting", lambda: os.truncate(place, 0))
        attempt("writing by the descriptor", lambda: os.write(int(handle), b"x"))
attempt("by its path", lambda: open({str(original)!r}, "r+b"))
attempt("opening rights", lambda: os.chmod({str(original)!r}, 0o666))
attempt("a file in data", lambda: open("../made", "w"))
for place in "/ /tmp /var/tmp /run /dev /dev/shm /dev/mqueue /sys /usr /proc/self".split():
    attempt("leaving in " + place, lambda: open(place + "/left", "w"))
attempt("a socket", lambda: socket.socket())
attempt("a socket of this machine", lambda: socket.socket(socket.AF_UNIX))
attempt("a link", lambda: os.symlink("/etc/passwd", "made.mp4"))
print([pid for pid in os.listdir("/proc") if pid.isdecimal()])
print(sorted(os.environ))
print(open({str(original)!r}).read())
"""
    ended = python(code, folder, box, reads=(original,))
    lines = ended.output.decode().splitlines()
    assert ended.code == 0, ended
    # Of folders that hold mount points an empty shell may be left.
    shells = [f"YES /var/lib ['{NAME}']", "YES /run/systemd []"]
    # Newer systemds show the journal's sockets, too; a socket to reach them there is none.
    shells += ["YES /run/systemd ['incoming']", "YES /run/systemd ['incoming', 'journal']"]
    shells += [f"YES {way} {names}" for way, names in ways_to_code().items()]
    reached = [line for line in lines if line.startswith("YES") and line not in shells]
    assert reached == [] and SECRET not in str(lines)
    assert lines[-1] == "a film" and original.read_text() == "a film"
    assert "has the original" in lines
    assert len(lines[-3].split(",")) <= 3  # the keeper and the program itself
    assert "APPLIANCE" not in lines[-2]


def test_a_canary_on_the_network_hears_nothing(box: Settings, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        code = f"""
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
print(libc.socket(2, 1, 0), ctypes.get_errno(), os.path.exists("/proc/net/tcp"))
import socket; socket.create_connection(("127.0.0.1", {port}), 2)
"""
        ended = python(code, folder, box)
        assert ended.output == b"-1 1 False\n" and "PermissionError" in ended.words
        with pytest.raises(TimeoutError):
            server.accept()


def test_limits_hold_for_each_alone(box: Settings, folder: Path) -> None:
    """A bomb of memory ends itself; a neighbour at work at the same time doesn't notice."""
    neighbour: list[Ended] = []
    began = threading.Event()

    def work() -> None:
        elsewhere = folder.parent / "neighbour"
        elsewhere.mkdir()
        code = "print(1, flush=True); import os\nwhile not os.path.exists('go'): pass\nprint(2)"
        command = Command((sys.executable, "-I", "-c", code), elsewhere, LIMITS)
        neighbour.append(
            sandbox.run(
                command, box, check=lambda: None, timeout_s=60, on_line=lambda _: began.set()
            )
        )

    thread = threading.Thread(target=work)
    thread.start()
    assert began.wait(30)
    assert "MemoryError" in python("bytearray(1024**3)", folder, box).words
    assert python("open('made', 'wb').write(bytes(8 * 1024**2))", folder, box).code != 0
    assert (folder / "made").stat().st_size <= MIB
    short = Limits(memory_bytes=512 * MIB, cpu_s=1, file_bytes=0)
    assert python("while True: pass", folder, box, limits=short).code < 0
    with pytest.raises(TookTooLong):
        python("import time; time.sleep(60)", folder, box, timeout_s=0.5)
    (folder.parent / "neighbour" / "go").touch()
    thread.join(30)
    assert [ended.code for ended in neighbour] == [0]
    shutil.rmtree(folder.parent / "neighbour")


def test_a_cancel_ends_the_unit(box: Settings, folder: Path) -> None:
    class Cancelled(Exception):
        pass

    def check() -> None:
        if (folder / "began").exists():
            raise Cancelled

    with pytest.raises(Cancelled):
        python("open('began', 'w'); import time; time.sleep(60)", folder, box, check=check)
    wait_for("the unit ends", lambda: units_at_work() == "", seconds=10)


def test_a_worker_that_is_killed_leaves_nothing(box: Settings, folder: Path) -> None:
    place = str(box.sandbox_socket)
    code = f"""
from pathlib import Path
from appliance.settings import Settings
from tasks import sandbox
from tasks.sandbox_types import Command, Limits
command = Command(
    ({sys.executable!r}, "-I", "-c", "open('began', 'w'); import time; time.sleep(60)"),
    Path({str(folder)!r}), Limits(2**29, 20, 2**20),
)
box = Settings(sandbox="systemd", data={str(box.data)!r}, sandbox_socket={place!r})
sandbox.run(command, box, check=lambda: None)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as worker:
        wait_for("the program runs", (folder / "began").exists, seconds=30)
        assert units_at_work() != ""
        worker.kill()
    wait_for("the unit ends", lambda: units_at_work() == "", seconds=10)


def test_a_worker_that_is_not_root_gets_its_files_back(box: Settings) -> None:
    """As installed: the worker is one user, the unit another, and neither may do the other's."""
    if not ROOT.stat().st_mode & 0o001 or ROOT.is_relative_to("/root"):
        pytest.skip("needs a checkout that others may read")
    place, folder, original = str(box.sandbox_socket), box.data / "nobody", box.data / "film"
    folder.mkdir()
    original.write_text("a film")
    for path in (folder, original, box.data, box.sandbox_socket):
        os.chown(path, 65534, 65534)
    program = f"""
import os
for name in ("known", "unknown"):
    open(name, "w").write(str(os.getuid()))
print(open({str(original)!r}).read())
try:
    open({str(original)!r}, "a")
except PermissionError:
    print("and no more")
"""
    code = f"""
from pathlib import Path
from appliance.settings import Settings
from tasks import sandbox
from tasks.sandbox_types import Command, Limits
command = Command(
    ({sys.executable!r}, "-I", "-c", {program!r}, "file:known", "file:unused"),
    Path({str(folder)!r}), Limits(2**29, 20, 2**20), reads=(Path({str(original)!r}),),
)
box = Settings(sandbox="systemd", data={str(box.data)!r}, sandbox_socket={place!r})
print(sandbox.run(command, box, check=lambda: None))
for path in sorted(command.folder.iterdir()):
    print(path.name, path.stat().st_uid, oct(path.stat().st_mode), path.read_text() > "61183")
"""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            **{"user": 65534, "group": 65534, "extra_groups": []},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        ended, *files = done.stdout.splitlines() or [""]
        assert "code=0" in ended and "a film" in ended and "and no more" in ended, done.stderr
        assert files == [f"{name} 65534 0o100600 True" for name in ("known", "unknown")]
    finally:
        for path in (box.data, box.sandbox_socket):
            os.chown(path, 0, 0)
        shutil.rmtree(folder)


def test_only_known_programs_run(box: Settings, folder: Path) -> None:
    command = Command(("/usr/bin/env", "true"), folder, LIMITS)
    with pytest.raises(JobFailed) as caught:
        sandbox.run(command, box, check=lambda: None)
    assert caught.value.code == "sandbox_failed"
    assert "none of the programs" in caught.value.detail


def test_its_input_can_be_fed(box: Settings, folder: Path) -> None:
    command = Command(
        (sys.executable, "-I", "-c", "import sys; print(len(sys.stdin.buffer.read()))"),
        *(folder, LIMITS),
    )

    def feed(pipe: IO[bytes], check: Callable[[], None]) -> None:
        pipe.write(bytes(200_000))
        pipe.close()

    ended = sandbox.run(command, box, check=lambda: None, feed=feed, timeout_s=30)
    assert ended.output == b"200000\n"


@pytest.mark.usefixtures("db")
def test_videos_become_ready(box: Settings) -> None:
    """The whole way: looked into, poster, copied or encoded, checked again."""
    copied, encoded = bring_in(box, media.index_last()), bring_in(box, media.webm_vp9())
    run_all(box)
    for video, method in ((copied, Method.REMUX), (encoded, Method.TRANSCODE)):
        failed = list(Job.select().where(Job.video == video, Job.state != JobState.COMPLETED))
        assert not failed, [(job.kind, job.error, job.error_detail) for job in failed]
        assert again(video).state is VideoState.READY
        assert rendition_of(video).method is method
        for file in Layout(box.data).video(video.public_id).iterdir():
            about = file.stat()
            assert about.st_uid == os.geteuid() and about.st_mode & 0o022 == 0, file
    assert list(Layout(box.data).tmp.iterdir()) == []


def test_a_socket_without_a_unit_is_a_fault_of_the_machine(box: Settings, tmp_path: Path) -> None:
    lonely = tmp_path / "sandbox.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(lonely))  # nobody listens
        alone = box.model_copy(update={"sandbox_socket": lonely})
        with pytest.raises(JobFailed) as caught:
            python("pass", tmp_path, alone)
        assert caught.value.code == "sandbox_failed" and not caught.value.permanent
        assert check_sandbox(alone).verdict is Verdict.BAD
