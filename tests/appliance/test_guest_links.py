"""Guest links: the decisions, and the rows behind them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance import access, guest_links, throttle, users
from appliance.clock import now
from appliance.errors import Forbidden, InvalidInput, NotFound, TooLarge, TooManyAttempts
from appliance.guest_links import LinkClosed, LinkState, Terms
from appliance.models import AuditEntry, Event, GuestLink, Role, Source, Throttle, User
from appliance.states import VideoState
from appliance.vault import Vault
from tests.factories import make_user, make_video

if TYPE_CHECKING:
    from appliance.settings import Settings

VAULT = Vault(b"k" * 32)
AT = now()
GB = 10**9


def make_link(maker: User, *, password: str = "", **terms: Any) -> GuestLink:
    said = Terms(**{"title": "Send us your clip", **terms})
    return guest_links.create(maker, VAULT, said, password=password)


def token_of(link: GuestLink, settings: Settings) -> str:
    address = guest_links.address(link, settings, VAULT)
    assert address is not None
    return address.removeprefix(f"{settings.base_url}/send/")


# Deciding


def _row(maker: User | None, **columns: Any) -> GuestLink:
    link = GuestLink(title="Clip", **columns)
    link.created_by = maker
    return link


EDITOR = User(email="e@example.org", role=Role.EDITOR)


@pytest.mark.parametrize(
    ("link", "used", "size", "expected"),
    [
        (_row(EDITOR), 10_000, 50 * GB, None),
        (_row(EDITOR, max_files=2), 1, 1, None),
        (_row(EDITOR, max_files=2), 2, 1, LinkState.FULL),
        (_row(EDITOR, expires_at=AT + timedelta(seconds=1)), 0, 1, None),
        (_row(EDITOR, expires_at=AT), 0, 1, LinkState.EXPIRED),
        (_row(EDITOR, revoked_at=AT), 0, 1, LinkState.REVOKED),
        # One reason only: the one that can't change any more.
        (_row(EDITOR, revoked_at=AT, expires_at=AT, max_files=1), 1, 1, LinkState.REVOKED),
        (_row(EDITOR, expires_at=AT, max_files=1), 1, 1, LinkState.EXPIRED),
        (_row(EDITOR, max_file_bytes=GB), 0, GB, None),
        (_row(EDITOR, max_file_bytes=GB), 0, GB + 1, "too_large"),
        (_row(None), 0, 1, LinkState.REVOKED),
        (_row(User(role=Role.VIEWER)), 0, 1, LinkState.REVOKED),
        (_row(User(role=Role.ADMIN, deactivated_at=AT)), 0, 1, LinkState.REVOKED),
    ],
)
def test_whether_one_more_file_may_come(
    link: GuestLink, used: int, size: int, expected: LinkState | str | None
) -> None:
    refusal = guest_links.may_send(link, AT, used, size)
    if isinstance(expected, LinkState):
        assert isinstance(refusal, LinkClosed)
        assert refusal.state is expected
        assert refusal.code == f"link_{expected}"
    elif expected is None:
        assert refusal is None
    else:
        assert isinstance(refusal, TooLarge)
        assert "1.0 GB" in str(refusal)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"title": " \u202e "}, "title"),
        ({"max_files": 0}, "max_files"),
        ({"max_files": 10_001}, "max_files"),
        ({"max_file_bytes": 0}, "max_file_bytes"),
        ({"expires_at": AT - timedelta(days=1)}, "expires_at"),
        ({"tag": "x" * 41}, "tag"),
    ],
)
def test_terms_that_can_not_be_are_refused_beside_their_field(
    db: None, terms: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        make_link(make_user(), **terms)
    assert caught.value.field == field
    assert GuestLink.select().count() == 0


# Rows


def test_token_is_kept_only_as_hash_and_sealed(db: None, settings: Settings) -> None:
    link = make_link(make_user(), tag=" #Party ", note="Two\nlines")
    token = token_of(link, settings)
    assert len(token) == 32
    row = GuestLink.get_by_id(link.id)
    assert token not in str(row.__data__)
    assert guest_links.find(token) == row
    assert (row.tag, row.note) == ("party", "Two\nlines")
    with pytest.raises(NotFound):
        guest_links.find(token[:-1] + ("a" if token[-1] != "a" else "b"))
    # With another key it is lost to look at, and works on.
    assert guest_links.address(row, settings, Vault(b"x" * 32)) is None


def test_sealed_token_of_another_link_opens_nothing(db: None, settings: Settings) -> None:
    maker = make_user()
    one, two = make_link(maker), make_link(maker)
    GuestLink.update(token_sealed=one.token_sealed).where(GuestLink.id == two.id).execute()
    assert guest_links.address(GuestLink.get_by_id(two.id), settings, VAULT) is None


def test_making_changing_and_ending_leave_their_marks(db: None) -> None:
    maker = make_user()
    link = make_link(maker)
    guest_links.edit(link, actor=maker, terms=Terms("Other", max_files=3))
    assert guest_links.revoke(link, actor=maker)
    assert not guest_links.revoke(link, actor=maker)
    kinds = ["guest_link.created", "guest_link.changed", "guest_link.revoked"]
    told = list(Event.select().order_by(Event.id))
    assert [event.type for event in told] == kinds
    assert all(event.only_user_id == maker.id for event in told)
    assert [entry.action for entry in AuditEntry.select().order_by(AuditEntry.id)] == kinds
    with pytest.raises(LinkClosed):
        guest_links.edit(link, actor=maker, terms=Terms("Once more"))
    assert GuestLink.get_by_id(link.id).title == "Other"


def test_past_end_may_stay_when_something_else_is_edited(db: None) -> None:
    maker = make_user()
    link = make_link(maker, expires_at=now() + timedelta(days=1))
    gone = now() - timedelta(minutes=1)
    GuestLink.update(expires_at=gone).where(GuestLink.id == link.id).execute()
    link = guest_links.again(link.id)
    guest_links.edit(link, actor=maker, terms=Terms("New title", expires_at=gone))
    assert GuestLink.get_by_id(link.id).title == "New title"


def test_roles_see_what_is_theirs(db: None) -> None:
    one, two = make_user("one@example.org"), make_user("two@example.org")
    admin = make_user("admin@example.org", Role.ADMIN)
    viewer = make_user("viewer@example.org", Role.VIEWER)
    link = make_link(one)
    assert [row.id for row in access.visible_guest_links(one)] == [link.id]
    assert [row.id for row in access.visible_guest_links(admin)] == [link.id]
    assert list(access.visible_guest_links(two)) == []
    with pytest.raises(NotFound):
        access.get_guest_link(two, link.public_id)
    with pytest.raises(Forbidden):
        make_link(viewer)
    # One who was an editor doesn't keep what editors see.
    User.update(role=Role.VIEWER).where(User.id == one.id).execute()
    assert list(access.visible_guest_links(User.get_by_id(one.id))) == []


def test_link_ends_with_its_makers_account(db: None) -> None:
    make_user("owner@example.org", Role.OWNER)
    maker = make_user()
    link = make_link(maker)
    guest_links.check_may_send(link, 1)
    users.deactivate(maker, actor=None)
    with pytest.raises(LinkClosed, match="was ended"):
        guest_links.check_may_send(link, 1)


def test_files_that_never_came_make_room_again(db: None) -> None:
    maker = make_user()
    link, other = make_link(maker, max_files=3), make_link(maker)
    of_link = {"guest_link_id": link.id, "source": Source.GUEST}
    make_video(maker, state=VideoState.UPLOADING, **of_link)
    make_video(maker, state=VideoState.FAILED, received_at=now(), **of_link)
    make_video(maker, state=VideoState.FAILED, **of_link)  # the sender gave up
    make_video(maker, state=VideoState.READY)
    assert guest_links.count_files([link, other]) == {link.id: 2, other.id: 0}
    guest_links.check_may_send(link, 1)
    make_video(maker, state=VideoState.TRASHED, **of_link)
    with pytest.raises(LinkClosed):
        guest_links.check_may_send(link, 1)


# Guests


def test_wrong_passwords_have_to_wait_and_the_right_one_is_kept_out_with_them(db: None) -> None:
    link = make_link(make_user(), password="open sesame")
    for _ in range(5):
        with pytest.raises(InvalidInput):
            guest_links.check_password(link, "guess", address="192.0.2.1")
    with pytest.raises(TooManyAttempts):
        guest_links.check_password(link, "open sesame", address="192.0.2.1")
    # Others are not kept out by it, nor is the same address from other links.
    guest_links.check_password(link, "open sesame", address="192.0.2.2")
    other = make_link(User.get(), password="open sesame")
    guest_links.check_password(other, "open sesame", address="192.0.2.1")
    entries = AuditEntry.select().where(AuditEntry.action == "guest_link.wrong_password")
    assert {entry.address for entry in entries} == {"192.0.2.1"}


def test_guesses_from_many_addresses_wait_together(db: None) -> None:
    link = make_link(make_user(), password="open sesame")
    key = f"guest-link:{link.public_id}"
    Throttle.create(key=key, failures=50, last_at=now())
    with pytest.raises(TooManyAttempts):
        guest_links.check_password(link, "open sesame", address="192.0.2.9")


@pytest.mark.parametrize("password", ["short", "x" * 1001])
def test_password_of_a_link_has_a_length(db: None, password: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make_link(make_user(), password=password)
    assert caught.value.field == "password"


def test_password_is_kept_changed_and_removed(db: None) -> None:
    maker = make_user()
    link = make_link(maker, password="open sesame")
    terms = guest_links.terms_of(link)

    def opens(password: str) -> bool:
        try:
            guest_links.check_password(guest_links.again(link.id), password, address="")
        except InvalidInput:
            return False
        return True

    guest_links.edit(link, actor=maker, terms=terms)
    assert opens("open sesame")
    guest_links.edit(link, actor=maker, terms=terms, password="other words")
    assert not opens("open sesame")
    assert opens("other words")
    guest_links.edit(link, actor=maker, terms=terms, password="")
    assert opens("anything")


def test_share_of_an_hour_begins_anew_after_it(db: None) -> None:
    share = throttle.Share("files", most=2)
    throttle.take_share(share)
    throttle.take_share(share)
    with pytest.raises(TooManyAttempts) as caught:
        throttle.take_share(share)
    assert 3590 < caught.value.retry_after_s <= 3600
    an_hour_ago = now() - throttle.SHARE_FOR
    Throttle.update(last_at=an_hour_ago).where(Throttle.key == "files").execute()
    throttle.take_share(share)
    assert Throttle.get(Throttle.key == "files").failures == 1


def test_clock_that_was_set_back_locks_nobody_out(db: None) -> None:
    share = throttle.Share("files", most=1)
    throttle.take_share(share)
    ahead = now() + timedelta(days=3)
    Throttle.update(last_at=ahead).where(Throttle.key == "files").execute()
    throttle.take_share(share)


def test_guests_see_what_arrived_from_them_alone(db: None) -> None:
    maker = make_user()
    link = make_link(maker)
    of_link = {"guest_link_id": link.id, "source": Source.GUEST}
    mine = make_video(maker, received_at=now(), guest_id="me", **of_link)
    make_video(maker, guest_id="me", **of_link)  # on its way
    make_video(maker, received_at=now(), guest_id="you", **of_link)
    make_video(maker, received_at=now(), guest_id="me")
    assert guest_links.sent_by(link, "me") == [mine]
