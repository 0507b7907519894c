"""The scheduler's deciders: what fits, what begins, what makes way; and what a machine carries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.capacity import (
    MOST_MADE_WAY,
    MOST_OVERTAKEN,
    Due,
    Machine,
    Running,
    choose,
    cpu_quota,
    judge,
    machine_of,
    thread_count,
    who_makes_way,
)
from appliance.models import Priority
from appliance.settings import Settings

LOW, NORMAL, SOON, HIGH = (int(priority) for priority in Priority)
TWO = Machine(2.0, 2000)
EIGHT = Machine(8.0, 8000)


def due(id: int, cores: float, mib: int = 100, priority: int = NORMAL, overtaken: int = 0) -> Due:
    return Due(id, cores, mib, priority, overtaken)


def at_work(cores: float, mib: int = 100) -> Running:
    return Running(0, cores, mib)


@pytest.mark.parametrize(
    ("waiting", "running", "machine", "chosen"),
    [
        pytest.param([], [], TWO, None, id="nothing is due"),
        pytest.param([due(1, 2), due(2, 1)], [], TWO, 1, id="the best first"),
        pytest.param([due(1, 4)], [], TWO, 1, id="larger than the machine: alone"),
        pytest.param([due(1, 4)], [at_work(1)], TWO, None, id="larger: not beside others"),
        pytest.param([due(1, 1)], [at_work(4)], TWO, None, id="nothing beside what is larger"),
        pytest.param([due(1, 1)], [at_work(1)], TWO, 1, id="two small ones at a time"),
        pytest.param([due(1, 1)], [at_work(1), at_work(1)], TWO, None, id="not three"),
        pytest.param([due(1, 4)], [at_work(4)], EIGHT, 1, id="more on a larger machine"),
        pytest.param([due(1, 1, 1500)], [at_work(1, 600)], TWO, None, id="memory counts"),
        pytest.param([due(1, 1, 5000)], [], TWO, 1, id="more memory than there is: alone"),
        pytest.param([due(1, 0, 5000)], [at_work(4, 2000)], TWO, 1, id="what is short begins"),
        pytest.param([due(1, 1)], [at_work(0, 1950)], TWO, 1, id="and keeps nobody waiting"),
        pytest.param([due(1, 2), due(2, 1)], [at_work(1)], TWO, 2, id="a small one goes ahead"),
        pytest.param(
            [due(1, 2, overtaken=MOST_OVERTAKEN), due(2, 1)],
            [at_work(1)],
            TWO,
            None,
            id="but not for ever",
        ),
        pytest.param(
            [due(1, 2, overtaken=MOST_OVERTAKEN), due(2, 1), due(3, 0)],
            [at_work(1)],
            TWO,
            3,
            id="room is kept, what takes none begins",
        ),
        pytest.param(
            [due(1, 2, priority=HIGH), due(2, 1)],
            [at_work(1)],
            TWO,
            None,
            id="never ahead of what people wait for",
        ),
        pytest.param(
            [due(1, 0.3), due(2, 0.3)],
            [at_work(0.1) for _ in range(9)],
            Machine(1.2, 100_000),
            1,
            id="fractions add up",
        ),
    ],
)
def test_which_job_begins(
    waiting: list[Due], running: list[Running], machine: Machine, chosen: int | None
) -> None:
    job = choose(waiting, running, machine)
    assert (job and job.id) == chosen


def test_every_job_begins_in_the_end() -> None:
    """A stream of small ones that never ends, and one that needs the whole machine."""
    big, overtaken = 1, 0
    running = [at_work(1)]
    for turn in range(2, 50):
        job = choose([due(big, 2, overtaken=overtaken), due(turn, 1)], running, TWO)
        if job is not None and job.id == big:
            return
        if job is not None:
            overtaken += 1
            running.append(at_work(job.cores))
        running.pop(0)  # the oldest ends
    raise AssertionError("the big one never began")


def background(progress: float = 0.2, *, made_way: int = 0, cores: float = 4) -> Running:
    return Running(1, cores, 400, LOW, background=True, progress=progress, made_way=made_way)


POST = due(2, 4, priority=HIGH)


@pytest.mark.parametrize(
    ("job", "waiting", "others", "machine", "expected"),
    [
        pytest.param(background(), POST, [], TWO, True, id="people come first"),
        pytest.param(background(0.5), POST, [], TWO, False, id="half of it is done"),
        pytest.param(background(made_way=MOST_MADE_WAY), POST, [], TWO, False, id="often enough"),
        pytest.param(Running(1, 4, 400), POST, [], TWO, False, id="somebody waits for it, too"),
        pytest.param(background(), due(2, 4), [], TWO, False, id="an eager encode can wait"),
        pytest.param(background(), due(2, 2, priority=SOON), [], TWO, True, id="a preview can't"),
        pytest.param(background(), POST, [], EIGHT, False, id="there is room for both"),
        pytest.param(
            background(cores=1), POST, [at_work(2)], TWO, False, id="it would not be enough"
        ),
    ],
)
def test_what_makes_way_for_people(
    job: Running, waiting: Due, others: list[Running], machine: Machine, expected: bool
) -> None:
    assert (job.id in who_makes_way(waiting, [job, *others], machine)) is expected


def test_as_few_as_will_do_make_way_together() -> None:
    small = Running(1, 1, 100, LOW, background=True)
    two = Running(2, 2, 100, LOW, background=True, progress=0.4)
    other = Running(3, 2, 100, LOW, background=True, progress=0.1)
    four = Machine(4.0, 4000)
    assert who_makes_way(POST, [two, other], four) == {2, 3}
    assert who_makes_way(due(9, 2, priority=HIGH), [two, other], four) == {3}
    another = replace(small, id=4)
    assert who_makes_way(due(9, 3, priority=HIGH), [small, another, two], Machine(5.0, 4000)) == {2}
    # For what nobody holds room for, only one that is enough alone.
    assert who_makes_way(due(9, 4, priority=SOON), [two, other], four) == set()
    assert who_makes_way(due(9, 2, priority=SOON), [two, other], four) == {3}


@pytest.mark.parametrize(
    ("affinity", "quota", "available_mib", "limit_mib", "expected"),
    [
        pytest.param(2, None, 3800, None, Machine(2.0, 3420), id="a tenth is left"),
        pytest.param(8, 1.5, 3800, None, Machine(1.5, 3420), id="a quota"),
        pytest.param(2, 4.0, 3800, None, Machine(2.0, 3420), id="a quota above the affinity"),
        pytest.param(2, None, 16_000, 2048, Machine(2.0, 1792), id="a limit; 256 MiB are left"),
        pytest.param(2, None, 1000, 2048, Machine(2.0, 744), id="a limit above what is free"),
        pytest.param(1, None, 300, None, Machine(1.0, 256), id="never nothing"),
    ],
)
def test_what_a_machine_carries(
    affinity: int,
    quota: float | None,
    available_mib: int,
    limit_mib: int | None,
    expected: Machine,
) -> None:
    found = judge(affinity=affinity, quota=quota, available_mib=available_mib, limit_mib=limit_mib)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000\n", None), ("150000 100000\n", 1.5), (None, None), ("", None), ("7", None)],
)
def test_the_quota_of_a_control_group(text: str | None, expected: float | None) -> None:
    assert cpu_quota(text) == expected


def test_the_settings_are_stronger_than_what_was_measured() -> None:
    measured = machine_of(Settings())
    assert measured.cores >= 0.01
    assert measured.memory_mib >= 256
    chosen = machine_of(Settings(encode_cores=6.5, encode_memory="3 GiB"))  # type: ignore[arg-type]  # pydantic reads units
    assert chosen == Machine(6.5, 3072)
    assert thread_count(chosen) == 6
    assert thread_count(Machine(0.5, 100)) == 1
