"""Who may become what: the rules about owners, passwords, invites and tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import invites, passwords, sessions, throttle, tokens, users
from appliance.access import Scope
from appliance.clock import now
from appliance.errors import Conflict, Forbidden, InvalidInput, NotFound, TooManyAttempts
from appliance.models import ApiToken, AuditEntry, InviteKind, Role, Session, Throttle, User
from tests.factories import make_user

if TYPE_CHECKING:
    from appliance.settings import Settings

WORDS = "correct horse battery"


@pytest.fixture
def owner(db: None) -> User:
    return make_user("owner@example.org", Role.OWNER)


@pytest.fixture
def admin(db: None) -> User:
    return make_user("admin@example.org", Role.ADMIN)


# Owners


def test_last_owner_stays_owner(owner: User) -> None:
    with pytest.raises(Conflict):
        users.set_role(owner, Role.ADMIN, actor=owner)
    with pytest.raises(Conflict):
        users.deactivate(owner, actor=owner)
    assert User.get_by_id(owner.id).role is Role.OWNER


def test_deactivated_owner_does_not_count(owner: User) -> None:
    make_user("gone@example.org", Role.OWNER, deactivated_at=now())
    with pytest.raises(Conflict):
        users.deactivate(owner, actor=owner)


def test_one_of_two_owners_may_go(owner: User) -> None:
    make_user("second@example.org", Role.OWNER)
    users.set_role(owner, Role.EDITOR, actor=owner)
    assert User.get_by_id(owner.id).role is Role.EDITOR


def test_admin_has_no_power_over_owners(owner: User, admin: User, settings: Settings) -> None:
    make_user("second@example.org", Role.OWNER)
    with pytest.raises(Forbidden):
        users.set_role(owner, Role.VIEWER, actor=admin)
    with pytest.raises(Forbidden):
        users.deactivate(owner, actor=admin)
    with pytest.raises(Forbidden):
        users.reset_link(owner, settings, actor=admin)
    with pytest.raises(Forbidden):
        users.set_role(admin, Role.OWNER, actor=admin)
    with pytest.raises(Forbidden):
        users.invite(admin, role=Role.OWNER)


def test_editor_manages_nobody(owner: User, settings: Settings) -> None:
    editor, viewer = make_user(), make_user("viewer@example.org", Role.VIEWER)
    with pytest.raises(Forbidden):
        users.set_role(viewer, Role.EDITOR, actor=editor)
    with pytest.raises(Forbidden):
        users.invite(editor, role=Role.VIEWER)
    with pytest.raises(Forbidden):
        users.reset_link(viewer, settings, actor=editor)


# What ends sessions and tokens


@pytest.mark.parametrize("change", ["role", "password", "deactivate"])
def test_sessions_end_with_what_they_stood_for(
    owner: User, settings: Settings, change: str
) -> None:
    user = make_user()
    token = sessions.start(user, address="", agent="", settings=settings)
    assert sessions.find(token, settings) is not None
    if change == "role":
        users.set_role(user, Role.VIEWER, actor=owner)
    elif change == "password":
        users.set_password(user, WORDS)
    else:
        users.deactivate(user, actor=owner)
    assert sessions.find(token, settings) is None


def test_same_role_again_ends_nothing(owner: User, settings: Settings) -> None:
    user = make_user()
    token = sessions.start(user, address="", agent="", settings=settings)
    users.set_role(user, Role.EDITOR, actor=owner)
    assert sessions.find(token, settings) is not None


@pytest.mark.parametrize("how", ["revoked", "expired", "user switched off"])
def test_token_ends(owner: User, how: str) -> None:
    user = make_user()
    row, text = tokens.create(user, name="script", scopes=["read"], expires_days=1)
    assert tokens.find(text) is not None
    if how == "revoked":
        tokens.revoke(user, row.public_id)
    elif how == "expired":
        ApiToken.update(expires_at=now()).execute()
    else:
        users.deactivate(user, actor=owner)
    assert tokens.find(text) is None


def test_token_belongs_to_its_user_alone(owner: User) -> None:
    row, _ = tokens.create(owner, name="script", scopes=["read"])
    with pytest.raises(NotFound):
        tokens.revoke(make_user(), row.public_id)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"expires_days": 0}, "expires_days"),
        ({"expires_days": 99999}, "expires_days"),
    ],
)
def test_bad_token_is_refused_by_field(owner: User, fields: dict, field: str) -> None:  # type: ignore[type-arg]  # plain keyword arguments
    with pytest.raises(InvalidInput) as refused:
        tokens.create(owner, **{"name": "script", "scopes": ["read"], **fields})
    assert refused.value.field == field


def test_editor_makes_no_admin_token(owner: User) -> None:
    with pytest.raises(Forbidden):
        tokens.create(make_user(), name="script", scopes=[Scope.ADMIN])


# Passwords


def test_hash_has_the_strength_that_is_asked_for() -> None:
    hashed = passwords.hash_password(WORDS)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.verify(WORDS, hashed)
    assert not passwords.verify(WORDS + " ", hashed)
    assert not passwords.verify(WORDS, None)
    assert not passwords.verify("nobody has this password", None)
    assert not passwords.verify(WORDS, "not a hash")
    assert not passwords.verify("x" * 1_000_000, hashed)


def test_weaker_hash_is_renewed_at_sign_in(owner: User) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(WORDS)
    User.update(password_hash=weak).execute()
    sessions.check_password(owner.email, WORDS, address="")
    renewed = User.get_by_id(owner.id).password_hash
    assert renewed != weak
    assert not passwords.is_outdated(renewed)


def test_unknown_user_costs_the_same_work(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: each refusal verifies exactly one hash of today's strength."""
    checked: list[str] = []
    real = type(passwords._hasher).verify

    def counting(self: object, stored: str, password: str) -> bool:
        checked.append(stored.rsplit("$", 2)[0])
        return real(self, stored, password)  # type: ignore[arg-type]  # the same object

    User.update(password_hash=passwords.hash_password(WORDS)).execute()
    monkeypatch.setattr(type(passwords._hasher), "verify", counting)
    for email in (owner.email, "nobody@example.org"):
        with pytest.raises(InvalidInput):
            sessions.check_password(email, "wrong wrong wrong", address="")
    assert checked == ["$argon2id$v=19$m=19456,t=2,p=1"] * 2


