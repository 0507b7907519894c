"""tus 1.0.0 with all extensions that can be had over ASGI: trailers can't, so no checksum in one.

A bare ASGI application: Litestar's body limit and its handling of cut connections are made for
other requests. What can be refused is refused before a byte of the body is read, most of it by
web/tus_headers.py. The IETF draft (web/draft_uploads.py) and one PUT of the whole file
(web/plain_put.py) are served at the same addresses.
Source: https://tus.io/protocols/resumable-upload
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from appliance.access import Scope
from appliance.errors import TooLarge
from appliance.models import Role, Source, Visibility
from storage.background import in_thread
from storage.uploads import DigestMismatch, NewUpload, StillJoining, WrongOffset, joining, lengths
from storage.uploads.rows import FINAL, PARTIAL
from web import plain_put
from web.auth import principal
from web.checksums import ALGORITHMS
from web.draft_answers import limits
from web.draft_uploads import Draft
from web.errors import below
from web.tus_headers import Append, Creation, read_append, read_creation
from web.upload_body import BodyCut, BodyStalled
from web.upload_desk import UploadDesk
from web.upload_joins import Joins
from web.upload_metadata import was_index_moved, whole_sha256
from web.upload_requests import (
    OWN_ANSWER,
    PREFIX,
    TUS_VERSION,
    VIDEO_HEADER,
    NotAllTaken,
    Refused,
    Reply,
    Request,
    expiry,
    facts,
    refusal,
    send_reply,
    upload_path,
)

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Send

    from appliance.models import Upload
    from appliance.settings import Settings
    from storage.uploads import Held, Slot
    from web.auth import Principal

EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "checksum",
    "concatenation",
    "expiration",
    "termination",
)
_FOR_CREATING = ("POST", "OPTIONS")
_FOR_ONE = ("HEAD", "PATCH", "DELETE", "PUT", "OPTIONS")
# The router takes several slashes for one.
_SLASHES = re.compile("/+")


class Tus:
    """The application. ``scope["principal"]`` says who asks; only creating needs somebody."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.desk = UploadDesk(settings)
        self.store = self.desk.store
        self.draft = Draft(self.desk)
        self.joins = Joins(self.store)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            reply = await self._dispatch(request)
        except BodyCut:
            return  # nobody is there to be answered
        except Exception as exc:
            reply = refusal(exc)
        await send_reply(request, reply, send)

    async def _dispatch(self, request: Request) -> Reply:
        if await self.draft.takes(request):
            return await self.draft.answer(request)
        allowed = _FOR_ONE if request.name else _FOR_CREATING
        if request.method not in allowed:
            raise Refused(
                405,
                "Uploads can only be sent here. Finished videos are in the library.",
                ("Allow", ", ".join(allowed)),
            )
        if request.method == "OPTIONS":
            return self._options()
        if request.method == "PUT":
            return await plain_put.put(self.desk, request)
        if request.headers.getall("tus-resumable", []) != [TUS_VERSION]:
            raise Refused(
                412,
                f"This server speaks tus {TUS_VERSION}; say so in the header Tus-Resumable.",
                ("Tus-Version", TUS_VERSION),
            )
        match request.method:
            case "POST":
                return await self._create(request)
            case "HEAD":
                return await self._look(request)
            case "PATCH":
                return await self._append(request)
            case _:
                await self.desk.terminate(request)
                return Reply(204, [])

    def _options(self) -> Reply:
        return Reply(
            204,
            [
                ("Tus-Version", TUS_VERSION),
                ("Tus-Extension", ",".join(EXTENSIONS)),
                ("Tus-Checksum-Algorithm", ",".join(ALGORITHMS)),
                ("Tus-Max-Size", str(int(self.settings.max_upload_bytes))),
                limits(self.settings),  # for clients of the IETF draft (web/draft_uploads.py)
            ],
        )

    # POST

    async def _create(self, request: Request) -> Reply:
        asker = principal(request.scope)
        asker.need(Scope.UPLOAD, Role.EDITOR)
        wanted = read_creation(request)
        new = _new_upload(wanted, asker)
        if wanted.parts:
            return await self._create_final(wanted, new, asker)
        created = await in_thread(lambda: self.store.create(asker.user, new))
        location = ("Location", upload_path(created.upload_id, created.token))
        async with self.desk.take_up(created.upload_id, created.token) as (held, slot):
            if wanted.brings_bytes:
                await self._take_first_bytes(held, slot, request, wanted)
            elif held.is_whole:  # an empty file is complete at once
                await in_thread(lambda: self.store.finish(held))
            return Reply(201, [location, *facts(held)])

    async def _take_first_bytes(
        self, held: Held, slot: Slot, request: Request, wanted: Creation
    ) -> None:
        """What arrives is kept, and the sender told how much that is; unless nobody is there to be
        told of the new upload, or it would have to be another one.
        """
        try:
            await self.desk.append(held, slot, request, wanted.checksum)
        except NotAllTaken as exc:
            if isinstance(exc.__cause__, DigestMismatch | TooLarge | BodyStalled):
                await slot.work(lambda: self.store.terminate(held))
                raise exc.__cause__ from None
        except BodyCut:
            await slot.work(lambda: self.store.terminate(held))
            raise

    async def _create_final(self, wanted: Creation, new: NewUpload, asker: Principal) -> Reply:
        created = await in_thread(
            lambda: joining.begin(self.store, asker.user, new, wanted.parts, wanted.concat)
        )
        row = await in_thread(lambda: self.store.check(created.upload_id, created.token))
        await self.joins.wait(row.id)
        headers = [("Location", upload_path(created.upload_id, created.token))]
        try:
            async with self.desk.take_up(created.upload_id, created.token) as (held, _):
                return Reply(201, [*headers, *facts(held)])
        except StillJoining:
            return Reply(201, [*headers, (VIDEO_HEADER, created.video_id)])

    # HEAD

    async def _look(self, request: Request) -> Reply:
        upload_id, token = request.address()
        try:
            async with self.desk.take_up(upload_id, token) as (held, slot):
                if held.is_whole:
                    await slot.work(lambda: self.store.finish(held))
                elif held.offset > held.row.durable_offset:
                    await slot.work(lambda: self.store.acknowledge(held))
                return Reply(200, [*facts(held), *_description(held.row, token)])
        except StillJoining as exc:
            # No offset: that would say that the file is there.
            self.joins.begin(exc.row.id)
            return Reply(200, _description(exc.row, token))

    # PATCH

    async def _append(self, request: Request) -> Reply:
        address = request.address()
        sent = read_append(request)
        try:
            async with self.desk.take_up(*address, offset=sent.offset) as (held, slot):
                if held.row.concat == FINAL:
                    raise _final_stands()
                try:
                    await self._append_to(held, slot, request, sent)
                except BodyCut:
                    raise
                except Exception as exc:
                    # How long what is here will be kept is said with every answer to a PATCH.
                    reply = refusal(exc)
                    reply.headers += expiry(held)
                    return reply
                return Reply(204, facts(held))
        except StillJoining:
            raise _final_stands() from None

    async def _append_to(self, held: Held, slot: Slot, request: Request, sent: Append) -> None:
        if sent.offset != held.offset:
            raise WrongOffset(held.offset)
        length, declared = sent.length, False
        if length is not None:
            declared = held.row.length is None
            await slot.work(lambda: lengths.declare(self.store, held, length))
        try:
            await self.desk.append(held, slot, request, sent.checksum)
        except BaseException:
            # Bytes that are not what was sent are not kept, nor is what was said with them.
            if sent.checksum is not None and declared:
                await slot.work(lambda: lengths.forget(held))
            raise


