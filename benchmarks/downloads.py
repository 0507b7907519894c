"""The public route against others: ``python -m benchmarks.downloads [--size 512] [--rounds 3]``.

One film in the page cache. Eight clients fetch all of it at once; then eight ask for parts of
64 KiB at random places over kept connections. The same client for all (raw sockets), in an order
that rotates; ratios are taken within their round, then the median. Ours checks the link's token
each time; ``through …`` is with docs/proxy, the proxy sending the file (X-Accel-Redirect).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.db import database
from appliance.models import Rendition, Video
from appliance.settings import Settings
from appliance.states import RenditionState, VideoState
from appliance.vault import open_vault
from benchmarks.uploads.servers import CADDYFILE, PEERS, ROOT, free_port, ours, program, running
from hatch_build import locked
from storage.layout import Layout
from storage.public_links import PublicLinks

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
PART = 64 << 10
CLIENTS = 8
SECONDS = 3.0
NGINX_CONF = ROOT / "docs/proxy/nginx.conf"
Target = tuple[str, str]  # host:port, path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=512, help="MiB of the film (512)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before the start")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, ExitStack() as stack:
        targets = start_all(stack, Path(name), options.size * MIB)
        whole: dict[str, list[float]] = {each: [] for each in targets}
        parts: dict[str, list[float]] = {each: [] for each in targets}
        for number in range(options.rounds):
            names = list(targets)
            names = names[number % len(names) :] + names[: number % len(names)]
            for each in names:
                whole[each].append(at_once(targets[each], fetch, options.size * MIB) / 1e6)
                parts[each].append(at_once(targets[each], ask, options.size * MIB) / PART)
    report("8 clients, MB/s", whole, "nginx sendfile")
    report("parts of 64 KiB, per second", parts, "Starlette FileResponse")
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def report(title: str, rounds: dict[str, list[float]], base: str) -> None:
    print(f"\n{title:28} {'median':>8}   / {base}")
    for name, values in rounds.items():
        ratio = median(a / b for a, b in zip(values, rounds[base], strict=True))
        print(f"{name:28} {median(values):8.0f}   {ratio:.2f}")


def at_once(target: Target, work: object, size: int) -> float:
    """Bytes a second of all clients together."""
    context = multiprocessing.get_context("fork")
    with context.Pool(CLIENTS) as pool:
        began_s = time.monotonic()
        got = pool.starmap(work, [(target, size, seed) for seed in range(CLIENTS)])  # type: ignore[arg-type]
        return sum(got) / (time.monotonic() - began_s)


def connect(target: Target) -> socket.socket:
    host, _, port = target[0].rpartition(":")
    found = socket.create_connection((host, int(port)))
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def fetch(target: Target, size: int, _: int) -> int:
    with connect(target) as found:
        found.sendall(head(target))
        got = receive(found, size)
    if got != size:
        raise SystemExit(f"{target} sent {got} of {size} bytes; nothing was measured.")
    return got


def ask(target: Target, size: int, seed: int) -> int:
    """Parts for some seconds; the bytes of them."""
    dice, got = random.Random(seed), 0
    until_s = time.monotonic() + SECONDS
    with connect(target) as found:
        while time.monotonic() < until_s:
            start = dice.randrange(size - PART)
            found.sendall(head(target, f"Range: bytes={start}-{start + PART - 1}\r\n"))
            if receive(found, PART) != PART:
                raise SystemExit(f"{target} did not answer with a part; nothing was measured.")
            got += PART
    return got


def head(target: Target, more: str = "") -> bytes:
    host, path = target
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def receive(found: socket.socket, wanted: int) -> int:
    """Reads the head and ``wanted`` bytes of the body; how many there were."""
    data = b""
    while b"\r\n\r\n" not in data:
        # Or the kernel may wait 40 ms before it tells the sender that a part has arrived.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        data += found.recv(65536)
    got = len(data.partition(b"\r\n\r\n")[2])
    buffer = memoryview(bytearray(MIB))
    while got < wanted and (count := found.recv_into(buffer[: min(MIB, wanted - got)])):
        got += count
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    return got


def start_all(stack: ExitStack, folder: Path, size: int) -> dict[str, Target]:
    film = folder / "film.mp4"
    with film.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    folder.chmod(0o755)
    targets: dict[str, Target] = {}
    with_nginx, with_caddy = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    server = stack.enter_context(ours(folder, "ours"))
    data = folder / "ours"
    path = publish(data, film)
    targets["ours"] = (server.target, path)
    plain = f"127.0.0.1:{free_port()}"
    stack.enter_context(nginx(folder, plain, film, with_nginx, server.target, data / "media"))
    targets["nginx sendfile"] = (plain, "/film.mp4")
    targets["through nginx"] = (with_nginx, path)
    stack.enter_context(caddy(folder, with_caddy, server.target, data / "media"))
    targets["through Caddy"] = (with_caddy, path)
    targets["Starlette FileResponse"] = (stack.enter_context(starlette(folder, film)), "/film.mp4")
    return targets


def publish(data: Path, film: Path) -> str:
    """The path of a signed link to ``film``, as a ready rendition of a video."""
    settings = Settings(data=data)
    with database.connection_context():
        video = Video.select().first()
        Video.update(state=VideoState.READY, received_at=now()).where(
            Video.id == video.id
        ).execute()
        row = Rendition.create(
            video=video, profile="social", recipe="1", state=RenditionState.READY
        )
        place = Layout(data).rendition(video.public_id, row.profile)
        place.parent.mkdir(exist_ok=True)
        os.link(film, place)
        url = PublicLinks(settings, open_vault(settings)).signed_url(video, row)
    return url[len(settings.base_url) :]


@contextmanager
def nginx(
    folder: Path, plain: str, film: Path, accelerated: str, backend: str, media: Path
) -> Iterator[None]:
    """One that sends the film by itself, and docs/proxy/nginx.conf in front of the box."""
    home = folder / "nginx"
    home.mkdir()
    site = NGINX_CONF.read_text().replace("#sendfile# ", "")
    site = site[: site.index("\nserver {\n    listen 80;")]
    for old, new in {
        "server unix:/run/appliance/web.sock;": f"server {backend};",
        "listen 443 ssl http2;": f"listen {accelerated};",
        "/var/lib/appliance/media/": f"{media}/",
    }.items():
        assert old in site
        site = site.replace(old, new)
    site = "\n".join(line for line in site.splitlines() if "ssl_certificate" not in line)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {home}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    config = home / "nginx.conf"
    config.write_text(
        f"""{user} daemon off; worker_processes 2; pid {home}/pid; error_log {home}/error;
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; {temporary}
    server {{ listen {plain}; location / {{ root {film.parent}; }} }}
    {site}
}}
"""
    )
    command = [program("nginx"), "-c", str(config), "-p", str(home), "-e", f"{home}/error"]
    with running(command, plain, folder / "nginx.log"):
        yield


@contextmanager
def caddy(folder: Path, target: str, backend: str, media: Path) -> Iterator[None]:
    config = folder / "Caddyfile"
    config.write_text("{\n\tadmin off\n}\n" + CADDYFILE.read_text())
    names = {"BOX_SITE": f"http://{target}", "BOX_BACKEND": backend, "HOME": str(folder)}
    names |= {"BOX_SENDFILE": "X-Accel-Redirect", "BOX_MEDIA": str(media)}
    command = [program("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]
    with running(command, target, folder / "caddy.log", {**os.environ, **names}):
        yield


@contextmanager
def starlette(folder: Path, film: Path) -> Iterator[str]:
    """Installed on the first run, in the version of benchmarks/peers/starlette.txt."""
    packages, wanted = PEERS / "starlette", PEERS / "starlette.txt"
    with locked(ROOT / ".peers.lock"):
        if not packages.exists():
            # The environment of ./dev has no pip of its own.
            python = Path(sys.base_prefix, "bin", "python3")
            pip = [str(python), "-m", "pip", "install", "--quiet", "--target", str(packages)]
            subprocess.run([*pip, "-r", str(wanted)], check=True)
    target = f"127.0.0.1:{free_port()}"
    host, _, port = target.partition(":")
    command = [sys.executable, "-m", "uvicorn", "starlette_app:app", "--app-dir", str(PEERS)]
    command += ["--host", host, "--port", port, "--no-access-log"]
    env = {**os.environ, "FILM": str(film), "PYTHONPATH": str(packages)}
    with running(command, target, folder / "starlette.log", env):
        yield target


if __name__ == "__main__":
    main()
