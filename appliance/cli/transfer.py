"""One upload by tus, request by request: nothing here tries again.

Source: tus 1.0.0; the whole file's digest goes with the word that it is complete (docs/api.md).
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from appliance.cli.remote import Answered, check
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.cli.remote import Box

_TUS = {"Tus-Resumable": "1.0.0"}
_BYTES = "application/offset+octet-stream"
# Somebody else writes, the box is full, slow or being started again: worth another try.
_PASSING = frozenset({408, 409, 423, 425, 429, 500, 502, 503, 504, 507})
_GONE = frozenset({404, 410})
# The answer to the last byte comes when all is on disk; that of a busy box may be slow.
_ANSWER_S = 120.0


class Passing(ApplianceError):
    """Worth another try. ``offset`` if the box said where it is, ``after_s`` if it said when."""

    code = "passing"

    def __init__(
        self, message: str, *, offset: int | None = None, after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.offset, self.after_s = offset, after_s


class Gone(Answered):
    """There is no such upload, or not any more."""


@dataclass(frozen=True)
class Said:
    """What is said of a file before its first byte. None and "": the box decides."""

    name: str
    title: str | None = None
    visibility: str | None = None
    tag: str | None = None

    def header(self) -> str:
        # File names needn't be UTF-8.
        name = self.name.encode("utf-8", "replace").decode()
        said = {
            "filename": name,
            "source": "cli",
            "title": self.title,
            "visibility": self.visibility,
            "tag": self.tag,
        }
        return ",".join(
            f"{key} {b64encode(value.encode()).decode()}" for key, value in said.items() if value
        )


class Transfer:
    """``address`` None: not begun yet. ``video_id`` is known after the first answer."""

    def __init__(self, box: Box, address: str | None = None) -> None:
        self._box = box
        self.address = address
        self.video_id = ""

    def begin(self, said: Said, length: int | None) -> None:
        """``length`` None: told with the last bytes. Raises Passing, Answered."""
        sized = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        answer = self._send("POST", "/files", {**sized, "Upload-Metadata": said.header()})
        self.address = str(answer.headers["Location"])

    def ask_offset(self) -> int:
        """Raises Passing, Gone, Answered."""
        return _offset(self._send("HEAD", self._known))

    def append(
        self, offset: int, content: Iterator[bytes] | bytes, size: int, *, length: int | None = None
    ) -> int:
        """``size`` bytes from ``offset`` on; where it goes on. ``length``: now it is known.

        Raises Passing, Gone, Answered, and what ``content`` raises.
        """
        headers = {
            "Upload-Offset": str(offset),
            "Content-Type": _BYTES,
            "Content-Length": str(size),
        }
        if length is not None:
            headers["Upload-Length"] = str(length)
        return _offset(self._send("PATCH", self._known, headers, content))

    def remove(self) -> None:
        """Raises Passing, Gone, Answered."""
        self._send("DELETE", self._known)
        self.address = None

    def complete(self, sha256: str) -> None:
        """All bytes are there, and these they are. Raises Passing, Gone, Answered."""
        path = f"/api/v1/videos/{self.video_id}/upload/complete"
        self._send("POST", path, json={"success": True, "sha256": sha256})

    @property
    def _known(self) -> str:
        assert self.address is not None
        return self.address

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        content: Iterator[bytes] | bytes | None = None,
        json: Any = None,
    ) -> httpx.Response:
        http = self._box.http
        limits = http.timeout
        try:
            answer = http.request(
                method,
                path,
                headers={**(_TUS if json is None else {}), **(headers or {})},
                content=content,
                json=json,
                timeout=httpx.Timeout(
                    read=max(limits.read or 0.0, _ANSWER_S) if method == "PATCH" else limits.read,
                    write=limits.write,
                    connect=limits.connect,
                    pool=None,
                ),
            )
        except httpx.TransportError as exc:
            reason = str(exc).rstrip(".") or type(exc).__name__
            raise Passing(f"{self._box.url} can't be reached: {reason}.") from exc
        self.video_id = answer.headers.get("Appliance-Video-Id", self.video_id)
        _check(answer)
        return answer


def _check(answer: httpx.Response) -> None:
    status = answer.status_code
    if status < 300:
        return
    try:
        check(answer)
    except Answered as exc:
        sentence = _sentence(answer, exc)
        if status in _GONE:
            raise Gone(sentence, code="gone", status=status) from exc
        if status in _PASSING:
            raise Passing(
                sentence,
                offset=_number(answer.headers.get("Upload-Offset")),
                after_s=_number(answer.headers.get("Retry-After")),
            ) from exc
        raise Answered(sentence, code=exc.code, status=status) from exc


def _sentence(answer: httpx.Response, exc: Answered) -> str:
    """The upload addresses answer in plain text, as tus clients show it."""
    plain = answer.headers.get("Content-Type", "").startswith("text/plain")
    if plain and "Tus-Resumable" in answer.headers and answer.text:
        return answer.text
    return str(exc)


def _offset(answer: httpx.Response) -> int:
    found = _number(answer.headers.get("Upload-Offset"))
    if found is None:
        raise Answered(
            "The answer doesn't say how many bytes are there: something between this computer and "
            "the box takes headers away. `appliance doctor --url` says what.",
            code="no_offset",
            status=answer.status_code,
        )
    return found


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else None
