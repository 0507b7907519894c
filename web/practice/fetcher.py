"""The practice platform's fetcher: comes to the public link after the answer was given.

It behaves like the strict ones do: looks at robots.txt, asks with HEAD, follows no redirect,
wants the right type, a length and ranges, fetches in pieces with ``If-Range``, and gives up when
the file changes meanwhile. It only ever connects to our own socket. Source: platforms.md §3.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, Protocol
from urllib.robotparser import RobotFileParser

import httpx

from appliance.clock import now
from tasks.publish.own_socket import own_socket_client
from web.practice.mp4 import complaint, walk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from appliance.settings import Settings

log = logging.getLogger(__name__)

AGENT = "facebookexternalhit/1.1 (practice)"  # robots.txt must let the real one in
PIECE_BYTES = 4 * 1024 * 1024
MAX_BYTES = 4_000_000_000
# Subcodes. Source: platforms.md §3, table of errors.
UNFETCHABLE, UNFIT = 2207052, 2207026
RETRY_EVERY_S = 0.5
# For this long a link that isn't reachable at all is tried again: our web process restarts.
PATIENCE_S = 60.0


class Wanted(Protocol):
    """A video that was handed over by its link. ``status_code`` as of Instagram's containers."""

    @property
    def id(self) -> str: ...
    @property
    def video_url(self) -> str: ...
    @property
    def status_code(self) -> str: ...


class Keeper(Protocol):
    """Where a stand-in keeps what was handed over, and what became of it."""

    @property
    def folder(self) -> Path: ...

    def file(self, media_id: str) -> Path:
        """Where its video goes, below ``folder``."""
        ...

    def get(self, media_id: str) -> Wanted | None: ...

    def unfetched(self) -> Sequence[Wanted]: ...

    def settle(self, media_id: str, status_code: str, status: str, **columns: Any) -> bool:
        """The fetch ended: "FINISHED", or "ERROR" with ``error_subcode``."""
        ...

    def take_fault(self, name: str) -> float | None:
        """ "fail_fetch" or "reject_file"; None: it isn't told to."""
        ...


class Refusal(Exception):
    """The platform doesn't take it: a sentence and Instagram's subcode."""

    def __init__(self, sentence: str, subcode: int) -> None:
        super().__init__(sentence)
        self.subcode = subcode


@dataclass
class Tally:
    """What the page shows about a fetch."""

    heads: int = 0
    ranges: int = 0
    etag: str = ""
    hash: hashlib._Hash = field(default_factory=hashlib.sha256)


