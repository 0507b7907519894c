"""Resumable uploads by the IETF draft, on the addresses and the store that tus uses, too.

Interop version 8 (the text of July 2026). Three things differ from tus for whoever reads this:
an upload is complete when its sender says so, not when it has its length; the last answer is the
one that a plain POST of the file would get, and is given again to whoever lost it; header fields
that don't parse are as if they weren't there. Interim answers (104) can't be sent over ASGI; the
draft lets servers leave them out, and clients then create first and send afterwards.
Source: draft-ietf-httpbis-resumable-upload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.access import Scope
from appliance.errors import Conflict, NotFound, TooLarge
from appliance.models import Role, Source
from appliance.states import UploadState
from storage.background import in_thread
from storage.uploads import DigestMismatch, NewUpload, UploadGone, WrongOffset, lengths
from storage.uploads.rows import PARTIAL as PARTIAL_UPLOAD
from web import draft_requests
from web.auth import principal
from web.digest_fields import content_digest, whole_sha256
from web.draft_answers import (
    elsewhere,
    inconsistent_length,
    limits,
    mismatching_offset,
    problem_answer,
    state_of,
)
from web.draft_ending import conclude, final_answer, replay
from web.draft_requests import PARTIAL, filename_of, speaks_draft
from web.upload_body import BodyCut
from web.upload_requests import NotAllTaken, Refused, Reply, upload_path

if TYPE_CHECKING:
    from appliance.models import Upload
    from storage.uploads import Held, Slot
    from web.auth import Principal
    from web.digest_fields import ContentDigest
    from web.draft_requests import Said
    from web.upload_desk import UploadDesk
    from web.upload_requests import Request

INTEROP_VERSION = 8
_FOR_CREATING = ("POST", "OPTIONS")
_FOR_ONE = ("HEAD", "GET", "PATCH", "DELETE", "PUT", "OPTIONS")
_NO_BODY = ("HEAD", "GET", "DELETE")
SURPLUS = "More bytes came than this file was said to have, so the upload was ended."


class Draft:
    def __init__(self, desk: UploadDesk) -> None:
        self.desk = desk
        self.store = desk.store
        self.settings = desk.settings

    async def takes(self, request: Request) -> bool:
        """Whether a request is by the draft.

        Clients of the standard to come don't name an interop version, and their questions have
        nothing else of it: for those, it is what the upload was begun with.
        """
        if speaks_draft(request):
            return request.method != "PUT"
        if "tus-resumable" in request.headers or request.method not in _NO_BODY:
            return False
        try:
            address = request.address()
            row = await in_thread(lambda: self.store.check(*address))
        except NotFound:
            return False
        return row.protocol == "draft"

    async def answer(self, request: Request) -> Reply:
        """Raises BodyCut when nobody is there to be answered."""
        request.body.protocol = "draft"
        try:
            reply = await self._dispatch(request)
        except BodyCut:
            raise
        except Exception as exc:
            reply = problem_answer(exc, self.settings)
        reply.by_tus = False
        return reply

    async def _dispatch(self, request: Request) -> Reply:
        allowed = _FOR_ONE if request.name else _FOR_CREATING
        if request.method not in allowed:
            raise Refused(
                405,
                "Uploads can only be sent here. Finished videos are in the library.",
                ("Allow", ", ".join(allowed)),
            )
        match request.method:
            case "OPTIONS":
                headers = [
                    ("Allow", ", ".join(allowed)),
                    ("Upload-Draft-Interop-Version", str(INTEROP_VERSION)),
                    limits(self.settings),
                ]
                if request.name:
                    headers.append(("Accept-Patch", PARTIAL))
                return Reply(204, headers)
            case "POST":
                return await self._create(request)
            case "PATCH":
                return await self._append(request)
            case "DELETE":
                await self.desk.terminate(request)
                return Reply(204, [])
            case _:
                return await self._look(request)

    # Upload Creation

    async def _create(self, request: Request) -> Reply:
        asker = principal(request.scope)
        asker.need(Scope.UPLOAD, Role.EDITOR)
        said = draft_requests.read(request)
        if said.complete is None:
            raise Refused(400, "Say in Upload-Complete whether this is the whole file: ?1 or ?0.")
        digest = content_digest(request)
        new = _new_upload(request, said, asker)
        created = await in_thread(lambda: self.store.create(asker.user, new))
        async with self.desk.take_up(created.upload_id, created.token) as (held, slot):
            location = ("Location", upload_path(created.upload_id, created.token))
            try:
                reply = await self._receive(request, said, held, slot, digest)
            except BodyCut:
                # Nobody has heard of this upload yet, so nobody can go on with it.
                await in_thread(lambda: self.store.terminate(held))
                raise
            except Exception as exc:
                reply = problem_answer(exc, self.settings)
                if isinstance(exc.__cause__, DigestMismatch):
                    await in_thread(lambda: self.store.terminate(held))
                elif held.row.state is UploadState.RECEIVING:
                    reply.headers.append(location)
            else:
                if not held.complete and reply.status == 204:
                    reply.status = 201
                    reply.headers.append(location)
            return reply

    # Offset Retrieval

    async def _look(self, request: Request) -> Reply:
        async with self.desk.take_up(*request.address()) as (held, slot):
            if held.is_whole:
                await slot.work(lambda: self.store.finish(held))
            elif held.offset > held.row.durable_offset:
                await slot.work(lambda: self.store.acknowledge(held))
            headers = [("Cache-Control", "no-store"), *state_of(self.settings, held)]
            if held.row.length is not None:
                headers.append(("Upload-Length", str(held.row.length)))
            return Reply(204, headers)

    # Upload Append

    async def _append(self, request: Request) -> Reply:
        upload_id, token = request.address()
        if not draft_requests.is_partial(request):
            raise Refused(
                415, f"Bytes for this address come as {PARTIAL}.", ("Accept-Patch", PARTIAL)
            )
        said = draft_requests.read(request)
        if said.complete is None:
            raise Refused(400, "Say in Upload-Complete whether the file ends here: ?1 or ?0.")
        if said.offset is None:
            raise Refused(400, "Say in Upload-Offset where these bytes belong.")
        digest = content_digest(request)

        def check(row: Upload) -> None:
            _check_kind(row)
            _check_length(row, said)

        try:
            async with self.desk.take_up(
                upload_id,
                token,
                offset=said.offset,
                check=check,
            ) as (held, slot):
                return await self._append_to(request, said, held, slot, digest)
        except WrongOffset as exc:
            if exc.offset is not None:
                raise
            row = await in_thread(lambda: self.store.check(upload_id, token))
            raise elsewhere(row.settled_offset, said.offset) from None
        except UploadGone:
            answered = await in_thread(lambda: self.store.check(upload_id, token).final_answer)
            if answered is None or not said.complete:
                raise
            return replay(answered)

    async def _append_to(
        self,
        request: Request,
        said: Said,
        held: Held,
        slot: Slot,
        digest: ContentDigest | None,
    ) -> Reply:
        _check_kind(held.row)
        if held.is_whole:  # cut short after its last byte
            await in_thread(lambda: self.store.finish(held))
        if said.offset != held.offset:
            await in_thread(lambda: self._make_sure(held))
            raise mismatching_offset(held.offset, said.offset or 0)
        await in_thread(lambda: self._agree_on_length(held, said))
        if not held.complete:
            return await self._receive(request, said, held, slot, digest)
        if said.complete and said.size == 0:
            return await in_thread(lambda: final_answer(held, self.settings))
        raise inconsistent_length("This upload is complete; nothing can be added to it any more.")

    def _make_sure(self, held: Held) -> None:
        """Before an offset is told."""
        if not held.complete and held.offset > held.row.durable_offset:
            self.store.acknowledge(held)

    def _agree_on_length(self, held: Held, said: Said) -> None:
        """Note a length that wasn't known. Raises Refused, TooLarge, StorageFull."""
        _check_length(held.row, said)
        length = said.length_from(held.offset)
        if held.row.length is None and length is not None:
            lengths.declare(self.store, held, length)

    async def _receive(
        self,
        request: Request,
        said: Said,
        held: Held,
        slot: Slot,
        digest: ContentDigest | None,
    ) -> Reply:
        """Take the content in; when it was the last, the answer to the whole file."""
        if said.size != 0:
            await self._take_in(request, held, slot, digest)
        elif digest is not None:
            digest.check()
        if said.complete:
            return await conclude(self.store, held)
        return Reply(204, state_of(self.settings, held))

    async def _take_in(
        self, request: Request, held: Held, slot: Slot, digest: ContentDigest | None
    ) -> None:
        try:
            await self.desk.append(held, slot, request, digest)
        except NotAllTaken as exc:
            if isinstance(exc.__cause__, TooLarge) and request.body.taken:
                # "marking the upload resource invalid and rejecting any further interaction"
                await in_thread(lambda: self.store.end(held, UploadState.FAILED, SURPLUS))
                if held.row.length is not None:
                    raise inconsistent_length(SURPLUS) from exc
            raise


