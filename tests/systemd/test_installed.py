"""The units on a box where they are installed: run inside it, as root.

Only pytest and the standard library are needed, so a copy of this folder will do:
``python3 -m pytest -c /dev/null systemd/test_installed.py``. Services are frozen, killed and
started again; nothing is left behind but a user, a video and what they wrote.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import installed
from .installed import CURRENT, DATA, SERVICES, STAY_UP, ask, journal, pid_of, systemctl, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.needs_systemd,
    pytest.mark.needs_root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not Path("/run/systemd/system").is_dir() or os.geteuid() != 0 or not CURRENT.exists(),
        reason="needs a machine where the appliance is installed, and root",
    ),
]


@pytest.fixture(autouse=True, scope="module")
def all_up() -> None:
    systemctl("start", "appliance.target", *STAY_UP)
    wait_for("web answers", installed.web_answers, seconds=60)


def wait_for_another(unit: str, pid: int, *, seconds: float = 60) -> None:
    wait_for(f"{unit} is started again", lambda: pid_of(unit) not in (0, pid), seconds=seconds)


def test_everything_is_up_and_says_what_it_does() -> None:
    assert [unit for unit in STAY_UP if installed.show(unit, "ActiveState") != "active"] == []
    for unit in SERVICES:
        said = wait_for(f"{unit} says", lambda unit=unit: installed.show(unit, "StatusText"))
        assert said.startswith(("Serves unix:/run/", "Waits for work", "Works on ")), said


def test_no_request_fails_over_restarts_and_kills() -> None:
    with installed.Requests() as requests:
        for round in range(6):
            requests.wait_for_more()
            pid = pid_of("appliance-web")
            if round % 2:
                # What a killed process has begun is lost with it; what waits for it is not.
                with requests.between():
                    os.kill(pid, signal.SIGKILL)
            else:
                systemctl("restart", "appliance-web")
            wait_for_another("appliance-web", pid)
        requests.wait_for_more()
    print(requests)
    assert requests.failures == [], str(requests)


@pytest.fixture
def short_watch() -> Iterator[None]:
    """Seconds for half a minute; the rest is as installed."""
    units = ("appliance-web.service", "appliance-worker@quick.service")
    with installed.drop_in(units, "[Service]\nWatchdogSec=4\n"):
        systemctl("restart", *units)
        yield
    systemctl("restart", *units)
    assert installed.web_answers()


@pytest.mark.usefixtures("short_watch")
def test_what_is_frozen_is_started_again_and_what_works_is_left_alone() -> None:
    others = {unit: pid_of(unit) for unit in SERVICES}
    for unit in ("appliance-web", "appliance-worker@quick"):
        pid = others.pop(unit)
        os.kill(pid, signal.SIGSTOP)
        wait_for_another(unit, pid)
        assert installed.show(unit, "Result") == "success"  # it runs again
        assert "watchdog" in journal("_PID=1", f"UNIT={unit}.service", "-n40").lower()
    assert others == {unit: pid_of(unit) for unit in others}
    again = {unit: pid_of(unit) for unit in SERVICES}
    time.sleep(9)  # twice as long as it may be silent: that nothing happens takes its time
    assert again == {unit: pid_of(unit) for unit in SERVICES}


@pytest.mark.usefixtures("short_watch")
def test_a_blocked_event_loop_is_ended_and_tells_where_it_stood() -> None:
    pid = pid_of("appliance-web")
    with installed.held_main_thread(pid):  # which the loop turns in; all other threads go on
        wait_for_another("appliance-web", pid)
    wait_for("web answers", installed.web_answers, seconds=60)
    assert "most recent call first" in journal(f"_PID={pid}", "-n400")


def own_address() -> str:
    """Of this machine, in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.connect(("192.0.2.1", 9))  # sends nothing; it only finds the way
        return str(line.getsockname()[0])


