"""The servers that are compared: each a process of its own, on a free loopback port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from appliance import sessions, tokens, users, videos
from appliance.access import Scope
from appliance.db import database, open_database
from appliance.migrate import migrate
from appliance.models import Role, Source, Visibility
from appliance.settings import Settings
from hatch_build import find_node, locked, run_npm
from storage.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
PEERS = ROOT / "benchmarks/peers"
CADDYFILE = ROOT / "docs/proxy/Caddyfile"
_VIDEOS = 12


@dataclass(frozen=True)
class Server:
    """``pids`` empty: no process, the disk. ``pages``: what a visitor asks for meanwhile.
    ``folders``: where the bytes end up; emptied after each round."""

    name: str
    kind: str
    target: str
    pids: list[int]
    folders: list[Path]
    headers: dict[str, str] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)
    page_headers: dict[str, str] = field(default_factory=dict)

    def tidy(self) -> None:
        """Nothing of this round is left to be written when the next one begins."""
        for folder in self.folders:
            for path in folder.rglob("*"):
                if path.is_file() and path.stat().st_size > 1 << 20:
                    path.unlink()
        os.sync()


@contextmanager
def ours(folder: Path, name: str, *, listen: str = "", **environ: str) -> Iterator[Server]:
    """`appliance web` as it is installed, with a user, a token, a session and a few videos."""
    settings = Settings(data=folder / name, listen=listen or f"127.0.0.1:{free_port()}")
    token, session = _furnish(settings)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("APPLIANCE_", "MALLOC_"))}
    env |= {"APPLIANCE_DATA": str(settings.data), "APPLIANCE_LISTEN": settings.listen, **environ}
    command = [sys.executable, "-m", "appliance.cli", "web"]
    with running(command, settings.listen, folder / f"{name}.log", env) as pid:
        yield Server(
            name,
            "tus",
            settings.listen,
            [pid],
            [settings.data / "uploads", settings.data / "media"],
            headers={"Authorization": f"Bearer {token}"},
            pages=["/", "/health/live"],
            page_headers={"Cookie": f"session={session}", "Accept": "text/html"},
        )


def _furnish(settings: Settings) -> tuple[str, str]:
    """A token and a session of the one user."""
    Layout(settings.data).make_folders()
    open_database(settings.database_path)
    migrate(settings)
    with database.connection_context():
        user = users.add_user("owner@example.org", role=Role.OWNER, name="Owner")
        for number in range(_VIDEOS):
            videos.create(
                owner=user,
                filename=f"clip {number}.mp4",
                source=Source.BROWSER,
                visibility=Visibility.TEAM,
                size_bytes=1000,
            )
        token = tokens.create(user, name="benchmark", scopes=list(Scope))[1]
        session = sessions.start(user, address="", agent="benchmark", settings=settings)
    return token, session


@contextmanager
def through_caddy(folder: Path, name: str) -> Iterator[Server]:
    """Ours on a socket, behind Caddy with docs/proxy/Caddyfile, without TLS."""
    caddy = program("caddy")
    path, target = folder / "web.sock", f"127.0.0.1:{free_port()}"
    config = folder / "Caddyfile"
    config.write_text("{\n\tadmin off\n}\n" + CADDYFILE.read_text())
    command = [caddy, "run", "--config", str(config), "--adapter", "caddyfile"]
    names = {"BOX_SITE": f"http://{target}", "BOX_BACKEND": f"unix/{path}"}
    env = {**os.environ, **names, "HOME": str(folder)}
    with (
        ours(folder, name, listen=f"unix:{path}") as server,
        running(command, target, folder / "caddy.log", env) as pid,
    ):
        yield replace(server, target=target, pids=[pid, *server.pids])


@contextmanager
def tus_node(folder: Path) -> Iterator[Server]:
    """@tus/server and @tus/file-store, in the versions of benchmarks/peers/package-lock.json."""
    with locked(ROOT / ".peers.lock"):
        stamp = PEERS / "node_modules/.package-lock.json"
        if (
            not stamp.exists()
            or stamp.stat().st_mtime < (PEERS / "package-lock.json").stat().st_mtime
        ):
            run_npm(PEERS, "ci", "--ignore-scripts")
    files, port = folder / "node", free_port()
    files.mkdir()
    command = [find_node(), str(PEERS / "tus_server.mjs"), str(files), str(port)]
    with running(command, f"127.0.0.1:{port}", folder / "node.log") as pid:
        yield Server("@tus/server", "tus", f"127.0.0.1:{port}", [pid], [files], pages=["/ping"])


@contextmanager
def nginx(folder: Path) -> Iterator[Server]:
    """WebDAV PUT, two workers, temporary files on the same file system."""
    home, port = folder / "nginx", free_port()
    for name in ("files", "temporary", "logs"):
        (home / name).mkdir(parents=True)
    home.chmod(0o755)
    config = home / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    kinds = ("proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {home}/temporary/{kind};" for kind in kinds)
    config.write_text(
        f"""{user} daemon off; worker_processes 2; pid {home}/pid; error_log {home}/logs/error;
events {{ worker_connections 256; }}
http {{
    access_log {home}/logs/access; sendfile on; {temporary}
    client_body_temp_path {home}/temporary/body; client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
        location /ping {{ return 200 "alive"; }}
        location /files/ {{ root {home}; dav_methods PUT; dav_access user:rw; }}
    }}
}}
"""
    )
    command = [program("nginx"), "-c", str(config), "-p", str(home), "-e", f"{home}/logs/error"]
    with running(command, f"127.0.0.1:{port}", folder / "nginx.log") as pid:
        yield Server(
            "nginx PUT", "put", f"127.0.0.1:{port}", [pid], [home / "files"], pages=["/ping"]
        )


@contextmanager
def disk(folder: Path) -> Iterator[Server]:
    files = folder / "disk"
    files.mkdir()
    yield Server("the disk", "disk", str(files), [], [files])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise SystemExit(f"{name} is needed to compare with. On Debian: apt-get install {name}")
    return path


@contextmanager
def running(
    command: list[str], target: str, log: Path, env: dict[str, str] | None = None
) -> Iterator[int]:
    """Until it answers on ``target``; ended at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        deadline_s = time.monotonic() + 30
        while True:
            try:
                _connect(target)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline_s:
                    words = log.read_text()
                    raise SystemExit(f"{command[0]} did not start:\n{words}") from None
                time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _connect(target: str) -> None:
    """Raises OSError."""
    if target.startswith("unix:"):
        with socket.socket(socket.AF_UNIX) as found:
            found.connect(target.removeprefix("unix:"))
    else:
        host, _, port = target.rpartition(":")
        socket.create_connection((host, int(port))).close()
