"""A file that a post is handing over isn't replaced meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from appliance import accounts, posts
from appliance.models import Job, PostTarget, Priority, Rendition
from appliance.states import JobState, RenditionState, TargetState
from appliance.vault import open_vault
from tasks import making, renditions
from tests import media
from tests.tasks.doing import again, bring_in, in_thread, rendition_of, run_all, run_one

if TYPE_CHECKING:
    from appliance.models import Video
    from appliance.settings import Settings


@pytest.fixture
def remade(db: None, settings: Settings) -> tuple[Video, Job, PostTarget]:
    """A stale rendition, the job that makes it anew, and a target that it goes out to."""
    settings = settings.model_copy(update={"auto_renditions": False})
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    renditions.want_rendition(again(video))
    run_all(settings)
    Rendition.update(recipe="of long ago").where(Rendition.video == video).execute()
    accounts.ensure_builtin(settings, open_vault(settings))
    (account,) = accounts.choose(platforms=["practice"])
    post = posts.create(video, [account], author=None, title="Clip", description="")
    target = PostTarget.get(PostTarget.post == post)
    PostTarget.update(rendition=rendition_of(video)).where(PostTarget.id == target.id).execute()
    job = renditions.remake(rendition_of(video), Priority.NORMAL)
    return video, job, target


def go(target: PostTarget, state: TargetState) -> None:
    PostTarget.update(state=state).where(PostTarget.id == target.id).execute()


@pytest.mark.parametrize("state", [TargetState.STAGING, TargetState.PUBLISHING])
def test_it_waits_while_the_old_file_is_going_out(
    remade: tuple[Video, Job, PostTarget], settings: Settings, state: TargetState
) -> None:
    video, job, target = remade
    go(target, state)
    waiting = run_one(settings, "quick")
    assert (waiting.id, waiting.state) == (job.id, JobState.QUEUED)
    assert waiting.run_after is not None and waiting.attempts == 0
    assert "post with the old file" in waiting.stage
    assert rendition_of(video).recipe == "of long ago"

    go(target, TargetState.PUBLISHED)
    Job.update(run_after=None).where(Job.id == job.id).execute()
    assert run_one(settings, "quick").state is JobState.COMPLETED
    assert rendition_of(video).recipe != "of long ago"
    assert rendition_of(video).state is RenditionState.READY


def test_a_post_that_begins_in_the_middle_is_sat_out(
    remade: tuple[Video, Job, PostTarget], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look and the last step: what was made is placed when it is over."""
    video, _job, target = remade
    looks: list[bool] = []
    ask = renditions.is_going_out

    def is_going_out(rendition: Any) -> bool:
        if len(looks) == 1:
            go(target, TargetState.STAGING)
        if len(looks) == 3:
            go(target, TargetState.PUBLISHED)
        looks.append(ask(rendition))
        return looks[-1]

    monkeypatch.setattr(making.renditions, "is_going_out", is_going_out)
    in_thread(lambda: run_all(settings, threading.Event()))
    assert looks[:4] == [False, True, True, False]
    assert rendition_of(video).recipe != "of long ago"
