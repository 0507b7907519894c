"""What the pages show of videos and their work, loaded from rows; without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance import job_history, jobs
from appliance.clock import boot_id
from appliance.models import Heartbeat, Priority, Rendition, Role
from appliance.states import JobState, RenditionState, VideoState
from tasks.profiles import PREVIEW, SOCIAL
from tests.factories import make_user, make_video
from tests.plans import looking_at_plans
from web import progress
from web.rows import load_cards, load_work

if TYPE_CHECKING:
    from storage.layout import Layout

pytestmark = pytest.mark.usefixtures("db")


def test_work_far_behind_in_the_line_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_history, "_MOST_LIVE", 1)
    monkeypatch.setattr(job_history, "FAR", 3)
    for number in range(5):
        jobs.create("encode", f"encode:{number}")
    video = make_video(state=VideoState.PROCESSING)
    jobs.create("encode", "last", video=video, priority=Priority.LOW)
    (work,) = load_work([video.id])[video.id]
    assert (work.kind, work.state, work.place) == ("encode", JobState.QUEUED, 3)
    assert load_work([make_video().id]) == {}


@pytest.mark.parametrize(
    ("place", "text"),
    [(job_history.FAR - 1, "1000th in line"), (job_history.FAR, "More than 1,000 come first")],
)
def test_nobody_counts_the_line_to_its_end(place: int, text: str) -> None:
    assert progress.in_line(place) == text


def test_at_night_nothing_waits_for_the_night() -> None:
    video = make_video(state=VideoState.PROCESSING)
    jobs.create("encode", "a", video=video, only_at_night=True)

    def words(*, night: bool) -> str:
        Heartbeat.delete().execute()
        about = {"cores": 2.0, "memory_mib": 900, "night": night}
        Heartbeat.create(
            process="worker-media", pid=1, boot_id=boot_id(), beat_boottime_s=0.0, info=about
        )
        (work,) = load_work([video.id])[video.id]
        return progress.of_work(work).words

    assert words(night=False) == "Waits for the night"
    assert words(night=True) == "Next in line"


def test_cards_tell_of_versions_without_reading_those_of_others(layout: Layout) -> None:
    ready, failed = make_video(state=VideoState.READY), make_video(state=VideoState.READY)
    current = {"profile": SOCIAL.name, "recipe": SOCIAL.recipe}
    Rendition.create(video=ready, **current, state=RenditionState.READY)
    Rendition.create(video=failed, **current, state=RenditionState.FAILED)
    Rendition.create(video=failed, profile=PREVIEW.name, recipe="old", state=RenditionState.READY)
    user = make_user("admin@example.org", Role.ADMIN)
    with looking_at_plans() as steps:
        cards = load_cards(user, layout, [ready, failed])
    assert [(card.stale, card.badge.state) for card in cards] == [
        (False, "ready"),
        (True, "partly"),
    ]
    assert any("rendition_video_id" in step for step in steps)
    assert not [step for step in steps if "rendition_room" in step]