def tus_app(settings: Settings) -> Tus:
    """The application to mount at ``/files``."""
    return Tus(settings)


class SayTus:
    """ASGI middleware: answers that are made elsewhere in the app say the version, too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        path = _SLASHES.sub("/", scope.get("path", ""))
        if not below(path, PREFIX):
            await self.app(scope, receive, send)
            return

        async def send_with_version(message: Any) -> None:
            if message["type"] == "http.response.start" and not message.get(OWN_ANSWER):
                message["headers"] = [
                    *message.get("headers", []),
                    (b"tus-resumable", TUS_VERSION.encode()),
                ]
            await send(message)

        await self.app(scope, receive, send_with_version)


def _final_stands() -> Refused:
    return Refused(403, "This upload is made of its parts; it takes no bytes of its own.")


def _description(row: Upload, token: str) -> list[tuple[str, str]]:
    """What HEAD says beside the offset."""
    headers = [("Cache-Control", "no-store")]
    if row.length is not None:
        headers.append(("Upload-Length", str(row.length)))
    else:
        headers.append(("Upload-Defer-Length", "1"))
    if row.concat is not None:
        headers.append(("Upload-Concat", joining.echo(row, token)))
    if row.metadata_raw:
        headers.append(("Upload-Metadata", row.metadata_raw))
    return headers


def _new_upload(wanted: Creation, asker: Principal) -> NewUpload:
    said = wanted.metadata
    return NewUpload(
        length=wanted.length,
        filename=said.get("filename", ""),
        content_type=said.get("filetype", ""),
        title=said.get("title"),
        visibility=visibility_of(said.get("visibility")),
        source=_source(said.get("source"), asker),
        metadata_raw=wanted.metadata_raw,
        expected_bytes=wanted.size or 0,
        protocol="tus",
        sent_sha256=whole_sha256(said),
        index_moved=was_index_moved(said),
        tags=(said.get("tag", ""),),
        concat=PARTIAL if wanted.concat == PARTIAL else None,
    )


def visibility_of(word: str | None) -> Visibility | None:
    """None, the box's default, for words that aren't one."""
    return Visibility(word) if word in set(Visibility) else None


def _source(word: str | None, asker: Principal) -> Source:
    """The sender's word only chooses within what its way of signing in allows."""
    if asker.session is None:
        return Source.CLI if word == Source.CLI else Source.API
    return Source.RECORDING if word == Source.RECORDING else Source.BROWSER
