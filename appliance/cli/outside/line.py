"""Requests as a client far away makes them, and the uploads that are begun for a look.

Redirects are not followed, and answers are taken as they are: what stands in between must show.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import httpx

from appliance import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"
# Shown if it stays behind: whoever finds it knows where it comes from.
FILE_NAME = "appliance-doctor.bin"
_AGENT = f"appliance-doctor/{__version__}"
_ANSWER_S = 20.0
_SEND_S = 60.0


class Failed(Exception):
    """A look could not be made; the text says what came instead, ``status`` if it was an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Trial:
    """An upload that was begun for a look. ``address`` as a client would use it."""

    address: str
    created: httpx.Response
    metadata: str
    video_id: str
    removed: bool = False


@dataclass
class Line:
    """``url`` without a slash at the end; ``token`` None: nothing that needs one can be asked."""

    url: str
    token: str | None
    trials: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server = ""
        # What this computer trusts, also for its own company; httpx has a list of its own.
        self._tls = ssl.create_default_context()
        self._client = self._new_client()

    def _new_client(self) -> httpx.Client:
        headers = {"User-Agent": _AGENT}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return httpx.Client(
            headers=headers, timeout=httpx.Timeout(_ANSWER_S, connect=10), verify=self._tls
        )

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, path: str, *, fresh: bool = False, **options: Any) -> httpx.Response:
        """``path`` may be a whole address; ``fresh``: on a connection of its own. Raises Failed."""
        address = urljoin(f"{self.url}/", path)
        try:
            if fresh:
                with self._new_client() as client:
                    answer = client.request(method, address, **options)
            else:
                answer = self._client.request(method, address, **options)
        except httpx.HTTPError as exc:
            raise Failed(f"{method}: {str(exc).rstrip('.') or type(exc).__name__}.") from exc
        self.server = answer.headers.get("Server", self.server)
        return answer

    def stream(self, path: str, *, silence_s: float) -> Any:
        """A GET whose body is read while it comes, on a connection of its own."""
        return self._client.stream(
            "GET", urljoin(f"{self.url}/", path), timeout=httpx.Timeout(silence_s, connect=10)
        )

    # Uploads

    def begin(self, length: int, *, padding: int = 0) -> Trial:
        """``padding``: so many further bytes of metadata. Raises Failed."""
        named = b64encode(FILE_NAME.encode()).decode()
        metadata = f"filename {named}"
        if padding:
            metadata += f",padding {b64encode(b'x' * (padding // 4 * 3)).decode()}"
        headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata}
        answer = self.ask("POST", "/files", headers=headers)
        location = answer.headers.get("Location")
        if answer.status_code != 201 or not location:
            raise Failed(
                f"Beginning an upload was answered {describe(answer)}.", answer.status_code
            )
        video_id = answer.headers.get("Appliance-Video-Id", "")
        trial = Trial(self._reachable(location), answer, metadata, video_id)
        self.trials.append(trial)
        return trial

    def adopt(self, address: str, answer: httpx.Response) -> None:
        """An upload that came about otherwise, to be removed with the rest."""
        self.trials.append(Trial(self._reachable(address), answer, "", ""))

    def _reachable(self, location: str) -> str:
        """Where the upload is behind the very address that is looked at, rewritten or not."""
        return f"{self.url}/files/{location.rstrip('/').rpartition('/')[2]}"

    def offset(self, trial: Trial) -> int:
        """As a second connection sees it. Raises Failed."""
        answer = self.ask("HEAD", trial.address, fresh=True, headers=TUS)
        text = answer.headers.get("Upload-Offset", "")
        if answer.status_code != 200 or not text.isdecimal():
            raise Failed(f"Asking for the offset was answered {describe(answer)}.")
        return int(text)

    @contextlib.contextmanager
    def sending(self, trial: Trial, first: bytes, *, size: int) -> Iterator[Sending]:
        """A PATCH of ``size`` bytes that says no more after ``first``; dropped at the end.

        Raises Failed.
        """
        try:
            sending = Sending(trial.address, first, size, self._tls)
        except OSError as exc:
            raise Failed(f"PATCH: {exc.strerror or exc}.") from exc
        try:
            yield sending
        finally:
            sending.drop()

    def remove_trials(self) -> list[Trial]:
        """Those that stayed behind."""
        for trial in self.trials:
            trial.removed = trial.removed or self._remove(trial)
        return [trial for trial in self.trials if not trial.removed]

    def _remove(self, trial: Trial) -> bool:
        upload_id = trial.address.rpartition("/")[2].partition(".")[0]
        ways: tuple[tuple[str, str, dict[str, str]], ...] = (
            ("DELETE", trial.address, TUS),
            # DELETE may be what is cut, or Tus-Resumable.
            ("POST", trial.address, {**TUS, "X-HTTP-Method-Override": "DELETE"}),
            ("DELETE", f"/api/v1/uploads/{upload_id}", {}),
        )
        for method, path, headers in ways:
            for _ in range(3):  # the connection that was dropped may still hold it
                try:
                    status = self.ask(method, path, fresh=True, headers=headers).status_code
                except Failed:
                    break
                if status in (204, 404, 410):
                    return True
                if status not in (409, 423):
                    break
                time.sleep(0.5)
        return False


class Sending:
    """A request that stays open. Not by httpx, which reads no answer before all is sent."""

    def __init__(self, address: str, first: bytes, size: int, tls: ssl.SSLContext) -> None:
        parts = urlsplit(address)
        assert parts.hostname is not None
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        self.socket: socket.socket = socket.create_connection((parts.hostname, port), timeout=10)
        self.socket.settimeout(_SEND_S)
        if secure:
            self.socket = tls.wrap_socket(self.socket, server_hostname=parts.hostname)
        head = {
            **TUS,
            "Host": parts.netloc,
            "User-Agent": _AGENT,
            "Upload-Offset": "0",
            "Content-Type": BYTES,
            "Content-Length": str(size),
        }
        lines = [f"PATCH {parts.path} HTTP/1.1", *(f"{k}: {v}" for k, v in head.items()), "", ""]
        # What refuses the head may close while the rest is sent; its answer is read all the same.
        with contextlib.suppress(ConnectionError):
            self.socket.sendall("\r\n".join(lines).encode())
            self.socket.sendall(first)

    def early_answer(self, within_s: float) -> httpx.Response | str | None:
        """What comes although the request isn't at its end; a text when it was cut. None: nothing.

        Nothing is what should come.
        """
        # Not select(): TLS has words of its own, which are no answer.
        self.socket.settimeout(within_s)
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                piece = self.socket.recv(16 * 1024)
                if not piece:
                    return "the connection was closed"
                head += piece
        except TimeoutError:
            return None
        except OSError as exc:
            return f"the connection was cut ({exc.strerror or exc})"
        first, _, rest = head.partition(b"\r\n")
        status = first.split(b" ")[1:2]
        if not status or not status[0].isdigit():
            return "something came that is no HTTP"
        headers = http.client.parse_headers(io.BytesIO(rest))
        return httpx.Response(int(status[0]), headers=list(headers.items()))

    def drop(self) -> None:
        self.socket.close()


def describe(answer: httpx.Response) -> str:
    """Its status, and who said so."""
    server = answer.headers.get("Server")
    words = f"{answer.status_code} {answer.reason_phrase}".strip()
    return f"{words} by {server}" if server else words


def by_box(answer: httpx.Response) -> bool:
    """Whether an answer of the upload addresses comes from the box itself, not from a proxy."""
    return "Tus-Resumable" in answer.headers
