"""The ledger over days: prepared ahead, held there, moved, paused, late; by a clock that is wound.

The other side is of paper (paper.py); its list of what is public is what counts.
"""

from __future__ import annotations

import os
import random
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from appliance import allowances, jobs, late_posts, posting_switch, posts
from appliance.clock import now
from appliance.db import database, transaction
from appliance.errors import Conflict, InvalidInput
from appliance.models import Account, Attempt, Job, Post, PosterChoice, PostTarget, Rendition
from appliance.states import AccountState, JobState, PostState, RenditionState, TargetState
from tasks import ticker
from tasks.context import Context
from tasks.publish import budgets, dispatch, material, sending, settling, wishes
from tasks.publish.publisher import MediaFacts, PostDraft
from tasks.publish.task import publish
from tests.tasks.publish.paper import Desk, Died, Sheet, dies, lost, paper
from web.account_rows import load_account

if TYPE_CHECKING:
    from appliance.settings import Settings
    from tasks.publish.publisher import Step

pytestmark = pytest.mark.usefixtures("db")
T = TargetState


@pytest.fixture
def desk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(settings, monkeypatch)


def ahead(desk: Desk, **columns: Any) -> None:
    """The account wants its files brought before their time."""
    Account.update(stage_ahead=True, **columns).where(Account.id == desk.account.id).execute()
    desk.account = Account.get_by_id(desk.account.id)


def only() -> Sheet:
    """The one post that is public there."""
    (sheet,) = paper.public()
    return sheet


def went_out_at() -> datetime:
    at = only().public_at
    assert at is not None
    return at


# Prepared ahead


def test_without_the_wish_nothing_is_brought_there_before_its_time(desk: Desk) -> None:
    post = desk.post(publish_at=now() + timedelta(hours=1))
    desk.work()
    assert (paper.calls, desk.look(post).state) == ([], T.WAITING)
    desk.skip(hours=1)
    desk.work()
    assert desk.look(post).state is T.PUBLISHED


def test_a_post_is_staged_ahead_and_goes_live_by_one_call(desk: Desk) -> None:
    ahead(desk)
    due = now() + timedelta(hours=3)
    post = desk.post(publish_at=due)
    desk.work()
    assert (desk.look(post).state, Post.get_by_id(post.id).state) == (T.STAGED, PostState.SCHEDULED)
    assert paper.public() == []
    desk.skip(hours=2, minutes=59)
    desk.work()
    assert paper.public() == []
    paper.calls.clear()
    desk.skip_to(due + timedelta(seconds=1))
    desk.work()
    assert paper.calls == ["go_live", "gone_live"]
    assert went_out_at() >= due


def test_what_the_platform_forgets_is_brought_so_late_that_it_lasts(desk: Desk) -> None:
    ahead(desk)
    due = now() + timedelta(days=10)
    post = desk.post(publish_at=due)
    desk.work()
    assert paper.calls == []
    desk.skip_to(due - timedelta(hours=21))
    desk.work()
    assert desk.look(post).state is T.STAGED
    desk.skip_to(due + timedelta(seconds=1))
    desk.work()
    assert len(paper.sheets) == 1 and only()


def test_post_now_on_a_staged_post_is_one_call(desk: Desk) -> None:
    ahead(desk)
    post = desk.post(publish_at=now() + timedelta(hours=3))
    desk.work()
    paper.calls.clear()
    wishes.reschedule(post, None, actor=desk.user)
    desk.work()
    assert paper.calls == ["go_live", "gone_live"]
    assert desk.look(post).state is T.PUBLISHED


def test_what_expired_is_staged_anew(desk: Desk) -> None:
    ahead(desk)
    post = desk.post(publish_at=now() + timedelta(hours=20))
    desk.work()
    wishes.reschedule(post, now() + timedelta(hours=40), actor=desk.user)
    desk.work_for(hours=41)
    assert only().expires_at is not None
    assert paper.asked()["stage"] == 2


def test_another_text_is_staged_anew_and_the_old_one_removed(desk: Desk) -> None:
    ahead(desk)
    post = desk.post(title="Old", publish_at=now() + timedelta(hours=3))
    desk.work()
    wishes.change_texts(desk.settings, desk.look(post), title="New", actor=desk.user)
    desk.work()
    assert [sheet.title for sheet in paper.sheets.values()] == ["New"]
    assert desk.look(post).state is T.STAGED
    desk.skip(hours=3, seconds=1)
    desk.work()
    assert only().title == "New"


