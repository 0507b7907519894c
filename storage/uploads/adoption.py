"""A finished upload becomes the original of its video: a rename, then one transaction.

Each half may be repeated, so that whoever finds an upload in state ``finishing`` can go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import jobs, videos
from appliance.clock import now
from appliance.db import transaction
from appliance.durable import is_full, sync_folder
from appliance.errors import StorageFull
from appliance.models import Upload, Video
from appliance.states import UploadState, VideoState, move
from storage import media
from storage.uploads.rows import FULL_SENTENCE

if TYPE_CHECKING:
    from pathlib import Path

    from storage.layout import Layout


def put_in_place(layout: Layout, upload_id: str, video_id: str) -> Path:
    """The path of the original, durable by name; whether it is there is the caller's question.

    Raises StorageFull, OSError.
    """
    source, original = layout.upload(upload_id), layout.original(video_id)
    try:
        media.make_folder(original.parent)
        if source.exists():
            source.rename(original)
    except OSError as exc:
        if is_full(exc):
            raise StorageFull(FULL_SENTENCE) from exc
        raise
    # Also when the rename was done before: a crash may have come between it and this.
    sync_folder(original.parent)
    sync_folder(source.parent)
    return original


def adopt(row: Upload, video: Video) -> None:
    """The upload is complete, the video is here, and its first job waits: all or nothing."""
    arrived = {"size_bytes": row.length, "received_at": now()}
    with transaction():
        if not move(Upload, row.id, UploadState.FINISHING, UploadState.COMPLETE):
            return
        if row.parts:
            Upload.update(state=UploadState.COMPLETE).where(
                Upload.public_id.in_(row.parts), Upload.state == UploadState.FINISHING
            ).execute()
        if videos.change_state(video, VideoState.RECEIVED, **arrived):
            jobs.create("probe", f"probe:{video.public_id}", video=video)
        else:  # thrown into the bin this very moment: whoever takes it out has it looked into
            Video.update(state_before_trash=VideoState.RECEIVED, **arrived).where(
                Video.id == video.id
            ).execute()
