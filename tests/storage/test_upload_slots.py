"""Whose turn it is on an upload: how long a sender is left alone, and work that comes too late."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from storage.uploads import Slot, Slots, UploadBusy, WrongOffset

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any


class Sender:
    """A request that brings bytes; ``stopped`` when it was asked to read no further."""

    def __init__(self, *, nearly_done: bool = False) -> None:
        self.taken = 0
        self.nearly_done = nearly_done
        self.stopped = asyncio.Event()

    def ends_within(self, seconds: float) -> bool:
        return self.nearly_done

    def interrupt(self) -> None:
        self.stopped.set()


def run(work: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(10):
            await work

    asyncio.run(within())


async def newcomer(slots: Slots) -> None:
    async with slots.hold("one"):
        pass


@pytest.mark.parametrize(
    ("nearly_done", "fresh_s", "grace_s"), [(False, -1.0, 60.0), (True, -1.0, 0.0)]
)
def test_a_sender_is_stopped_for_a_newcomer(
    nearly_done: bool, fresh_s: float, grace_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.uploads.slots.FRESH_S", fresh_s)
    monkeypatch.setattr("storage.uploads.slots.GRACE_S", grace_s)

    async def work() -> None:
        slots, sender = Slots(), Sender(nearly_done=nearly_done)
        async with slots.hold("one") as slot:
            with slot.sending(sender, 0):
                waits = asyncio.create_task(newcomer(slots))
                await sender.stopped.wait()
        await waits

    run(work())


@pytest.mark.parametrize(
    ("nearly_done", "fresh_s", "grace_s"),
    [(True, -1.0, 60.0), (False, 60.0, 0.0)],
    ids=["about to end", "just begun"],
)
def test_a_sender_is_left_alone_for_a_moment(
    nearly_done: bool, fresh_s: float, grace_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.uploads.slots.FRESH_S", fresh_s)
    monkeypatch.setattr("storage.uploads.slots.GRACE_S", grace_s)

    async def work() -> None:
        slots, sender = Slots(), Sender(nearly_done=nearly_done)
        async with slots.hold("one") as slot:
            with slot.sending(sender, 0):
                waits = asyncio.create_task(newcomer(slots))
                while not slot.wanted:
                    await asyncio.sleep(0)
                assert not sender.stopped.is_set()
        await waits

    run(work())


def test_a_sender_that_begins_while_others_wait_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.uploads.slots.FRESH_S", -1.0)

    async def work() -> None:
        slots, sender = Slots(), Sender()
        async with slots.hold("one") as slot:
            waits = asyncio.create_task(newcomer(slots))
            while not slot.wanted:
                await asyncio.sleep(0)
            with slot.sending(sender, 0):
                assert sender.stopped.is_set()
        await waits

    run(work())


def test_a_newcomer_is_sent_away_once_the_sender_has_passed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both began at the same byte; only when bytes come it shows who was first."""
    monkeypatch.setattr("storage.uploads.slots.FRESH_S", 60.0)

    async def work() -> None:
        slots, sender = Slots(), Sender()

        async def rival() -> None:
            async with slots.hold("one", 0):
                pass

        async with slots.hold("one") as slot:
            with slot.sending(sender, 0):
                waits = asyncio.create_task(rival())
                while not slot.wanted:
                    await asyncio.sleep(0)
                sender.taken = 1
                with pytest.raises(WrongOffset):
                    await waits
                assert not slot.wanted
                assert not sender.stopped.is_set()
        await newcomer(slots)  # who waited in vain has left nothing locked

    run(work())


def test_late_work_keeps_the_slot_and_is_undone(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.uploads.slots.WAIT_S", 0.05)
    monkeypatch.setattr("storage.uploads.slots._LEAST_S", 0.05)
    go_on = threading.Event()
    undone: list[str] = []

    async def work(slot: Slot) -> None:
        def late() -> str:
            assert go_on.wait(10)
            return "late"

        await slot.work(late, undo=undone.append)

    async def both() -> None:
        slots = Slots()
        with pytest.raises(UploadBusy):
            async with slots.hold("one") as slot:
                await work(slot)
        with pytest.raises(UploadBusy):
            await newcomer(slots)
        go_on.set()
        while slots.find("one"):
            await asyncio.sleep(0.01)
        assert undone == ["late"]
        await newcomer(slots)

    run(both())