def test_a_text_that_the_platform_refuses_changes_nothing(desk: Desk) -> None:
    post = desk.post(title="Old", publish_at=now() + timedelta(hours=3))
    with pytest.raises(InvalidInput, match="100 are allowed"):
        wishes.change_texts(desk.settings, desk.look(post), title="x" * 101, actor=desk.user)
    assert desk.look(post).overrides == {}


def test_what_was_staged_is_removed_when_the_post_is_called_back(desk: Desk) -> None:
    ahead(desk)
    post = desk.post(publish_at=now() + timedelta(hours=3))
    desk.work()
    dispatch.cancel(post, actor=desk.user)
    desk.work()
    assert (paper.sheets, desk.look(post).checkpoint) == ({}, {})
    desk.work_for(hours=4)
    assert paper.public() == []


def test_a_rendition_that_becomes_ready_later_is_still_staged_ahead(desk: Desk) -> None:
    ahead(desk)
    video = desk.video(ready=False)
    post = desk.post(video=video, publish_at=now() + timedelta(hours=3))
    desk.work()
    assert desk.look(post).state is T.WAITING
    Rendition.update(state=RenditionState.READY, ready_at=now(), size_bytes=5).execute()
    with transaction():
        settling.rendition_settled(Rendition.get(Rendition.video == video))
    desk.work()
    assert desk.look(post).state is T.STAGED


def test_a_change_while_the_worker_decides_to_rest_is_not_slept_through(desk: Desk) -> None:
    ahead(desk)
    post = desk.post(publish_at=now() + timedelta(hours=3))

    # While it is being staged somebody presses "Post now": its job runs, so nothing is queued.
    def press_now() -> None:
        with database.connection_context():
            wishes.reschedule(post, None, actor=None)

    paper.script["staged"] = [press_now]
    desk.work()
    assert desk.look(post).state is T.PUBLISHED


# Held there


def held(desk: Desk, **arguments: Any) -> Post:
    when = now() + timedelta(hours=2)
    post = desk.post(publish_at=when, hold_there=True, **arguments)
    desk.work()
    target = desk.look(post)
    assert (target.state, target.held_until) == (T.STAGED, when)
    return post


def test_the_platform_makes_it_public_while_the_box_is_away(desk: Desk) -> None:
    post = held(desk)
    desk.skip(hours=30)  # nobody works here
    assert only().public_at == post.publish_at
    desk.work()
    target = desk.look(post)
    assert (target.state, target.held_until) == (T.PUBLISHED, None)
    assert paper.asked()["go_live"] == 1


def test_post_now_takes_what_the_platform_holds(desk: Desk) -> None:
    post = held(desk)
    wishes.reschedule(post, None, actor=desk.user)
    desk.work()
    assert desk.look(post).state is T.PUBLISHED
    assert len(paper.sheets) == 1


def test_another_time_is_told_to_the_platform(desk: Desk) -> None:
    post = held(desk)
    later = now() + timedelta(days=3)
    wishes.reschedule(post, later, actor=desk.user)
    desk.work()
    assert [sheet.holds_until for sheet in paper.sheets.values()] == [later]
    desk.skip_to(later + timedelta(minutes=1))
    desk.work()
    assert only().public_at == later


def test_a_time_too_near_to_be_held_is_kept_by_the_box(desk: Desk) -> None:
    post = desk.post(publish_at=now() + timedelta(minutes=5), hold_there=True)
    desk.work()
    assert (paper.calls, desk.look(post).state) == ([], T.WAITING)
    desk.skip(minutes=5)
    desk.work()
    assert only().holds_until is None


def test_what_it_held_and_did_not_publish_goes_live_by_us(desk: Desk) -> None:
    post = held(desk)
    for sheet in paper.sheets.values():
        sheet.holds_until = now() + timedelta(days=300)  # it forgets its promise
    desk.skip(hours=2)
    desk.work_for(minutes=12)
    assert (desk.look(post).state, len(paper.sheets)) == (T.PUBLISHED, 1)


def test_what_somebody_removed_there_is_not_sent_again_by_itself(desk: Desk) -> None:
    post = held(desk)
    paper.sheets.clear()
    desk.skip(hours=2, minutes=1)
    desk.work()
    assert (desk.look(post).error_code, paper.public()) == ("removed_there", [])


