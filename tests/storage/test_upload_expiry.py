"""How long an upload waits for bytes, whatever the clocks of the box do meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.clock import boot_id, boottime_s
from appliance.models import Source, Upload, User
from appliance.states import UploadState
from storage import uploads
from storage.uploads import Created, NewUpload, Store, UploadGone
from storage.uploads.expiry import GRACE_S, Life, Moment, moved_to, seconds_left
from tests.factories import make_user

if TYPE_CHECKING:
    from appliance.settings import Settings
    from storage.layout import Layout

HOUR_S = 3600.0
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOUCHED = Moment(NOON, "this boot", 50_000.0)
LIFE = Life(TOUCHED, NOON + timedelta(hours=24))


def later(hours: float, *, wall_step_hours: float = 0.0, boot: str = "this boot") -> Moment:
    at = NOON + timedelta(hours=hours + wall_step_hours)
    boot_s = TOUCHED.boot_s + hours * HOUR_S if boot == "this boot" else 100.0
    return Moment(at, boot, boot_s)


@pytest.mark.parametrize(
    ("this", "left_hours"),
    [
        (later(0), 24),
        (later(23), 1),
        (later(25), -1),
        (later(1, wall_step_hours=48), 23),
        (later(1, wall_step_hours=-48), 23),
        (later(25, wall_step_hours=-48), -1),
        (later(3, boot="next boot"), 21),
        (later(24, boot="next boot"), GRACE_S / HOUR_S),
        (later(900, boot="next boot"), GRACE_S / HOUR_S),
        (later(1, wall_step_hours=-48, boot="next boot"), 24),
    ],
    ids=[
        "at once",
        "in time",
        "over",
        "wall clock two days ahead",
        "wall clock two days back",
        "over, though the wall clock says no",
        "after a restart",
        "after a restart at the last moment",
        "after a month switched off",
        "after a restart with a clock that is behind",
    ],
)
def test_idle_time(this: Moment, left_hours: float) -> None:
    assert seconds_left(LIFE, this) == pytest.approx(left_hours * HOUR_S)


def test_a_short_life_gets_no_more_grace_than_it_has() -> None:
    short = replace(LIFE, expires_at=NOON + timedelta(minutes=5))
    assert seconds_left(short, later(9, boot="next boot")) == 300


@pytest.mark.parametrize("hours", [0.0, 10.0, 23.9])
@pytest.mark.parametrize("step_hours", [-48.0, 0.5, 48.0])
def test_moving_to_another_clock_changes_nothing_but_the_clock(
    hours: float, step_hours: float
) -> None:
    this = later(hours, wall_step_hours=step_hours)
    moved = moved_to(LIFE, this)
    assert moved is not None
    assert seconds_left(moved, this) == pytest.approx(seconds_left(LIFE, this))
    assert (moved.expires_at - this.at).total_seconds() == pytest.approx(
        seconds_left(LIFE, this), abs=0.001
    )
    assert moved_to(moved, this) is None


def test_nothing_moves_while_the_clocks_agree() -> None:
    assert moved_to(LIFE, later(5)) is None


def test_after_a_restart_the_grace_ends_too() -> None:
    first = later(100, boot="next boot")
    moved = moved_to(LIFE, first)
    assert moved is not None
    soon = replace(first, at=first.at + timedelta(minutes=50), boot_s=first.boot_s + 3000)
    over = replace(first, at=first.at + timedelta(minutes=70), boot_s=first.boot_s + 4200)
    assert seconds_left(moved, soon) == pytest.approx(600)
    assert seconds_left(moved, over) == pytest.approx(-600)


# With rows


@pytest.fixture
def store(settings: Settings, layout: Layout, db: None) -> Store:
    hours = {"upload_idle_hours": 10.0, "upload_grant_hours": 1.0}
    return Store(settings.model_copy(update=hours), layout)


@pytest.fixture
def user(db: None) -> User:
    return make_user()


def create(store: Store, user: User, **more: object) -> Created:
    new = {"length": 1000, "filename": "clip.mp4", "source": Source.API, **more}
    return store.create(user, NewUpload(**new))  # type: ignore[arg-type]  # whatever the test says


def put(store: Store, created: Created, size: int) -> None:
    held = store.open(created.upload_id, created.token)
    store.layout.upload(created.upload_id).write_bytes(bytes(size))
    held.offset = size
    store.settle(held)
    held.close()


def pass_hours(hours: float) -> None:
    """As if so much time had gone by since all rows were touched, on the boot's clock alone."""
    Upload.update(touched_boot_s=Upload.touched_boot_s - hours * HOUR_S).execute()


def is_open(store: Store, created: Created) -> bool:
    try:
        store.open(created.upload_id, created.token).close()
    except UploadGone:
        return False
    return True


def test_idle_time_is_counted_on_the_clock_of_the_boot(store: Store, user: User) -> None:
    created = create(store, user)
    put(store, created, 10)
    pass_hours(9)
    assert is_open(store, created)
    pass_hours(2)
    assert not is_open(store, created)
    assert Upload.get().state is UploadState.EXPIRED


def test_a_step_of_the_wall_clock_ends_nothing(
    store: Store, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = create(store, user)
    put(store, created, 10)
    for days in (2, -2):
        stepped = datetime.now(UTC) + timedelta(days=days)
        monkeypatch.setattr("storage.uploads.expiry.now", lambda at=stepped: at)
        assert uploads.recover(store.settings).ended == 0
        held = store.open(created.upload_id, created.token)
        held.close()
        told = (held.row.expires_at - stepped).total_seconds() / HOUR_S
        assert told == pytest.approx(10, abs=0.1), "senders are told what is true now"


def test_each_byte_prolongs_and_a_look_does_not(store: Store, user: User) -> None:
    created = create(store, user)
    put(store, created, 10)
    pass_hours(6)
    put(store, created, 10)  # nothing new
    pass_hours(3)
    put(store, created, 20)
    pass_hours(9)
    assert is_open(store, created)


def test_after_a_start_of_the_machine_the_rest_is_counted_anew(store: Store, user: User) -> None:
    created = create(store, user)
    put(store, created, 10)
    ago = datetime.now(UTC) - timedelta(days=30)
    Upload.update(
        boot_id="before", touched_at=ago, expires_at=ago + timedelta(hours=10), touched_boot_s=9e9
    ).execute()
    assert is_open(store, created)
    assert Upload.get().boot_id == boot_id()
    pass_hours(0.9)
    assert is_open(store, created)
    pass_hours(0.2)
    assert not is_open(store, created)


def test_rows_from_before_the_clock_was_noted_are_not_ended(store: Store, user: User) -> None:
    created = create(store, user)
    Upload.update(touched_boot_s=0).execute()
    assert is_open(store, created)
    assert Upload.get().touched_boot_s == pytest.approx(boottime_s(), abs=60)
