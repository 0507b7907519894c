"""Calls to Meta's Graph API and its upload host, and what their answers mean as steps.

One for Facebook and Instagram. The Page token goes in a header, never into an address: those end
up in logs. The upload host wants "OAuth" before the token, the Graph API takes "Bearer".
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from appliance.clock import now
from tasks.publish.graph_errors import GRAPH_ERRORS, Fate, Row, as_int, find_row
from tasks.publish.publisher import (
    Failed,
    MustEdit,
    NeedsReconnect,
    NotThere,
    RetryAt,
    Step,
    Unsure,
)
from tasks.publish.remote import Answer, Lost, Refused, call, retry_after
from tasks.publish.remotes import Service, client_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from appliance.settings import Settings

# The upload host answers when it has stored the bytes, which takes its time with large files.
UPLOAD_TIMEOUT = httpx.Timeout(300.0, connect=10.0)
PIECE_BYTES = 1024 * 1024
LONGEST_PAUSE = timedelta(hours=24)

Reply = Answer | Refused | RetryAt | NeedsReconnect | Lost


class Graph:
    """The calls for one account. ``service``: which host its edges are on."""

    def __init__(
        self,
        settings: Settings,
        token: str,
        *,
        practice: bool,
        service: Service = Service.FACEBOOK_GRAPH,
    ) -> None:
        self._settings = settings
        self._token = token
        self._practice = practice
        self._service = service

    def get(self, path: str, **params: str) -> Reply:
        """``path`` begins with a slash and stands behind the version."""
        return self._call("GET", path, params=params)

    def post(self, path: str, files: Any = None, **form: str) -> Reply:
        """Parameters go as a form: multipart when there are ``files``, as httpx takes them."""
        return self._call("POST", path, data=form, files=files)

    def delete(self, path: str) -> Reply:
        return self._call("DELETE", path)

    def send_file(self, path: str, file: Path, *, offset: int = 0) -> Reply:
        """The bytes of ``file`` from ``offset`` on to the upload host; ``path`` with its version,
        as `upload_path` makes it. Nothing becomes public by it.

        Raises OSError when the file can't be read.
        """
        size = file.stat().st_size
        headers = {
            "Authorization": f"OAuth {self._token}",
            "offset": str(offset),
            "file_size": str(size),
            "Content-Type": "application/octet-stream",
            # Without it httpx would send in chunks, whose end the host can't tell from a cut.
            "Content-Length": str(size - offset),
        }
        with client_for(
            self._settings, Service.META_RUPLOAD, practice=self._practice, timeout=UPLOAD_TIMEOUT
        ) as client:
            pieces = _pieces(file, offset, size)
            return call(
                client, "POST", path, now=now(), by_table=True, headers=headers, content=pieces
            )

    def upload_path(self, kind: str, id: str) -> str:
        """``kind``: "video-upload" (Reels of Pages) or "ig-api-upload" (Instagram)."""
        return f"/{kind}/{self._settings.graph_version}/{id}"

    def _call(self, method: str, path: str, **request: Any) -> Reply:
        headers = {"Authorization": f"Bearer {self._token}"}
        with client_for(self._settings, self._service, practice=self._practice) as client:
            return call(
                client,
                method,
                f"/{self._settings.graph_version}{path}",
                now=now(),
                by_table=True,
                headers=headers,
                **request,
            )


def _pieces(file: Path, offset: int, size: int) -> Iterator[bytes]:
    """Exactly the bytes that were announced, also of a file that changed its length meanwhile."""
    left = size - offset
    with file.open("rb") as source:
        source.seek(offset)
        while left > 0:
            piece = source.read(min(PIECE_BYTES, left))
            if not piece:
                raise OSError(f"{file.name} became shorter while it was sent")
            left -= len(piece)
            yield piece


def row_of(reply: Reply, *tables: Iterable[Row]) -> Row | None:
    """What a refusal is about, by these tables and then by the Graph API's own; None: it is no
    refusal, or an unknown one."""
    if not isinstance(reply, Refused):
        return None
    return find_row(error_of(reply), *tables, GRAPH_ERRORS)


def error_of(refused: Refused) -> dict[str, Any]:
    error = refused.data.get("error")
    return error if isinstance(error, dict) else {}


def step_of(reply: Reply, *tables: Iterable[Row], creating: bool) -> Step:
    """What anything but an `Answer` means.

    ``tables``: rows of the platform's own, which go before those of the Graph API. ``creating``:
    the call makes something (public, or staged under an id that only its answer tells), so an
    answer that was lost has to be looked after; of any other call it is simply asked again.
    """
    if isinstance(reply, Lost):
        return _unknown(reply.reason, reply.detail, creating=creating)
    if not isinstance(reply, Refused):
        assert not isinstance(reply, Answer), reply
        return reply
    row = row_of(reply, *tables)
    if row is None:
        return _step_of_unknown(reply, creating=creating)
    return _step_of_row(reply, row, creating=creating)


def _step_of_row(reply: Refused, row: Row, *, creating: bool) -> Step:
    detail = reply.detail
    match row.fate:
        case Fate.RECONNECT:
            return NeedsReconnect(row.sentence, detail)
        case Fate.WAIT:
            at = now()
            when = pause_until(reply.headers, at) or at + timedelta(seconds=row.pause_s)
            return RetryAt(when, row.sentence, detail, counted=False)
        case Fate.OUTAGE:
            return _unknown(row.sentence, detail, creating=creating)
        case Fate.AGAIN:
            pause = timedelta(seconds=row.pause_s)
            return RetryAt(now() + pause if pause else None, row.sentence, detail)
        case Fate.ANEW | Fate.GONE:
            return NotThere()
        case Fate.EDIT:
            return MustEdit(_with_own_words(row.sentence, reply), row.word, detail)
        case Fate.STOP:
            return Failed(row.sentence, row.word, detail)


def _step_of_unknown(reply: Refused, *, creating: bool) -> Step:
    if reply.status == 401:
        return NeedsReconnect("The sign-in is no longer accepted. Connect the account again.",
                              reply.detail)  # fmt: skip
    if reply.status == 429:
        at = now()
        when = pause_until(reply.headers, at)
        return RetryAt(when, "Facebook asks for a pause.", reply.detail, counted=when is None)
    error = error_of(reply)
    if error.get("is_transient") is True or reply.status in (408, 425):
        return _unknown("Facebook is out of order for the moment.", reply.detail, creating=creating)
    said = str(error.get("error_user_msg") or reply.message)
    return Failed(said, detail=reply.detail)


def _unknown(reason: str, detail: str, *, creating: bool) -> Step:
    return Unsure(reason, detail) if creating else RetryAt(None, reason, detail)


def _with_own_words(sentence: str, reply: Refused) -> str:
    """Meta's words for people, where it has some; those for programmers stay in the detail."""
    said = str(error_of(reply).get("error_user_msg") or "").strip()
    return f"{sentence} Facebook says: “{said}”" if said else sentence


def pause_until(headers: Mapping[str, str], at: datetime) -> datetime | None:
    """When calls are taken again, by the answer; None: it doesn't say.

    ``X-Business-Use-Case-Usage`` names minutes for each business and kind of call. Source:
    developers.facebook.com/docs/graph-api/overview/rate-limiting
    """
    if (named := retry_after(headers, at)) is not None:
        return named
    try:
        usage = json.loads(headers.get("x-business-use-case-usage", ""))
    except ValueError:
        return None
    minutes = [
        as_int(entry.get("estimated_time_to_regain_access")) or 0
        for entries in (usage.values() if isinstance(usage, dict) else ())
        if isinstance(entries, list)
        for entry in entries
        if isinstance(entry, dict)
    ]
    longest = max(minutes, default=0)
    return at + min(timedelta(minutes=longest), LONGEST_PAUSE) if longest > 0 else None