# Links


def test_setup_link_only_while_nobody_is_here(db: None, settings: Settings) -> None:
    assert users.setup_link(settings) is not None
    make_user()
    assert users.setup_link(settings) is None


def test_setup_link_is_dead_once_somebody_is_here(db: None, settings: Settings) -> None:
    link = users.setup_link(settings)
    assert link is not None
    make_user()
    with pytest.raises(NotFound):
        users.set_up(
            link.rpartition("/")[2],
            email="late@example.org",
            name="",
            password=WORDS,
            time_zone="UTC",
        )


def test_invite_can_be_used_once(owner: User) -> None:
    _, token = users.invite(owner, role=Role.VIEWER)
    row = invites.find(InviteKind.INVITE, token)
    invites.use(row)
    with pytest.raises(NotFound):
        invites.use(row)


def test_failed_acceptance_leaves_the_invite_open(owner: User) -> None:
    _, token = users.invite(owner, role=Role.VIEWER)
    with pytest.raises(Conflict):
        users.accept_invite(token, email=owner.email, name="", password=WORDS, time_zone="UTC")
    assert invites.find(InviteKind.INVITE, token)


def test_newer_reset_link_and_new_password_end_older_links(owner: User, settings: Settings) -> None:
    older, newer = (users.reset_link(owner, settings).rpartition("/")[2] for _ in range(2))
    with pytest.raises(NotFound):
        invites.find(InviteKind.RESET, older)
    users.set_password(owner, WORDS)
    with pytest.raises(NotFound):
        invites.find(InviteKind.RESET, newer)