def test_what_cannot_be_taken_back_is_never_made_twice(desk: Desk) -> None:
    post = held(desk, title="Old")
    paper.keeps = True
    wishes.change_texts(desk.settings, desk.look(post), title="New", actor=desk.user)
    desk.work_for(hours=3)
    assert (len(paper.sheets), only().title) == (1, "Old")
    assert desk.look(post).state is T.PUBLISHED


def test_a_lost_answer_of_holding_is_looked_up(desk: Desk) -> None:
    paper.script["held"] = [lost]
    when = now() + timedelta(hours=2)
    post = desk.post(publish_at=when, hold_there=True)
    desk.work_for(minutes=2)
    assert (desk.look(post).held_until, len(paper.sheets)) == (when, 1)


# Late, paused, waiting for a yes


def test_late_by_an_outage_asks_and_is_never_dropped(desk: Desk) -> None:
    post = desk.post(publish_at=now() + timedelta(hours=1))
    due = post.publish_at
    desk.skip(hours=8)
    desk.work_for(minutes=5)
    fresh = Post.get_by_id(post.id)
    assert (fresh.late_since, paper.calls) == (due, [])
    assert desk.look(post).stage == sending.LATE
    wishes.decide_late(post, actor=desk.user)
    with pytest.raises(Conflict):
        wishes.decide_late(post, actor=desk.user)
    desk.work()
    assert only()


def test_late_can_get_another_time(desk: Desk) -> None:
    post = desk.post(publish_at=now() + timedelta(hours=1))
    desk.skip(hours=8)
    desk.work()
    again = now() + timedelta(days=1)
    wishes.decide_late(post, again, "Europe/Berlin", actor=desk.user)
    desk.work()
    assert paper.public() == []
    desk.skip_to(again)
    desk.work()
    assert went_out_at() >= again


def test_retry_long_after_its_time_is_a_wish_and_no_outage(desk: Desk) -> None:
    from tasks.publish.publisher import Failed

    post = desk.post(publish_at=now() + timedelta(minutes=10))
    paper.script["stage"] = [lambda: Failed("No.")]
    desk.skip(minutes=11)
    desk.work()
    assert desk.look(post).state is T.FAILED
    desk.skip(hours=5)
    wishes.retry_target(desk.look(post), actor=desk.user)
    desk.work()
    assert desk.look(post).state is T.PUBLISHED
    assert Post.get_by_id(post.id).late_since is None


def test_late_goes_at_once_where_that_is_the_policy(desk: Desk) -> None:
    late_posts.keep(when_late="post", actor=None)
    desk.post(publish_at=now() + timedelta(hours=1))
    desk.skip(hours=8)
    desk.work()
    assert only()


def test_a_little_late_is_in_time_and_so_is_what_waits_for_its_video(desk: Desk) -> None:
    desk.post(publish_at=now() + timedelta(hours=1))
    video = desk.video(ready=False)
    slow = desk.post(video=video, publish_at=now() + timedelta(hours=1))
    desk.skip(hours=1, minutes=30)
    desk.work()
    assert len(paper.public()) == 1
    desk.skip(hours=8)
    Rendition.update(state=RenditionState.READY, ready_at=now(), size_bytes=5).where(
        Rendition.video == video
    ).execute()
    with transaction():
        settling.rendition_settled(Rendition.get(Rendition.video == video))
    desk.work()
    assert desk.look(slow).state is T.PUBLISHED


def test_a_pause_of_all_posting_holds_and_gives_back(desk: Desk) -> None:
    at_once = desk.post()
    later = desk.post(publish_at=now() + timedelta(minutes=10))
    posting_switch.pause(desk.user)
    desk.work_for(minutes=20)
    assert paper.calls == []
    assert {desk.look(post).stage for post in (at_once, later)} == {sending.ALL_PAUSED}
    posting_switch.resume(desk.user)
    dispatch.posting_resumed()
    desk.work()
    assert len(paper.public()) == 2


def test_what_is_held_with_another_time_is_called_back_in_a_pause_and_held_anew(
    desk: Desk,
) -> None:
    post = held(desk)
    posting_switch.pause(desk.user)
    later = now() + timedelta(days=2)
    wishes.reschedule(post, later, actor=desk.user)
    desk.work_for(hours=3)  # past its old time
    assert paper.sheets == {}
    target = desk.look(post)
    assert (target.state, target.stage) == (T.WAITING, sending.ALL_PAUSED)
    posting_switch.resume(desk.user)
    dispatch.posting_resumed()
    desk.work()
    assert [sheet.holds_until for sheet in paper.sheets.values()] == [later]
    desk.skip_to(later + timedelta(minutes=1))
    desk.work()
    assert (desk.look(post).state, only().public_at) == (T.PUBLISHED, later)


