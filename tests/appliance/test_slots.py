"""The team's slots as rows, and the next one at which nothing is planned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import accounts, drafts, planned, posts, schedule_rules, slots
from appliance.clock import now
from appliance.errors import Conflict, InvalidInput, NotFound
from appliance.models import Account, AuditEntry, Event, Post, PostTarget, Role, Visibility
from appliance.states import TargetState
from appliance.vault import open_vault
from tests.factories import make_user, make_video

if TYPE_CHECKING:
    from appliance.models import User
    from appliance.settings import Settings

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def author(db: None) -> User:
    return make_user()


@pytest.fixture
def channels(settings: Settings, db: None) -> list[Account]:
    accounts.ensure_builtin(settings, open_vault(settings))
    return accounts.connected()


def daily(clock: str = "12:00") -> None:
    for weekday in range(7):
        slots.add(weekday, clock, "UTC", actor=None)


def test_a_slot_is_kept_told_and_can_be_removed(author: User) -> None:
    made = slots.add(4, " 18:00 ", "Europe/Berlin", actor=author)
    assert [(s.weekday, s.time, s.time_zone) for s in slots.every()] == [
        (4, "18:00", "Europe/Berlin")
    ]
    with pytest.raises(Conflict, match="Friday 18:00"):
        slots.add(4, "18:00", "Europe/Berlin", actor=author)
    slots.add(4, "18:00", "UTC", actor=author)  # another moment
    slots.remove(made.public_id, actor=author)
    with pytest.raises(NotFound):
        slots.remove(made.public_id, actor=author)
    kinds = [event.type for event in Event.select().order_by(Event.id)]
    assert kinds == ["slot.added", "slot.added", "slot.removed"]
    assert AuditEntry.select().where(AuditEntry.action == "slot.remove").count() == 1


@pytest.mark.parametrize(
    ("weekday", "clock", "zone", "field"),
    [
        (7, "18:00", "UTC", "weekday"),
        (-1, "18:00", "UTC", "weekday"),
        (0, "25:00", "UTC", "time"),
        (0, "18:00:30", "UTC", "time"),
        (0, "18:00+01:00", "UTC", "time"),
        (0, "six", "UTC", "time"),
        (0, "18:00", "Berlin", "time_zone"),
    ],
)
def test_what_is_no_slot_is_refused_by_its_field(
    weekday: int, clock: str, zone: str, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        slots.add(weekday, clock, zone, actor=None)
    assert refused.value.field == field
    assert slots.every() == []


def test_without_slots_the_next_one_says_what_to_do() -> None:
    with pytest.raises(Conflict, match="Settings, Schedule") as refused:
        slots.next_free_slot()
    assert refused.value.code == "no_slots"


def test_a_slot_is_taken_for_the_accounts_that_something_goes_to(
    author: User, channels: list[Account]
) -> None:
    daily()
    folder, practice = channels
    first = slots.next_free_slot()
    post = posts.create(make_video(author), [folder], author=author, publish_at=first)
    assert slots.next_free_slot([practice]) == first
    later = slots.next_free_slot([folder])
    assert later == first + timedelta(days=1)
    assert slots.next_free_slot() == later
    assert slots.next_free_slot([folder], but=post.public_id) == first
    PostTarget.update(state=TargetState.CANCELLED).where(PostTarget.post == post).execute()
    assert slots.next_free_slot([folder]) == first


def test_a_draft_holds_its_slot_also_before_it_has_an_account(
    author: User, channels: list[Account]
) -> None:
    daily()
    first = slots.next_free_slot()
    draft = posts.create(make_video(author), [], author=author, publish_at=first, draft=True)
    assert slots.next_free_slot(channels) == first + timedelta(days=1)
    drafts.change(draft, actor=author, publish_at=None)
    assert slots.next_free_slot(channels) == first


def test_what_is_planned_hides_the_titles_of_private_videos(
    author: User, channels: list[Account]
) -> None:
    other = make_user("other@example.org", Role.EDITOR)
    video = make_video(author, title="Secret", visibility=Visibility.PRIVATE)
    posts.create(video, channels[:1], author=author, publish_at=now() + timedelta(hours=1))
    start, end = now(), now() + timedelta(days=1)
    titles = {
        who: [plan.title for plan in planned.load(start, end, viewer=viewer)]
        for who, viewer in {"author": author, "other": other, "box": None}.items()
    }
    assert titles == {"author": ["Secret"], "other": [planned.PRIVATE], "box": ["Secret"]}


def test_rules_are_kept_and_what_is_none_is_refused(author: User) -> None:
    assert schedule_rules.current() == schedule_rules.Rules()
    schedule_rules.keep(apart_minutes=30, actor=author)
    schedule_rules.keep(approval="editors", actor=author)
    kept = schedule_rules.current()
    assert (kept.apart_minutes, kept.approval) == (30, "editors")
    for wrong in ({"apart_minutes": -1}, {"apart_minutes": 1441}, {"approval": "some"}):
        with pytest.raises(InvalidInput):
            schedule_rules.keep(**wrong, actor=author)  # type: ignore[arg-type]  # wrong on purpose
    assert schedule_rules.current() == kept


@pytest.mark.parametrize(
    ("approval", "needing"),
    [
        ("nobody", set()),
        ("editors", {Role.VIEWER, Role.EDITOR}),
        ("everybody", {Role.VIEWER, Role.EDITOR, Role.ADMIN}),
    ],
)
def test_whose_posts_need_approval(approval: str, needing: set[Role]) -> None:
    rules = schedule_rules.keep(approval=approval, actor=None)
    people = {role: make_user(f"{role}@example.org", role) for role in Role}
    found = {role for role, user in people.items() if schedule_rules.needs_approval(rules, user)}
    assert found == needing
    assert not schedule_rules.needs_approval(rules, None)


def test_a_draft_is_written_on_until_it_is_sent(author: User, channels: list[Account]) -> None:
    folder, practice = channels
    draft = posts.create(make_video(author), [folder], author=author, title="One", draft=True)
    when = datetime(now().year + 1, 1, 2, 9, tzinfo=UTC)
    drafts.change(
        draft,
        actor=author,
        accounts=[practice, practice],
        title="Two",
        description="Text",
        publish_at=when,
        time_zone="Europe/Berlin",
        overrides={"practice": {"title": "There"}},
        hold_there=True,
    )
    fresh = Post.get_by_id(draft.id)
    assert (fresh.title, fresh.description, fresh.publish_at) == ("Two", "Text", when)
    assert (fresh.time_zone, fresh.hold_there) == ("Europe/Berlin", True)
    (target,) = posts.latest_targets(fresh)
    assert (target.account, target.overrides) == (practice, {"title": "There"})
    drafts.change(draft, actor=author, accounts=channels)  # its own texts stay
    own = {t.account.platform: t.overrides for t in posts.latest_targets(fresh)}
    assert own == {"practice": {"title": "There"}, "folder": {}}
    posts.submit(fresh, actor=author)
    with pytest.raises(Conflict) as refused:
        drafts.change(draft, actor=author, title="Three")
    assert refused.value.code == "not_a_draft"
