"""Completion is a state: whoever is killed in it, and whoever goes on, it happens exactly once.

As in test_upload_kills.py, a forked child kills itself before its N-th call to disk or database.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from typing import TYPE_CHECKING

import pytest

from appliance.db import database, open_database
from appliance.errors import Conflict, StorageFull
from appliance.migrate import migrate
from appliance.models import Job, Upload, User, Video
from appliance.states import UploadState, VideoState
from storage import uploads
from storage.uploads import Created, Store, UploadBusy, UploadGone
from tests.factories import make_user
from tests.storage.test_upload_kills import (
    BODY,
    MOST,
    append,
    check_consistent,
    create,
    killed_at,
    recover,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.settings import Settings
    from storage.layout import Layout


@pytest.fixture
def store(settings: Settings, layout: Layout) -> Iterator[Store]:
    """Not on the fixture ``db``: its connection is closed and opened again around each fork."""
    open_database(settings.database_path)
    migrate(settings)
    database.connect()
    yield Store(settings, layout)
    database.close()


@pytest.fixture
def user(store: Store) -> User:
    return make_user()


def all_here(store: Store, user: User) -> Created:
    """An upload whose last byte is written, and whose server died right then."""
    created = create(store, user)
    append(store, created, 10_000)
    with store.layout.upload(created.upload_id).open("ab") as file:
        file.write(BODY[10_000:])
    return created


def look(store: Store, created: Created) -> None:
    """As HEAD, PATCH and the word "complete" do."""
    held = store.open(created.upload_id, created.token)
    try:
        if held.is_whole:
            store.finish(held)
    finally:
        held.close()


def sweep(store: Store, created: Created) -> None:
    recover(store)


@pytest.mark.parametrize(
    ("first", "second"),
    [(look, sweep), (sweep, look)],
    ids=["a look, then the sweep", "vice versa"],
)
def test_whoever_is_killed_another_one_goes_on(
    store: Store,
    user: User,
    first: Callable[[Store, Created], None],
    second: Callable[[Store, Created], None],
) -> None:
    for number in range(1, MOST):
        created = all_here(store, user)
        killed = killed_at(number, lambda c=created: first(store, c))  # type: ignore[misc]  # bound now
        second(store, created)
        recover(store)
        check_consistent(store)
        assert Video.get(Video.public_id == created.video_id).state is VideoState.RECEIVED
        assert Upload.get(Upload.public_id == created.upload_id).state is UploadState.COMPLETE
        if not killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert number > 15


def test_killed_anywhere_while_cancelling(store: Store, user: User) -> None:
    for number in range(1, MOST):
        created = create(store, user)
        append(store, created, 10_000)
        killed = killed_at(
            number,
            lambda c=created: uploads.cancel(store.settings, c.upload_id, user),  # type: ignore[misc]  # bound now
        )
        recover(store)
        check_consistent(store)
        if not killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert Upload.get(Upload.public_id == created.upload_id).state is UploadState.TERMINATED
    assert number > 8


def at_the_same_time(*steps: Callable[[], object]) -> None:
    """Each in a process of its own; they begin together."""
    database.close()
    reading, writing = os.pipe()
    children = [fork_waiting(reading, step) for step in steps]
    os.write(writing, b"!" * len(steps))
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(reading)
    os.close(writing)
    database.connect()
    assert codes == [0] * len(steps)


def fork_waiting(reading: int, step: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        database.connect()
        os.read(reading, 1)
        with contextlib.suppress(UploadBusy, UploadGone, Conflict, StorageFull):  # not the first
            step()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


ROUNDS = 12


def test_several_processes_finish_it_once(store: Store, user: User) -> None:
    for _ in range(ROUNDS):
        created = all_here(store, user)
        at_the_same_time(
            lambda c=created: look(store, c),  # type: ignore[misc]  # bound now
            lambda c=created: sweep(store, c),  # type: ignore[misc]  # bound now
            lambda c=created: look(store, c),  # type: ignore[misc]  # bound now
            lambda: uploads.recover(store.settings),
        )
        look(store, created)
        check_consistent(store)
        video = Video.get(Video.public_id == created.video_id)
        assert video.state is VideoState.RECEIVED
        assert Job.select().where(Job.video == video, Job.kind == "probe").count() == 1


def test_it_is_either_finished_or_cancelled(store: Store, user: User) -> None:
    for _ in range(ROUNDS):
        created = all_here(store, user)
        at_the_same_time(
            lambda c=created: look(store, c),  # type: ignore[misc]  # bound now
            lambda c=created: uploads.cancel(store.settings, c.upload_id, user),  # type: ignore[misc]  # bound now
        )
        recover(store)
        check_consistent(store)
        state = Upload.get(Upload.public_id == created.upload_id).state
        video = Video.get_or_none(Video.public_id == created.video_id)
        if state is UploadState.COMPLETE:
            assert video is not None
            assert video.state is VideoState.RECEIVED
        else:
            assert (state, video) == (UploadState.TERMINATED, None)
