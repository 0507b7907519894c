"""The bells: lost, doubled, deleted or broken, they never raise and come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.queue import MOST_UNHEARD, Bells

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


def heard(bells: Bells, queue: str = "quick") -> int:
    """Take all bells of a queue, as its worker would."""
    rung: list[None] = []
    bells.on_ring(queue, lambda: rung.append(None))
    while (task := bells.queues[queue].dequeue()) is not None:
        bells.queues[queue].execute(task)
    return len(rung)


def test_a_bell_is_heard_in_another_process(path: Path) -> None:
    here, there = Bells(path), Bells(path)
    here.ring("quick", 50)
    assert heard(there, "media") == 0
    assert heard(there) == 1
    assert heard(here) == 0


def test_unheard_bells_do_not_pile_up(path: Path) -> None:
    bells = Bells(path)
    for _ in range(100):
        bells.ring("quick")
    assert heard(bells) == MOST_UNHEARD


@pytest.mark.parametrize("endings", [("",), ("", "-wal", "-shm")], ids=["alone", "with its wal"])
def test_a_deleted_file_is_made_again_by_whoever_notices(
    path: Path, endings: tuple[str, ...]
) -> None:
    here, there = Bells(path), Bells(path)
    here.ring("quick")
    assert heard(there) == 1  # and so holds the old file open
    for ending in endings:
        path.with_name(path.name + ending).unlink()
    here.ring("quick")
    assert there.mend()
    assert heard(there) == 1
    assert not there.mend()


def test_a_broken_file_is_made_anew(path: Path) -> None:
    here, there = Bells(path), Bells(path)
    path.write_bytes(b"no database " * 1000)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    here.ring("quick")
    there.mend()
    assert heard(there) == 1


def test_another_file_in_its_place_is_made_anew(path: Path) -> None:
    here, there = Bells(path), Bells(path)
    garbage = path.with_name("garbage")
    garbage.write_bytes(b"no database " * 1000)
    garbage.rename(path)
    here.ring("quick")
    there.mend()
    assert heard(there) == 1


def test_a_start_mends_a_broken_file(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)
    bells = Bells(path)
    bells.ring("quick")
    assert heard(bells) == 1


def test_a_bell_that_cannot_ring_is_logged_and_not_raised(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bells = Bells(path)
    for file in path.parent.glob("queue.db*"):
        file.unlink()
    path.mkdir()  # as wrong as it can be
    bells.ring("quick")
    assert "did not ring" in caplog.text
    path.rmdir()
    bells.ring("quick")
    assert heard(bells) == 1
