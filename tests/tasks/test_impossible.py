"""A profile that can't be made of a video: said at once to whoever asks, and in the row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.errors import Conflict
from appliance.models import Job, Rendition
from appliance.states import JobState, RenditionState, VideoState
from tasks import asking, renditions
from tests import media
from tests.tasks.doing import again, bring_in, run_all

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings


def sixteen_minutes() -> Path:
    return media.clip(
        "sixteen-minutes.mp4", *media.H264, *media.AAC, "-g", "10", size="32x32", fps="1",
        seconds=960,
    )  # fmt: skip


@pytest.mark.usefixtures("db")
def test_a_wish_that_turns_out_impossible_fails_alone(settings: Settings) -> None:
    """Asked for before anybody has looked: the look, and all that is made else, go on."""
    settings = settings.model_copy(update={"auto_renditions": False})
    video = bring_in(settings, sixteen_minutes())
    renditions.want_rendition(video, "instagram")
    run_all(settings)

    assert again(video).state is VideoState.READY
    rendition = Rendition.get(Rendition.video == video, Rendition.profile == "instagram")
    assert rendition.state is RenditionState.FAILED
    assert "it lasts 16 min, and at most 15 min are allowed" in (rendition.error or "")
    assert not Job.select().where(Job.state == JobState.FAILED).exists()

    with pytest.raises(Conflict, match="at most 15 min") as refused:
        asking.ask(again(video), "instagram", None)
    assert refused.value.code == "too_long"
    with pytest.raises(Conflict, match="at most 15 min"):
        renditions.want_rendition(again(video), "instagram")
