"""The end of an upload without a file: its row, its video, its bytes."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from peewee import OperationalError

from appliance import guest_links, videos
from appliance.db import is_full, transaction
from appliance.durable import sync_folder
from appliance.models import Post, Upload, User, Video
from appliance.states import UploadState, VideoState, move

if TYPE_CHECKING:
    from storage.layout import Layout


NO_USER = "Whoever began this upload is no user of the box any more."


def why_cut_off(row: Upload) -> str | None:
    """The sentence for a sender who may send no more, as things stand now; None: go on."""
    if row.guest_link_id is not None and guest_links.is_revoked(row.guest_link_id):
        return guest_links.CUT_OFF
    left = User.select().where(User.id == row.owner_id, User.deactivated_at.is_null(False))
    return NO_USER if left.exists() else None


def end_row(
    layout: Layout,
    row: Upload,
    video: Video | None,
    before: UploadState,
    state: UploadState,
    error: str,
) -> bool:
    """Move the row to its end; the video goes, or says why it failed.

    False when somebody else moved it first. Works on a full disk, too: the bytes, which nobody
    will want any more, make room for the row. Raises OperationalError.
    """
    try:
        return _end_row(row, video, before, state, error)
    except OperationalError as exc:
        if not is_full(exc) or before is not UploadState.RECEIVING:
            raise
        with suppress(FileNotFoundError):
            os.truncate(layout.upload(row.public_id), 0)
        return _end_row(row, video, before, state, error)


def _end_row(
    row: Upload, video: Video | None, before: UploadState, state: UploadState, error: str
) -> bool:
    with transaction():
        if not move(Upload, row.id, before, state, error=error):
            return False
        if row.parts:  # those that were joined already, too; their files go with the next sweep
            Upload.update(state=state, error=error).where(Upload.public_id.in_(row.parts)).execute()
        video = video and Video.get_or_none(Video.id == video.id)
        if video is not None and video.state is VideoState.UPLOADING:
            keep = state in (UploadState.FAILED, UploadState.LOST) or _has_posts(video)
            if keep:
                videos.change_state(video, VideoState.FAILED, error=error)
            else:
                videos.forget(video)
    return True


def _has_posts(video: Video) -> bool:
    return bool(Post.select().where(Post.video == video).exists())


def remove_file(layout: Layout, upload_id: str) -> None:
    """After its row has ended. Raises OSError."""
    layout.upload(upload_id).unlink(missing_ok=True)
    sync_folder(layout.uploads)
