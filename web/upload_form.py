"""Uploading without JavaScript: a plain form, whose address says who sends it.

The form's body is never read by the parser that looks for form tokens: that one keeps everything
in memory. So the permission is in the address itself, signed and short-lived; the body is streamed
to disk as it comes. Source: design.md §13.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from multipart import (  # type: ignore[import-untyped]  # it has no types
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from appliance.access import at_least
from appliance.clock import now
from appliance.errors import Forbidden, InvalidInput, TooLarge
from appliance.ids import PATTERN as ID
from appliance.models import Role, Source, User
from appliance.text import describe_size
from storage.background import in_thread
from storage.uploads import NewUpload, UploadGone, lengths, receive
from web.tus import visibility_of
from web.upload_body import BodyTakenOver, counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from litestar.datastructures import Headers

    from appliance.vault import Vault
    from web.upload_body import Body
    from web.upload_desk import UploadDesk

PREFIX = "/upload"
LIFE = timedelta(hours=12)
MAX_FIELD_BYTES = 64 << 10
MAX_PARTS = 100
# As much as the server hands on at a time.
PIECE_BYTES = 256 << 10

_CAPABILITY = re.compile(rf"({ID.pattern})\.([0-9a-f]{{1,10}})\.([A-Za-z0-9_-]{{32}})")


def upload_form_action(vault: Vault, user: User) -> str:
    """What goes into the ``action`` of the form on the upload page; good for ``LIFE``."""
    expires_s = int((now() + LIFE).timestamp())
    return f"{PREFIX}/{user.public_id}.{expires_s:x}.{_mac(vault, user.public_id, expires_s)}"


def sender_of(vault: Vault, capability: str) -> User:
    """Who sends. Raises Forbidden for what we did not sign, or no longer stand by."""
    match = _CAPABILITY.fullmatch(capability)
    if match and hmac.compare_digest(match[3], _mac(vault, match[1], int(match[2], 16))):
        user = User.get_or_none(User.public_id == match[1], User.deactivated_at.is_null())
        fresh = datetime.fromtimestamp(int(match[2], 16), UTC) > now()
        if fresh and user is not None and at_least(user, Role.EDITOR):
            return user
    raise Forbidden("This upload form is too old. Open the upload page again, then send the file.")


def _mac(vault: Vault, user_id: str, expires_s: int) -> str:
    text = f"{user_id}.{expires_s}".encode()
    return base64.urlsafe_b64encode(
        hmac.digest(vault.derive("upload form"), text, "sha256")[:24]
    ).decode()


@dataclass(frozen=True)
class Said:
    """What a form says of a file before its first byte. ``fields``: those that came before it."""

    filename: str
    content_type: str
    fields: dict[str, str]
    form_bytes: int
    """Still to come of the whole body: the file has less."""


def from_browser(said: Said) -> NewUpload:
    """The fields ``title`` and ``visibility`` count for the files after them."""
    return NewUpload(
        length=None,
        expected_bytes=said.form_bytes,
        filename=said.filename,
        content_type=said.content_type,
        title=said.fields.get("title"),
        visibility=visibility_of(said.fields.get("visibility")),
        source=Source.BROWSER,
    )


def announced_bytes(headers: Headers) -> int:
    """Of the whole body; all browsers say it, and without it nobody could tell whether there is
    room. Raises InvalidInput."""
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 17):
        raise InvalidInput("Say in Content-Length how many bytes come.")
    return int(length)


async def take_form(
    desk: UploadDesk,
    who: str,
    owner: User | None,
    content_type: str,
    size: int,
    body: Body,
    *,
    begin: Callable[[Said], NewUpload] = from_browser,
    most_bytes: int | None = None,
) -> list[str]:
    """Store the files of a form; the ids of their videos. ``size``: of the whole body.

    ``who``: on whose account the body goes, as the desk counts them.
    ``begin`` is asked, in a thread, what a file is to become; a file has at most ``most_bytes``.
    Raises InvalidInput (no file, or no such form), BodyCut, BodyStalled, BodyTakenOver, TooBusy,
    StorageFull, TooLarge, UploadGone, and what ``begin`` raises; files that were whole before that
    stay.
    """
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise InvalidInput("This address takes a form with a file (multipart/form-data).")
    fields: dict[str, str] = {}
    made: list[str] = []
    body.protocol = "form"
    body.limit(desk.settings)
    try:
        with (
            desk.bodies.admit(body, who),
            counted(body),
            PushMultipartParser(options["boundary"], max_segment_count=MAX_PARTS) as parser,
        ):
            events = _events(parser, body)
            async for event in events:
                if not isinstance(event, MultipartSegment):
                    continue
                if event.filename is None:
                    fields[event.name] = await _read_field(_part(events))
                elif event.filename:
                    # What earlier files of this form have taken is no longer to come.
                    left = min(size, size - body.taken + PIECE_BYTES)
                    said = Said(event.filename, event.content_type or "", dict(fields), left)
                    part = _at_most(most_bytes, _part(events))
                    made.append(await _take_file(desk, owner, said, begin, body, part))
    except MultipartError as exc:
        raise InvalidInput(f"The form could not be read: {exc}.") from exc
    if not made:
        raise InvalidInput("Choose a file first, then send the form again.", field="file")
    return made


async def _events(
    parser: PushMultipartParser, body: Body
) -> AsyncIterator[MultipartSegment | bytes | None]:
    async for chunk in body.chunks():
        for event in parser.parse(chunk):
            yield event


async def _part(
    events: AsyncIterator[MultipartSegment | bytes | None],
) -> AsyncIterator[bytes]:
    """The bytes of the part that has just begun."""
    async for event in events:
        if event is None:
            return
        assert not isinstance(event, MultipartSegment)
        yield bytes(event)


async def _read_field(part: AsyncIterator[bytes]) -> str:
    value = bytearray()
    async for chunk in part:
        value += chunk
        if len(value) > MAX_FIELD_BYTES:
            raise InvalidInput("A field of the form is too long.")
    return value.decode("utf-8", errors="replace")


async def _at_most(most_bytes: int | None, part: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Raises TooLarge."""
    taken = 0
    async for chunk in part:
        taken += len(chunk)
        if most_bytes is not None and taken > most_bytes:
            raise TooLarge(f"The file is larger than the {describe_size(most_bytes)} it may have.")
        yield chunk


async def _take_file(
    desk: UploadDesk,
    owner: User | None,
    said: Said,
    begin: Callable[[Said], NewUpload],
    body: Body,
    part: AsyncIterator[bytes],
) -> str:
    """A form can't go on after a cut, so what is not whole is removed."""
    store = desk.store
    created = await in_thread(lambda: store.create(owner, begin(said)))
    async with desk.take_up(created.upload_id, created.token) as (held, slot):
        desk.watch.begin()
        try:
            with slot.sending(body, -body.taken):  # of the body, other parts have come before
                await receive(store, held, slot, part)
        except UploadGone:  # ended by somebody else: there is nothing left of it
            raise
        except BodyTakenOver:
            await in_thread(lambda: store.acknowledge(held))  # raises UploadGone, if that is why
            await in_thread(lambda: store.terminate(held))
            raise
        except BaseException:
            await in_thread(lambda: store.terminate(held))
            raise
        await in_thread(lambda: lengths.declare(store, held, held.offset))
        await in_thread(lambda: store.finish(held))
    return created.video_id