INSIDE = """
attempt("read the database", lambda: open("/var/lib/appliance/appliance.db", "rb").read(1))
attempt("read shadow", lambda: open("/etc/shadow").read())
attempt("read credentials at rest", lambda: os.listdir("/etc/appliance/credentials"))
attempt("read credentials of web",
        lambda: open("/run/credentials/appliance-web.service/credentials_key").read())
attempt("see processes of others", lambda: os.listdir("/proc/1/fd"))
attempt("see the environment of web", lambda: open("/proc/{web}/environ").read())
attempt("change the system", lambda: open("/etc/left", "w"))
attempt("change the program", lambda: open("/opt/appliance/current/left", "w"))
attempt("write data", lambda: open("/var/lib/appliance/left", "w").close())
attempt("link data into a backup", lambda: os.link(
    "/var/lib/appliance/left", "/var/backups/appliance/left"))
attempt("run data", lambda: run_from("/var/lib/appliance/left.sh"))
attempt("run what it wrote", lambda: run_from("/tmp/left.sh"))
attempt("make a user namespace", lambda: libc(dll.unshare(0x10000000)))
attempt("mount", lambda: libc(dll.mount(b"none", b"/tmp", b"tmpfs", 0, None)))
attempt("become root", lambda: os.setuid(0))
attempt("trace others", lambda: libc(dll.ptrace(16, {web}, 0, 0)))
attempt("open a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close())
attempt("run memory", lambda: mmap.mmap(-1, 4096, prot=7))
for name in ("lib/appliance/left", "lib/appliance/left.sh", "backups/appliance/left"):
    if os.path.exists("/var/" + name):
        os.unlink("/var/" + name)
"""
WORKS = {"read the database", "write data"}
# Who makes backups gives a file a second name; else each would take its room again.
BACKS_UP = {*WORKS, "link data into a backup"}


@pytest.mark.parametrize(
    ("unit", "may"),
    [
        ("appliance-web.service", WORKS),
        ("appliance-worker@media.service", WORKS),
        ("appliance-worker@quick.service", WORKS),
        ("appliance-worker@delivery.service", BACKS_UP),
        ("appliance-backup.service", BACKS_UP),
        # Of what it writes there nothing stays: 64 kB of memory, for names of files.
        ("appliance-sandbox@x.service", {"write data"}),
        # Root, without root's rights; what belongs to root it may see, where that isn't hidden.
        ("appliance-cleanup.service", {"change the program", "see processes of others"}),
    ],
)
def test_from_inside_each_can_do_what_it_needs_and_no_more(unit: str, may: set[str]) -> None:
    could, failed = installed.probe(unit, INSIDE.replace("{web}", str(pid_of("appliance-web"))))
    (CURRENT.parent / "left").unlink(missing_ok=True)
    assert could == may, (could, failed)
    assert len(could) + len(failed) == INSIDE.count("attempt(")


@cache
def addresses_can_be_denied() -> bool:
    """Not in every container: systemd says so once, and goes on without."""
    with installed.canary("127.0.0.1") as (server, (host, port)):
        code = f"import socket; socket.create_connection(({host!r}, {port}), 2)"
        unit = ("systemd-run", "--wait", "--quiet", "--pipe", "-p", "IPAddressDeny=any")
        installed.run(*unit, "/usr/bin/python3", "-c", code, check=False)
        return not installed.has_heard(server)


@pytest.mark.parametrize("name", ["web", "worker@media", "worker@quick", "sandbox@x", "backup"])
def test_only_deliveries_can_connect(name: str) -> None:
    with (
        installed.canary("127.0.0.1") as (near, here),
        installed.canary(own_address()) as (far, there),
    ):
        code = f"for place in {[here, there]}:\n    attempt('connect', lambda: connect(*place))\n"
        could, failed = installed.probe(f"appliance-{name}.service", code)
        assert (could, set(failed)) == (set(), {"connect"})
        assert not installed.has_heard(near) and not installed.has_heard(far)


def test_deliveries_reach_nothing_near() -> None:
    if not addresses_can_be_denied():
        pytest.skip("systemd can't deny addresses on this machine: a container without BPF")
    places = ["127.0.0.1", own_address(), *(["::1"] if socket.has_dualstack_ipv6() else [])]
    for place in places:
        with installed.canary(place) as (server, address):
            code = f"attempt('connect', lambda: connect(*{address}))"
            could, _ = installed.probe("appliance-worker@delivery.service", code)
            assert could == set() and not installed.has_heard(server), place
    code = "attempt('ask web', lambda: socket.socket(socket.AF_UNIX).connect({!r}))"
    could, failed = installed.probe(
        "appliance-worker@delivery.service", code.format(installed.WEB_SOCKET)
    )
    assert could == {"ask web"}, failed


