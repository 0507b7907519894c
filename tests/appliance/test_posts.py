"""Posts as rows: what is taken, what is refused and why, and what a post is from its targets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import accounts, posts
from appliance.clock import now
from appliance.errors import Conflict, Forbidden, InvalidInput, NotFound
from appliance.models import Account, Event, Post, PostTarget, Role, Visibility
from appliance.states import AccountState, PostState, TargetState, VideoState
from appliance.vault import open_vault
from tests.factories import make_user, make_video

if TYPE_CHECKING:
    from appliance.models import User, Video
    from appliance.settings import Settings

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def author(db: None) -> User:
    return make_user()


@pytest.fixture
def video(author: User) -> Video:
    return make_video(author, title="Summer", description="At the lake")


@pytest.fixture
def channels(settings: Settings, db: None) -> list[Account]:
    accounts.ensure_builtin(settings, open_vault(settings))
    return accounts.connected()


def states(post: Post) -> list[str]:
    return [target.state.value for target in posts.latest_targets(post)]


def put(target: PostTarget, *path: TargetState, **columns: object) -> None:
    for state in path:
        assert posts.move_target(target, state, **columns)


def test_texts_default_to_those_of_the_video(
    author: User, video: Video, channels: list[Account]
) -> None:
    post = posts.create(video, channels, author=author)
    assert (post.title, post.description) == ("Summer", "At the lake")
    assert post.state is PostState.PENDING
    assert states(post) == ["waiting", "waiting"]


def test_an_account_named_twice_gets_one_target(
    author: User, video: Video, channels: list[Account]
) -> None:
    chosen = accounts.choose([channels[0].public_id] * 2, [channels[0].platform])
    post = posts.create(video, [*chosen, *chosen], author=author)
    assert len(posts.latest_targets(post)) == 1


def test_overrides_of_the_account_win_over_those_of_its_platform(
    author: User, video: Video, channels: list[Account]
) -> None:
    practice = accounts.choose(platforms=["practice"])[0]
    post = posts.create(
        video,
        [practice],
        author=author,
        overrides={
            "practice": {"title": "For the platform", "description": "Both"},
            practice.public_id: {"title": "For this one"},
        },
    )
    (target,) = posts.latest_targets(post)
    assert target.overrides == {"title": "For this one", "description": "Both"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"title": "x" * 501}, "title is longer"),
        ({"description": "ä" * 10_001}, "description is longer"),
        ({"publish_at": datetime(2090, 1, 1)}, "no zone"),
        ({"publish_at": now() - timedelta(hours=1)}, "has passed"),
        ({"publish_at": datetime.fromisoformat("9999-12-31T23:00:00-10:00")}, "goes that far"),
        ({"time_zone": "../../etc/passwd"}, "time zone such as"),
        ({"overrides": {"nowhere": {"title": "x"}}}, "none of the chosen"),
        ({"overrides": {"practice": {"price": "x"}}}, "can't change"),
        ({"overrides": {"practice": {"title": 3}}}, "wrong type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_posted_is_refused_in_words(
    author: User, video: Video, channels: list[Account], arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        posts.create(video, channels, author=author, **arguments)  # type: ignore[arg-type]
    assert Post.select().count() == 0


def test_a_post_needs_an_account(author: User, video: Video) -> None:
    with pytest.raises(InvalidInput, match="at least one account"):
        posts.create(video, [], author=author)


@pytest.mark.parametrize("state", [AccountState.RECONNECT, AccountState.DISABLED])
def test_a_disconnected_account_is_refused(
    author: User, video: Video, channels: list[Account], state: AccountState
) -> None:
    Account.update(state=state).where(Account.id == channels[0].id).execute()
    stale = Account.get_by_id(channels[0].id)
    with pytest.raises(InvalidInput, match="connected again|switched off"):
        posts.create(video, [stale], author=author)


@pytest.mark.parametrize("ids_or_platforms", ["ids", "platforms"])
def test_an_unknown_account_is_refused_with_what_there_is(
    channels: list[Account], ids_or_platforms: str
) -> None:
    with pytest.raises(InvalidInput, match="Connected platforms: folder, practice"):
        accounts.choose(**{ids_or_platforms: ["myspace"]})


def test_nobody_posts_what_they_cannot_see_and_viewers_nothing(
    author: User, channels: list[Account]
) -> None:
    hidden = make_video(author, visibility=Visibility.PRIVATE)
    with pytest.raises(NotFound):
        posts.create(hidden, channels, author=make_user("other@example.org"))
    viewer = make_user("viewer@example.org", Role.VIEWER)
    with pytest.raises(Forbidden):
        posts.create(make_video(author), channels, author=viewer)
    gone = make_video(author, state=VideoState.TRASHED)
    with pytest.raises(NotFound):
        posts.create(gone, channels, author=author)


def test_a_post_for_later_is_scheduled(author: User, video: Video, channels: list[Account]) -> None:
    post = posts.create(video, channels, author=author, publish_at=now() + timedelta(days=1))
    assert post.state is PostState.SCHEDULED


def test_one_failure_makes_the_post_partial_and_only_it_is_retried(
    author: User, video: Video, channels: list[Account]
) -> None:
    post = posts.create(video, channels, author=author)
    good, bad = posts.latest_targets(post)
    put(good, TargetState.STAGING, TargetState.PUBLISHED)
    assert Post.get_by_id(post.id).state is PostState.PROCESSING
    put(bad, TargetState.FAILED, error="The platform refused it.")
    partial = Post.get_by_id(post.id)
    assert partial.state is PostState.PARTIAL
    assert "The platform refused it." in (partial.error or "")

    assert [t.id for t in posts.retry_failed(partial, actor=author)] == [bad.id]
    assert states(partial) == ["published", "waiting"]
    assert Post.get_by_id(post.id).error is None
    with pytest.raises(Conflict, match="Nothing of this post has failed"):
        posts.retry_failed(partial, actor=author)


def test_a_post_is_told_of_with_its_video_and_changes_of_state(
    author: User, video: Video, channels: list[Account]
) -> None:
    post = posts.create(video, channels[:1], author=author)
    (target,) = posts.latest_targets(post)
    put(target, TargetState.STAGING, TargetState.PUBLISHED)
    told = [event for event in Event.select() if event.subject == f"post:{post.public_id}"]
    assert [event.type for event in told] == [
        "post.created",
        "target.staging",
        "post.processing",
        "target.published",
        "post.completed",
    ]
    assert {event.data["video_id"] for event in told} == {video.public_id}
    assert {event.video_id for event in told} == {video.id}


def test_events_of_a_private_video_go_to_its_owner(author: User, channels: list[Account]) -> None:
    posts.create(make_video(author, visibility=Visibility.PRIVATE), channels, author=author)
    event = Event.get(Event.type == "post.created")
    assert event.only_user_id == author.id


def test_cancel_calls_back_what_has_not_gone_out(
    author: User, video: Video, channels: list[Account]
) -> None:
    post = posts.create(video, channels, author=author)
    out, waiting = posts.latest_targets(post)
    put(out, TargetState.STAGING, TargetState.STAGED, TargetState.PUBLISHING)
    assert posts.cancel(post, actor=author) == []
    assert states(post) == ["publishing", "cancelled"]
    assert waiting.account_id
    with pytest.raises(Conflict, match="called back"):
        posts.cancel(post, actor=author)


def test_what_is_prepared_on_a_platform_is_named_for_tidying(
    author: User, video: Video, channels: list[Account]
) -> None:
    post = posts.create(video, channels[:1], author=author)
    (target,) = posts.latest_targets(post)
    put(target, TargetState.STAGING, TargetState.STAGED, checkpoint={"container": "1"})
    assert [t.id for t in posts.cancel(post, actor=author)] == [target.id]
    assert Post.get_by_id(post.id).state is PostState.CANCELLED


@pytest.fixture
def open_question(author: User, video: Video, channels: list[Account]) -> PostTarget:
    (target,) = posts.latest_targets(posts.create(video, channels[:1], author=author))
    put(
        target,
        TargetState.STAGING,
        TargetState.STAGED,
        TargetState.PUBLISHING,
        TargetState.UNSURE,
        TargetState.NEEDS_PERSON,
        error="The answer was lost.",
    )
    return target


def test_it_is_there(open_question: PostTarget, author: User) -> None:
    settled = posts.settle_by_person(open_question, there=True, actor=author)
    assert settled.state is TargetState.PUBLISHED
    assert Post.get_by_id(open_question.post_id).state is PostState.COMPLETED
    with pytest.raises(Conflict):
        posts.settle_by_person(open_question, there=False, actor=author)


def test_send_again_is_a_new_generation(open_question: PostTarget, author: User) -> None:
    again = posts.settle_by_person(open_question, there=False, actor=author)
    assert (again.generation, again.state) == (2, TargetState.WAITING)
    post = Post.get_by_id(open_question.post_id)
    assert post.state is PostState.PENDING
    assert [t.id for t in posts.latest_targets(post)] == [again.id]


def test_of_two_who_send_again_one_does(open_question: PostTarget, author: User) -> None:
    same = PostTarget.get_by_id(open_question.id)
    posts.settle_by_person(open_question, there=False, actor=author)
    with pytest.raises(Conflict, match="settled already"):
        posts.settle_by_person(same, there=False, actor=author)
    assert PostTarget.select().count() == 2


def test_a_draft_waits_for_its_author(author: User, video: Video, channels: list[Account]) -> None:
    post = posts.create(video, channels[:1], author=author, draft=True)
    assert post.state is PostState.DRAFT
    posts.submit(post, actor=author)
    assert Post.get_by_id(post.id).state is PostState.PENDING
    with pytest.raises(Conflict):
        posts.submit(post, actor=author)


def test_builtin_accounts_come_once_and_follow_the_switch(settings: Settings, db: None) -> None:
    vault = open_vault(settings)
    for _ in range(2):
        accounts.ensure_builtin(settings, vault)
    practice = accounts.choose(platforms=["practice"])[0]
    assert accounts.credentials(vault, practice) == {"token": accounts.practice_token(vault)}
    assert Account.select().count() == 2
    accounts.ensure_builtin(settings.model_copy(update={"practice": False}), vault)
    assert [account.platform for account in accounts.connected()] == ["folder"]
