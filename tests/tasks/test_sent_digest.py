"""A file that isn't what its sender says it sent, whichever of the two digests comes first."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import accounts, posts, videos
from appliance.clock import now
from appliance.errors import Conflict
from appliance.models import Account, Role, User, Video
from appliance.states import JobState, RenditionState, TargetState, VideoState
from appliance.vault import open_vault
from tasks import pipeline, renditions, restarts
from tasks.publish import dispatch
from tests import media
from tests.factories import make_user
from tests.plans import looking_at_plans
from tests.tasks.doing import again, bring_in, job_of, rendition_of, run_all, run_one
from web.rows import load_cards

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.models import Post
    from appliance.settings import Settings
    from storage.layout import Layout

OTHER = hashlib.sha256(b"another file").hexdigest()


def digest_of_clip() -> str:
    return hashlib.sha256(media.h264_aac().read_bytes()).hexdigest()


def admin() -> User:
    return make_user("admin@example.org", Role.ADMIN)


def said(video: Video, digest: str) -> Video:
    Video.update(sent_sha256=digest).where(Video.id == video.id).execute()
    return again(video)


def post_to_folder(settings: Settings, video: Video, publish_at: datetime | None = None) -> Post:
    accounts.ensure_builtin(settings, open_vault(settings))
    folder = Account.get(Account.platform == "folder")
    return dispatch.create(settings, video, [folder], author=None, publish_at=publish_at)


def target_state(post: Post) -> tuple[TargetState, str]:
    (target,) = posts.latest_targets(post)
    return target.state, target.error or ""


def assert_refused(video: Video, layout: Layout) -> None:
    fresh = again(video)
    assert (fresh.state, fresh.error) == (VideoState.FAILED, videos.NOT_AS_SENT)
    assert OTHER in (fresh.error_detail or "")
    assert layout.original(video.public_id).read_bytes() == media.h264_aac().read_bytes()
    with pytest.raises(Conflict):
        renditions.want_rendition(fresh)


@pytest.mark.parametrize("upper", [False, True])
def test_the_same_digest_changes_nothing(db: None, settings: Settings, upper: bool) -> None:
    ours = digest_of_clip()
    video = said(bring_in(settings, media.h264_aac()), ours.upper() if upper else ours)
    assert pipeline.check_sent_digest(video)  # ours isn't known yet
    run_all(settings)
    assert again(video).state is VideoState.READY
    assert pipeline.check_sent_digest(video) and restarts.sweep(settings) == 0
    assert again(video).state is VideoState.READY


def test_said_before_the_look(db: None, settings: Settings, layout: Layout) -> None:
    video = said(bring_in(settings, media.h264_aac()), OTHER)
    waiting = post_to_folder(settings, video)
    run_all(settings)
    assert_refused(video, layout)
    assert job_of(video, "probe").error_code == "not_as_sent"
    state, error = target_state(waiting)
    assert state is TargetState.FAILED and videos.NOT_AS_SENT in error
    assert not layout.rendition(video.public_id, "social").exists()


def test_said_when_it_is_ready(db: None, settings: Settings, layout: Layout) -> None:
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    scheduled = post_to_folder(settings, video, now() + timedelta(hours=1))
    assert not pipeline.check_sent_digest(said(video, OTHER))
    assert_refused(video, layout)
    assert rendition_of(video).state is RenditionState.FAILED
    assert target_state(scheduled) == (TargetState.FAILED, videos.NOT_AS_SENT)
    (card,) = load_cards(admin(), layout, [again(video)])
    assert card.remedy == "upload"
    with pytest.raises(Conflict):
        restarts.retry_video(again(video), None)
    dispatch.retry_failed(scheduled, actor=None)
    run_all(settings)
    assert target_state(scheduled)[0] is TargetState.FAILED


def test_said_while_the_rendition_is_made(db: None, settings: Settings, layout: Layout) -> None:
    video = bring_in(settings, media.h264_aac())
    waiting = post_to_folder(settings, video)
    assert run_one(settings, "quick").kind == "probe"
    said(video, OTHER)  # and whoever should have called dies
    run_all(settings)
    assert job_of(video, "remux").state is JobState.FAILED
    assert_refused(video, layout)
    assert target_state(waiting)[0] is TargetState.FAILED


@pytest.mark.parametrize("by_rows_alone", [False, True])
def test_the_sweep_ends_what_the_caller_left(
    db: None, settings: Settings, layout: Layout, by_rows_alone: bool
) -> None:
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    scheduled = post_to_folder(settings, video, now() + timedelta(hours=1))
    said(video, OTHER)
    if by_rows_alone:
        assert not videos.check_sent_digest(video)
    restarts.sweep(settings)
    assert_refused(video, layout)
    assert target_state(scheduled)[0] is TargetState.FAILED
    assert restarts.sweep(settings) == 0


def test_said_about_what_is_in_the_bin(db: None, settings: Settings, layout: Layout) -> None:
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    videos.trash(again(video), actor=admin())
    assert not pipeline.check_sent_digest(said(video, OTHER))
    assert again(video).state is VideoState.TRASHED
    assert again(video).state_before_trash == VideoState.FAILED


def test_the_sweep_finds_them_by_an_index_and_locks_nothing(db: None, settings: Settings) -> None:
    begun: list[str] = []
    with looking_at_plans() as steps, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "transaction", lambda: begun.append("lock"))
        assert restarts.sweep(settings) == 0
    assert any("video_unlike_sent" in step for step in steps)
    assert begun == []
