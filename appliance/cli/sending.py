"""Send one file by tus, going on where an earlier, interrupted command stopped.

tuspy leads (what to send next, when to try again, where to go on); the requests themselves go
through our httpx client, because tuspy's own open a connection for each chunk and can't speak
to a UNIX socket.
"""

# mypy: disable-error-code="no-untyped-call"
# tuspy types its arguments but not what it returns.

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.fingerprint.interface import Fingerprint
from tusclient.storage.interface import Storage
from tusclient.uploader.uploader import Uploader

from appliance.cli.remote import Answered, Unreachable, check
from appliance.errors import ApplianceError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.cli.remote import Box

CHUNK_BYTES = 32 * 1024**2
PIECE_BYTES = 256 * 1024
RETRIES, RETRY_DELAY_S = 15, 2
_KEEP_S = 7 * 24 * 3600
# Somebody else writes, the box is full or restarting: worth another try.
_PASSING = {409, 423, 429, 500, 502, 503, 504, 507}
_GONE = {403, 404, 410}


class Addresses(Storage):
    """Where unfinished uploads go on: a small file for each, for this user alone.

    The address is a capability, and two commands may run at once; hence no file for all of them.
    """

    def __init__(self, folder: Path | None = None) -> None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self.folder = folder or Path(cache, "appliance", "uploads")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in self.folder.iterdir():
            if time.time() - old.stat().st_mtime > _KEEP_S:
                old.unlink(missing_ok=True)

    def get_item(self, key: str) -> str | None:
        try:
            return (self.folder / key).read_text() or None
        except FileNotFoundError:
            return None

    def set_item(self, key: str, value: str | None) -> None:
        if value:
            handle = os.open(self.folder / key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(value)

    def remove_item(self, key: str) -> None:
        (self.folder / key).unlink(missing_ok=True)


class SameFile(Fingerprint):
    """Names a file by box, path, size and time of change.

    tuspy's own looks at the first 64 KiB and the size: two recordings of one camera may agree.
    """

    def __init__(self, box_url: str, path: Path) -> None:
        facts = path.stat()
        name = f"{box_url}\0{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}"
        self.key = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()

    def get_fingerprint(self, fs: Any) -> str:
        return self.key


class Sender(Uploader):
    """``on_offset`` hears how many bytes are sent; ``video_id`` is known after the first answer."""

    video_id = ""

    def __init__(
        self, box: Box, path: Path, *, on_offset: Callable[[int], None], **options: Any
    ) -> None:
        self.box, self.path, self.on_offset = box, path, on_offset
        super().__init__(str(path), url=None, client=TusClient("/files"), **options)

    def get_file_stream(self) -> Any:
        return self.path.open("rb")

    def get_file_size(self) -> int:
        return self.path.stat().st_size

    def create_url(self) -> str:
        answer = self._send("POST", "/files", headers=self.get_url_creation_headers())
        check(answer)
        return str(answer.headers["Location"])

    def get_offset(self) -> int:
        assert self.url is not None
        answer = self._send("HEAD", self.url, headers=self.get_headers())
        if answer.status_code in _GONE:
            raise Gone("The unfinished upload is not there any more.")
        if answer.status_code >= 300:
            raise TusCommunicationError("", answer.status_code)
        return int(answer.headers["Upload-Offset"])

    def _do_request(self) -> None:
        if self.offset >= self.stop_at:
            return  # all arrived, only the answer was lost
        try:
            self._patch()
        except TusUploadFailed as error:
            self._retry_or_cry(error)

    def _patch(self) -> None:
        length = self.get_request_length()
        headers = {
            **self.get_headers(),
            "Upload-Offset": str(self.offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(length),
        }
        assert self.url is not None
        answer = self._send("PATCH", self.url, headers=headers, content=self._pieces(length))
        try:
            check(answer)
        except Answered as exc:
            if exc.status in _PASSING:
                raise TusUploadFailed(str(exc), exc.status) from exc
            raise

    def _pieces(self, length: int) -> Iterator[bytes]:
        sent = self.offset
        with self.get_file_stream() as file:
            file.seek(sent)
            while length > 0 and (piece := file.read(min(length, PIECE_BYTES))):
                yield piece
                length -= len(piece)
                sent += len(piece)
                self.on_offset(sent)

    def _send(self, method: str, address: str, **options: Any) -> httpx.Response:
        try:
            answer = self.box.http.request(method, address, **options)
        except httpx.TransportError as exc:
            failed = TusUploadFailed if method == "PATCH" else TusCommunicationError
            raise failed(str(exc)) from exc
        self.video_id = answer.headers.get("Appliance-Video-Id", self.video_id)
        # What tuspy reads the new offset from.
        self.request = SimpleNamespace(response_headers=answer.headers)  # type: ignore[assignment]  # None in tuspy's __init__
        return answer


class Gone(ApplianceError):
    code = "gone"


def send_file(
    box: Box,
    path: Path,
    *,
    title: str | None = None,
    on_offset: Callable[[int], None] = lambda offset: None,
    addresses: Addresses | None = None,
) -> str:
    """Bring a file in; the id of its video. Raises Answered, Unreachable, InvalidInput."""
    if not path.is_file():
        raise InvalidInput(f"{path} is no file.")
    addresses = addresses or Addresses()
    same_file = SameFile(box.url, path)
    options = {
        "on_offset": on_offset,
        "chunk_size": CHUNK_BYTES,
        "metadata": _metadata(path, title),
        "retries": RETRIES,
        "retry_delay": RETRY_DELAY_S,
        "store_url": True,
        "url_storage": addresses,
        "fingerprinter": same_file,
    }
    for _ in range(2):  # the second time when what was begun is gone
        try:
            sender = _begin(box, path, options)
            on_offset(sender.offset)
            sender.upload()
        except Gone:
            addresses.remove_item(same_file.key)
            continue
        except (TusCommunicationError, TusUploadFailed) as exc:
            reason = str(exc).rstrip(".")
            raise Unreachable(
                f"The upload of {path.name} was interrupted: {reason}. "
                "The same command goes on where it stopped."
            ) from exc
        addresses.remove_item(same_file.key)
        return sender.video_id
    raise Answered("The box forgets the upload each time.", code="gone", status=410)


def _begin(box: Box, path: Path, options: dict[str, Any]) -> Sender:
    """Ask where to go on; again while the box still holds on to a connection that broke."""
    for attempt in range(RETRIES):
        try:
            return Sender(box, path, **options)
        except TusCommunicationError:
            if attempt == RETRIES - 1:
                raise
            time.sleep(RETRY_DELAY_S)
    raise AssertionError("unreachable")


def _metadata(path: Path, title: str | None) -> dict[str, str]:
    # File names needn't be UTF-8.
    name = path.name.encode("utf-8", "replace").decode()
    said = {"filename": name, "source": "cli"}
    return {**said, "title": title} if title else said
