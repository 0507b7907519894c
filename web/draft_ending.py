"""The end of an upload by the IETF draft: what a plain POST of the whole file would be answered.

That answer is kept with the upload, so that a sender that lost it gets the same one again.
Source: draft-ietf-httpbis-resumable-upload, "Completeness", "Upload Append", "Integrity Digests".
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING, Any

from appliance.models import Upload
from appliance.states import UploadState, VideoState
from appliance.videos import NOT_AS_SENT
from storage.background import in_thread
from storage.uploads import lengths
from web.draft_answers import inconsistent_length
from web.errors import PROBLEM
from web.upload_problems import json_answer
from web.upload_requests import VIDEO_HEADER, Reply

if TYPE_CHECKING:
    from appliance.settings import Settings
    from storage.uploads import Held, Store


async def conclude(store: Store, held: Held) -> Reply:
    """The sender says that these were all the bytes: check them, finish, answer.

    Raises Refused (they aren't: the length says so), TooLarge, StorageFull, UploadGone.
    """
    if held.row.length is None:
        await in_thread(lambda: lengths.declare(store, held, held.offset))
    elif not held.all_here:
        raise inconsistent_length(
            f"The file was said to have {held.row.length} bytes, but {held.offset} are here."
        )
    wanted = held.row.sent_sha256
    if wanted is not None and held.handle is not None:
        # It takes a second for each gigabyte or so, and not the threads that write.
        found = await asyncio.to_thread(_sha256, held.handle)
        if found != wanted.lower():
            return await in_thread(lambda: _fail(store, held))
    return await in_thread(lambda: _finish(store, held))


def _sha256(handle: int) -> str:
    with open(os.dup(handle), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finish(store: Store, held: Held) -> Reply:
    store.finish(held)
    return final_answer(held, store.settings)


def _fail(store: Store, held: Held) -> Reply:
    video_id = held.video.public_id if held.video is not None else None
    store.end(held, UploadState.FAILED, NOT_AS_SENT)
    document = {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": NOT_AS_SENT,
        "code": "digest_mismatch",
        "video_id": video_id,
    }
    return _keep(held, {"status": 400, "headers": [], "document": document, "media": PROBLEM})


def final_answer(held: Held, settings: Settings) -> Reply:
    """Of a complete upload: the one that was given, or, where none was, made now."""
    if held.row.final_answer is not None:
        return replay(held.row.final_answer)
    video_id = held.video.public_id if held.video is not None else ""
    address = f"/api/v1/videos/{video_id}"
    document = {
        "video_id": video_id,
        "state": VideoState.RECEIVED.value,
        "status_url": f"{settings.base_url}{address}/status",
    }
    headers = [["Location", address], [VIDEO_HEADER, video_id]]
    headers.append(["Upload-Offset", str(held.offset)])
    return _keep(
        held,
        {"status": 201, "headers": headers, "document": document, "media": "application/json"},
    )


def _keep(held: Held, answer: dict[str, Any]) -> Reply:
    Upload.update(final_answer=answer).where(Upload.id == held.row.id).execute()
    held.row.final_answer = answer
    return replay(answer)


def replay(answer: dict[str, Any]) -> Reply:
    """An answer as it was kept. ``?1``: it is about the file, and the last one."""
    headers = [(name, value) for name, value in answer["headers"]]
    return json_answer(
        answer["status"],
        [*headers, ("Upload-Complete", "?1")],
        answer["document"],
        media_type=answer["media"],
    )
