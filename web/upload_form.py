"""Uploading without JavaScript: a plain form, whose address says who sends it.

The form's body is never read by the parser that looks for form tokens: that one keeps everything
in memory. So the permission is in the address itself, signed and short-lived; the body is streamed
to disk as it comes. Source: design.md §13.
"""

from __future__ import annotations

import base64
import hmac
import re
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
from appliance.errors import Forbidden, InvalidInput
from appliance.ids import PATTERN as ID
from appliance.models import Role, Source, User
from storage.background import in_thread
from storage.uploads import NewUpload, Slot, receive
from web.tus import visibility_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.vault import Vault
    from storage.uploads import Store
    from web.upload_body import Body

PREFIX = "/upload"
LIFE = timedelta(hours=12)
MAX_FIELD_BYTES = 64 << 10
MAX_PARTS = 100

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


async def take_form(
    store: Store, user: User, content_type: str, size: int, body: Body
) -> list[str]:
    """Store the files of a form; the ids of their videos. ``size``: of the whole body.

    The fields ``title`` and ``visibility`` count for the files after them. Raises InvalidInput
    (no file, or no such form), BodyCut, StorageFull, TooLarge.
    """
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise InvalidInput("This address takes a form with a file (multipart/form-data).")
    fields: dict[str, str] = {}
    made: list[str] = []
    try:
        with PushMultipartParser(options["boundary"], max_segment_count=MAX_PARTS) as parser:
            events = _events(parser, body)
            async for event in events:
                if not isinstance(event, MultipartSegment):
                    continue
                if event.filename is None:
                    fields[event.name] = await _read_field(_part(events))
                elif event.filename:
                    made.append(await _take_file(store, user, event, fields, size, _part(events)))
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


async def _take_file(
    store: Store,
    user: User,
    segment: MultipartSegment,
    fields: dict[str, str],
    size: int,
    part: AsyncIterator[bytes],
) -> str:
    """A form can't go on after a cut, so what is not whole is removed."""
    new = NewUpload(
        length=None,
        expected_bytes=size,
        filename=segment.filename or "",
        content_type=segment.content_type or "",
        title=fields.get("title"),
        visibility=visibility_of(fields.get("visibility")),
        source=Source.BROWSER,
    )
    created = await in_thread(lambda: store.create(user, new))
    held = await in_thread(lambda: store.open(created.upload_id, created.token))
    try:
        try:
            await receive(store, held, Slot(), part)
        except BaseException:
            await in_thread(lambda: store.terminate(held))
            raise
        await in_thread(lambda: store.declare_length(held, held.offset))
        await in_thread(lambda: store.finish(held))
    finally:
        held.close()
    return created.video_id
