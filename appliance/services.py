"""Start and stop the processes of an installed box, from outside of them.

Upgrades, restores and moves of the data need it: while they work nothing else may write, and no
request may fail for that. The web process is therefore *held*: its socket stays, connections wait
in the queue, and whoever starts it waits too, until it is let go or we die.

``Systemd`` drives the units of ``systemd/``. ``Program`` hands the same few wishes to a program
of your own, for a box that something else keeps running.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from appliance.errors import ApplianceError, SettingsError
from appliance.trial_unit import TRIAL, TRIAL_LISTEN, trial_unit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import TextIOWrapper

WEB = "web"
# In the order in which they may start: what acts on the outside comes last.
ALL = ("media", "quick", WEB, "delivery")
WORKERS = tuple(name for name in ALL if name != WEB)

# What runs now and then, and must not begin in the middle of things.
_NOW_AND_THEN = tuple(f"appliance-{n}" for n in ("backup", "backup-drill", "cleanup", "watch"))
_WEB_UNIT = "appliance-web.service"
_RUN = Path("/run")
_UNITS = _RUN / "systemd/system"
_LOCK = _RUN / "appliance-hold.lock"
_DROP_IN = _UNITS / f"{_WEB_UNIT}.d/90-hold.conf"
# + : by root, and outside of the unit's sandbox. The time a migration takes is no failed start.
_HOLD = f"""# While the box is upgraded, restored or moved: `appliance` removes it afterwards.
[Service]
ExecStartPre=+/usr/bin/flock --shared {_LOCK} /usr/bin/true
TimeoutStartSec=infinity
"""


class ServiceError(ApplianceError):
    """A process did not start or stop; the message has the last words of it, where known."""

    code = "service_failed"


class Services(Protocol):
    """``names`` are of ``ALL``. All of it may be repeated."""

    def hold(self) -> None:
        """From now on whoever starts the web process waits. Ends with ``let_go`` or our death."""

    def let_go(self) -> None: ...

    def stop(self, *names: str) -> None:
        """Returns when they have ended. Also stops what runs now and then, with the last."""

    def start(self, *names: str) -> None:
        """Returns when they say that they are ready. Raises ServiceError."""

    def is_running(self, name: str) -> bool: ...

    def begin_trial(self, release: Path) -> str:
        """Start the web process of a release where nobody sees it; its ``listen`` address.

        Raises ServiceError.
        """

    def end_trial(self) -> None: ...


def find_services(wish: str) -> Services:
    """``systemd``, ``none``, or the path of a program (see ``Program``). Raises SettingsError."""
    if wish == "none":
        return Idle()
    if wish != "systemd":
        return Program(Path(wish))
    if not Path("/run/systemd/system").is_dir():
        raise SettingsError(
            "systemd does not run here. `--services PROGRAM` names what starts and stops the box."
        )
    if os.geteuid() != 0:
        raise SettingsError("Only root may start and stop the box: run it with sudo.")
    return Systemd()


def unit_of(name: str) -> str:
    return _WEB_UNIT if name == WEB else f"appliance-worker@{name}.service"


class Systemd:
    def __init__(self) -> None:
        self._lock: TextIOWrapper | None = None

    def hold(self) -> None:
        if self._lock is None:
            self._lock = _LOCK.open("w")
        # Somebody may be between his start and our drop-in: he has the lock for an instant.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        _DROP_IN.parent.mkdir(parents=True, exist_ok=True)
        _DROP_IN.write_text(_HOLD)
        _systemctl("daemon-reload")

    def let_go(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if _DROP_IN.exists():
            _DROP_IN.unlink()
            with suppress(OSError):
                _DROP_IN.parent.rmdir()
            _systemctl("daemon-reload")

    def stop(self, *names: str) -> None:
        units = [unit_of(name) for name in names]
        if set(names) == set(ALL):
            units += [f"{name}.{kind}" for name in _NOW_AND_THEN for kind in ("timer", "service")]
        known = [unit for unit in units if _show(unit, "LoadState") == "loaded"]
        if known:
            # The socket stays, and systemd warns that it may start the service again: it waits.
            _systemctl("stop", "--quiet", *known)

    def start(self, *names: str) -> None:
        units = [unit_of(name) for name in names]
        if set(names) == set(ALL):
            timers = [f"{name}.timer" for name in _NOW_AND_THEN]
            units += [unit for unit in timers if _show(unit, "UnitFileState") == "enabled"]
        with suppress(ServiceError):  # none of them has ever failed
            _systemctl("reset-failed", *units)
        # While it is held, a start of the web process may be waiting, for a request that came; and
        # workers, which come after it, would wait for that.
        how = ["--job-mode=ignore-dependencies"] if self._lock is not None else []
        for unit in units:
            _start(unit, *how)

    def is_running(self, name: str) -> bool:
        return _show(unit_of(name), "ActiveState") == "active"

    def begin_trial(self, release: Path) -> str:
        self.end_trial()
        unit = trial_unit(_systemctl("cat", _WEB_UNIT), release)
        (_UNITS / TRIAL).write_text(unit)
        _systemctl("daemon-reload")
        _start(TRIAL)
        return TRIAL_LISTEN

    def end_trial(self) -> None:
        if not (_UNITS / TRIAL).exists():
            return
        with suppress(ServiceError):
            _systemctl("stop", "--quiet", TRIAL)
        with suppress(ServiceError):
            _systemctl("reset-failed", TRIAL)
        (_UNITS / TRIAL).unlink()
        _systemctl("daemon-reload")


class Program:
    """A program that is called with a verb and names, and ends with 0 when that is done.

    ``hold``, ``let-go``, ``stop NAME…``, ``start NAME…`` (ends when all are ready),
    ``running NAME`` (1: it is not), ``begin-trial RELEASE`` (prints the address), ``end-trial``.
    It holds the web process as long as the process that asked for it lives: its number is in
    ``HOLDER``.
    """

    def __init__(self, program: Path) -> None:
        self.program = program

    def hold(self) -> None:
        self._ask("hold")

    def let_go(self) -> None:
        self._ask("let-go")

    def stop(self, *names: str) -> None:
        self._ask("stop", *names)

    def start(self, *names: str) -> None:
        self._ask("start", *names)

    def is_running(self, name: str) -> bool:
        return self._run("running", name).returncode == 0

    def begin_trial(self, release: Path) -> str:
        return self._ask("begin-trial", str(release)).strip()

    def end_trial(self) -> None:
        self._ask("end-trial")

    def _ask(self, *words: str) -> str:
        done = self._run(*words)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise ServiceError(f"`{self.program.name} {' '.join(words)}` failed: {said[-2000:]}")
        return done.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [str(self.program), *words],
                env={**os.environ, "HOLDER": str(os.getpid())},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                process_group=0,  # Ctrl-C is for us to answer
            )
        except OSError as exc:
            raise ServiceError(f"{self.program} can't be run: {exc.strerror}.") from exc


class Idle:
    """Where nothing runs: it is stopped, or the machine is just starting. So it stays."""

    def hold(self) -> None: ...

    def let_go(self) -> None: ...

    def stop(self, *names: str) -> None: ...

    def start(self, *names: str) -> None: ...

    def is_running(self, name: str) -> bool:
        return False

    def begin_trial(self, release: Path) -> str:
        raise ServiceError(f"{release.name} can't be tried before the machine has started.")

    def end_trial(self) -> None: ...


def _systemctl(*words: str) -> str:
    done = subprocess.run(
        ["systemctl", "--no-ask-password", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        process_group=0,  # Ctrl-C is for us to answer
    )
    if done.returncode:
        said = (done.stderr.strip() or f"ended with {done.returncode}").splitlines()[0]
        raise ServiceError(f"`systemctl {' '.join(words)}`: {said}")
    return done.stdout


def _start(unit: str, *how: str) -> None:
    began = time.time()
    try:
        _systemctl("start", *how, unit)
    except ServiceError as exc:
        words = _last_words(unit, began)
        raise ServiceError(f"{unit} did not start. {words or exc}") from exc


def _show(unit: str, name: str) -> str:
    return _systemctl("show", "--value", f"--property={name}", unit).strip()


def _last_words(unit: str, since: float, lines: int = 12) -> str:
    """What a unit's processes have logged last, for the report: the reason is most likely in it."""
    done = subprocess.run(
        [
            "journalctl", f"_SYSTEMD_UNIT={unit}", f"--since=@{since:.0f}", f"--lines={lines}",
            "--output=cat", "--quiet", "--no-pager",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )  # fmt: skip
    return f"It said: {done.stdout.strip()}" if done.stdout.strip() else ""


def describe(names: Sequence[str]) -> str:
    """ "the web process and the media worker", for sentences."""
    words = [f"the {name} process" if name == WEB else f"the {name} worker" for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