def _check_kind(row: Upload) -> None:
    """Raises Conflict."""
    if row.concat == PARTIAL_UPLOAD:
        raise Conflict("This is a part of a file that tus puts together; send it by tus.")


def _check_length(row: Upload, said: Said) -> None:
    """For bytes that belong where ``said`` says. Raises Refused."""
    offset = said.offset or 0
    known, length = row.length, said.length_from(offset)
    if known is not None and (length not in (None, known) or offset + (said.size or 0) > known):
        raise inconsistent_length(
            f"This upload was said to have {known} bytes; by this request it would have "
            f"{length if length is not None else offset + (said.size or 0)}."
        )


def _new_upload(request: Request, said: Said, asker: Principal) -> NewUpload:
    """Raises Refused, InvalidInput."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", ""):
        raise Refused(
            415,
            "The file must come as it is, without a Content-Encoding.",
            ("Accept-Encoding", "identity"),
        )
    partial = draft_requests.is_partial(request)
    return NewUpload(
        length=said.length_from(0),
        expected_bytes=said.size or 0,
        filename=filename_of(request),
        content_type="" if partial else request.headers.get("content-type", ""),
        source=Source.API if asker.session is None else Source.BROWSER,
        protocol="draft",
        sent_sha256=whole_sha256(request),
    )
