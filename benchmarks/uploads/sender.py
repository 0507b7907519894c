"""The one client of all servers: raw sockets and sendfile, so that it costs next to nothing.

``python -m benchmarks.uploads.sender JSON``: a process of its own, that waits for a line on stdin,
sends with so many connections, and prints ``{"seconds": …, "cpu_s": …}``.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

BLOCK = 1 << 20


@dataclass(frozen=True)
class Load:
    """``kind``: tus (a creation, then one PATCH for each piece), put (one PUT for each piece) or
    disk (write, and fdatasync after each piece). ``target``: HOST:PORT, or a folder.
    ``source``: a file that is read over and over. Sizes in bytes."""

    kind: str
    target: str
    source: str
    clients: int
    bytes_each: int
    piece: int
    headers: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Connection:
    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self.target = target
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method: str, path: str, headers: dict[str, str]) -> None:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.target}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def send_file(self, source: int, first: int, size: int, source_size: int) -> None:
        """``size`` bytes from ``first`` on; after the source's end comes its beginning."""
        end = first + size
        while first < end:
            at = first % source_size
            first += os.sendfile(
                self.socket.fileno(), source, at, min(end - first, source_size - at)
            )

    def answer(self, *expected: int) -> dict[str, str]:
        """The headers. Raises SystemExit for another status."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(65536)
            if not more:
                raise SystemExit(f"{self.target} hung up: {data[:300]!r}")
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        missing = int(headers.get("content-length", 0)) - len(body)
        while missing > 0:
            missing -= len(self.socket.recv(missing))
        if int(first.split()[1]) not in expected:
            raise SystemExit(f"{self.target}: {head.decode('latin-1')}\n{body!r}")
        return headers


def send_tus(load: Load, source: int, number: int) -> None:
    connection = Connection(load.target)
    tus = {"Tus-Resumable": "1.0.0", **load.headers}
    named = "filename " + "Y2xpcC5tcDQ="  # clip.mp4
    new = {"Upload-Length": str(load.bytes_each), "Upload-Metadata": named, "Content-Length": "0"}
    connection.ask("POST", "/files", {**tus, **new})
    path = urlsplit(connection.answer(201)["location"]).path
    for first, size in pieces(load):
        body = {
            "Upload-Offset": str(first),
            "Content-Length": str(size),
            "Content-Type": "application/offset+octet-stream",
        }
        connection.ask("PATCH", path, {**tus, **body})
        connection.send_file(source, first, size, os.fstat(source).st_size)
        connection.answer(204)


def send_put(load: Load, source: int, number: int) -> None:
    connection = Connection(load.target)
    for first, size in pieces(load):
        name = f"/files/{os.getpid()}-{number}-{first}"
        connection.ask("PUT", name, {"Content-Length": str(size), **load.headers})
        connection.send_file(source, first, size, os.fstat(source).st_size)
        connection.answer(201, 204)


def write_disk(load: Load, source: int, number: int) -> None:
    block = os.pread(source, BLOCK, 0)
    path = Path(load.target, f"{os.getpid()}-{number}")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for _, size in pieces(load):
            while size > 0:
                size -= os.write(handle, block[: min(size, BLOCK)])
            os.fdatasync(handle)
    finally:
        os.close(handle)


def pieces(load: Load) -> list[tuple[int, int]]:
    starts = range(0, load.bytes_each, load.piece)
    return [(first, min(load.piece, load.bytes_each - first)) for first in starts]


KINDS = {"tus": send_tus, "put": send_put, "disk": write_disk}


def run(load: Load) -> dict[str, float]:
    source = os.open(load.source, os.O_RDONLY)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            KINDS[load.kind](load, source, number)
        except BaseException as exc:  # reported by the main thread
            failures.append(exc)

    before = time.process_time()
    began = time.perf_counter()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(load.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if failures:
        raise failures[0]
    return {"seconds": seconds, "cpu_s": time.process_time() - before}


if __name__ == "__main__":
    wanted = Load(**json.loads(sys.argv[1]))
    sys.stdin.readline()
    print(json.dumps(run(wanted)))