def test_what_is_held_with_other_texts_is_called_back_in_a_pause(desk: Desk) -> None:
    """Somebody pauses all posting because a text is wrong, and mends it."""
    post = held(desk, title="Wrong")
    posting_switch.pause(desk.user)
    wishes.change_texts(desk.settings, desk.look(post), title="Right", actor=desk.user)
    desk.work_for(minutes=1)
    assert (paper.sheets, desk.look(post).stage) == ({}, sending.ALL_PAUSED)
    posting_switch.resume(desk.user)
    dispatch.posting_resumed()
    desk.work_for(hours=2)
    assert (desk.look(post).state, only().title) == (T.PUBLISHED, "Right")


def test_what_is_held_as_it_shall_go_stays_there_in_a_pause(desk: Desk) -> None:
    """It is with the platform: another time would have to call it back."""
    post = held(desk)
    posting_switch.pause(desk.user)
    wishes.reschedule(post, post.publish_at, actor=desk.user)
    desk.work_for(hours=3)
    assert only().public_at == post.publish_at
    assert "delete" not in paper.calls
    posting_switch.resume(desk.user)
    dispatch.posting_resumed()
    desk.work()
    assert (desk.look(post).state, paper.asked()["go_live"]) == (T.PUBLISHED, 1)


def test_post_now_of_what_is_held_waits_for_the_end_of_a_pause(desk: Desk) -> None:
    post = held(desk)
    posting_switch.pause(desk.user)
    wishes.reschedule(post, None, actor=desk.user)
    desk.work_for(minutes=30)
    assert (paper.public(), desk.look(post).stage) == ([], sending.ALL_PAUSED)
    posting_switch.resume(desk.user)
    dispatch.posting_resumed()
    desk.work()
    assert (desk.look(post).state, len(paper.sheets)) == (T.PUBLISHED, 1)


def test_what_may_be_public_is_looked_up_in_a_pause_too(desk: Desk) -> None:
    def pause_then_lose() -> Step:
        with database.connection_context():
            posting_switch.pause(None)
        return lost()

    paper.script["gone_live"] = [pause_then_lose]
    post = desk.post()
    desk.work_for(minutes=2)
    assert desk.look(post).state is T.PUBLISHED


def test_an_account_that_is_away_holds_its_posts_alone(desk: Desk) -> None:
    other = desk.open_account("other")
    Account.update(state=AccountState.RECONNECT).where(Account.id == desk.account.id).execute()
    post = desk.post(other)
    PostTarget.create(post=post, account=desk.account)
    dispatch.send_off(post)
    desk.work_for(minutes=2)
    assert [t.state for t in desk.targets(post)] == [T.PUBLISHED, T.WAITING]
    Account.update(state=AccountState.CONNECTED).where(Account.id == desk.account.id).execute()
    dispatch.account_settled(Account.get_by_id(desk.account.id))
    desk.work()
    assert [t.state for t in desk.targets(post)] == [T.PUBLISHED, T.PUBLISHED]


# Allowances and the breaker


def test_no_more_go_out_than_the_allowance_lets_and_none_is_lost(desk: Desk) -> None:
    made = [desk.post() for _ in range(7)]
    desk.work_for(minutes=3)
    assert len(paper.public()) == 5
    (use,) = budgets.usage(desk.account)
    assert (use.used, use.posts_left) == (5, 0) and use.free_at is not None
    shown = load_account(desk.account)
    assert ("Posts in 24 hours", "5 of 5 used") in shown.facts
    assert [tone for tone, says in shown.told if "used up" in says] == ["warn"]
    waiting = [desk.look(post) for post in made if desk.look(post).state is not T.PUBLISHED]
    assert {target.stage for target in waiting} == {
        "The allowance “Posts in 24 hours” is used up (5 of 5). It goes on by itself."
    }
    calls = len(paper.calls)
    desk.work()
    assert len(paper.calls) == calls  # nobody is asked in vain
    desk.skip(hours=24)
    desk.work_for(minutes=2)
    assert len(paper.public()) == 7


def going_out(post: Post) -> PostTarget:
    """Its target at the moment in which the platform is called."""
    PostTarget.update(state=T.PUBLISHING).where(PostTarget.post == post).execute()
    return PostTarget.get(PostTarget.post == post)  # type: ignore[no-any-return]  # peewee