class Fetcher:
    """A thread of the web process that works off what was handed over; ends promptly."""

    def __init__(self, settings: Settings, store: Keeper, address: str) -> None:
        self._settings = settings
        self._store = store
        self._address = address
        self._due: Queue[str] = Queue()
        self._over = threading.Event()
        # A daemon: a fetch under way never holds up the end of the process; it is done again.
        self._thread = threading.Thread(target=self._run, name="practice-fetcher", daemon=True)

    def start(self) -> None:
        for media in self._store.unfetched():
            self._due.put(media.id)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(timeout=2)

    def fetch_soon(self, media_id: str) -> None:
        self._due.put(media_id)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                media_id = self._due.get(timeout=0.2)
            except Empty:
                continue
            try:
                self._work(media_id)
            except Exception:
                log.exception("practice: the fetch of %s broke off", media_id)

    def _work(self, media_id: str) -> None:
        media = self._store.get(media_id)
        if media is None or media.status_code != "IN_PROGRESS":
            return
        began_s = time.monotonic()
        tally = Tally()
        try:
            size = self._fetch(media, tally)
        except Refusal as exc:
            self._store.file(media.id).unlink(missing_ok=True)
            self._store.settle(
                media.id, "ERROR", f"Error: {exc}", error_subcode=exc.subcode,
                heads=tally.heads, ranges=tally.ranges, fetched_at=_text(now()),
            )  # fmt: skip
            return
        except InterruptedError:
            return  # the process ends; the next start fetches it again
        kept = self._store.settle(
            media.id, "FINISHED", "Finished", fetched_at=_text(now()), size_bytes=size,
            sha256=tally.hash.hexdigest(), heads=tally.heads, ranges=tally.ranges,
            fetch_s=time.monotonic() - began_s,
        )  # fmt: skip
        if not kept:  # removed while it was fetched
            self._store.file(media.id).unlink(missing_ok=True)

    def _fetch(self, media: Wanted, tally: Tally) -> int:
        """Fetch and check the file; its size. Raises Refusal or InterruptedError."""
        if self._store.take_fault("fail_fetch") is not None:
            raise Refusal("The video could not be fetched (told to fail).", UNFETCHABLE)
        base = self._settings.links_url
        if not media.video_url.isascii() or not media.video_url.startswith(f"{base}/"):
            raise Refusal("The practice platform only fetches from this box.", UNFETCHABLE)
        path = media.video_url.removeprefix(base)
        with own_socket_client(
            self._settings, self._address, headers={"User-Agent": AGENT}
        ) as client:
            self._obey_robots(client, media.video_url)
            size = self._look(client, path, tally)
            self._check_boxes(client, path, size, tally)
            self._download(client, path, size, tally, media.id)
        if self._store.take_fault("reject_file") is not None:
            raise Refusal("The video format isn't supported (told to reject).", UNFIT)
        return size

    def _obey_robots(self, client: httpx.Client, url: str) -> None:
        answer = self._ask(client, "GET", "/robots.txt")
        if answer.status_code == 200:
            robots = RobotFileParser()
            robots.parse(answer.text.splitlines())
            if not robots.can_fetch(AGENT, url):
                raise Refusal("robots.txt keeps the fetcher out.", UNFETCHABLE)

    def _look(self, client: httpx.Client, path: str, tally: Tally) -> int:
        answer = self._ask(client, "HEAD", path)
        tally.heads += 1
        if answer.is_redirect:
            raise Refusal("The link leads elsewhere (a redirect).", UNFETCHABLE)
        if answer.status_code != 200:
            raise Refusal(f"The link answers {answer.status_code}.", UNFETCHABLE)
        if answer.headers.get("content-type") != "video/mp4":
            raise Refusal("The link doesn't say that it is a video/mp4.", UNFETCHABLE)
        if answer.headers.get("accept-ranges") != "bytes":
            raise Refusal("The link doesn't offer ranges.", UNFETCHABLE)
        tally.etag = answer.headers.get("etag", "")
        length = answer.headers.get("content-length", "")
        if not tally.etag or not length.isdecimal():
            raise Refusal("The link names no length or no ETag.", UNFETCHABLE)
        if not 0 < int(length) <= MAX_BYTES:
            raise Refusal("The video is empty or too large.", UNFIT)
        free = shutil.disk_usage(self._store.folder).free
        if free - int(length) < self._settings.reserve_bytes():
            raise Refusal("The practice platform has no room left on the disk.", UNFIT)
        return int(length)

    def _check_boxes(self, client: httpx.Client, path: str, size: int, tally: Tally) -> None:
        def read(offset: int, length: int) -> bytes:
            return self._range(client, path, offset, min(length, size - offset), size, tally)

        try:
            why_not = complaint(walk(read, size))
        except ValueError as exc:
            why_not = str(exc)
        if why_not is not None:
            raise Refusal(f"The video format isn't supported: {why_not}.", UNFIT)

    def _download(
        self, client: httpx.Client, path: str, size: int, tally: Tally, media_id: str
    ) -> None:
        place = self._store.file(media_id)
        aside = place.with_suffix(".part")
        try:
            with aside.open("wb") as file:
                for offset in range(0, size, PIECE_BYTES):
                    length = min(PIECE_BYTES, size - offset)
                    piece = self._range(client, path, offset, length, size, tally)
                    tally.hash.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, place)
        finally:
            aside.unlink(missing_ok=True)

    def _range(
        self, client: httpx.Client, path: str, offset: int, length: int, size: int, tally: Tally
    ) -> bytes:
        last = offset + length - 1
        wanted = {"Range": f"bytes={offset}-{last}", "If-Range": tally.etag}
        answer = self._ask(client, "GET", path, headers=wanted)
        tally.ranges += 1
        if answer.status_code == 200:
            raise Refusal("The file changed while it was fetched.", UNFETCHABLE)
        right = f"bytes {offset}-{last}/{size}"
        if answer.status_code != 206 or answer.headers.get("content-range") != right:
            raise Refusal("A range was answered wrongly.", UNFETCHABLE)
        if answer.headers.get("etag") != tally.etag or len(answer.content) != length:
            raise Refusal("The file changed while it was fetched.", UNFETCHABLE)
        return answer.content

    def _ask(
        self, client: httpx.Client, method: str, path: str, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """One request, tried again while the link can't be reached. Raises InterruptedError."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._over.is_set():
            try:
                return client.request(method, path, headers=headers)
            except httpx.TransportError as exc:
                if time.monotonic() > deadline_s:
                    raise Refusal("The download took too long.", UNFETCHABLE) from exc
                self._over.wait(RETRY_EVERY_S)
        raise InterruptedError


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
