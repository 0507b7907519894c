"""An installed box without systemd: releases side by side, and somebody who keeps them running.

The releases are this checkout under other names, with migrations or programs of their own. The
keeper holds the socket of the web process, as systemd does, and does what `appliance release`
asks for through a small program (appliance/services.py, ``Program``).
"""

from __future__ import annotations

import compileall
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.end_to_end.box import ROOT, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

PROCESSES = ("media", "quick", "web", "delivery")
# Adds a table with a row, and takes a moment in each of two statements.
NOTES = """
def up(migrator, db):
    db.execute_sql("CREATE TABLE note (id INTEGER NOT NULL PRIMARY KEY, text TEXT NOT NULL)")
    db.execute_sql("INSERT INTO note (text) SELECT name FROM setting")
"""

_CLIENT = """#!{python} -SE
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
line.sendall(json.dumps([*sys.argv[1:]]).encode() + b"\\n")
said = json.loads(line.makefile().readline())
print(said["text"], file=sys.stderr if said["code"] else sys.stdout)
sys.exit(said["code"])
"""


class Keeper:
    """Starts and stops the processes of the release in use, or of one that is tried."""

    def __init__(self, prefix: Path, env: dict[str, str], log: Path) -> None:
        self.prefix = prefix
        self.env = env
        self.log = log
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.asked: list[list[str]] = []
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.listen = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.trial_socket = prefix / "trial.sock"
        self.program = prefix / "services"
        address = str(prefix / "keeper.sock")
        self.program.write_text(_CLIENT.format(python=sys.executable, address=address))
        self.program.chmod(0o755)
        self._line = socket.socket(socket.AF_UNIX)
        self._line.bind(address)
        self._line.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._line.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._line.close()
        self.kill_all()
        self.socket.close()

    def kill_all(self) -> None:
        """As a power cut does."""
        for process in self.running.values():
            process.kill()
            process.wait()
        self.running.clear()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._line.accept()
            except OSError:
                return
            with client, client.makefile("r") as stream:
                if not (line := stream.readline()):
                    continue
                words = json.loads(line)
                self.asked.append(words)
                try:
                    answer = {"code": 0, "text": self._do(*words)}
                except Exception as exc:
                    answer = {"code": 1, "text": f"{exc}"}
                # Whoever asked may have been killed.
                with suppress(OSError):
                    client.sendall(json.dumps(answer).encode() + b"\n")

    def _do(self, verb: str, *names: str) -> str:
        if verb == "start":
            for name in names:
                self.start(name)
        elif verb == "stop":
            self._stop(*names)
        elif verb == "running":
            if not self.runs(names[0]):
                raise RuntimeError(f"{names[0]} does not run")
        elif verb == "begin-trial":
            self._stop("trial")
            self._start("trial", Path(names[0]))
            return f"unix:{self.trial_socket}"
        elif verb == "end-trial":
            self._stop("trial")
        return ""

    def runs(self, name: str) -> bool:
        process = self.running.get(name)
        return process is not None and process.poll() is None

    def start(self, name: str) -> None:
        self._start(name, self.prefix / "current")

    def _start(self, name: str, release: Path) -> None:
        if self.runs(name):
            return
        words: Sequence[str] = ["worker", name]
        if name == "web":
            words = ["web", "--fd", str(self.socket.fileno())]
        elif name == "trial":
            words = ["web", "--listen", f"unix:{self.trial_socket}"]
        told = self.prefix / f"ready-{name}.sock"
        told.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, self.log.open("ab") as log:
            ready.bind(str(told))
            process = self.running[name] = subprocess.Popen(
                [str(release / "bin/appliance"), *words],
                env={**self.env, "NOTIFY_SOCKET": str(told), "APPLIANCE_LISTEN": self.listen},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self.socket.fileno(),) if name == "web" else (),
            )
            if name in ("web", "trial"):
                self._await_ready(process, ready)

    @staticmethod
    def _await_ready(process: subprocess.Popen[bytes], ready: socket.socket) -> None:
        ready.settimeout(0.05)

        def look() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"it ended with {process.returncode}")
            try:
                return b"READY=1" in ready.recv(4096)
            except TimeoutError:
                return False

        wait_for("it is ready", look, seconds=60)

    def _stop(self, *names: str) -> None:
        """All at once, as systemd does."""
        found = [self.running.pop(name) for name in names if name in self.running]
        for process in found:
            process.send_signal(signal.SIGTERM)
        for process in found:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Installed:
    """A box that is installed below ``folder``; its releases are made by ``add``."""

    def __init__(self, folder: Path, data: Path | None = None) -> None:
        self.folder = folder
        self.prefix = folder / "opt"
        (self.prefix / "releases").mkdir(parents=True)
        self.data = data or folder / "data"
        self.first = ""
        self.token = ""  # of its owner, for whoever made one
        self._as_installed = folder / "as-installed"
        self._begun: list[subprocess.Popen[str]] = []
        self.log = folder / "box.log"
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("APPLIANCE_")},
            "APPLIANCE_DATA": str(self.data),
            "APPLIANCE_DISK_RESERVE": "1 MiB",
            "APPLIANCE_LEASE_S": "3",
            "APPLIANCE_SWEEP_S": "1",
            "APPLIANCE_SANDBOX": "limits",
            "APPLIANCE_ENCODER": "x264",
            "PYTHONUNBUFFERED": "1",
        }
        self.keeper = Keeper(self.prefix, self.env, self.log)
        self.env["APPLIANCE_LISTEN"] = self.keeper.listen
        self.url = f"http://{self.keeper.listen}"

    def close(self) -> None:
        self._end_commands()
        self.keeper.close()

    def add(self, name: str, *, migration: str = "", broken: str = "") -> Path:
        """A release with a migration more; ``broken``: lines of its program, before it runs."""
        release = self.prefix / "releases" / name
        library = release / "lib"
        library.mkdir(parents=True)
        for package in ("storage", "tasks", "web"):
            (library / package).symlink_to(ROOT / package)
        compile_all()
        # Not the files that another process is about to rename: they go while one copies.
        unfinished = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(ROOT / "appliance", library / "appliance", ignore=unfinished)
        if migration:
            (library / "appliance/migrations/0098_notes.py").write_text(migration)
        program = release / "bin/appliance"
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\n{broken}\nexport PYTHONPATH={library}\n"
            f'exec {sys.executable} -m appliance.cli "$@"\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return release

    def install(self, name: str) -> None:
        """Have a release in use, as if it had been activated long ago."""
        program = self.prefix / "releases" / name / "bin/appliance"
        subprocess.run([program, "release", "step", "migrate"], env=self.env, check=True, cwd="/",
                       stdout=subprocess.DEVNULL)  # fmt: skip
        (self.prefix / "current").symlink_to(f"releases/{name}")
        self.first = name

    def start(self) -> None:
        """Start its processes."""
        for process in PROCESSES:
            self.keeper.start(process)

    def keep_as_installed(self) -> None:
        """From now on ``renew`` leads here; nothing of it has run yet."""
        shutil.copytree(self.data, self._as_installed)

    def renew(self) -> None:
        """As it was when it was installed, and running: cheap when it is nearly so."""
        self._end_commands()
        (self.prefix / "activation.json").unlink(missing_ok=True)
        if self.active != self.first or not self._has_lost_nothing():
            self.keeper.kill_all()
            shutil.rmtree(self.data)
            shutil.copytree(self._as_installed, self.data)
            aside = self.prefix / ".current.first"
            aside.symlink_to(f"releases/{self.first}")
            aside.replace(self.prefix / "current")
        for release in (self.prefix / "releases").iterdir():
            if release.name != self.first:
                shutil.rmtree(release)
        shutil.rmtree(self.data / "backups", ignore_errors=True)
        self.keeper.asked.clear()
        self.start()

    def _has_lost_nothing(self) -> bool:
        """An upgrade that was taken back leaves its traces in rows of these; the rest is as new."""
        if not all(map(self.keeper.runs, PROCESSES)):
            return False
        with closing(sqlite3.connect(self.data / "appliance.db", timeout=10)) as db:
            db.execute("DELETE FROM setting WHERE name IN ('posting', 'quiet')")
            db.commit()
            names = "SELECT name FROM schema_migration"
            with closing(sqlite3.connect(self._as_installed / "appliance.db")) as first:
                return db.execute(names).fetchall() == first.execute(names).fetchall()

    def _end_commands(self) -> None:
        """Whatever a test that failed has left under way."""
        for process in self._begun:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self._begun.clear()

    def begin(self, release: Path, *words: str, acting: bool = True) -> subprocess.Popen[str]:
        """An `appliance release` command of a release, under way."""
        options = ["--prefix", str(self.prefix)]
        if acting:
            options += ["--services", str(self.keeper.program), "--deadline", "60"]
        process = subprocess.Popen(
            [str(release / "bin/appliance"), "release", *words, *options],
            env=self.env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # as a shell starts it: Ctrl-C is sent to the group
        )
        self._begun.append(process)
        return process

    def run(self, release: Path, *words: str, code: int = 0, acting: bool = True) -> str:
        """The same, to its end: all that it said."""
        process = self.begin(release, *words, acting=acting)
        out, err = process.communicate(timeout=200)
        assert process.returncode == code, f"{words}: {out}{err}{self.log_tail()}"
        return out + err

    def log_tail(self) -> str:
        return self.log.read_text()[-3000:] if self.log.exists() else ""

    @property
    def active(self) -> str | None:
        link = self.prefix / "current"
        return Path(os.readlink(link)).name if link.is_symlink() else None

    @property
    def journal(self) -> Any:
        try:
            return json.loads((self.prefix / "activation.json").read_text())
        except FileNotFoundError:
            return {"under": None, "past": []}

    def answers(self, timeout_s: float = 10) -> bool:
        """Asked over a connection of its own. Raises OSError, HTTPException."""
        # Not by httpx, which reads all certificates for that: it was half of what these tests took.
        line = http.client.HTTPConnection(self.keeper.listen, timeout=timeout_s)
        with closing(line):
            line.request("GET", "/health/live")
            return line.getresponse().status == 200


@cache
def compile_all() -> None:
    """What an installation does, too: each of the many starts is quick then."""
    for package in ("appliance", "storage", "tasks", "web"):
        compileall.compile_dir(ROOT / package, quiet=2)
