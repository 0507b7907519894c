"""What admins choose about profiles, and what is older than that."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.clock import now
from appliance.errors import InvalidInput
from appliance.models import AuditEntry, Rendition
from appliance.states import RenditionState, VideoState
from tasks import profile_choices, profiles, renditions
from tasks.profiles import SOCIAL
from tests.factories import make_user, make_video

pytestmark = pytest.mark.usefixtures("db")


def made(recipe: str, **columns: Any) -> Rendition:
    return Rendition.create(
        video=make_video(state=VideoState.READY, **columns),
        profile=SOCIAL.name,
        recipe=recipe,
        state=RenditionState.READY,
    )


def test_choices_make_what_was_made_before_stale_and_going_back_makes_it_current() -> None:
    old = made(SOCIAL.recipe)
    assert not renditions.is_stale(old)
    profile_choices.save({"social": {"crf": 18, "long_side": 1280}}, make_user())
    chosen = profiles.current("social")
    assert chosen.targets is not None
    assert (chosen.targets.crf, chosen.targets.long_side, chosen.targets.short_side) == (
        18,
        1280,
        720,
    )
    assert renditions.is_stale(old)
    assert profile_choices.stale_counts() == {"social": 1}
    new = made(chosen.recipe)
    assert not renditions.is_stale(new)
    profile_choices.save({"social": {"crf": None, "long_side": 1920}}, None)
    assert profiles.current("social") == SOCIAL
    assert not renditions.is_stale(old)
    assert renditions.is_stale(new)


def test_what_can_not_be_made_anew_is_not_counted() -> None:
    made("0")
    made("0", deleted_at=now(), original_removed_at=now())
    assert profile_choices.stale_counts() == {"social": 1}


def test_all_stale_rows_and_no_others_meet_the_condition() -> None:
    rows = [made(recipe) for recipe in ("0", SOCIAL.recipe, "1-abcdef01", "9")]
    found = set(Rendition.select().where(profile_choices.stale_condition()))
    assert found == {row for row in rows if renditions.is_stale(row)}
    assert len(found) == 3


def test_what_is_not_named_stays_and_each_change_is_written_down() -> None:
    admin = make_user()
    profile_choices.save({"social": {"crf": 18}, "preview": {"audio_bps": 96_000}}, admin)
    profile_choices.save({"social": {"preset": "fast"}}, admin)
    assert profile_choices.chosen() == {
        "social": {"crf": 18, "preset": "fast"},
        "preview": {"audio_bps": 96_000},
    }
    profile_choices.save({"social": None}, admin)
    profile_choices.save({"social": None}, admin)  # nothing changes, nothing is written
    assert profile_choices.chosen() == {"preview": {"audio_bps": 96_000}}
    entries = list(AuditEntry.select().where(AuditEntry.action == "profiles.change"))
    assert len(entries) == 3
    assert entries[-1].detail["before"]["social"] == {"crf": 18, "preset": "fast"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"social": {"crf": 5}}, "social.crf"),
        ({"social": {"crf": True}}, "social.crf"),
        ({"social": {"crf": "18"}}, "social.crf"),
        ({"social": {"long_side": 1000}}, "social.long_side"),
        ({"preview": {"preset": "placebo"}}, "preview.preset"),
        ({"preview": {"audio_bps": 1}}, "preview.audio_bps"),
        ({"social": {"fps": ("30",)}}, "social.fps"),
        ({"vertical": {"crf": 20}}, "vertical"),
    ],
)
def test_choices_that_make_no_sense_change_nothing(changes: Any, field: str) -> None:
    good = {"social": {"audio_bps": 96_000}}
    with pytest.raises(InvalidInput) as caught:
        profile_choices.save({**good, **changes}, None)
    assert caught.value.field == field
    assert profile_choices.chosen() == {}