def test_who_is_kept_from_a_neighbour_is_told_what_mends_it() -> None:
    code = "from tasks.alerting import reach; print(reach.why_not(['192.168.7.7']))"
    unit = ["systemd-run", "--wait", "--quiet", "--pipe", "-p", "IPAddressDeny=192.168.0.0/16"]
    program = (f"{CURRENT}/python", "-c", code)
    assert "may not reach 192.168.7.7" in installed.run(*unit, *program)
    assert installed.run(*unit, "-p", "IPAddressAllow=192.168.7.7", *program).strip() == ""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a video that was brought in and is ready."""
    film = Path("/var/tmp", f"film{os.getpid()}.mp4")
    source = ("-f", "lavfi", "-i", "testsrc2=s=160x120:d=1", "-c:v", "libx264", "-pix_fmt")
    installed.run("ffmpeg", "-v", "error", "-y", *source, "yuv420p", str(film))
    film.chmod(0o644)
    # The command takes the rights of an admin of the box.
    add = ("user", "add", f"probe{time.time_ns()}@example.org", "--role", "admin")
    installed.appliance(*add, "--password-stdin", given="a long Pass-word 1")
    try:
        said = installed.appliance("upload", str(film), "--wait", "--json")
    finally:
        film.unlink()
    found = json.loads(said)
    video = str((found[0] if isinstance(found, list) else found)["video_id"])
    wait_for("a poster", (DATA / "media" / video / "poster.webp").exists, seconds=60)
    return video


def may_caddy(*words: str) -> bool:
    """As the proxy, which is in its own group and no other."""
    alone = ("setpriv", "--reuid=65534", "--regid=caddy", "--clear-groups", "--")
    try:
        installed.run(*alone, *words)
    except AssertionError:
        return False
    return True


def test_the_proxy_reads_media_and_nothing_else(video: str) -> None:
    folder = DATA / "media" / video
    files = sorted(folder.iterdir())
    assert {"original", "social.mp4", "poster.webp"} <= {file.name for file in files}
    assert [file for file in files if not may_caddy("sha256sum", str(file))] == []
    closed = [DATA, DATA / "media", DATA / "uploads", DATA / "tmp", DATA / "trash"]
    assert [place for place in closed if may_caddy("ls", str(place))] == []
    secrets = [DATA / "appliance.db", DATA / "appliance.db-wal", DATA / "queue.db"]
    assert all(place.exists() for place in secrets)
    secrets.append(Path("/etc/appliance/appliance.toml"))
    secrets += Path("/etc/appliance/credentials").iterdir()
    assert [place for place in secrets if may_caddy("sha256sum", str(place))] == []
    assert not may_caddy("touch", str(folder / "left"))
    assert not (DATA / "secret.key").exists()  # the key is a credential


def test_the_journal_finds_what_belongs_together(video: str) -> None:
    events = [json.loads(line) for line in journal(f"VIDEO_ID={video}", "-ojson").splitlines()]
    jobs = {event["JOB_ID"] for event in events}
    assert len(jobs) > 1 and {event["PRIORITY"] for event in events} == {"6"}
    for job in jobs:
        wait_for("the job ends", lambda j=job: f"{j}: completed" in journal(f"JOB_ID={j}", "-ocat"))
    units = {event["_SYSTEMD_UNIT"] for event in events}
    assert "appliance-worker@quick.service" in units
    (line, *_) = journal("-u", "appliance-web", "-n1", "-ojson", "--grep=request id=").splitlines()
    event = json.loads(line)
    assert f"request id={event['REQUEST_ID']} " in event["MESSAGE"]


def test_the_key_is_nowhere_in_clear() -> None:
    place = "/etc/appliance/credentials/credentials_key.cred"
    key = installed.run("systemd-creds", "decrypt", "--name=credentials_key", place, "-").strip()
    assert len(key) > 40
    assert key not in journal("-b")
    for unit in SERVICES:
        for name in ("environ", "cmdline"):
            assert key.encode() not in Path(f"/proc/{pid_of(unit)}/{name}").read_bytes()
    for file in [*DATA.glob("*.db*"), *Path("/etc/appliance").rglob("*")]:
        assert not file.is_file() or key.encode() not in file.read_bytes(), file


def test_all_together_take_little_memory() -> None:
    systemctl("restart", *(f"{unit}.service" for unit in SERVICES))
    wait_for("web answers", installed.web_answers, seconds=60)
    assert ask("/sign-in") in (200, 302, 303)
    taken = {unit: installed.pss_kib(pid_of(unit)) >> 10 for unit in SERVICES}
    print(taken, sum(taken.values()), "MiB")
    assert sum(taken.values()) < 250, taken
