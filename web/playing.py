"""What the player of a video's page plays, and what its timeline shows. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from appliance.states import RenditionState, VideoState
from storage.media_types import RENDITION_FILES
from tasks import profiles
from web import words
from web.rendition_shapes import version_of
from web.words import _

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.models import Rendition, Video

ORIGINAL = "original"
# Played unless somebody chooses: the first of these that is there.
BEST = ("social", ORIGINAL, "preview")


@dataclass(frozen=True)
class Source:
    """One version that browsers can play. ``name``: its profile, or "original"."""

    name: str
    label: str
    url: str


@dataclass(frozen=True)
class Storyboard:
    """One picture of ``count`` tiles, row by row; tile n shows the moment n · ``every_s``."""

    url: str
    columns: int
    rows: int
    count: int
    width: int
    height: int
    every_s: float

    def corner(self, tile: int) -> tuple[int, int]:
        """Of a tile in the picture, in pixels."""
        return tile % self.columns * self.width, tile // self.columns * self.height


@dataclass(frozen=True)
class Playing:
    """``sources``: the best first. ``chosen``: what somebody asked for; "": the best there is."""

    sources: list[Source]
    chosen: str
    duration_s: float
    storyboard: Storyboard | None
    waveform: str
    """The address of how loud it is along the timeline; "" without one."""
    bare: bool = False
    """Neither of the two is there, nor on its way."""

    @property
    def source(self) -> Source | None:
        """What plays now."""
        named = (source for source in self.sources if source.name == self.chosen)
        return next(named, self.sources[0] if self.sources else None)

    @property
    def data(self) -> str:
        """For the script of the player."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))


def of(video: Video, renditions: Iterable[Rendition], wanted: str = "") -> Playing:
    """``wanted``: the name of a source; one that isn't there counts as none."""
    rows = list(renditions)
    ready = {row.profile: row for row in rows if row.state is RenditionState.READY}
    media = f"/media/{video.public_id}"
    films = {
        name: Source(name, words.profile_name(name), url_of(media, row))
        for name, row in ready.items()
        if RENDITION_FILES[name].media_type == "video/mp4"
    }
    if _plays_original(video):
        films[ORIGINAL] = Source(ORIGINAL, _("Original"), f"{media}/original")
    order = [*BEST, *(name for name in profiles.PROFILES if name not in BEST)]
    return Playing(
        sources=[films[name] for name in order if name in films],
        chosen=wanted if wanted in films else "",
        duration_s=video.duration_s or 0.0,
        storyboard=_storyboard(media, ready.get("storyboard")),
        waveform=url_of(media, ready["waveform"]) if "waveform" in ready else "",
        bare=not any(
            row.profile in ("storyboard", "waveform") and row.state is not RenditionState.FAILED
            for row in rows
        ),
    )


def url_of(media: str, row: Rendition) -> str:
    """The address of a rendition's file; another file has another address."""
    return f"{media}/{RENDITION_FILES[row.profile].name}?v={version_of(row)}"


def _storyboard(media: str, row: Rendition | None) -> Storyboard | None:
    if row is None:
        return None
    facts: dict[str, Any] = row.facts or {}
    try:
        return Storyboard(
            url=url_of(media, row),
            columns=int(facts["columns"]),
            rows=int(facts["rows"]),
            count=int(facts["count"]),
            width=int(facts["width"]),
            height=int(facts["height"]),
            every_s=float(facts["every_s"]),
        )
    except KeyError:
        return None


def _plays_original(video: Video) -> bool:
    """Whether browsers play it as it is. Of a failed one only if it was seen to have a picture."""
    if video.facts is None or video.original_removed_at is not None:
        return False
    if video.state is VideoState.FAILED and video.poster_version == 0:
        return False
    picture, sound = video.facts.get("video") or {}, video.facts.get("audio")
    return (
        "mp4" in video.facts.get("format", "")
        and picture.get("codec") == "h264"
        and picture.get("pix_fmt") in ("yuv420p", "yuvj420p")
        and (sound is None or sound.get("codec") in ("aac", "mp3"))
    )
