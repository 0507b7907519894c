"""The panel of versions: the original, and each rendition with what it is and how it was made."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from appliance.models import Method, Rendition
from appliance.states import JobState, RenditionState
from storage.media_types import RENDITION_FILES
from tasks import asking, profiles, renditions
from web import progress, words
from web.words import _

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from appliance.models import Video
    from web.progress import Progress, Work

CODEC_NAMES = {
    "h264": "H.264",
    "hevc": "HEVC",
    "av1": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4",
    "prores": "ProRes",
    "aac": "AAC",
    "opus": "Opus",
    "vorbis": "Vorbis",
    "mp3": "MP3",
    "ac3": "AC-3",
    "flac": "FLAC",
    "pcm_s16le": "PCM",
    "pcm_s24le": "PCM",
}


@dataclass(frozen=True)
class VersionRow:
    """``id``: the profile, or "original". ``facts``: what it is; ``how``: how it was made;
    ``more``: name and value of what only the curious read, ``reasons`` why it took so much."""

    id: str
    name: str
    badge: words.Badge | None = None
    facts: str = ""
    how: str = ""
    more: list[tuple[str, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    download: str = ""
    progress: Progress | None = None
    problem: str = ""
    detail: str = ""
    made_at: datetime | None = None
    stale: bool = False
    waits_for_night: bool = False
    may_make: bool = False
    """It can be made (again), by whoever looks."""
    may_delete: bool = False


@dataclass(frozen=True)
class Offer:
    """A version that isn't there and could be. ``hindrance``: why it can't, "" if it can."""

    profile: str
    name: str
    purpose: str
    hindrance: str = ""


@dataclass(frozen=True)
class Versions:
    """``films``: what is watched and posted, the original first; ``helpers``: what pages show
    besides; ``offers``: what could be made."""

    films: list[VersionRow]
    helpers: list[VersionRow]
    offers: list[Offer]
    original_removed_at: datetime | None
    keeps_original: bool
    may_change: bool
    may_unpin: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.films


NONE = Versions([], [], [], None, keeps_original=False, may_change=False)


def load(
    video: Video,
    rows: Sequence[Rendition],
    work: Sequence[Work],
    *,
    may_change: bool,
    may_unpin: bool = False,
) -> Versions:
    """All versions of a video whose file is here, with their jobs. ``may_unpin``: may leave the
    original to the policy, which may remove it."""
    of_profile: defaultdict[str, list[Work]] = defaultdict(list)
    for job in work:
        of_profile[job.profile].append(job)
    gone = video.original_removed_at is not None
    may_make = may_change and not gone and video.facts is not None
    known = [row for row in rows if row.profile in profiles.PROFILES]
    order = list(profiles.PROFILES)
    shown = sorted(
        (row for row in known if not _only_offered(row, of_profile[row.profile])),
        key=lambda row: order.index(row.profile),
    )
    made = [_rendition(video, row, of_profile[row.profile], may_make=may_make) for row in shown]
    # What is made of every video only to show it.
    helpers = {p.name for p in profiles.PROFILES.values() if p.eager and p.targets is None}
    sound = next((row for row in known if row.profile == "waveform"), None)
    original = [] if gone else [_original(video, sound)]
    return Versions(
        films=original + [row for row in made if row.id not in helpers],
        helpers=[row for row in made if row.id in helpers],
        offers=_offers(video, {row.profile for row in shown}) if may_make else [],
        original_removed_at=video.original_removed_at,
        keeps_original=video.keep_original,
        may_change=may_change,
        may_unpin=may_unpin,
    )


def _only_offered(row: Rendition, work: list[Work]) -> bool:
    """A row that nobody has asked for yet, of something that is made on demand."""
    asked = row.wanted or work or row.state is not RenditionState.PENDING
    return not asked and row.profile != profiles.SOCIAL.name


def _offers(video: Video, there: set[str]) -> list[Offer]:
    return [
        Offer(
            name,
            words.profile_name(name),
            words.purpose(name),
            _(asking.why_not(profile, video)),
        )
        for name, profile in profiles.PROFILES.items()
        if name not in there and not (profile.eager and profile.targets is None)
    ]


def _original(video: Video, sound: Rendition | None) -> VersionRow:
    facts = video.facts or {}
    more = [(_("File"), video.filename), *_technical(facts, video.size_bytes, video.duration_s)]
    if sound is not None:
        more += _loudness(sound.facts or {})
    if video.sha256:
        more.append((_("SHA-256"), video.sha256))
    return VersionRow(
        id="original",
        name=_("Original"),
        facts=describe(video.width, video.height, video.size_bytes, codecs_of(video.facts)),
        how=_("As it was sent") if not video.index_moved else _("As it was sent, index in front"),
        more=more,
        download=f"/media/{video.public_id}/original?download=1",
        made_at=video.received_at,
    )


def _rendition(video: Video, row: Rendition, work: list[Work], *, may_make: bool) -> VersionRow:
    ready = row.state is RenditionState.READY
    facts = (row.facts or {}) if ready else {}
    probe = facts.get("probe") or {}
    picture = probe.get("video") or {}
    job = progress.foremost(work)
    profile = profiles.PROFILES[row.profile]
    stale = renditions.is_stale(row)
    return VersionRow(
        id=row.profile,
        name=words.profile_name(row.profile),
        badge=_badge(row, job, stale=stale),
        facts=describe(
            picture.get("shown_width"),
            picture.get("shown_height"),
            row.size_bytes,
            codecs_of(probe),
        )
        if ready
        else "",
        how=how_made(row) if ready else "",
        more=[
            *_technical(probe, row.size_bytes, video.duration_s),
            *_making(facts),
            *_loudness(facts),
            *([(_("SHA-256"), row.sha256)] if row.sha256 else []),
        ]
        if ready
        else [],
        reasons=[str(reason) for reason in facts.get("reasons") or []],
        download=f"/media/{video.public_id}/{RENDITION_FILES[row.profile].name}?download=1"
        if ready
        else "",
        progress=progress.of_work(job) if job is not None else None,
        problem=(row.error or "") if row.state is RenditionState.FAILED and job is None else "",
        detail=(row.error_detail or "") if row.state is RenditionState.FAILED else "",
        made_at=row.ready_at if ready else None,
        stale=stale and job is None,
        waits_for_night=job is not None and job.only_at_night and job.state is JobState.QUEUED,
        may_make=may_make,
        may_delete=may_make and ready and not profile.eager and job is None,
    )


def _badge(row: Rendition, job: Work | None, *, stale: bool) -> words.Badge:
    if job is not None and job.only_at_night and job.state is JobState.QUEUED:
        return words.Badge("night", "neutral", "clock", _("Waits for the night"))
    if row.state is RenditionState.READY and job is not None:
        number = words.percent(job.progress) if job.progress > 0 else ""
        word = f"{_('Being re-made')} {number}".strip()
        return words.Badge("remaking", "info", "spinner", word, spins=True)
    if stale:
        return words.Badge("stale", "warn", "clock", _("Older settings"))
    number = ""
    if row.state is RenditionState.PROCESSING and job is not None and job.progress > 0:
        number = words.percent(job.progress)
    return words.badge(row.state, number=number)


def how_made(row: Rendition) -> str:
    """In words: "Copied in 0.4 s", "Encoded in 3 min 10 s at 2.1×"."""
    facts = row.facts or {}
    if facts.get("reused"):
        return _("Reused from another upload of the same file")
    if row.method is None:
        return ""
    how = _(words.METHOD_WORDS[row.method.value])
    seconds, speed = facts.get("seconds"), facts.get("speed")
    if facts.get("ahead"):
        return _("{how} while it uploaded", how=how)
    if not seconds:
        return how
    if row.method is Method.TRANSCODE and speed:
        return _(
            "{how} in {time} at {speed}×", how=how, time=words.took(seconds), speed=f"{speed:.1f}"
        )
    return _("{how} in {time}", how=how, time=words.took(seconds))


def describe(width: int | None, height: int | None, size_bytes: int, codec: str) -> str:
    """ "1920 × 1080, H.264 and AAC, 24.1 MB"."""
    parts = []
    if width and height:
        parts.append(f"{width} × {height}")
    if codec:
        parts.append(codec)
    if size_bytes:
        parts.append(words.size(size_bytes))
    return ", ".join(parts)


def codecs_of(facts: dict[str, Any] | None) -> str:
    """ "H.264 and AAC"."""
    if not facts:
        return ""
    names = [
        track["codec"] for track in (facts.get("video"), facts.get("audio")) if track is not None
    ]
    return words.joined([CODEC_NAMES.get(name, name.upper()) for name in names])


def _technical(
    probe: dict[str, Any], size_bytes: int, duration_s: float | None
) -> list[tuple[str, str]]:
    picture, sound = probe.get("video") or {}, probe.get("audio") or {}
    found = []
    if picture.get("fps"):
        fps = f"{picture['fps']:.5g}"
        varies = _(" (varies)") if picture.get("variable") else ""
        found.append((_("Pictures a second"), fps + varies))
    if picture.get("transfer") in ("pq", "hlg"):
        found.append((_("Colours"), {"pq": "HDR (PQ)", "hlg": "HDR (HLG)"}[picture["transfer"]]))
    if sound.get("rate_hz"):
        channels = {1: _("mono"), 2: _("stereo")}.get(
            sound.get("channels", 0), _("{n} channels", n=sound.get("channels"))
        )
        found.append((_("Sound"), f"{sound['rate_hz'] / 1000:g} kHz, {channels}"))
    elif picture:
        found.append((_("Sound"), _("none")))
    if size_bytes and duration_s:
        found.append((_("Rate"), rate(size_bytes * 8 / duration_s)))
    return found


def rate(bits_per_s: float) -> str:
    """ "1.4 Mbit/s", "128 kbit/s"."""
    if bits_per_s >= 1_000_000:
        return f"{bits_per_s / 1_000_000:.1f} Mbit/s"
    return f"{bits_per_s / 1000:.0f} kbit/s"


def _making(facts: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    if facts.get("encoder"):
        encoder = str(facts["encoder"])
        if facts.get("fell_back_from"):
            encoder = _("{encoder}, because {other} failed", encoder=encoder,
                        other=str(facts["fell_back_from"]))  # fmt: skip
        found.append((_("Encoder"), encoder))
    if (facts.get("passes") or 1) > 1:
        found.append((_("Passes"), str(facts["passes"])))
    return found


def _loudness(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """ "−14.2 LUFS, peaks at −1.0 dBTP"."""
    lufs, peak = facts.get("loudness_lufs"), facts.get("true_peak_dbtp")
    if lufs is None:
        return []
    text = f"{_signed(lufs)} LUFS"
    if peak is not None:
        text = _("{loudness}, peaks at {peak} dBTP", loudness=text, peak=_signed(peak))
    return [(_("Loudness"), text)]


def _signed(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")  # a minus, as people write it
