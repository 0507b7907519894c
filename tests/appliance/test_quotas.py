"""What a person's videos may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance import quotas, users
from appliance.clock import now
from appliance.errors import Forbidden, InvalidInput
from appliance.models import AuditEntry, Role, Source, Upload, User
from appliance.quotas import UNLIMITED, QuotaExceeded
from appliance.states import UploadState, VideoState
from tests.factories import make_user, make_video

if TYPE_CHECKING:
    from appliance.settings import Settings


@pytest.fixture
def user(db: None) -> User:
    return make_user()


def limited(settings: Settings, quota: int | None) -> Settings:
    return settings.model_copy(update={"user_quota": quota})


def add_upload(user: User, **columns: Any) -> Upload:
    values = {"token_hash": "", "source": Source.BROWSER, "expires_at": now(), **columns}
    return Upload.create(owner=user, **values)


@pytest.mark.parametrize(
    ("override", "setting", "quota"),
    [(None, None, None), (None, 10, 10), (5, 10, 5), (0, 10, 0), (UNLIMITED, 10, None)],
)
def test_a_users_own_limit_beats_the_setting(
    settings: Settings, user: User, override: int | None, setting: int | None, quota: int | None
) -> None:
    user.quota_bytes = override
    assert quotas.quota_of(limited(settings, setting), user) == quota


def test_what_counts(user: User) -> None:
    make_video(user, size_bytes=100, received_at=now())
    make_video(user, size_bytes=20, received_at=now(), state=VideoState.TRASHED)
    make_video(user, size_bytes=5000, state=VideoState.FAILED)  # its bytes never came
    make_video(make_user("other@example.org"), size_bytes=5000, received_at=now())
    add_upload(user, length=3)
    growing = add_upload(user, length=None, settled_offset=4, expected_bytes=1)
    add_upload(user, length=None, settled_offset=0, expected_bytes=7)
    add_upload(user, length=5000, state=UploadState.EXPIRED)
    add_upload(user, length=5000, state=UploadState.FINISHING, concat="partial")
    add_upload(user, length=6, concat="partial")
    assert quotas.used_bytes(user) == 100 + 20 + 3 + 4 + 7 + 6
    assert quotas.used_bytes(user, without=growing) == 136
    assert quotas.used_bytes(make_user("third@example.org")) == 0


def test_over_the_limit_says_how_much_is_used(settings: Settings, user: User) -> None:
    make_video(user, size_bytes=7_000_000, received_at=now())
    ten = limited(settings, 10_000_000)
    quotas.check_quota(ten, user, 3_000_000)
    with pytest.raises(QuotaExceeded) as caught:
        quotas.check_quota(ten, user, 3_000_001)
    assert "7.0 MB of your 10.0 MB are used" in str(caught.value)
    assert caught.value.code == "quota_exceeded"
    with pytest.raises(QuotaExceeded) as told_guest:
        quotas.check_quota(ten, user, 3_000_001, for_guest=True)
    assert "7.0" not in str(told_guest.value)
    quotas.check_quota(ten, None, 10**15)


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("", None),
        ("default", None),
        (" None ", UNLIMITED),
        ("0", 0),
        ("20 GiB", 20 << 30),
        ("1.5gb", 1_500_000_000),
    ],
)
def test_limits_are_read(text: str, quota: int | None) -> None:
    assert quotas.parse_quota(text) == quota
    assert quotas.parse_quota(quotas.write_quota(quota)) == quota


@pytest.mark.parametrize("text", ["much", "-1", "-5 GB", "1e400", "99999999 PiB", "nan"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="20 GiB"):
        quotas.parse_quota(text)


def test_only_those_who_manage_a_user_set_a_limit(user: User) -> None:
    admin, owner = make_user("a@example.org", Role.ADMIN), make_user("o@example.org", Role.OWNER)
    users.set_quota(user, 5, actor=admin)
    assert User.get_by_id(user.id).quota_bytes == 5
    assert AuditEntry.get().action == "user.quota"
    with pytest.raises(Forbidden):
        users.set_quota(owner, 5, actor=admin)
