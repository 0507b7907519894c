"""What is measured of sound: ffmpeg's words for it, and what its answers mean. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.transcode.command import INPUT, read_options

if TYPE_CHECKING:
    from tasks.probe.facts import AudioTrack

OUTPUT, PEAKS = "waveform.json", "peaks.txt"
VERSION = 1
MOST_PEAKS, MOST_PER_S = 4000, 20.0
# Quieter than this is silence: below the noise of most microphones.
SILENCE_DB = -50.0

_PEAK = re.compile(r"^lavfi\.astats\.Overall\.Peak_level=(\S+)", re.MULTILINE)
_LOUDNESS = re.compile(r"^\s*I:\s+(\S+) LUFS", re.MULTILINE)
_TRUE_PEAK = re.compile(r"^\s*Peak:\s+(\S+) dBFS", re.MULTILINE)


@dataclass(frozen=True)
class Sound:
    """``peaks``: 0 to 100, of full scale. Loudness is EBU R128, integrated; None where ffmpeg
    could tell none (silence, or too short)."""

    peaks: tuple[int, ...]
    peaks_per_s: float
    loudness_lufs: float | None
    true_peak_dbtp: float | None
    silent_start_s: float
    silent_end_s: float

    @property
    def facts(self) -> dict[str, float | None]:
        return {
            "peaks_per_s": self.peaks_per_s,
            "loudness_lufs": self.loudness_lufs,
            "true_peak_dbtp": self.true_peak_dbtp,
            "silent_start_s": self.silent_start_s,
            "silent_end_s": self.silent_end_s,
        }


def samples_for_peak(rate_hz: int, duration_s: float) -> int:
    """Samples that are summed up in one peak."""
    per_s = min(MOST_PER_S, MOST_PEAKS / max(duration_s, 0.001))
    return max(1, math.ceil(rate_hz / per_s))


def waveform_command(
    audio: AudioTrack, samples: int, *, ffmpeg: str, max_pixels: int, max_duration_s: float
) -> list[str]:
    """One pass: peaks to ``PEAKS``, loudness to standard error, progress to standard output."""
    chain = [
        # Of one rate throughout, whatever the file does in the middle.
        f"aresample={audio.rate_hz}",
        "ebur128=peak=true:framelog=verbose",
        f"asetnsamples=n={samples}:p=0",
        "astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=Peak_level",
        f"ametadata=mode=print:key=lavfi.astats.Overall.Peak_level:file={PEAKS}",
    ]
    return [
        *(ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "info", "-y"),
        *("-progress", "pipe:1"),
        *read_options(max_pixels=max_pixels),
        *("-i", f"file:{INPUT}", "-map", f"0:{audio.index}", "-vn", "-sn", "-dn"),
        *("-t", f"{max_duration_s:g}", "-af", ",".join(chain), "-f", "null", "-"),
    ]


def read_sound(levels: str, words: str, *, samples: int, rate_hz: int) -> Sound:
    """``levels``: the file of peaks; ``words``: the end of what ffmpeg said."""
    peaks_db = [_decibels(found) for found in _PEAK.findall(levels)][: 2 * MOST_PEAKS]
    per_s = rate_hz / samples
    loud = [number for number, level in enumerate(peaks_db) if level > SILENCE_DB]
    first, last = (loud[0], loud[-1] + 1) if loud else (len(peaks_db), len(peaks_db))
    return Sound(
        peaks=tuple(min(100, round(100 * 10 ** (level / 20))) for level in peaks_db),
        peaks_per_s=round(per_s, 4),
        loudness_lufs=_last(_LOUDNESS, words),
        true_peak_dbtp=_last(_TRUE_PEAK, words),
        silent_start_s=round(first / per_s, 2),
        silent_end_s=round((len(peaks_db) - last) / per_s, 2),
    )


def _decibels(text: str) -> float:
    """-inf for digital silence, and for what is no number."""
    try:
        level = float(text)
    except ValueError:
        return -math.inf
    return level if not math.isnan(level) else -math.inf


def _last(pattern: re.Pattern[str], words: str) -> float | None:
    """ffmpeg says -70 LUFS when nothing was loud enough to be measured."""
    found = pattern.findall(words)
    level = _decibels(found[-1]) if found else -math.inf
    return round(level, 1) if math.isfinite(level) and level > -70.0 else None
