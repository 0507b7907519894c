"""The same video to the same account by two wishes: told, unless it is meant."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import approval, posts, schedule_rules
from appliance.db import database
from appliance.errors import Conflict
from appliance.models import Post, PostTarget, Role
from appliance.states import ApprovalState, PostState, TargetState
from tasks.publish import approvals, dispatch, same_post, wishes
from tasks.publish.same_post import Other, SamePost, is_same
from tests.factories import make_user
from tests.tasks.publish.paper import Desk, paper

if TYPE_CHECKING:
    from appliance.settings import Settings

AT = datetime(2030, 1, 31, 12, tzinfo=UTC)
TEXTS = ("Summer", "Sun and sea")
T = TargetState


def other(state: TargetState, *, texts: tuple[str, str] = TEXTS, ago_h: float | None = None,
          **more: bool) -> Other:  # fmt: skip
    published_at = None if ago_h is None else AT - timedelta(hours=ago_h)
    return Other("p", "a", "Paper", state, texts, published_at, **more)


@pytest.mark.parametrize(
    ("found", "same"),
    [
        *[
            pytest.param(other(state), True, id=state.value)
            for state in sorted(same_post.UNDER_WAY)
        ],
        pytest.param(other(T.WAITING, texts=("X", "Y")), True, id="other text, under way"),
        pytest.param(other(T.WAITING, is_draft=True), False, id="draft"),
        pytest.param(other(T.PUBLISHED, ago_h=0), True, id="just published"),
        pytest.param(other(T.PUBLISHED, ago_h=23.9), True, id="within a day"),
        pytest.param(other(T.PUBLISHED, ago_h=24), False, id="a day ago"),
        pytest.param(other(T.PUBLISHED, ago_h=1, texts=("Summer", "")), False, id="other text"),
        pytest.param(other(T.PUBLISHED, ago_h=1, is_removed=True), False, id="removed there"),
        pytest.param(other(T.PUBLISHED), False, id="nobody knows when"),
        pytest.param(other(T.FAILED), False, id="failed"),
        pytest.param(other(T.CANCELLED), False, id="cancelled"),
    ],
)
def test_what_counts_as_the_same(found: Other, same: bool) -> None:
    assert is_same(found, TEXTS, AT) is same


def test_each_state_is_decided() -> None:
    never = {T.FAILED, T.CANCELLED}
    assert same_post.UNDER_WAY | never | {T.PUBLISHED} == set(TargetState)


@pytest.fixture
def desk(settings: Settings, db: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(settings, monkeypatch)


def test_the_second_wish_names_the_first_and_makes_nothing(desk: Desk) -> None:
    video, second = desk.video(), desk.open_account("other")
    first = desk.post(video=video, publish_at=datetime.now(UTC) + timedelta(days=3))
    with pytest.raises(SamePost) as refused:
        desk.post(second, desk.account, video=video, title="Quite another")
    assert refused.value.members["post_id"] == first.public_id
    assert [same["account"] for same in refused.value.members["same"]] == [desk.account.public_id]
    assert "“again”" in refused.value.message and "Paper" in refused.value.message
    assert Post.select().count() == 1

    # Another account, another video, a draft, and who says so: all pass.
    desk.post(second, video=video)
    desk.post(video=desk.video())
    desk.post(video=video, draft=True)
    desk.post(video=video, again=True)
    assert Post.select().count() == 5


def test_what_is_out_counts_for_a_day_with_the_same_text(desk: Desk) -> None:
    video = desk.video()
    first = desk.post(video=video, title="Spring")
    desk.work()
    assert desk.look(first).state is TargetState.PUBLISHED
    with pytest.raises(SamePost, match="24 hours"):
        desk.post(video=video, title="Spring ")
    # The account's own text is what counts.
    own = {desk.account.public_id: {"title": "Spring"}}
    with pytest.raises(SamePost):
        desk.post(video=video, title="Autumn", overrides=own)
    PostTarget.update(deleted_at=datetime.now(UTC)).where(PostTarget.post == first).execute()
    desk.post(video=video, title="Spring")
    desk.work()
    desk.post(video=video, title="Summer")
    desk.work()
    desk.skip(hours=24)
    desk.post(video=video, title="Spring")
    desk.work()
    assert len(paper.public()) == 4


def test_of_two_at_once_one_passes(desk: Desk) -> None:
    video = desk.video()
    start = threading.Barrier(6)
    ends: list[str] = []

    def wish() -> None:
        start.wait(20)
        try:
            with database.connection_context():
                desk.post(video=video)
            ends.append("made")
        except SamePost:
            ends.append("refused")

    threads = [threading.Thread(target=wish) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ends) == ["made", *["refused"] * 5]
    assert Post.select().count() == PostTarget.select().count() == 1


def test_drafts_are_looked_at_when_they_are_sent(desk: Desk) -> None:
    video = desk.video()
    drafts = [desk.post(video=video, draft=True) for _ in range(3)]
    dispatch.submit(desk.settings, drafts[0], actor=desk.user)
    with pytest.raises(SamePost):
        dispatch.submit(desk.settings, drafts[1], actor=desk.user)
    assert Post.get_by_id(drafts[1].id).state is PostState.DRAFT
    dispatch.cancel(Post.get_by_id(drafts[0].id), actor=desk.user)
    dispatch.submit(desk.settings, drafts[1], actor=desk.user)
    dispatch.submit(desk.settings, drafts[2], actor=desk.user, again=True)
    desk.work()
    assert len(paper.public()) == 2


def test_who_asks_for_approval_is_told_and_who_gives_it(desk: Desk) -> None:
    schedule_rules.keep(approval="editors", actor=None)
    editor, video = make_user("ed@example.org", Role.EDITOR), desk.video()
    asked = dispatch.create(desk.settings, video, [desk.account], author=editor)
    assert asked.approval is ApprovalState.REQUESTED  # not sent: it doesn't count
    sent = desk.post(video=video)
    with pytest.raises(SamePost) as refused:
        dispatch.create(desk.settings, video, [desk.account], author=editor)
    assert refused.value.members["post_id"] == sent.public_id
    with pytest.raises(SamePost):
        approvals.approve(desk.settings, asked, actor=desk.user)
    fresh = Post.get_by_id(asked.id)
    assert (fresh.state, fresh.approval) == (PostState.DRAFT, ApprovalState.REQUESTED)
    approvals.approve(desk.settings, asked, actor=desk.user, again=True)
    assert Post.get_by_id(asked.id).state is PostState.PENDING


@pytest.mark.parametrize("alone", [True, False])
def test_retry_looks_for_what_was_made_meanwhile(desk: Desk, alone: bool) -> None:
    video = desk.video()
    first = desk.post(video=video)
    target = desk.look(first)
    posts.fail_target(target, "No.", code="no")
    second = desk.post(video=video)  # what failed doesn't count

    def again(meant: bool) -> None:
        if alone:
            wishes.retry_target(desk.look(first), actor=desk.user, although_same=meant)
        else:
            dispatch.retry_failed(first, actor=desk.user, although_same=meant)

    with pytest.raises(SamePost) as refused:
        again(meant=False)
    assert refused.value.members["post_id"] == second.public_id
    assert desk.look(first).state is TargetState.FAILED  # and it can be pressed again
    again(meant=True)
    assert desk.look(first).state is TargetState.WAITING


def test_what_was_changed_since_it_was_read_is_neither_sent_nor_refused(desk: Desk) -> None:
    schedule_rules.keep(approval="editors", actor=None)
    editor = make_user("ed@example.org", Role.EDITOR)
    post = dispatch.create(desk.settings, desk.video(), [desk.account], author=editor)
    read = Post.get_by_id(post.id).updated_at
    (target,) = posts.latest_targets(post)
    wishes.change_texts(desk.settings, target, title="Other", actor=desk.user)
    for act in (
        lambda: dispatch.submit(desk.settings, post, actor=desk.user, as_of=read),
        lambda: approval.refuse(post, actor=desk.user, note="No", as_of=read),
        lambda: approvals.approve(desk.settings, post, actor=desk.user, as_of=read),
    ):
        with pytest.raises(Conflict) as refused:
            act()
        assert refused.value.code == "changed_meanwhile"
    fresh = Post.get_by_id(post.id)
    assert (fresh.state, fresh.approval) == (PostState.DRAFT, ApprovalState.REQUESTED)
    approval.refuse(post, actor=desk.user, note="No", as_of=fresh.updated_at)
    read = Post.get_by_id(post.id).updated_at
    dispatch.submit(desk.settings, post, actor=desk.user, as_of=read)
    assert Post.get_by_id(post.id).state is PostState.PENDING
