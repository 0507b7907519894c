"""The type under which a file is served: from what we found in it, never from what was said.

None of these makes a browser run anything, whatever the bytes are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.ids import PATTERN

if TYPE_CHECKING:
    from appliance.models import Video

UNKNOWN = "application/octet-stream"


@dataclass(frozen=True)
class FileOf:
    """What the file of a rendition is called in its video's folder, and what it is."""

    name: str
    media_type: str

    @property
    def ending(self) -> str:
        return self.name.rpartition(".")[2]


# Profile → its file. What is served under these types was made by us, never by a sender.
RENDITION_FILES: dict[str, FileOf] = {
    "social": FileOf("social.mp4", "video/mp4"),
    "preview": FileOf("preview.mp4", "video/mp4"),
    "instagram": FileOf("instagram.mp4", "video/mp4"),
    "vertical": FileOf("vertical.mp4", "video/mp4"),
    "reel": FileOf("reel.mp4", "video/mp4"),
    "storyboard": FileOf("storyboard.webp", "image/webp"),
    "waveform": FileOf("waveform.json", "application/json"),
    "audio": FileOf("audio.m4a", "audio/mp4"),
}
# What else is in the folder of a video, without a row of its own.
OTHER_FILES = frozenset({"poster.webp"})
_COVER = re.compile(rf"cover-{PATTERN.pattern}\.jpg|poster\.jpg")


def is_other_file(name: str) -> bool:
    """The poster, the same as JPEG for platforms, or the cover of a post (tasks/poster/covers.py
    removes those that no post names)."""
    return name in OTHER_FILES or _COVER.fullmatch(name) is not None


# First name of ffmpeg's demuxer (tasks.probe.facts.Probe.format) → with picture, sound only, ending
_BY_FORMAT = {
    "mov": ("video/mp4", "audio/mp4", "mp4"),
    "matroska": ("video/x-matroska", "audio/x-matroska", "mkv"),
    "mpegts": ("video/mp2t", "video/mp2t", "ts"),
    "mpeg": ("video/mpeg", "audio/mpeg", "mpg"),
    "avi": ("video/x-msvideo", "video/x-msvideo", "avi"),
    "flv": ("video/x-flv", "video/x-flv", "flv"),
    "ogg": ("video/ogg", "audio/ogg", "ogg"),
    "wav": ("audio/wav", "audio/wav", "wav"),
    "mp3": ("audio/mpeg", "audio/mpeg", "mp3"),
    "flac": ("audio/flac", "audio/flac", "flac"),
    "aac": ("audio/aac", "audio/aac", "aac"),
}
_WEBM_CODECS = {"vp8", "vp9", "av1", "opus", "vorbis"}


def original_type(video: Video) -> tuple[str, str]:
    """Type and file ending of a video's original, once it was looked into."""
    facts: dict[str, Any] = video.facts or {}
    name = str(facts.get("format", "")).partition(",")[0]
    picture, sound = facts.get("video"), facts.get("audio")
    if name not in _BY_FORMAT or not (picture or sound):
        return UNKNOWN, "bin"
    with_picture, sound_only, ending = _BY_FORMAT[name]
    media_type = with_picture if picture else sound_only
    if name == "matroska" and {t["codec"] for t in (picture, sound) if t} <= _WEBM_CODECS:
        return media_type.replace("x-matroska", "webm"), "webm"
    if name == "mov" and str(facts.get("brand", "")).strip() == "qt":
        return "video/quicktime", "mov"
    return media_type, ending
