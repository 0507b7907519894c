"""tus 1.0.0: core, creation (with the first bytes, without a length), expiration, termination.

A bare ASGI application: Litestar's body limit and its handling of cut connections are made for
other requests. What can be refused is refused before a byte of the body is read. Scripts may send
the whole file by one PUT to the same address (web/plain_put.py).
Source: https://tus.io/protocols/resumable-upload
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.access import Scope
from appliance.models import Role, Source, Visibility
from storage.background import in_thread
from storage.uploads import NewUpload, WrongOffset
from web import plain_put
from web.auth import principal
from web.draft_answers import limits
from web.draft_uploads import Draft
from web.upload_body import BodyCut
from web.upload_desk import UploadDesk
from web.upload_metadata import parse_metadata
from web.upload_requests import (
    TUS_VERSION,
    Refused,
    Reply,
    Request,
    facts,
    refusal,
    send_reply,
    upload_path,
)

if TYPE_CHECKING:
    from appliance.settings import Settings
    from web.auth import Principal

EXTENSIONS = "creation,creation-with-upload,creation-defer-length,expiration,termination"
BYTES = "application/offset+octet-stream"
_FOR_CREATING = ("POST", "OPTIONS")
_FOR_ONE = ("HEAD", "PATCH", "DELETE", "PUT", "OPTIONS")
_NOT_OFFERED = ("Upload-Concat", "Upload-Checksum")


class Tus:
    """The application. ``scope["principal"]`` says who asks; only creating needs somebody."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.desk = UploadDesk(settings)
        self.store = self.desk.store
        self.draft = Draft(self.desk)

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
        if request.headers.get("tus-resumable") != TUS_VERSION:
            raise Refused(
                412,
                f"This server speaks tus {TUS_VERSION}; say so in the header Tus-Resumable.",
                ("Tus-Version", TUS_VERSION),
            )
        for name in _NOT_OFFERED:
            if name in request.headers:
                raise Refused(400, f"This server doesn't offer {name}.")
        match request.method:
            case "POST":
                return await self._create(request)
            case "HEAD":
                return await self._look(request)
            case "PATCH":
                return await self._append(request)
            case _:
                return await self._terminate(request)

    def _options(self) -> Reply:
        return Reply(
            204,
            [
                ("Tus-Version", TUS_VERSION),
                ("Tus-Extension", EXTENSIONS),
                ("Tus-Max-Size", str(int(self.settings.max_upload_bytes))),
                limits(self.settings),  # for clients of the IETF draft (web/draft_uploads.py)
            ],
        )

    async def _create(self, request: Request) -> Reply:
        asker = principal(request.scope)
        asker.need(Scope.UPLOAD, Role.EDITOR)
        new = self._new_upload(request, asker)
        size = request.number("Content-Length") or 0
        with_bytes = _brings_bytes(request)
        if with_bytes and new.length is not None and size > new.length:
            raise Refused(413, "The body goes beyond Upload-Length.")
        if size and not with_bytes:
            raise Refused(415, f"First bytes must be sent as {BYTES}.")
        created = await in_thread(lambda: self.store.create(asker.user, new))
        location = ("Location", upload_path(created.upload_id, created.token))
        async with self.desk.take_up(created.upload_id, created.token) as (held, slot):
            if with_bytes:
                await self.desk.append(held, slot, request)
            elif held.is_whole:  # an empty file is complete at once
                await in_thread(lambda: self.store.finish(held))
            return Reply(201, [location, *facts(held)])

    def _new_upload(self, request: Request, asker: Principal) -> NewUpload:
        length, deferred = _length_of(request)
        if length is None and not deferred:
            raise Refused(400, "Say in Upload-Length how many bytes the file has.")
        # A blank at either end would make the header unsendable when it is echoed.
        raw = request.headers.get("upload-metadata", "").strip()
        said = parse_metadata(raw)
        return NewUpload(
            length=length,
            filename=said.get("filename", ""),
            content_type=said.get("filetype", ""),
            title=said.get("title"),
            visibility=visibility_of(said.get("visibility")),
            source=_source(said.get("source"), asker),
            metadata_raw=raw,
            index_moved=said.get("indexmoved") == "1",
        )

    async def _look(self, request: Request) -> Reply:
        async with self.desk.take_up(*request.address()) as (held, slot):
            if held.is_whole:
                await slot.work(lambda: self.store.finish(held))
            elif held.offset > held.row.durable_offset:
                await slot.work(lambda: self.store.acknowledge(held))
            headers = [("Cache-Control", "no-store"), *facts(held)]
            if held.row.length is not None:
                headers.append(("Upload-Length", str(held.row.length)))
            else:
                headers.append(("Upload-Defer-Length", "1"))
            if held.row.metadata_raw:
                headers.append(("Upload-Metadata", held.row.metadata_raw))
            return Reply(200, headers)

    async def _append(self, request: Request) -> Reply:
        address = request.address()
        if not _brings_bytes(request):
            raise Refused(415, f"The Content-Type must be {BYTES}.")
        offset = request.number("Upload-Offset")
        if offset is None:
            raise Refused(400, "The header Upload-Offset is missing.")
        size = request.number("Content-Length")
        length, _ = _length_of(request)
        if length is not None and size is not None and offset <= length < offset + size:
            raise Refused(413, "The body goes beyond Upload-Length.")
        async with self.desk.take_up(*address, offset=offset) as (held, slot):
            if offset != held.offset:
                raise WrongOffset(held.offset)
            if length is not None:
                await in_thread(lambda: self.store.declare_length(held, length))
            await self.desk.append(held, slot, request)
            return Reply(204, facts(held))

    async def _terminate(self, request: Request) -> Reply:
        async with self.desk.take_up(*request.address()) as (held, slot):
            await slot.work(lambda: self.store.terminate(held))
        return Reply(204, [])


def tus_app(settings: Settings) -> Tus:
    """The application to mount at ``/files``."""
    return Tus(settings)


def _length_of(request: Request) -> tuple[int | None, bool]:
    """What is said of the file's length, and whether it will be said later. Raises Refused."""
    length = request.number("Upload-Length")
    deferred = request.headers.getall("Upload-Defer-Length", [])
    if deferred and deferred != ["1"]:
        raise Refused(400, "Upload-Defer-Length can only be 1.")
    if deferred and length is not None:
        raise Refused(400, "Send Upload-Length or Upload-Defer-Length, not both.")
    return length, bool(deferred)


def _brings_bytes(request: Request) -> bool:
    return request.headers.get("content-type", "").strip().lower() == BYTES


def visibility_of(word: str | None) -> Visibility | None:
    """None, the box's default, for words that aren't one."""
    return Visibility(word) if word in set(Visibility) else None


def _source(word: str | None, asker: Principal) -> Source:
    """The sender's word only chooses within what its way of signing in allows."""
    if asker.session is None:
        return Source.CLI if word == Source.CLI else Source.API
    return Source.RECORDING if word == Source.RECORDING else Source.BROWSER
