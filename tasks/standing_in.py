"""Whether a rendition may be the only copy of its video. Pure; docs/decisions/0017 says why so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.probe.facts import Probe

# The same relation as in the check of results: the last picture, the last piece of sound.
_SLACK_S = 0.5
# 30000/1001 for 30 is no loss that anybody sees.
_SLACK_FPS = 0.01
# What 8 bits and half of the colours hold without loss.
_PLAIN = frozenset({"yuv420p", "yuvj420p", "nv12", "gray", "yuv410p", "yuv411p"})


def losses(original: Probe, made: Probe) -> list[str]:
    """What the original shows and ``made`` does not, in words; [] where it shows no less.

    An encode at our quality is never the same bit for bit; what is compared is what can be
    measured: size, rate, length, depth, range, sound and further tracks.
    """
    before, after = original.video, made.video
    if before is None or after is None:
        return ["the picture"]
    found = []
    if after.shown_width < before.shown_width or after.shown_height < before.shown_height:
        found.append("its full size")
    if not before.fps or after.fps < before.fps * (1 - _SLACK_FPS):
        found.append("all of its pictures")
    if before.interlaced and not after.interlaced:
        found.append("both fields of each picture")
    if before.hdr and not after.hdr:
        found.append("its range of brightness")
    if before.pix_fmt not in _PLAIN and after.pix_fmt != before.pix_fmt:
        found.append("all of its colours")
    if made.duration_s < original.duration_s - _SLACK_S:
        found.append("all of its length")
    if original.audio is not None:
        if made.audio is None:
            found.append("its sound")
        elif made.audio.channels < original.audio.channels:
            found.append("all channels of its sound")
    if _shown_tracks(original) > _shown_tracks(made):
        found.append("its further tracks")
    if original.chapters and not made.chapters:
        found.append("its chapters")
    return found


def _shown_tracks(probe: Probe) -> int:
    """Tracks that a player may offer; not covers, timecodes and what phones write beside them."""
    if not probe.all_tracks:  # looked at by an older version
        return probe.other_tracks
    return sum(t.type in ("video", "audio", "subtitle") and not t.cover for t in probe.all_tracks)


def shows_no_less(original: Probe, made: Probe) -> bool:
    return not losses(original, made)
