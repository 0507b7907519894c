"""Room that is promised to uploads whose length nobody knows yet."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from appliance.errors import StorageFull
from appliance.models import Source, Upload, User
from storage.uploads import Created, NewUpload, Slot, Store, lengths, receive
from tests.factories import make_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.settings import Settings
    from storage.layout import Layout


@pytest.fixture
def free(layout: Layout) -> int:
    disk = os.statvfs(layout.data)
    return disk.f_bavail * disk.f_frsize


@pytest.fixture
def store(settings: Settings, layout: Layout, db: None, free: int) -> Store:
    return Store(settings.model_copy(update={"max_upload_bytes": free}), layout)


@pytest.fixture
def user(db: None) -> User:
    return make_user()


def form(store: Store, user: User, expected_bytes: int) -> Created:
    """As a form without script begins: all that is known is how long the whole body is."""
    new = NewUpload(None, "a.mp4", Source.BROWSER, expected_bytes=expected_bytes)
    return store.create(user, new)


def test_forms_that_come_at_the_same_time_share_the_room(
    store: Store, user: User, free: int
) -> None:
    form(store, user, free * 6 // 10)
    with pytest.raises(StorageFull, match="no room"):
        form(store, user, free * 6 // 10)
    with pytest.raises(StorageFull, match="no room"):
        store.create(user, NewUpload(free * 6 // 10, "b.mp4", Source.BROWSER))
    form(store, user, free // 10)


def test_what_has_come_is_not_counted_twice(store: Store, user: User, free: int) -> None:
    created = form(store, user, free * 6 // 10)
    # As if all of it had come, without taking room: the file has a size, and no blocks.
    os.truncate(store.layout.upload(created.upload_id), free * 6 // 10)
    form(store, user, free * 6 // 10)


def test_growing_without_an_announced_end_stops_at_the_reserve(
    store: Store, user: User, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.uploads.receiving.CHECKPOINT_BYTES", 50_000)
    created = form(store, user, 0)
    tight = Store(store.settings.model_copy(update={"disk_reserve": 2 * free}), store.layout)
    held = tight.open(created.upload_id, created.token)

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield bytes(10_000)
            await asyncio.sleep(0.001)

    with pytest.raises(StorageFull):
        asyncio.run(receive(tight, held, Slot(), chunks()))
    tight.acknowledge(held)
    assert held.offset >= 50_000
    held.close()
    assert Upload.get().durable_offset == held.offset
    # Once there is room again it goes on.
    again = store.open(created.upload_id, created.token)
    assert again.offset >= held.offset
    lengths.check_growth(store, again, 1000)
    again.close()