def test_what_others_may_take_is_waited_for_and_not_for_a_day(desk: Desk) -> None:
    allowances.spend(desk.account, "posts", 4)
    other, post = desk.post(), desk.post()
    first = going_out(other)
    room = budgets.room_at(desk.look(post))
    assert room is not None and room[0] - now() < timedelta(minutes=1)
    assert "Others that go out just now take the rest of “Posts in 24 hours” (4 of 5)" in room[1]
    posts.fail_target(first, "Refused.", code="refused")
    assert budgets.room_at(desk.look(post)) is None


def test_who_takes_nothing_of_an_allowance_is_in_nobodys_way(desk: Desk) -> None:
    """A video of a Page that is going out leaves the last Reel of the day its place."""
    page = desk.open_account("facebook")
    film, reel = (
        desk.post(page, overrides={"facebook": {"options": {"kind": kind}}})
        for kind in ("video", "reel")
    )
    allowances.spend(page, "reels", 29)
    going_out(film)
    assert budgets.room_at(desk.look(reel)) is None
    allowances.spend(page, "reels", 1)
    room = budgets.room_at(desk.look(reel))
    assert room is not None and "is used up (30 of 30)" in room[1]


def test_a_platform_that_is_down_is_left_alone_and_comes_back(desk: Desk) -> None:
    made = [desk.post() for _ in range(3)]
    paper.down = True
    desk.work_for(minutes=30)
    account = Account.get_by_id(desk.account.id)
    assert account.paused_until is not None and account.failures >= 5
    assert "times in a row" in (account.pause_reason or "")
    assert len(paper.calls) < 20  # three posts, half an hour
    assert {desk.look(post).state for post in made} == {T.WAITING}
    paper.down = False
    desk.work_for(minutes=15)
    assert len(paper.public()) == 3
    account = Account.get_by_id(desk.account.id)
    assert (account.failures, account.paused_until) == (0, None)


def test_a_platform_that_stays_down_is_given_up_in_the_end(desk: Desk) -> None:
    post = desk.post()
    paper.down = True
    desk.work_for(hours=5)
    assert (desk.look(post).state, desk.look(post).error_code) == (T.FAILED, "gave_up")
    paper.down = False
    Account.update(paused_until=None, failures=0).execute()
    wishes.retry_target(desk.look(post), actor=desk.user)
    desk.work()
    assert only()


# Links of one target in another's texts


def test_a_target_waits_for_the_link_that_its_text_names(desk: Desk) -> None:
    other = desk.open_account("other")
    post = desk.post(
        desk.account,
        other,
        title="T",
        overrides={"paper": {"title": "More: {other_url}"}},
    )
    assert [t.stage for t in desk.targets(post)][0] == "Waits for the link from Paper"
    desk.work()
    first, second = desk.targets(post)
    assert {t.state for t in (first, second)} == {T.PUBLISHED}
    titles = {sheet.marker: sheet.title for sheet in paper.public()}
    assert titles[first.public_id] == f"More: {second.url}"


def test_a_link_that_will_not_come_fails_the_target_and_retry_sends_both(desk: Desk) -> None:
    from tasks.publish.publisher import Failed

    other = desk.open_account("other")
    overrides = {"paper": {"title": "More: {other_url}"}}
    paper.script["stage"] = [lambda: Failed("No.")]
    post = desk.post(desk.account, other, title="T", overrides=overrides)
    desk.work()
    first, _ = desk.targets(post)
    assert (first.state, first.error_code) == (T.FAILED, "no_link")
    dispatch.retry_failed(post, actor=desk.user)
    desk.work()
    assert len(paper.public()) == 2


@pytest.mark.parametrize(
    "overrides",
    [
        {"paper": {"title": "{paper_url}"}},
        {"paper": {"title": "{practice_url}"}},
        {"paper": {"title": "{other_url}"}, "other": {"title": "{paper_url}"}},
    ],
    ids=["its own", "none of the post", "in a circle"],
)
def test_links_that_can_never_come_are_refused(desk: Desk, overrides: dict[str, Any]) -> None:
    other = desk.open_account("other")
    with pytest.raises(InvalidInput):
        desk.post(desk.account, other, title="T", overrides=overrides)


