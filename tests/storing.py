"""Videos with all that the Storage page, the policies and the looks at files want: rows and bytes.

Nothing is encoded: the files are a few bytes, and the rows say what those are.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from appliance.models import Method, Rendition, Video
from appliance.states import RenditionState, VideoState
from tasks import profiles
from tasks.probe.facts import Probe, VideoTrack
from tests.factories import make_video

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import User
    from storage.layout import Layout

# Of a film that has to be encoded to be posted.
FACTS = Probe(
    size_bytes=960,
    format="mov,mp4",
    duration_s=2.0,
    video=VideoTrack(
        index=0, codec="hevc", profile="Main", level=120, pix_fmt="yuv420p", width=160, height=120,
        shown_width=160, shown_height=120, turned=False, sar=(1, 1), fps=25.0, variable=False,
        interlaced=False, matrix="", transfer="", full_range=False, bit_rate=None, first_s=0.0,
        pictures_seen=50, longest_gop_s=1.0, decodes=True,
    ),
    tracks=1,
).to_dict()  # fmt: skip

ORIGINAL, SOCIAL = b"original, as it was sent" * 40, b"social version" * 30


def add_ready_video(
    layout: Layout,
    owner: User | None = None,
    *,
    days: float = 100,
    original: bytes = ORIGINAL,
    social: bytes = SOCIAL,
    method: Method = Method.TRANSCODE,
    stands_in: bool | None = True,
    **columns: Any,
) -> Video:
    """A ready video of ``days`` ago, its original and its version for posting on disk."""
    at = now() - timedelta(days=days)
    values: dict[str, Any] = {
        "state": VideoState.READY,
        "received_at": at,
        "ready_at": at,
        "created_at": at,
        "size_bytes": len(original),
        "sha256": hashlib.sha256(original).hexdigest(),
        "facts": FACTS,
        "poster_version": 1,
        **columns,
    }
    video = make_video(owner, **values)
    write(layout.original(video.public_id), original)
    write(layout.poster(video.public_id), b"poster")
    add_rendition(layout, video, "social", social, method=method, ready_at=at, stands_in=stands_in)
    return video


def add_rendition(
    layout: Layout, video: Video, profile: str, content: bytes, **columns: Any
) -> Rendition:
    write(layout.rendition(video.public_id, profile), content)
    values: dict[str, Any] = {
        "state": RenditionState.READY,
        "recipe": profiles.current(profile).recipe,
        "method": Method.TRANSCODE,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "ready_at": now(),
        **columns,
    }
    return Rendition.create(video=video, profile=profile, **values)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(content)
