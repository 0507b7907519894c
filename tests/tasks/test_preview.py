"""The preview: when there is one, what it is, and whether it comes first."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from appliance.clock import now
from appliance.models import Job, Method, Priority, Rendition, Video
from appliance.states import VideoState
from tasks import pipeline, profiles
from tasks.profiles import PREVIEW
from tasks.transcode.plan import plan
from tests.factories import make_video
from tests.tasks.test_plan import FITS, video

if TYPE_CHECKING:
    from appliance.settings import Settings
    from tasks.probe.facts import Probe

LIGHT = replace(FITS, **video(bit_rate=3_000_000))
VP9 = replace(FITS, **video(codec="vp9"))
HEVC = replace(FITS, **video(codec="hevc", pix_fmt="yuv420p10le"))
LARGE = replace(FITS, **video(width=3840, height=2160, shown_width=3840, shown_height=2160))
RICH = replace(FITS, **video(bit_rate=20_000_000))


def bring(facts: Probe) -> Video:
    return make_video(
        facts=facts.to_dict(),
        duration_s=facts.duration_s,
        state=VideoState.PROCESSING,
        received_at=now(),
    )


@pytest.mark.parametrize(
    ("facts", "method"),
    [
        pytest.param(LIGHT, Method.LEAVE, id="light: the original itself"),
        pytest.param(LARGE, Method.TRANSCODE, id="4k"),
        pytest.param(RICH, Method.TRANSCODE, id="20 Mbit/s"),
        pytest.param(HEVC, Method.TRANSCODE, id="hevc"),
        pytest.param(VP9, Method.TRANSCODE, id="vp9"),
    ],
)
def test_light_films_that_play_are_their_own_preview(facts: Probe, method: Method) -> None:
    assert plan(facts, PREVIEW).method is method


@pytest.mark.parametrize(
    "changes",
    [{"fps": fps} for fps in (15.0, 23.976, 25.0, 29.97, 48.0, 50.0, 59.94, 60.0, 90.0, 120.0)]
    + [{"fps": 58.7, "variable": True}, {"fps": 0.0}, {"fps": 43.0}],
    ids=str,
)  # fmt: skip
def test_a_preview_is_small_and_has_at_most_thirty_pictures_a_second(
    changes: dict[str, Any],
) -> None:
    large = replace(HEVC, **video(codec="hevc", width=3840, height=2160, shown_width=3840,
                                  shown_height=2160, **changes))  # fmt: skip
    picture = plan(large, PREVIEW).picture
    assert picture is not None
    assert (picture.width, picture.height) == (640, 360)
    assert Fraction(picture.fps) <= 30


@pytest.mark.parametrize(
    ("facts", "first"),
    [
        pytest.param(HEVC, True, id="browsers can't play it"),
        pytest.param(LARGE, False, id="it plays as it is, and is only too large"),
        pytest.param(LIGHT, False, id="nothing to do"),
    ],
)
def test_the_preview_comes_first_where_nothing_else_plays(
    facts: Probe, first: bool, db: None, settings: Settings
) -> None:
    pipeline.start_eager(bring(facts), settings)
    of = {job.rendition.profile: job for job in Job.select()}
    if first:
        order = sorted(of.values(), key=lambda job: -job.priority)
        assert [job.rendition.profile for job in order][:2] == ["preview", "social"]
    else:
        assert of["preview"].priority == Priority.LOW
    assert of["storyboard"].priority == of["waveform"].priority == Priority.LOW


def test_what_is_only_repacked_needs_no_preview(db: None, settings: Settings) -> None:
    """Its social rendition is there at once, and the same."""
    last = replace(LIGHT, faststart=False)
    made = bring(last)
    pipeline.start_eager(made, settings)
    assert not Rendition.select().where(Rendition.profile == "preview").exists()
    assert Job.get(Job.kind == "remux").rendition.profile == "social"


def test_files_on_demand_are_made_of_no_video_unasked(db: None, settings: Settings) -> None:
    pipeline.start_eager(bring(FITS), settings)
    made = {row.profile for row in Rendition.select()}
    assert made == {name for name, profile in profiles.PROFILES.items() if profile.eager}
    assert "audio" not in made
