"""Which backups stay, and keys as people type them: without a box."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.errors import InvalidInput
from storage.backups import format, recovery_key
from storage.backups.format import BackupDamaged
from storage.backups.keeping import Keep, superfluous

START = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)


def nightly(nights: int) -> dict[str, datetime]:
    return {f"{n:03d}": START + timedelta(days=n) for n in range(nights)}


def test_days_weeks_and_months_stay() -> None:
    made = nightly(200)

    kept = sorted(set(made) - set(superfluous(made, Keep(7, 4, 6), UTC)))

    assert kept[-7:] == [f"{n:03d}" for n in range(193, 200)]
    assert 12 <= len(kept) <= 17
    assert len({made[name].strftime("%Y-%m") for name in kept}) == 6


def test_a_box_that_was_off_keeps_what_it_has() -> None:
    made = nightly(5)
    assert superfluous(made, Keep(7, 0, 0), UTC) == []
    assert superfluous({"a": START}, Keep(1, 0, 0), UTC) == []


def test_of_one_day_the_newest_stays() -> None:
    made = {"a": START, "b": START + timedelta(hours=1)}
    assert superfluous(made, Keep(1, 1, 1), UTC) == ["a"]


def test_a_clock_that_was_set_back_makes_no_backup_older() -> None:
    before = [format.new_name(START + timedelta(days=n), []) for n in range(9)]
    name = format.new_name(START - timedelta(days=2000), [*before, "20999999T000000Z", "notes"])
    assert name == "20260109T023001Z" and max(before) < name
    made = {one: START + timedelta(days=n) for n, one in enumerate(before)}
    made[name] = START - timedelta(days=2000)

    assert name not in superfluous(made, Keep(3, 0, 0), UTC)
    assert superfluous(made, Keep(3, 0, 0), UTC) == before[:7]


ENTRY = {"path": f"media/{'0' * 26}/original", "size_bytes": 1, "sha256": "0" * 64}
PART = {"size_bytes": 1, "sha256": "0" * 64}
STRANGE: list[dict[str, Any]] = [
    {"files": [{**ENTRY, "path": "media/../secret.key"}]},
    {"files": [{**ENTRY, "path": "media/aaaa/../../secret.key"}]},
    {"files": [{**ENTRY, "size_bytes": "1"}]},
    {"files": [{**ENTRY, "sha256": "../../secret.key"}]},
    {"files": [ENTRY, ENTRY]},
    {"parts": {}},
    {"parts": {"appliance.db": PART, "../appliance.db": PART}},
    {"parts": {"appliance.db": {"size_bytes": None, "sha256": 1}}},
    {"created_at": "2026-01-01T00:00:00"},
    {"created_at": "0001-01-01T00:00:00Z"},
    {"rows": ["video"]},
    {"schema": "0001"},
    {"problems": ["\ud800"]},
    {"name": "20260102T000000Z"},
    {"format": 2},
]


@pytest.mark.parametrize("strange", STRANGE, ids=str)
def test_a_manifest_from_anywhere_is_believed_in_nothing(strange: dict[str, Any]) -> None:
    name, database = "20260101T000000Z", format.Part(1, "0" * 64)
    good = format.dump(
        format.Manifest(
            name, START, "1", ["0001"], "k", {"video": 1}, {"appliance.db": database}, []
        )
    )
    assert format.load(good, name).created_at == START
    value = {**json.loads(good), **strange}
    del value["checksum"]
    with suppress(UnicodeEncodeError):
        value["checksum"] = format._checksum(value)

    with pytest.raises(BackupDamaged) as told:
        format.load(json.dumps(value).encode(), name)
    assert all(f"{name}/manifest.json" in problem for problem in told.value.problems)
    assert told.value.problems
    with pytest.raises(BackupDamaged):
        format.load(b"[" * 100_000, name)


def test_a_key_with_a_wrong_letter_is_told_as_such() -> None:
    key, verifier = recovery_key.make()
    assert recovery_key.fits(key.lower().replace("-", ""), verifier)
    wrong = ("2" if key[0] != "2" else "3") + key[1:]
    with pytest.raises(InvalidInput, match="letter"):
        recovery_key.fits(wrong, verifier)
    with pytest.raises(InvalidInput, match="seven groups"):
        recovery_key.fits("abc", verifier)