def test_links_that_can_never_come_are_refused_in_a_changed_text_too(desk: Desk) -> None:
    other = desk.open_account("other")
    overrides = {"paper": {"title": "More: {other_url}"}}
    post = desk.post(desk.account, other, title="T", overrides=overrides)
    second = next(t for t in desk.targets(post) if t.account_id == other.id)
    for text in ("{other_url}", "{paper_url}", "{practice_url}"):
        with pytest.raises(InvalidInput):
            wishes.change_texts(desk.settings, second, title=text, actor=desk.user)
    assert desk.targets(post)[1].overrides == {}


def test_a_text_that_is_changed_there_keeps_its_link(desk: Desk) -> None:
    other = desk.open_account("other")
    overrides = {"paper": {"title": "More: {other_url}"}}
    post = published_all(desk, desk.account, other, title="T", overrides=overrides)
    first, second = desk.targets(post)
    wishes.edit_published(desk.settings, first, title="Much more: {other_url}", actor=desk.user)
    desk.work()
    titles = {sheet.marker: sheet.title for sheet in paper.public()}
    assert titles[first.public_id] == f"Much more: {second.url}"
    with pytest.raises(InvalidInput, match="no link from"):
        wishes.edit_published(desk.settings, first, title="{practice_url}", actor=desk.user)


def test_a_draft_is_looked_at_again_when_it_is_sent(desk: Desk) -> None:
    other = desk.open_account("other")
    post = desk.post(desk.account, other, draft=True)
    Account.update(state=AccountState.RECONNECT).where(Account.id == other.id).execute()
    with pytest.raises(InvalidInput, match="connected again"):
        dispatch.submit(desk.settings, Post.get_by_id(post.id), actor=desk.user)
    assert Post.get_by_id(post.id).state is PostState.DRAFT
    desk.work()
    assert paper.public() == [], "nothing is half posted"


def test_a_poster_that_somebody_chose_belongs_to_what_is_staged(desk: Desk) -> None:
    video, draft, media = desk.video(), PostDraft("", ""), MediaFacts(size_bytes=1)

    def print_of(choice: PosterChoice, version: int) -> str:
        video.poster_choice, video.poster_version = choice, version
        return material.fingerprint(draft, media, video)

    assert print_of(PosterChoice.AUTO, 1) == print_of(PosterChoice.AUTO, 2)
    assert print_of(PosterChoice.MOMENT, 1) != print_of(PosterChoice.MOMENT, 2)


def published_all(desk: Desk, *accounts: Account, **arguments: Any) -> Post:
    post = desk.post(*accounts, **arguments)
    desk.work()
    assert {t.state for t in desk.targets(post)} == {T.PUBLISHED}
    return post


# Afterwards


def published(desk: Desk, **arguments: Any) -> Post:
    post = desk.post(**arguments)
    desk.work()
    assert desk.look(post).state is T.PUBLISHED
    return post


def test_texts_are_changed_there(desk: Desk) -> None:
    post = published(desk, title="Old")
    wishes.edit_published(desk.settings, desk.look(post), title="New", actor=desk.user)
    desk.work()
    target = desk.look(post)
    assert (only().title, target.overrides["title"]) == ("New", "New")
    assert target.edited_at is not None


def test_a_change_is_tried_again_and_then_said_to_have_failed(desk: Desk) -> None:
    from tasks.publish.publisher import RetryAt

    post = published(desk, title="Old")
    paper.script["edit"] = [lambda: RetryAt(None, "Busy.")] * 9
    job = wishes.edit_published(desk.settings, desk.look(post), title="New", actor=desk.user)
    desk.work_for(minutes=10)
    assert paper.asked()["edit"] == 5
    assert "The change did not work: Busy." in desk.look(post).stage
    paper.script.clear()
    Account.update(paused_until=None, failures=0).execute()
    jobs.retry(Job.get_by_id(job.id))
    desk.work()
    assert only().title == "New"


def test_it_is_removed_there_and_cannot_be_edited_any_more(desk: Desk) -> None:
    post = published(desk)
    wishes.remove_published(desk.settings, desk.look(post), actor=desk.user)
    desk.work()
    target = desk.look(post)
    assert (paper.public(), target.state) == ([], T.PUBLISHED)
    assert target.deleted_at is not None
    with pytest.raises(Conflict):
        wishes.edit_published(desk.settings, target, title="New", actor=desk.user)


def test_the_first_comment_follows_once(desk: Desk) -> None:
    overrides = {"paper": {"options": {"first_comment": "Hello"}}}
    paper.script["comment"] = [lost]
    published(desk, overrides=overrides)
    desk.work_for(minutes=2)
    assert only().comments == ["Hello"]
    assert paper.asked()["comment"] == 2


