"""What a platform holds of posts that failed: there for Retry for a day, then removed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import accounts, allowances, posts
from appliance.clock import now
from appliance.models import Account, Attempt, Job, Post, PostTarget
from appliance.states import AccountState, JobState, TargetState
from appliance.videos import trash
from tasks.publish import dispatch, leftovers, settling
from tasks.publish.publisher import Failed, NeedsReconnect, RetryAt
from tests.tasks.publish.paper import Desk, lost, paper

if TYPE_CHECKING:
    from appliance.settings import Settings


@pytest.fixture
def desk(settings: Settings, db: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(settings, monkeypatch)


def failed(desk: Desk, *chosen: Account, **arguments: object) -> Post:
    """A post that was staged, and refused when it was to go live."""
    paper.script["go_live"] = [lambda: Failed("It may not.", code="forbidden")]
    post = desk.post(*chosen, **arguments)
    desk.work()
    assert desk.targets(post)[0].state is TargetState.FAILED
    assert len(paper.sheets) == 1 and not paper.public()
    for sheet in paper.sheets.values():
        sheet.expires_at = None  # as with YouTube, which forgets nothing by itself
    return post


def removals() -> int:
    return paper.asked()["delete"]


def test_retry_within_a_day_goes_on_with_it(desk: Desk) -> None:
    post = failed(desk)
    desk.skip(hours=23)
    desk.work()
    dispatch.retry_failed(post, actor=desk.user)
    desk.work()
    assert desk.look(post).state is TargetState.PUBLISHED
    assert (paper.asked()["stage"], removals(), len(paper.public())) == (1, 0, 1)


def test_after_a_day_it_is_removed_and_retry_begins_anew(desk: Desk) -> None:
    post = failed(desk)
    desk.skip(hours=25)
    desk.work()
    target = desk.look(post)
    assert paper.sheets == {} and removals() == 1
    assert (target.state, target.error, target.error_code) == (
        TargetState.FAILED,
        "It may not.",
        "forbidden",
    )
    assert target.checkpoint == {} and "was removed" in target.stage
    assert not Job.select().where(Job.state == JobState.FAILED, Job.finished_at > now()).exists()
    desk.skip(hours=48)
    desk.work()
    assert removals() == 1  # once is enough
    dispatch.retry_failed(post, actor=desk.user)
    desk.work()
    assert desk.look(post).state is TargetState.PUBLISHED
    assert len(paper.public()) == len(paper.sheets) == 1


def test_what_somebody_made_public_by_hand_stays_and_retry_finds_it(desk: Desk) -> None:
    post = failed(desk)
    (sheet,) = paper.sheets.values()
    sheet.public_at = now()
    desk.skip(hours=25)
    desk.work()
    assert removals() == 0 and len(paper.public()) == 1
    target = desk.look(post)
    assert target.state is TargetState.FAILED and "left there" in target.stage
    looks = paper.asked()["poll"]
    desk.skip(hours=48)
    desk.work()
    assert paper.asked()["poll"] == looks  # it isn't asked about for ever
    dispatch.retry_failed(post, actor=desk.user)
    desk.work()
    assert desk.look(post).state is TargetState.PUBLISHED
    assert len(paper.public()) == len(paper.sheets) == 1


def test_calling_the_post_back_removes_it_at_once(desk: Desk) -> None:
    other = desk.open_account("other")
    paper.script["go_live"] = [lambda: Failed("It may not.")]
    post = desk.post(desk.account, other)
    accounts.mark_lost(other, "Sign in again.")  # its part waits
    desk.work()
    assert [t.state for t in desk.targets(post)] == [TargetState.FAILED, TargetState.WAITING]
    dispatch.cancel(Post.get_by_id(post.id), actor=desk.user)
    desk.work()
    assert paper.sheets == {}
    assert [t.state for t in desk.targets(post)] == [TargetState.FAILED, TargetState.CANCELLED]


def test_deleting_the_video_removes_it_at_once(desk: Desk) -> None:
    video = desk.video()
    post = failed(desk, video=video)
    trash(video, actor=desk.user)
    settling.video_trashed(video)
    desk.work()
    assert paper.sheets == {} and desk.look(post).error == "It may not."


def test_allowances_are_for_posts_first(desk: Desk) -> None:
    post = failed(desk)
    desk.skip(hours=25)
    for _ in range(3):  # of five
        allowances.spend(desk.account, "posts", 1, target=None)
    desk.work()
    assert removals() == 0 and len(paper.sheets) == 1
    # What the platform would make public by itself has no time to wait.
    PostTarget.update(held_until=now() + timedelta(hours=1)).where(
        PostTarget.post == post
    ).execute()
    desk.work()
    assert removals() == 1 and paper.sheets == {}
    assert desk.look(post).held_until is None


@pytest.mark.parametrize("state", [TargetState.UNSURE, TargetState.NEEDS_PERSON])
def test_of_what_may_be_public_nothing_is_removed(desk: Desk, state: TargetState) -> None:
    paper.script["gone_live"] = [lost]
    paper.script["reconcile"] = [lambda: RetryAt(None, "It doesn't say.")] * 100
    post = desk.post()
    desk.work()
    PostTarget.update(state=state).where(PostTarget.post == post).execute()
    desk.skip(hours=72)
    assert leftovers.sweep() == 0
    leftovers.let_go(posts.latest_targets(post))
    assert not Job.select().where(Job.priority == 10).exists()
    assert len(paper.sheets) == 1


def test_a_platform_that_does_not_answer_is_asked_again(desk: Desk) -> None:
    post = failed(desk)
    desk.skip(hours=25)
    paper.script["poll"] = [lambda: RetryAt(None, "It is down.")]
    paper.script["delete"] = [lambda: RetryAt(None, "It is down.")]
    desk.work_for(minutes=5)
    assert paper.sheets == {} and removals() == 2
    assert desk.look(post).error == "It may not."
    (job,) = Job.select().where(Job.priority == 10)
    assert job.state is JobState.COMPLETED
    outcomes = [a.outcome for a in Attempt.select().where(Attempt.step == "delete")]
    assert outcomes == ["retry", "retry", "removed"]


def test_a_lost_sign_in_is_told_and_the_rest_comes_after_it(desk: Desk) -> None:
    post = failed(desk)
    desk.skip(hours=25)
    paper.script["delete"] = [lambda: NeedsReconnect("Sign in again.")]
    desk.work()
    account = Account.get_by_id(desk.account.id)
    assert account.state is AccountState.RECONNECT
    desk.skip(hours=25)
    desk.work()
    assert removals() == 1 and len(paper.sheets) == 1
    accounts.mark_connected(account, actor=desk.user)
    desk.work()
    assert paper.sheets == {} and desk.look(post).error == "It may not."


def test_what_can_not_be_removed_is_tried_once(desk: Desk) -> None:
    post = failed(desk)
    paper.keeps = True
    for _ in range(3):
        desk.skip(hours=25)
        desk.work()
    assert removals() == 1
    assert desk.look(post).checkpoint  # Retry goes on with it all the same
    dispatch.retry_failed(post, actor=desk.user)
    desk.work()
    assert len(paper.public()) == len(paper.sheets) == 1


def test_retry_before_the_removal_has_begun_wins(desk: Desk) -> None:
    post = failed(desk)
    desk.skip(hours=25)
    assert leftovers.sweep() == 1
    dispatch.retry_failed(post, actor=desk.user)
    desk.work()
    assert desk.look(post).state is TargetState.PUBLISHED
    assert (removals(), paper.asked()["stage"]) == (0, 1)
