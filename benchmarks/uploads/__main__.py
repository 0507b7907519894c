"""Uploads against @tus/server, nginx, the disk itself, and through Caddy: same client, same run.

``.venv/bin/python -m benchmarks.uploads [--size 1024] [--rounds 5] [--only NAME]…``

In each round every server takes the same bytes once, in an order that rotates; a ratio is taken
within its round, then the median over the rounds. Ours acknowledges only what is on disk (the
policy ``ack``), unless its name says another.
"""

from __future__ import annotations

import argparse
import atexit
import os
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.uploads import servers
from benchmarks.uploads.meter import GIB, MIB, Result, Visitor, measure, p95
from benchmarks.uploads.sender import Load
from benchmarks.uploads.slow_disk import slow_disk, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.uploads.servers import Server

OURS, NODE, NGINX, CADDY = "ours", "@tus/server", "nginx PUT", "ours+caddy"
POLICIES = ("complete", "never")
SOURCE_BYTES = 128 * MIB
SLOW_BYTES_PER_S = 40_000_000
# Clients, and how many bytes each of their requests brings; None: the whole file.
CASES: dict[str, tuple[int, int | None]] = {
    "1 client, PATCHes of 8 MiB": (1, 8 * MIB),
    "1 client, the whole file": (1, None),
    "8 clients, PATCHes of 50 MiB": (8, 50 * MIB),
}
Rounds = dict[str, list[Result]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=1024, help="MiB in each load (1024)")
    parser.add_argument("--rounds", type=int, default=5, help="of each case (5)")
    parser.add_argument("--only", action="append", metavar="NAME", help="servers, by name")
    parser.add_argument("--cases", default="123", help="which of the three cases (123)")
    parser.add_argument("--slow", type=int, default=384, help="MiB for the slow disk; 0: skip")
    parser.add_argument("--folder", help="on the disk to measure (the temporary folder)")
    asked = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before the start")
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=asked.folder) as name:
        folder = Path(name)
        source = _make_source(folder)
        with ExitStack() as stack:
            running = [
                s for s in _start_all(stack, folder) if not asked.only or s.name in asked.only
            ]
            for number, (case, (clients, piece)) in enumerate(CASES.items(), 1):
                if str(number) not in asked.cases:
                    continue
                each = asked.size * MIB // clients
                rounds = _rotate(running, asked.rounds, source, clients, each, piece or each)
                _report(case, rounds)
        if not asked.slow:
            return
        if reason := why_not():
            print(f"\nThe slow disk is left out: {reason}.")
            return
        _slow(folder, source, asked.slow * MIB)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def _make_source(folder: Path) -> Path:
    """Bytes that no disk can compress; in memory, where there is a place for that."""
    memory = Path("/dev/shm")
    path = (memory if os.access(memory, os.W_OK) else folder) / f"benchmark-{os.getpid()}"
    atexit.register(lambda: path.unlink(missing_ok=True))
    path.write_bytes(os.urandom(SOURCE_BYTES))
    return path


def _start_all(stack: ExitStack, folder: Path) -> Iterator[Server]:
    yield stack.enter_context(servers.ours(folder, OURS))
    for policy in POLICIES:
        yield stack.enter_context(
            servers.ours(folder, f"ours, {policy}", APPLIANCE_UPLOAD_FSYNC=policy)
        )
    yield stack.enter_context(servers.through_caddy(folder, CADDY))
    yield stack.enter_context(servers.tus_node(folder))
    yield stack.enter_context(servers.nginx(folder))
    yield stack.enter_context(servers.disk(folder))


def _rotate(
    running: list[Server], rounds: int, source: Path, clients: int, each: int, piece: int
) -> Rounds:
    results: Rounds = defaultdict(list)
    for number in range(rounds):
        at = number % len(running)
        for server in running[at:] + running[:at]:
            results[server.name].append(_once(server, source, clients, each, piece))
    return results


def _once(
    server: Server,
    source: Path,
    clients: int,
    each: int,
    piece: int,
    *,
    with_library: bool = False,
) -> Result:
    load = Load(server.kind, server.target, str(source), clients, each, piece, server.headers)
    # The library is for the slow disk: a page that costs 20 ms is a load of its own on two cores.
    pages = server.pages if with_library else server.pages[-1:]
    visitor = Visitor(server.target, pages, server.page_headers) if pages and clients > 1 else None
    result = measure(load, server.pids, visitor)
    server.tidy()
    return result