def test_numbers_are_off_and_then_come_gently(desk: Desk) -> None:
    from appliance import post_numbers
    from tasks.publish import follow_up

    post = published(desk)
    assert follow_up.start_numbers() == 0
    with transaction():
        post_numbers.keep(True)
    for _ in range(3):
        follow_up.start_numbers()
        desk.work()
    target = desk.look(post)
    assert (target.numbers, paper.asked()["numbers"]) == ({"views": 7, "likes": 2}, 1)


def test_one_failed_target_is_sent_again_alone(desk: Desk) -> None:
    from tasks.publish.publisher import Failed

    other = desk.open_account("other")
    paper.script["stage"] = [lambda: Failed("No."), lambda: Failed("No.")]
    post = desk.post(desk.account, other)
    desk.work()
    first, second = desk.targets(post)
    wishes.retry_target(first, actor=desk.user)
    desk.work()
    assert [t.state for t in desk.targets(post)] == [T.PUBLISHED, T.FAILED]
    with pytest.raises(Conflict):
        wishes.retry_target(first, actor=desk.user)
    assert second.error == "No."


def test_what_a_person_settles_needs_no_link_any_more(desk: Desk) -> None:
    from appliance.models import PublicLink

    post = desk.post()
    link = PublicLink.create(
        token_hash="x", video=post.video, purpose="post", expires_at=now() + timedelta(days=1)
    )
    target = desk.look(post)
    PostTarget.update(state=T.NEEDS_PERSON, public_link=link).where(
        PostTarget.id == target.id
    ).execute()
    dispatch.settle(desk.look(post), there=True, actor=desk.user)
    assert PublicLink.get_by_id(link.id).revoked_at is not None


# Dying and freezing


def claim_and_die(desk: Desk) -> None:
    """Work as a worker that dies at the point that the script names."""
    job = jobs.claim("delivery", "dying", lease_s=60)
    assert job is not None
    with pytest.raises(Died):
        publish(job, Context(job, desk.settings, threading.Event()))
    Job.update(lease_until=0).where(Job.id == job.id).execute()
    ticker.take_back_expired()


POINTS = ["stage", "staged", "go_live", "held", "gone_live", "delete", "poll", "reconcile"]


@pytest.mark.parametrize("hold", [False, True], ids=["by us", "held there"])
@pytest.mark.parametrize("seed", range(200 if os.environ.get("APPLIANCE_TEST_LONG") else 6))
def test_deaths_lost_answers_and_changes_of_mind_make_one_post(
    desk: Desk, seed: int, hold: bool
) -> None:
    seeded = random.Random(seed)
    ahead(desk)
    late_posts.keep(when_late="post", actor=None)
    post = desk.post(title="0", publish_at=now() + timedelta(hours=4), hold_there=hold)
    for number in range(1, 9):
        for point in seeded.sample(POINTS, 3):
            paper.script[point] = [seeded.choice([lost, dies, dies])]
        if desk.look(post).state in sending.UNSEEN and seeded.random() < 0.6:
            press(desk, post, seeded, number)
        for _ in range(6):
            due = Job.select().where(Job.target == desk.look(post), Job.state == JobState.QUEUED)
            if not due.where(Job.run_after.is_null() | (Job.run_after <= now())).exists():
                break
            try_once(desk)
        desk.skip(minutes=seeded.choice([1, 30, 120]))
    paper.script.clear()
    desk.skip(days=2)
    desk.work_for(minutes=30)
    target = desk.look(post)
    public = len(paper.public())
    match target.state:
        case T.PUBLISHED:
            assert public == 1
        case T.NEEDS_PERSON:
            assert public in (0, 1)
        case state:
            assert (state, public) == (T.FAILED, 0), (target.stage, target.error)


def try_once(desk: Desk) -> None:
    job = jobs.claim("delivery", "dying", lease_s=60)
    if job is None:
        return
    try:
        outcome = publish(job, Context(job, desk.settings, threading.Event()))
    except Died:
        Job.update(lease_until=0).where(Job.id == job.id).execute()
        ticker.take_back_expired()
        return
    except settling.TargetFailed as exc:
        with transaction():
            jobs.fail(job, exc.message, code=exc.code)
            exc.record()
        return
    if callable(outcome):
        with transaction():
            outcome()
            jobs.complete(job)
    elif outcome is None:
        jobs.complete(job)
    else:
        jobs.put_back(job, run_after=outcome.run_after)


