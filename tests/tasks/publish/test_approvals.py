"""Approval: what waits for a yes stays here whatever happens, and goes out after it, once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import accounts, approval, drafts, posts, schedule_rules
from appliance.clock import now
from appliance.errors import Conflict, Forbidden, InvalidInput
from appliance.models import Account, Event, Job, Post, Rendition, Role
from appliance.states import ApprovalState, PostState, RenditionState, VideoState
from appliance.vault import open_vault
from tasks.publish import approvals, dispatch, wishes
from tests.factories import make_user, make_video

if TYPE_CHECKING:
    from appliance.models import User, Video
    from appliance.settings import Settings

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(autouse=True)
def rule(db: None) -> None:
    schedule_rules.keep(approval="editors", actor=None)


@pytest.fixture
def editor(db: None) -> User:
    return make_user("ed@example.org", Role.EDITOR)


@pytest.fixture
def admin(db: None) -> User:
    return make_user("ann@example.org", Role.ADMIN)


@pytest.fixture
def channels(settings: Settings, db: None) -> list[Account]:
    accounts.ensure_builtin(settings, open_vault(settings))
    return accounts.choose(platforms=["practice"])


@pytest.fixture
def video(editor: User) -> Video:
    video = make_video(editor, state=VideoState.READY)
    Rendition.create(video=video, profile="social", recipe="1", state=RenditionState.READY)
    return video


def asked(
    settings: Settings, video: Video, channels: list[Account], author: User, **more: object
) -> Post:
    return dispatch.create(settings, video, channels, author=author, **more)  # type: ignore[arg-type]  # columns


def is_kept_back(post: Post) -> bool:
    fresh = Post.get_by_id(post.id)
    return fresh.state is PostState.DRAFT and not Job.select().where(Job.post == post).exists()


def test_a_post_of_an_editor_waits_and_nothing_sends_it(
    settings: Settings, video: Video, channels: list[Account], editor: User
) -> None:
    post = asked(settings, video, channels, editor, publish_at=now() + timedelta(hours=1))
    assert Post.get_by_id(post.id).approval is ApprovalState.REQUESTED
    dispatch.send_off(post)
    Post.update(publish_at=now() - timedelta(hours=3)).where(Post.id == post.id).execute()
    dispatch.sweep()
    dispatch.account_settled(channels[0])
    dispatch.posting_resumed()
    assert is_kept_back(post)


def test_a_yes_sends_it_at_its_time_once(
    settings: Settings, video: Video, channels: list[Account], editor: User, admin: User
) -> None:
    when = now() + timedelta(hours=1)
    post = asked(settings, video, channels, editor, publish_at=when)
    approvals.approve(settings, post, actor=admin, note="Lovely")
    fresh = Post.get_by_id(post.id)
    assert (fresh.state, fresh.approval) == (PostState.SCHEDULED, ApprovalState.APPROVED)
    assert (fresh.approved_by, fresh.approval_note) == (admin, "Lovely")
    (job,) = Job.select().where(Job.post == post)
    assert job.run_after >= when - timedelta(hours=1)
    with pytest.raises(Conflict):
        approvals.approve(settings, post, actor=admin)
    assert Job.select().where(Job.post == post).count() == 1


def test_who_sends_what_waits_and_may_approve_has_said_yes(
    settings: Settings, video: Video, channels: list[Account], editor: User, admin: User
) -> None:
    post = asked(settings, video, channels, editor)
    with pytest.raises(Conflict):
        dispatch.submit(settings, post, actor=editor)  # is asked for already
    assert is_kept_back(post)
    dispatch.submit(settings, post, actor=admin)
    fresh = Post.get_by_id(post.id)
    assert (fresh.approval, fresh.approved_by) == (ApprovalState.APPROVED, admin)
    assert Job.select().where(Job.post == post).count() == 1


def test_neither_editors_nor_the_admin_who_wrote_it_approve(
    settings: Settings, video: Video, channels: list[Account], editor: User, admin: User
) -> None:
    schedule_rules.keep(approval="everybody", actor=None)
    post = asked(settings, video, channels, admin)
    for person in (editor, admin):
        with pytest.raises(Forbidden):
            approvals.approve(settings, post, actor=person)
        with pytest.raises(Forbidden):
            approval.refuse(post, actor=person, note="No")
    assert is_kept_back(post)
    approvals.approve(settings, post, actor=make_user("bob@example.org", Role.ADMIN))
    assert not is_kept_back(post)


@pytest.mark.parametrize("by", ["draft", "target", "asking"])
def test_an_admin_who_changed_or_asked_last_does_not_approve(
    settings: Settings,
    video: Video,
    channels: list[Account],
    editor: User,
    admin: User,
    by: str,
) -> None:
    schedule_rules.keep(approval="everybody", actor=None)
    post = asked(settings, video, channels, editor)
    assert approval.may_decide(admin, post)
    if by == "draft":
        drafts.change(post, actor=admin, title="The admin's")
    elif by == "target":
        wishes.change_texts(settings, posts.latest_targets(post)[0], title="Mine", actor=admin)
    else:
        approval.withdraw(post, actor=editor)
    dispatch.submit(settings, post, actor=admin if by == "asking" else editor)
    with pytest.raises(Forbidden):
        approvals.approve(settings, post, actor=admin)
    assert is_kept_back(post)
    assert approval.may_decide(make_user("olga@example.org", Role.OWNER), post)
    # Somebody else wrote and asked after them: there are four eyes again.
    drafts.change(post, actor=editor, title="The editor's")
    dispatch.submit(settings, post, actor=editor)
    approvals.approve(settings, post, actor=admin)
    assert not is_kept_back(post)


def test_an_admin_who_needs_nobody_may_correct_and_approve(
    settings: Settings, video: Video, channels: list[Account], editor: User, admin: User
) -> None:
    post = asked(settings, video, channels, editor)
    wishes.change_texts(settings, posts.latest_targets(post)[0], title="Better", actor=admin)
    approvals.approve(settings, post, actor=admin)
    assert not is_kept_back(post)


def test_owners_and_the_shell_need_nobody(
    settings: Settings, video: Video, channels: list[Account]
) -> None:
    schedule_rules.keep(approval="everybody", actor=None)
    owner = make_user("olga@example.org", Role.OWNER)
    for author in (owner, None):
        post = dispatch.create(settings, video, channels, author=author, again=True)
        assert Post.get_by_id(post.id).state is PostState.PENDING


def test_what_is_refused_stays_a_draft_with_the_reason_and_can_be_asked_again(
    settings: Settings, video: Video, channels: list[Account], editor: User, admin: User
) -> None:
    post = asked(settings, video, channels, editor)
    with pytest.raises(InvalidInput):
        approval.refuse(post, actor=admin, note="  ")
    approval.refuse(post, actor=admin, note="The logo is old.")
    fresh = Post.get_by_id(post.id)
    assert (fresh.approval, fresh.approval_note) == (ApprovalState.REFUSED, "The logo is old.")
    drafts.change(fresh, actor=editor, title="New logo")
    dispatch.submit(settings, fresh, actor=editor)
    assert Post.get_by_id(post.id).approval is ApprovalState.REQUESTED
    types = [event.type for event in Event.select().order_by(Event.id)]
    assert [t for t in types if t in ("post.approval_requested", "post.refused")] == [
        "post.approval_requested",
        "post.refused",
        "post.approval_requested",
    ]


def test_what_is_changed_has_to_be_asked_for_again(
    settings: Settings, video: Video, channels: list[Account], editor: User
) -> None:
    post = asked(settings, video, channels, editor)
    drafts.change(post, actor=editor, description="Something else")
    assert Post.get_by_id(post.id).approval is ApprovalState.NOT_NEEDED
    again = asked(settings, video, channels, editor)
    (target,) = posts.latest_targets(again)
    wishes.change_texts(settings, target, title="Something else", actor=editor)
    assert Post.get_by_id(again.id).approval is ApprovalState.NOT_NEEDED
    assert is_kept_back(again)


def test_what_was_approved_is_not_changed_by_who_needs_approval(
    settings: Settings, video: Video, channels: list[Account], editor: User, admin: User
) -> None:
    post = asked(settings, video, channels, editor, publish_at=now() + timedelta(hours=1))
    approvals.approve(settings, post, actor=admin)
    (target,) = posts.latest_targets(post)
    with pytest.raises(Forbidden, match="approved as it is"):
        wishes.change_texts(settings, target, title="Behind your back", actor=editor)
    wishes.change_texts(settings, target, title="Better", actor=admin)
    assert posts.latest_targets(post)[0].overrides["title"] == "Better"


def test_a_yes_that_comes_too_late_asks_for_another_time_or_now(
    settings: Settings, video: Video, channels: list[Account], editor: User, admin: User
) -> None:
    post = asked(settings, video, channels, editor, publish_at=now() + timedelta(hours=1))
    Post.update(publish_at=now() - timedelta(hours=1)).where(Post.id == post.id).execute()
    with pytest.raises(Conflict) as refused:
        approvals.approve(settings, post, actor=admin)
    assert refused.value.code == "time_passed"
    assert Post.get_by_id(post.id).approval is ApprovalState.REQUESTED  # as it was
    assert is_kept_back(post)
    approvals.approve(settings, post, actor=admin, now=True)
    fresh = Post.get_by_id(post.id)
    assert (fresh.state, fresh.publish_at) == (PostState.PENDING, None)


def test_another_time_keeps_the_question_open(
    settings: Settings, video: Video, channels: list[Account], editor: User
) -> None:
    post = asked(settings, video, channels, editor)
    wishes.reschedule(post, now() + timedelta(days=1), actor=editor)
    fresh = Post.get_by_id(post.id)
    assert (fresh.state, fresh.approval) == (PostState.DRAFT, ApprovalState.REQUESTED)
    approval.withdraw(post, actor=editor)
    assert Post.get_by_id(post.id).approval is ApprovalState.NOT_NEEDED
    assert is_kept_back(post)


def test_a_post_that_waits_can_be_called_back(
    settings: Settings, video: Video, channels: list[Account], editor: User, admin: User
) -> None:
    post = asked(settings, video, channels, editor)
    dispatch.cancel(post, actor=editor)
    assert Post.get_by_id(post.id).state is PostState.CANCELLED
    with pytest.raises(Conflict):
        approvals.approve(settings, post, actor=admin)