def test_reset_link_does_not_outlive_the_role_it_was_made_for(
    owner: User, admin: User, settings: Settings
) -> None:
    editor = make_user()
    kept = users.reset_link(editor, settings, actor=admin).rpartition("/")[2]
    users.set_role(editor, Role.OWNER, actor=owner)
    with pytest.raises(NotFound):
        users.reset_password(kept, WORDS)


@pytest.mark.parametrize("how", ["deactivated", "no admin any more"])
def test_who_is_no_admin_any_more_does_not_come_back_by_an_invite(
    owner: User, admin: User, how: str
) -> None:
    _, kept = users.invite(admin, role=Role.ADMIN)
    _, other = users.invite(owner, role=Role.EDITOR)
    if how == "deactivated":
        users.deactivate(admin, actor=owner)
    else:
        users.set_role(admin, Role.EDITOR, actor=owner)
    with pytest.raises(NotFound):
        invites.find(InviteKind.INVITE, kept)
    assert invites.find(InviteKind.INVITE, other).role is Role.EDITOR


def test_same_address_twice_is_refused(owner: User) -> None:
    with pytest.raises(Conflict):
        users.add_user(" OWNER@example.org", role=Role.VIEWER)


def test_everything_leaves_a_trace(owner: User, settings: Settings) -> None:
    user = make_user()
    users.set_role(user, Role.VIEWER, actor=owner)
    users.deactivate(user, actor=owner)
    users.reactivate(user, actor=owner)
    users.reset_link(user, settings, actor=owner)
    users.invite(owner, role=Role.VIEWER)
    row, _ = tokens.create(owner, name="script", scopes=["read"])
    tokens.revoke(owner, row.public_id)
    trail = list(AuditEntry.select().order_by(AuditEntry.id))
    assert [entry.action for entry in trail] == [
        "user.role",
        "user.deactivate",
        "user.reactivate",
        "user.reset_link",
        "invite.create",
        "token.create",
        "token.revoke",
    ]
    assert {entry.actor_name for entry in trail} == {"owner@example.org"}


# Slowing down


@pytest.mark.parametrize(
    ("failures", "wait"), [(0, 0), (4, 0), (5, 30), (6, 60), (9, 480), (10, 900), (10_000, 900)]
)
def test_wait_grows_and_has_an_end(failures: int, wait: int) -> None:
    assert throttle.wait_s(failures, free=5) == wait


def test_tries_are_counted_before_they_are_looked_at(db: None) -> None:
    limit = [throttle.account("a@example.org")]
    for _ in range(5):
        throttle.count_try(limit)
    with pytest.raises(TooManyAttempts) as refused:
        throttle.count_try(limit)
    assert 0 < refused.value.retry_after_s <= 30
    assert Throttle.get().failures == 5


def test_clock_set_back_does_not_lengthen_the_wait(db: None) -> None:
    limit = [throttle.account("a@example.org")]
    for _ in range(5):
        throttle.count_try(limit)
    Throttle.update(last_at=now() + timedelta(days=2)).execute()
    with pytest.raises(TooManyAttempts) as refused:
        throttle.count_try(limit)
    assert refused.value.retry_after_s <= 30


def test_success_frees_the_account_but_not_a_guessing_address(db: None) -> None:
    limits = [throttle.account("a@example.org"), throttle.address("10.0.0.1")]
    for _ in range(3):
        throttle.count_try(limits)
    throttle.succeeded(limits)
    assert {row.key: row.failures for row in Throttle.select()} == {"address:10.0.0.1": 2}


def test_dead_sessions_are_tidied_up(owner: User, settings: Settings) -> None:
    for _ in range(3):
        sessions.start(owner, address="", agent="", settings=settings)
    rows = list(Session.select())
    Session.update(expires_at=now()).where(Session.id == rows[0].id).execute()
    long_ago = now() - timedelta(days=settings.session_idle_days)
    Session.update(last_seen_at=long_ago).where(Session.id == rows[1].id).execute()
    assert sessions.remove_dead(settings) == 2
    assert Session.select().count() == 1