def press(desk: Desk, post: Post, seeded: random.Random, number: int) -> None:
    if seeded.random() < 0.5:
        wishes.change_texts(desk.settings, desk.look(post), title=str(number), actor=None)
    else:
        when = now() + timedelta(hours=seeded.choice([1, 3, 40]))
        wishes.reschedule(post, when, actor=None)


def test_a_worker_frozen_before_its_call_sends_nothing(desk: Desk) -> None:
    """It wakes when its job belongs to another one: the request never leaves."""
    import httpx

    from tasks.publish import lease_guard

    seen: list[str] = []
    desk.post()
    job = jobs.claim("delivery", "frozen", lease_s=0)
    assert job is not None
    context = Context(job, desk.settings, threading.Event())

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(200)

    transport = httpx.MockTransport(answer)
    client = httpx.Client(
        transport=transport, event_hooks={"request": [lease_guard.before_request]}
    )
    with lease_guard.guarded(context.renew):
        client.get("http://paper.example/")  # still ours: the lease is renewed
        Job.update(lease_until=0).where(Job.id == job.id).execute()
        assert jobs.take_back(Job.get_by_id(job.id))
        with pytest.raises(jobs.LeaseLost):
            client.get("http://paper.example/")
    assert seen == ["/"]


# Clocks


@pytest.mark.parametrize("step", [timedelta(days=2), timedelta(days=-2)], ids=["ahead", "back"])
@pytest.mark.parametrize("prepared", [False, True], ids=["plain", "staged ahead"])
def test_a_clock_that_is_set_by_two_days_posts_once_and_never_early(
    desk: Desk, step: timedelta, prepared: bool
) -> None:
    if prepared:
        ahead(desk)
    late_posts.keep(when_late="post", actor=None)
    due = now() + timedelta(hours=6)
    post = desk.post(publish_at=due)
    desk.work()
    desk.skip(seconds=step.total_seconds())
    ticker.follow_clock_step(step.total_seconds())
    desk.work_for(minutes=2)
    if step > timedelta():
        assert only()
        return
    assert paper.public() == []
    desk.skip_to(due - timedelta(minutes=1))
    desk.work()
    assert paper.public() == []
    desk.skip_to(due + timedelta(seconds=1))
    desk.work()
    assert went_out_at() >= due
    assert desk.look(post).state is T.PUBLISHED


@pytest.mark.parametrize(
    ("zone", "day", "hour", "minute"),
    [
        ("Europe/Berlin", (2027, 3, 28), 3, 30),  # an hour is skipped that night
        ("Europe/Berlin", (2027, 10, 31), 2, 30),  # an hour comes twice
        ("America/New_York", (2027, 3, 14), 3, 5),
        ("Pacific/Apia", (2028, 2, 29), 0, 0),  # a leap day
        ("Asia/Kathmandu", (2028, 2, 29), 23, 59),
    ],
)
@pytest.mark.parametrize("prepared", [False, True], ids=["plain", "staged ahead"])
def test_times_by_the_clocks_of_a_zone_are_met(
    desk: Desk, zone: str, day: tuple[int, int, int], hour: int, minute: int, prepared: bool
) -> None:
    if prepared:
        ahead(desk)
    due = datetime(*day, hour, minute, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    desk.skip_to(due - timedelta(days=2))
    post = desk.post(publish_at=due, time_zone=zone)
    while now() < due - timedelta(minutes=1):
        desk.work()
        assert paper.public() == []
        desk.skip(hours=5) if now() + timedelta(hours=5) < due else desk.skip_to(
            due - timedelta(minutes=1)
        )
    desk.work()
    assert paper.public() == []
    desk.skip_to(due)
    desk.work()
    desk.work_for(minutes=3)
    assert due <= went_out_at() < due + timedelta(minutes=3)
    assert posts.latest_targets(post)[0].state is T.PUBLISHED


def test_the_record_says_what_was_tried(desk: Desk) -> None:
    ahead(desk)
    post = desk.post(title="Old", publish_at=now() + timedelta(hours=3))
    desk.work()
    wishes.change_texts(desk.settings, desk.look(post), title="New", actor=desk.user)
    desk.skip(hours=3, seconds=1)
    desk.work()
    told = [(a.step, a.outcome) for a in Attempt.select().order_by(Attempt.id)]
    assert told == [
        ("stage", "staged"),
        ("delete", "removed"),
        ("stage", "staged"),
        ("go_live", "published"),
    ]