def _report(case: str, rounds: Rounds) -> None:
    print(f"\n{case} ({len(next(iter(rounds.values())))} rounds)\n")
    print(f"  {'':16} {'MB/s':>16} {'CPU s/GiB':>9} {'peak MiB':>8}  page p95 ms")
    for name, results in rounds.items():
        speeds = [r.mb_per_s for r in results]
        spread = f"{median(speeds):4.0f} [{min(speeds):.0f}-{max(speeds):.0f}]"
        cpu = median(r.cpu_s_per_gib for r in results)
        peak = max(r.peak_mib for r in results)
        print(f"  {name:16} {spread:>16} {cpu:9.2f} {peak:8.0f}  {_pages(results)}")
    print()
    _ratio(rounds, OURS, NODE, "speed", lambda r: r.mb_per_s, must=1.2, stretch=1.5)
    _ratio(rounds, OURS, NODE, "CPU", lambda r: r.cpu_s_per_gib, must=0.75, stretch=0.6)
    if case.startswith("8"):
        _ratio(rounds, OURS, NGINX, "speed", lambda r: r.mb_per_s, must=0.65, stretch=0.8)
        _ratio(rounds, OURS, NODE, "page p95", _alive_p95, must=3, stretch=1.5)
    _ratio(rounds, CADDY, OURS, "speed", lambda r: r.mb_per_s, must=0.8, stretch=0.9)
    _ratio(rounds, OURS, "the disk", "speed", lambda r: r.mb_per_s)
    for policy in POLICIES:
        _ratio(rounds, f"ours, {policy}", NODE, "speed", lambda r: r.mb_per_s)
        _ratio(rounds, f"ours, {policy}", NODE, "CPU", lambda r: r.cpu_s_per_gib)


def _pages(results: list[Result]) -> str:
    times: dict[str, list[float]] = defaultdict(list)
    for result in results:
        for path, found in result.pages.items():
            times[path] += found
    return "  ".join(f"{path} {p95(found):.1f}" for path, found in times.items())


def _alive_p95(result: Result) -> float:
    """Of the page that does nothing, which every server has."""
    return p95(result.pages.get("/health/live") or result.pages["/ping"])


def _ratio(
    rounds: Rounds,
    ours: str,
    theirs: str,
    what: str,
    value: Callable[[Result], float],
    *,
    must: float | None = None,
    stretch: float | None = None,
) -> None:
    if ours not in rounds or theirs not in rounds:
        return
    pairs = zip(rounds[ours], rounds[theirs], strict=True)
    ratios = [value(mine) / value(other) for mine, other in pairs if value(other)]
    found = median(ratios)
    verdict = "" if must is None or stretch is None else judge(found, must, stretch)
    spread = f"[{min(ratios):.2f}-{max(ratios):.2f}]"
    print(f"  {what} {ours} / {theirs}: {found:.2f} {spread} {verdict}".rstrip())


def judge(found: float, must: float, stretch: float) -> str:
    """``stretch`` beyond ``must`` says which way is better."""
    more_is_better = stretch >= must
    for word, goal in (("stretch", stretch), ("must", must)):
        if found >= goal if more_is_better else found <= goal:
            return f"({word})"
    return "(MISSED)"


def _slow(folder: Path, source: Path, size: int) -> None:
    print(f"\n8 clients on a disk that writes {SLOW_BYTES_PER_S // 10**6} MB/s; pages: p95 in ms\n")
    with slow_disk(folder, bytes_per_s=SLOW_BYTES_PER_S, size=4 * GIB) as mount:
        for policy in ("ack", *POLICIES):
            environ = {"APPLIANCE_UPLOAD_FSYNC": policy, "APPLIANCE_DISK_RESERVE": "10 MiB"}
            for piece in (8 * MIB, 50 * MIB):
                with servers.ours(mount, f"{policy}-{piece}", **environ) as server:
                    rest = _visit(server, seconds=3)
                    result = _once(server, source, 8, size // 8, piece, with_library=True)
                growth = f"{result.growth_mib:.0f} MiB {judge(result.growth_mib, 32, 16)}"
                print(f"  {policy}, PATCHes of {piece // MIB} MiB: {result.mb_per_s:.0f} MB/s")
                print(f"    growth {growth}")
                for path, times in result.pages.items():
                    found = p95(times)
                    print(
                        f"    {path} {found:.1f} {judge(found, 40, 10)}, "
                        f"at rest {p95(rest[path]):.1f}"
                    )


def _visit(server: Server, *, seconds: float) -> dict[str, list[float]]:
    """What the pages take when nothing else happens; the first, which is slower, doesn't count."""
    visitor = Visitor(server.target, server.pages, server.page_headers)
    visitor.start()
    time.sleep(seconds)
    return {path: times[1:] for path, times in visitor.stop().items()}


if __name__ == "__main__":
    main()
