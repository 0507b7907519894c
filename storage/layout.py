"""Where things are: ids → paths. No text of a user ever becomes part of a path.

Everything lies below one folder on one file system, so that adopting an upload and putting a
finished rendition in its place are renames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.ids import is_id
from storage.media_types import RENDITION_FILES

if TYPE_CHECKING:
    from pathlib import Path


class Layout:
    """Paths below ``data`` (absolute)."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.uploads = data / "uploads"
        self.media = data / "media"
        self.trash = data / "trash"
        self.tmp = data / "tmp"
        self.orphans = self.trash / "orphans"  # files of nobody, until their day comes
        self.proof = data / "proof"  # where encoders are tried; made when that is done
        # Given up when not a byte is left: to delete something, to sign in (storage/ballast.py).
        self.ballast = data / "ballast"
        self.door = data / "ballast-door"

    def make_folders(self) -> None:
        """Make what is missing; only our own user may look inside."""
        for folder in (self.data, self.uploads, self.media, self.trash, self.tmp):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def upload(self, upload_id: str) -> Path:
        return self.uploads / _checked(upload_id)

    def video(self, video_id: str) -> Path:
        return self.media / _checked(video_id)

    def original(self, video_id: str) -> Path:
        return self.video(video_id) / "original"

    def rendition(self, video_id: str, profile: str) -> Path:
        if profile not in RENDITION_FILES:
            raise ValueError(f"{profile!r} is no name of a profile")
        return self.video(video_id) / RENDITION_FILES[profile].name

    def poster(self, video_id: str) -> Path:
        return self.video(video_id) / "poster.webp"

    def poster_jpeg(self, video_id: str) -> Path:
        """The same for platforms, which don't take WebP (tasks/publish/covers.py)."""
        return self.video(video_id) / "poster.jpg"

    def cover(self, video_id: str, cover_id: str) -> Path:
        """The cover of a single post (tasks/poster/covers.py)."""
        return self.video(video_id) / f"cover-{_checked(cover_id)}.jpg"

    def trashed(self, video_id: str) -> Path:
        return self.trash / _checked(video_id)

    def job_folder(self, job_id: str, fence: int) -> Path:
        """Work in progress of one claim of one job; another claim never touches it."""
        return self.tmp / f"{_checked(job_id)}-{int(fence)}"


def _checked(public_id: str) -> str:
    if not is_id(public_id):
        raise ValueError(f"{public_id!r} is no id")
    return public_id
