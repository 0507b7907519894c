"""What keeps a place from taking a file as it is, in words for the Video page. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.acceptance import has_shape, in_time, megabytes, shape_faults
from tasks.probe.facts import Edits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.acceptance import Acceptance
    from tasks.probe.facts import AudioTrack, Probe, VideoTrack
    from tasks.profiles import Profile

Faults = list[str]

# Without an edit list a copied track begins when the file does, its first piece stretched: for a
# picture a moment of that is not seen, but players take stretched sound for sound that comes early.
MOST_LATE_SOUND_S = 0.1
MOST_LATE_PICTURE_S = 0.25
# A new container around the same tracks may be so much larger.
BOX_SLACK = 1.005


def gather(of_places: Iterable[tuple[str, Faults]]) -> tuple[str, ...]:
    """Each fault once, with the places that mind it."""
    minding: dict[str, list[str]] = {}
    for place, faults in of_places:
        for fault in faults:
            minding.setdefault(fault, []).append(place)
    return tuple(f"{fault} ({', '.join(places)})" for fault, places in minding.items())


def form_faults(probe: Probe, place: Acceptance) -> Faults:
    """All that is about the form of a file, notes included; [] if the place takes it as it is."""
    if probe.video is None:
        return ["there is no picture"]
    return [
        *picture_faults(probe.video, probe, place),
        *(picture_notes(probe.video, probe) if has_rules(place) else []),
        *audio_faults(probe.audio, place),
        *(sound_notes(probe) if has_rules(place) else []),
        *container_faults(probe, place),
    ]


def has_rules(place: Acceptance) -> bool:
    """Whether the place minds anything about pictures; one that converts all takes notes, too."""
    return place.video_codecs is not None


def picture_faults(video: VideoTrack, probe: Probe, place: Acceptance) -> Faults:
    found = []
    if place.video_codecs is not None and video.codec not in place.video_codecs:
        found.append(f"{video.codec} isn't taken")
    if place.pix_fmts is not None and video.pix_fmt not in place.pix_fmts:
        found.append(f"{video.pix_fmt} isn't taken")
    if place.max_width is not None and video.width > place.max_width:
        found.append(f"{video.width} columns are too many")
    if place.min_fps is not None and video.fps < place.min_fps:
        found.append(f"{video.fps:.3g} pictures a second are too few")
    if place.max_fps is not None and video.fps > place.max_fps * 1.001:
        found.append(f"{video.fps:.3g} pictures a second are too many")
    if place.constant_fps and video.variable:
        found.append("the frame rate varies")
    if place.progressive and video.interlaced:
        found.append("the picture is interlaced")
    if place.closed_gop and video.closed_gop is False:
        found.append("groups of pictures lean on those before them")
    if place.max_gop_s is not None and (video.longest_gop_s or 0.0) > place.max_gop_s:
        found.append(f"{video.longest_gop_s:.3g} s without a keyframe are too long")
    if place.max_video_bps is not None and video_bps(video, probe) > place.max_video_bps:
        found.append("the bit rate is too high")
    return found


def picture_notes(video: VideoTrack, probe: Probe) -> Faults:
    """Players and platforms disagree about these, so they are put into the pixels."""
    found = []
    if video.turned:
        found.append("a note in the file turns the picture")
    if video.sar[0] != video.sar[1]:
        found.append("the pixels aren't square")
    if video.only_dolby_vision:
        found.append("the picture is Dolby Vision alone, whose colours can only be guessed")
    elif video.hdr:
        found.append("the picture is HDR")
    if video.width % 2 or video.height % 2:
        found.append("the size is odd")
    if probe.edits is Edits.CUT:
        found.append("a note in the file cuts parts away")
    if late_s(probe) > MOST_LATE_PICTURE_S:
        found.append(f"the picture begins {late_s(probe):.2g} s after the sound")
    return found


def sound_notes(probe: Probe) -> Faults:
    if -late_s(probe) > MOST_LATE_SOUND_S:
        return [f"the sound begins {-late_s(probe):.2g} s after the picture"]
    return []


def late_s(probe: Probe) -> float:
    """How much later than the sound the picture begins."""
    if probe.video is None or probe.audio is None:
        return 0.0
    return probe.video.first_s - probe.audio.first_s


def profile_faults(probe: Probe, profile: Profile) -> Faults:
    """What the profile itself wants of the picture: its shape, and its most bytes."""
    video = probe.video
    assert video is not None
    found = []
    if profile.shape is not None:
        if not has_shape(video.shown_width, video.shown_height, profile.shape):
            found.append(f"the picture isn't {profile.shape[0]}:{profile.shape[1]}")
        else:
            wanting = (place for place in profile.places if place.shape == profile.shape)
            found += [fault for place in wanting for fault in shape_faults(probe, place)]
    most = profile.max_bytes
    if most is not None and not is_cut(probe, profile) and probe.size_bytes > most / BOX_SLACK:
        found.append(f"{megabytes(probe.size_bytes)} are more than {megabytes(most)}")
    return found


def is_cut(probe: Probe, profile: Profile) -> bool:
    most = profile.max_duration_s
    return profile.cut and most is not None and probe.duration_s > most


def cut_notes(probe: Probe, profile: Profile) -> Faults:
    if not is_cut(probe, profile):
        return []
    assert profile.max_duration_s is not None
    return [f"only its first {in_time(profile.max_duration_s)} are taken"]


def video_bps(video: VideoTrack, probe: Probe) -> float:
    # Of shorter films it says nothing: an encoder may fill its buffer first.
    whole = probe.size_bytes * 8 / max(probe.duration_s, 1.0) if probe.duration_s else 0.0
    # Some headers name the most that the format allows.
    return min(video.bit_rate, whole) if video.bit_rate and whole else video.bit_rate or whole


def audio_faults(audio: AudioTrack | None, place: Acceptance) -> Faults:
    if audio is None:
        return ["there is no sound"] if place.needs_audio else []
    found = []
    if place.audio_codecs is not None and not (
        audio.codec in place.audio_codecs and audio.profile in ("", "LC")
    ):
        found.append(f"sound in {audio.codec} isn't taken")
    if place.max_audio_hz is not None and audio.rate_hz > place.max_audio_hz:
        found.append(f"{audio.rate_hz} Hz are too many")
    if place.max_channels is not None and audio.channels > place.max_channels:
        found.append(f"{audio.channels} channels are too many")
    return found


def container_faults(probe: Probe, place: Acceptance) -> Faults:
    mp4 = probe.format.startswith("mov,mp4") and probe.brand != "qt  "
    found = []
    if place.mp4 and not mp4:
        found.append("it isn't an MP4 file")
    if place.faststart and mp4 and (not probe.faststart or probe.fragmented):
        found.append("the index isn't in front")
    if place.no_edit_list and probe.edits is not Edits.NONE:
        found.append("it has an edit list")
    return found


def container_notes(probe: Probe) -> Faults:
    found = []
    if probe.other_tracks:
        found.append("there are more tracks than a picture and a sound")
    if probe.chapters:
        found.append("it has chapters")
    if probe.has_location:
        found.append("it says where it was recorded")
    return found
