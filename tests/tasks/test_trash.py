"""Into the bin and out of it, with the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance import accounts, jobs
from appliance.errors import Conflict, Forbidden
from appliance.models import Account, Job, Post, PostTarget, Rendition, Role, User, Video
from appliance.states import JobState, RenditionState, TargetState, VideoState
from appliance.vault import open_vault
from storage.media import settle_trash
from tasks import asking, pipeline, restarts, trash
from tasks.publish import dispatch
from tests import media
from tests.factories import make_user, make_video
from tests.tasks.doing import again, bring_in, job_of, rendition_of, run_all, run_one

if TYPE_CHECKING:
    from appliance.settings import Settings
    from storage.layout import Layout


def with_original(layout: Layout, **columns: object) -> Video:
    video = make_video(make_user(), **columns)
    layout.video(video.public_id).mkdir()
    layout.original(video.public_id).write_bytes(b"original")
    return video


def test_undo_brings_back_state_and_files(db: None, layout: Layout, settings: Settings) -> None:
    video = with_original(layout, state=VideoState.READY)
    trash.throw_away(video, video.owner, layout)
    assert not layout.video(video.public_id).exists()
    trash.take_out(Video.get_by_id(video.id), video.owner, layout, settings)
    assert Video.get_by_id(video.id).state is VideoState.READY
    assert layout.original(video.public_id).read_bytes() == b"original"


def test_what_a_late_job_made_is_kept_with_the_rest(
    db: None, layout: Layout, settings: Settings
) -> None:
    video = with_original(layout, state=VideoState.PROCESSING)
    trash.throw_away(video, video.owner, layout)
    layout.video(video.public_id).mkdir()
    layout.rendition(video.public_id, "social").write_bytes(b"rendition")
    trash.take_out(Video.get_by_id(video.id), video.owner, layout, settings)
    assert layout.original(video.public_id).read_bytes() == b"original"
    assert layout.rendition(video.public_id, "social").read_bytes() == b"rendition"
    assert not layout.trashed(video.public_id).exists()


def test_sweep_takes_what_a_late_job_made_into_the_bin(db: None, layout: Layout) -> None:
    video = with_original(layout, state=VideoState.PROCESSING)
    trash.throw_away(video, video.owner, layout)
    layout.video(video.public_id).mkdir()
    layout.rendition(video.public_id, "social").write_bytes(b"rendition")
    settle_trash(layout)
    assert not layout.video(video.public_id).exists()
    names = sorted(path.name for path in layout.trashed(video.public_id).iterdir())
    assert names == ["original", "social.mp4"]


def test_only_owner_and_admins_delete(db: None, layout: Layout) -> None:
    video = with_original(layout)
    other = make_user("other@example.org")
    with pytest.raises(Forbidden):
        trash.throw_away(video, other, layout)
    trash.throw_away(video, make_user("admin@example.org", Role.ADMIN), layout)


def test_video_that_never_arrived_has_nothing_to_restore(
    db: None, layout: Layout, settings: Settings
) -> None:
    video = make_video(make_user(), state=VideoState.UPLOADING)
    trash.throw_away(video, video.owner, layout)
    with pytest.raises(Conflict):
        trash.take_out(Video.get_by_id(video.id), video.owner, layout, settings)


def encoding(layout: Layout) -> tuple[Video, Rendition, Job]:
    video = with_original(layout, state=VideoState.PROCESSING, poster_version=1)
    rendition = Rendition.create(
        video=video, profile="social", recipe="1", state=RenditionState.PROCESSING
    )
    job = jobs.create("encode", f"encode:{rendition.public_id}", video=video, rendition=rendition)
    return video, rendition, job


def test_queued_work_of_a_deleted_video_ends_and_begins_again_after_undo(
    db: None, layout: Layout, settings: Settings
) -> None:
    video = bring_in(settings, media.webm_vp9())
    run_one(settings, "quick")
    trash.throw_away(again(video), video.owner or make_user(role=Role.ADMIN), layout)
    assert job_of(video, "encode").state is JobState.CANCELLED
    assert rendition_of(video).state is RenditionState.PENDING
    trash.take_out(again(video), video.owner or User.get(), layout, settings)
    assert restarts.sweep(settings) == 0
    assert job_of(video, "encode").state is JobState.QUEUED
    run_all(settings)
    assert again(video).state is VideoState.READY


def test_running_work_of_a_deleted_video_is_told_to_stop(db: None, layout: Layout) -> None:
    video, rendition, _ = encoding(layout)
    claimed = jobs.claim("media", "me", lease_s=30)
    assert claimed is not None
    trash.throw_away(video, video.owner, layout)
    assert jobs.beat(claimed, lease_s=30).cancel_requested
    jobs.cancelled(claimed)
    pipeline.settle_cancel(Job.get_by_id(claimed.id))
    assert Rendition.get_by_id(rendition.id).state is RenditionState.PENDING
    assert Video.get_by_id(video.id).state is VideoState.TRASHED


def test_undo_of_a_ready_video_makes_what_was_still_missing(
    db: None, layout: Layout, settings: Settings
) -> None:
    video = bring_in(settings, media.h264_aac(), owner=make_user())
    run_one(settings, "quick")
    asking.ask(again(video), "vertical", None)
    missing = {"storyboard", "waveform", "vertical"}
    Rendition.update(state=RenditionState.READY).where(
        Rendition.video == video, Rendition.profile.not_in(missing)
    ).execute()
    Video.update(state=VideoState.READY, poster_version=1).where(Video.id == video.id).execute()
    trash.throw_away(again(video), video.owner, layout)
    assert not Job.select().where(Job.state == JobState.QUEUED).exists()

    trash.take_out(again(video), video.owner, layout, settings)
    live = Job.select().where(Job.video == video, Job.state == JobState.QUEUED)
    assert {job.rendition.profile for job in live} == missing


def test_a_post_that_waits_for_a_deleted_video_says_so_at_once_and_can_be_retried(
    db: None, layout: Layout, settings: Settings
) -> None:
    accounts.ensure_builtin(settings, open_vault(settings))
    video, _, _ = encoding(layout)
    practice = Account.get(Account.platform == "practice")
    post = dispatch.create(settings, video, [practice], author=video.owner)
    trash.throw_away(video, video.owner, layout)
    target = PostTarget.get(PostTarget.post == post)
    assert (target.state, target.error_code) == (TargetState.FAILED, "no_video")
    assert "Restore it" in target.error
    trash.take_out(Video.get_by_id(video.id), video.owner, layout, settings)
    dispatch.retry_failed(Post.get_by_id(post.id), actor=video.owner)
    assert PostTarget.get_by_id(target.id).state is TargetState.WAITING
