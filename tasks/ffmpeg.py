"""Which ffmpeg is used: the one of the settings, the system's, or the one in the package."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import imageio_ffmpeg

from appliance.errors import SettingsError

if TYPE_CHECKING:
    from appliance.settings import Settings


def find_ffmpeg(settings: Settings) -> Path:
    """Its path. Raises SettingsError with what to do when there is none."""
    if settings.ffmpeg is not None:
        if not os.access(settings.ffmpeg, os.X_OK):
            raise SettingsError(f"APPLIANCE_FFMPEG: {settings.ffmpeg} can't be run.")
        return settings.ffmpeg
    return _find()


@cache
def _find() -> Path:
    if (system := shutil.which("ffmpeg")) is not None:
        return Path(system)
    try:
        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as exc:
        raise SettingsError(
            "There is no ffmpeg here. Install it (`apt install ffmpeg`) or name it in "
            "APPLIANCE_FFMPEG."
        ) from exc


def thread_count() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
