"""The machine loses its power: what was told to senders is there, and nothing else is trusted."""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING

import pytest

from appliance.models import Source, Upload, User, Video
from appliance.states import VideoState
from storage.uploads import NewUpload, Slot, Store, receive
from tests.factories import make_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.settings import Settings
    from storage.layout import Layout

BODY = random.Random(11).randbytes(400_000)
CHUNK = 10_000


@pytest.fixture
def store(settings: Settings, layout: Layout, db: None) -> Store:
    return Store(settings, layout)


@pytest.fixture
def user(db: None) -> User:
    return make_user()


class PowerCut(Exception):
    pass


async def chunks_of(data: bytes, *, cut: bool) -> AsyncIterator[bytes]:
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]
        # Gives the checkpoints that run beside it their turn.
        await asyncio.sleep(0.002)
    if cut:
        raise PowerCut


def send(store: Store, token: tuple[str, str], seeded: random.Random) -> int:
    """Some bytes, cut off at a random place without any acknowledgement; where they began."""
    held = store.open(*token)
    begun = held.offset
    size = seeded.randrange(1, 150_000)
    try:
        asyncio.run(receive(store, held, Slot(), chunks_of(BODY[begun : begun + size], cut=True)))
    except PowerCut:
        pass
    finally:
        held.close()
    return begun


def lose_power(store: Store, upload_id: str, seeded: random.Random) -> int:
    """What a disk may hold afterwards: the durable bytes, and any number of any others."""
    durable = int(Upload.get().durable_offset)
    path = store.layout.upload(upload_id)
    written = path.stat().st_size
    os.truncate(path, durable)
    tail = seeded.randrange(0, written - durable + 1)
    with path.open("ab") as file:
        kind = seeded.choice(["zeros", "garbage", "the bytes themselves"])
        if kind == "zeros":
            os.truncate(path, durable + tail)
        elif kind == "garbage":
            file.write(seeded.randbytes(tail))
        else:
            file.write(BODY[durable : durable + tail])
    return durable


@pytest.mark.parametrize("seed", range(8))
def test_power_cuts_in_the_middle_of_long_requests(
    store: Store, user: User, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("storage.uploads.receiving.CHECKPOINT_BYTES", 2 * CHUNK)
    seeded = random.Random(seed)
    new = NewUpload(length=len(BODY), filename="a.mp4", source=Source.BROWSER)
    created = store.create(user, new)
    token = (created.upload_id, created.token)
    starts = 0
    checkpoints = set()
    while Upload.get().durable_offset < len(BODY) // 2:
        send(store, token, seeded)
        durable = lose_power(store, created.upload_id, seeded)
        starts += 1
        monkeypatch.setattr("storage.uploads.expiry.boot_id", lambda n=starts: f"start {n}")
        held = store.open(*token)
        assert held.offset == durable
        assert os.pread(held.handle or 0, durable, 0) == BODY[:durable]
        assert os.fstat(held.handle or 0).st_size == durable
        assert held.row.settled_offset == durable
        held.close()
        checkpoints.add(durable)
    assert len(checkpoints - {0}) > 1, "long requests were made durable on their way"
    held = store.open(*token)
    asyncio.run(receive(store, held, Slot(), chunks_of(BODY[held.offset :], cut=False)))
    store.settle(held)
    held.close()
    video = Video.get()
    assert video.state is VideoState.RECEIVED
    assert store.layout.original(video.public_id).read_bytes() == BODY
