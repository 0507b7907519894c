"""What guests send: an address for one file, and the form of browsers without script."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody
from litestar.response import Redirect, Template

from appliance import guest_links
from appliance.clock import now
from appliance.db import database
from appliance.errors import ApplianceError, Forbidden, InvalidInput, NotFound, StorageFull
from appliance.models import GuestLink, Source, Video
from appliance.states import VideoState
from storage.background import in_thread
from storage.uploads import NewUpload, Store
from web.auth import PUBLIC, client_address
from web.forms import shown_again
from web.guest_session import Guest
from web.guest_view import STALE, entered, send_context
from web.upload_body import Body, BodyCut, BodyStalled, BodyTakenOver
from web.upload_form import Said, announced_bytes, take_form
from web.upload_grants import UploadGrant, UploadWanted, check_wanted, read_sha256
from web.upload_requests import upload_path

AnyRequest = Request[Any, Any, State]

NO_ROOM = "There is no room for this file at the moment. Tell whoever gave you the link."


class FileWanted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """As for scripts (web/upload_grants.py), but what it becomes is up to the link."""

    filename: str
    file_size: int
    content_type: str = ""
    sha256: str | None = None
    index_moved: bool = False


@dataclass(frozen=True)
class FileStatus:
    """``state``: uploading, arrived or failed; ``error`` says why."""

    state: str
    error: str | None


@post("/send/{token:str}/uploads", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def grant_to_guest(
    request: AnyRequest, token: FromPath[str], data: JSONBody[FileWanted]
) -> Response[UploadGrant]:
    """An address for one file, as scripts get it; good for this file, and for nothing else."""
    settings = request.app.state.settings
    content_type = data.content_type or "application/octet-stream"
    wanted = UploadWanted(
        filename=data.filename, file_size=data.file_size, content_type=content_type
    )
    with database.connection_context():
        link, guest = entered(request, token)
        check_wanted(wanted, int(settings.max_upload_bytes))
        new = NewUpload(
            length=data.file_size,
            filename=data.filename,
            content_type=content_type,
            sent_sha256=None if data.sha256 is None else read_sha256(data.sha256),
            index_moved=data.index_moved,
            **_of_guest(link, guest),
            also_check=partial(guest_links.check_may_send, link, data.file_size),
        )
        guest_links.count_grant(link, settings, address=client_address(request.scope))
        try:
            created = Store(settings, request.app.state.layout).create(link.created_by, new)
        except StorageFull as exc:
            raise StorageFull(NO_ROOM) from exc  # its own words are for who can make room
    return Response(
        UploadGrant(
            video_id=created.video_id,
            # Relative, as this page was opened: guests may come by another name of the box.
            upload_url=upload_path(created.upload_id, created.token),
            expires_in=round((created.expires_at - now()).total_seconds()),
            status_url=f"{guest_links.PREFIX}/{token}/uploads/{created.video_id}",
        ),
        status_code=201,
    )


def _of_guest(link: GuestLink, guest: Guest) -> dict[str, Any]:
    """What all files of a guest have in common; the rest is up to them."""
    return {
        "source": Source.GUEST,
        "visibility": link.visibility,
        "tags": (link.tag,),
        "guest_name": guest.name,
        "guest_link_id": link.id,
        "guest_id": guest.guest_id,
    }


@get(
    "/send/{token:str}/uploads/{video_id:str}",
    opt=PUBLIC,
    sync_to_thread=True,
    include_in_schema=False,
)
def file_status(
    request: AnyRequest, token: FromPath[str], video_id: FromPath[str]
) -> Response[FileStatus]:
    """What has become of a file that this guest sends. Other people's are not found."""
    with database.connection_context():
        link, guest = entered(request, token)
        video = Video.get_or_none(
            Video.public_id == video_id,
            Video.guest_link_id == link.id,
            Video.guest_id == guest.guest_id,
        )
        if video is None:
            raise NotFound("There is no such file.")
        if video.received_at is not None:
            return Response(FileStatus("arrived", None))
        failed = video.state is VideoState.FAILED
        return Response(
            FileStatus("failed", video.error) if failed else FileStatus("uploading", None)
        )


@post(
    "/send/{token:str}/file/{form_key:str}",
    opt={**PUBLIC, "exclude_from_csrf": True},
    request_max_body_size=None,
    include_in_schema=False,
)
async def send_form(
    request: AnyRequest, token: FromPath[str], form_key: FromPath[str]
) -> Response[Any]:
    """The form of a browser without script, streamed to disk. What keeps other sites from sending
    it is the key in its address, which only the guest's own page has."""
    settings = request.app.state.settings
    link, guest = await in_thread(lambda: entered(request, token))
    if not hmac.compare_digest(form_key, guest.form_key):
        raise Forbidden(STALE, code="guest_session")
    body = Body(request.receive)

    def begin(said: Said) -> NewUpload:
        guest_links.count_grant(link, settings, address=client_address(request.scope))
        return NewUpload(
            length=None,
            expected_bytes=said.form_bytes,
            filename=said.filename,
            content_type=said.content_type,
            **_of_guest(link, guest),
            also_check=partial(guest_links.check_may_send, link, 0),
        )

    try:
        await take_form(
            request.app.state.desk,
            f"guest link {link.id}",
            link.created_by,
            request.headers.get("content-type", ""),
            announced_bytes(request.headers),
            body,
            begin=begin,
            most_bytes=link.max_file_bytes,
        )
    except (BodyCut, BodyStalled, BodyTakenOver) as exc:
        raise InvalidInput("The connection was cut before the whole file was here.") from exc
    except ApplianceError as exc:
        refusal = exc
    else:
        return Redirect(f"{guest_links.PREFIX}/{token}", status_code=303)
    await body.linger()  # else the browser shows a broken connection instead of the reason
    return await in_thread(lambda: _refused_form(request, token, link, guest, refusal))


def _refused_form(
    request: AnyRequest, token: str, link: GuestLink, guest: Guest, error: ApplianceError
) -> Template:
    sentence = NO_ROOM if isinstance(error, StorageFull) else error.message
    context = send_context(request, token, guest_links.again(link.id), guest, sentence)
    return shown_again("guests/send.html", error, context)
