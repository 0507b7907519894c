"""Boxes with videos in them, and what may be said of them after a restore."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.models import Method, Rendition, Upload, Video
from appliance.states import RenditionState, UploadState, VideoState
from tests.factories import make_video

if TYPE_CHECKING:
    from storage.layout import Layout


def add_video(layout: Layout, *, size: int = 4000, trashed: bool = False) -> Video:
    """With an original, a version, a poster and a cover: random bytes, rows that fit."""
    original, version = os.urandom(size), os.urandom(size // 2)
    video = make_video(
        state=VideoState.TRASHED if trashed else VideoState.READY,
        state_before_trash="ready" if trashed else None,
        deleted_at=now() if trashed else None,
        received_at=now(),
        size_bytes=len(original),
        sha256=hashlib.sha256(original).hexdigest(),
    )
    Rendition.create(
        video=video,
        profile="social",
        state=RenditionState.READY,
        method=Method.TRANSCODE,
        size_bytes=len(version),
        sha256=hashlib.sha256(version).hexdigest(),
    )
    folder = layout.trashed(video.public_id) if trashed else layout.video(video.public_id)
    folder.mkdir()
    (folder / "original").write_bytes(original)
    (folder / "social.mp4").write_bytes(version)
    (folder / "poster.webp").write_bytes(os.urandom(300))
    (folder / f"cover-{video.public_id}.jpg").write_bytes(os.urandom(200))
    return video


def add_upload(layout: Layout, state: UploadState, data: bytes = b"half") -> Upload:
    video = make_video(state=VideoState.UPLOADING)
    row = Upload.create(
        token_hash=os.urandom(8).hex(),
        video=video,
        source="api",
        state=state,
        length=len(data),
        durable_offset=len(data),
        expires_at=now(),
    )
    layout.upload(row.public_id).write_bytes(data)
    return row


def files_of(data: Path) -> dict[str, str]:
    """Path → SHA-256, of all that belongs to videos."""
    return {
        str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
        for top in ("media", "trash")
        for path in sorted((data / top).rglob("*"))
        if path.is_file()
    }
