"""Sources as they come, one axis each: what becomes of them is taken everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.models import Method
from appliance.states import VideoState
from tasks.probe.facts import Probe
from tasks.profiles import SOCIAL
from tasks.transcode.plan import plan
from tests import media
from tests.tasks.doing import again, bring_in, rendition_of, run_all

if TYPE_CHECKING:
    from appliance.settings import Settings

X264 = media.H264
HLG = ("-vf", "setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc")
TEN_BIT = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le")

SOURCES: dict[str, dict[str, Any]] = {
    "hdr.mp4": {"options": (*TEN_BIT, *HLG, *media.AAC), "because": "HDR"},
    "ten-bit.mp4": {"options": (*TEN_BIT, *media.AAC), "because": "yuv420p10le"},
    "interlaced.ts": {
        "options": ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-vf", "interlace", "-c:a",
                    "mp2"),
        "because": "interlaced",
        "fps": "50",
    },
    "anamorphic.mp4": {"options": (*X264, "-vf", "setsar=4/3", *media.AAC), "because": "square"},
    "odd.mkv": {
        "options": ("-vf", "format=yuv444p,scale=161:121", "-c:v", "ffv1"),
        "because": "odd",
    },
    "surround.mp4": {"options": (*X264, "-c:a", "aac", "-ac", "6"), "because": "6 channels"},
    "fast.mp4": {"options": (*X264, *media.AAC), "because": "120", "fps": "120"},
    "slow.mp4": {"options": (*X264, *media.AAC), "because": "12 pict", "fps": "12"},
    "hevc.mov": {
        "options": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none",
                    "-tag:v", "hvc1", "-pix_fmt", "yuv420p", *media.AAC),
        "because": "hevc",
    },
    "prores.mov": {
        "options": ("-c:v", "prores_ks", "-profile:v", "2", "-timecode", "01:00:00:00", "-c:a",
                    "pcm_s24le"),
        "because": "prores",
    },
    "old.avi": {"options": ("-c:v", "mpeg4", "-c:a", "mp3"), "because": "mpeg4"},
    "wide.mp4": {"options": (*X264, *media.AAC), "because": "columns", "size": "2560x256"},
    "flash.flv": {"options": ("-c:v", "flv1", "-c:a", "mp3", "-ar", "44100"), "because": "flv1"},
    "theora.ogv": {"options": ("-c:v", "libtheora", "-c:a", "libvorbis"), "because": "theora"},
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_every_kind_of_source_becomes_what_is_taken_everywhere(
    name: str, db: None, settings: Settings
) -> None:
    case = dict(SOURCES[name])
    options, because = case.pop("options"), case.pop("because")
    video = bring_in(settings, media.clip(name, *options, **case))
    run_all(settings)

    made = rendition_of(video)
    assert again(video).error is None
    assert again(video).state is VideoState.READY
    assert because in "; ".join(made.facts["reasons"])
    assert made.method is (Method.AUDIO if name == "surround.mp4" else Method.TRANSCODE)
    result = Probe.from_dict(made.facts["probe"])
    assert plan(result, SOCIAL).method is Method.LEAVE
    assert result.duration_s == pytest.approx(2.0, abs=0.2)
    assert result.video is not None and result.audio is not None
    assert not result.video.hdr and result.audio.channels == 2
    if made.method is Method.TRANSCODE:
        assert (result.video.matrix, result.video.transfer) == ("bt709", "bt709")
        assert result.video.longest_gop_s is None or result.video.longest_gop_s <= 2.01
        assert result.video.first_s == 0.0
