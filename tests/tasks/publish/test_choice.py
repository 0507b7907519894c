"""Which file of a video a platform gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance.states import RenditionState
from tasks.acceptance import (
    ACCEPTANCES,
    DELIVERIES,
    INSTAGRAM_REEL,
    PRACTICE,
    WISHED_DELIVERIES,
    Acceptance,
    Delivery,
    whole_faults,
)
from tasks.probe.facts import Edits, Probe
from tasks.profiles import PROFILES
from tasks.publish.choice import Choice, Known, Use, accepts, choose, fitting_profiles
from tests.tasks.test_plan import FITS, video

INSTAGRAM, REELS = DELIVERIES["instagram"], WISHED_DELIVERIES["facebook", "reel"]
LYING = {"width": 1920, "height": 1080, "shown_width": 1920, "shown_height": 1080}


def film(seconds: float = 30.0, megabytes: float = 20.0, **changes: Any) -> Probe:
    return replace(FITS, duration_s=seconds, size_bytes=int(megabytes * 1e6), **changes)


def ready(probe: Probe) -> Known:
    return Known(RenditionState.READY, probe)


PENDING = Known(RenditionState.PENDING)
BROKEN = Known(RenditionState.FAILED, error="It is damaged.")


@pytest.mark.parametrize(
    ("delivery", "original", "profile"),
    [
        pytest.param(INSTAGRAM, film(), "social", id="fits"),
        pytest.param(INSTAGRAM, film(600, 400), "instagram", id="a copy would be too large"),
        pytest.param(INSTAGRAM, film(600, 400, **video(codec="vp9")), "social",
                     id="an encode might fit: seen when it is there"),
        pytest.param(INSTAGRAM, film(901), None, id="too long for any"),
        pytest.param(INSTAGRAM, film(2.5), None, id="too short for any"),
        pytest.param(INSTAGRAM, film(**video(**LYING)), "social", id="any shape will do"),
        pytest.param(REELS, film(), "social", id="vertical already"),
        pytest.param(REELS, film(**video(**LYING)), "vertical", id="made vertical"),
        pytest.param(REELS, film(95), "reel", id="cut"),
        pytest.param(REELS, film(95, **video(**LYING)), "reel", id="made vertical and cut"),
        pytest.param(REELS, film(2.0), None, id="no reel is so short"),
        pytest.param(REELS, film(**video(width=360, height=640, shown_width=360,
                                         shown_height=640)), "vertical", id="too few pixels"),
        pytest.param(DELIVERIES["youtube"], film(7200, 9000), "social", id="two hours"),
        pytest.param(DELIVERIES["facebook"], film(600, **video(**LYING)), "social",
                     id="any shape of a Page video"),
        pytest.param(DELIVERIES["facebook"], film(5 * 3600), None, id="too long for a Page video"),
        pytest.param(DELIVERIES["practice"], film(7200, 3000), "social", id="practice"),
        pytest.param(DELIVERIES["folder"], film(1), "social", id="folder"),
        pytest.param(INSTAGRAM, film(**video(width=1920, height=176, shown_width=1920,
                                             shown_height=176)), None, id="a strip"),
        pytest.param(INSTAGRAM, None, "social", id="nobody has looked yet"),
    ],
)  # fmt: skip
def test_a_platform_gets_the_first_rendition_that_fits(
    delivery: Delivery, original: Probe | None, profile: str | None
) -> None:
    assert next(iter(fitting_profiles(delivery, original, {})), None) == profile


def test_a_file_that_is_there_counts_as_it_is_not_as_it_was_expected() -> None:
    original = film(600, 200, **video(codec="vp9"))
    known = {"social": ready(film(600, 700))}
    assert fitting_profiles(INSTAGRAM, original, {})[0] == "social"
    chosen = choose(INSTAGRAM, original, known)
    assert (chosen.use, chosen.profile) == (Use.WAIT, "instagram")
    assert "700 MB are too many" in chosen.why
    known["instagram"] = ready(film(600, 280))
    assert choose(INSTAGRAM, original, known).use is Use.RENDITION


def test_what_is_ready_goes_before_what_would_have_to_be_made() -> None:
    known = {"social": PENDING, "instagram": ready(film())}
    assert choose(INSTAGRAM, film(), known) == Choice(
        Use.RENDITION, "instagram", "“Instagram, under 300 MB” is for Instagram Reels."
    )


def test_where_the_social_rendition_failed_another_that_fits_is_made() -> None:
    chosen = choose(INSTAGRAM, film(), {"social": BROKEN}, original_here=True)
    assert (chosen.use, chosen.profile) == (Use.WAIT, "instagram")
    assert "“Social-ready” could not be made" in chosen.why
    chosen = choose(INSTAGRAM, film(), {"social": BROKEN, "instagram": BROKEN})
    assert (chosen.use, chosen.profile) == (Use.FAILED, "social")


@pytest.mark.parametrize(
    ("original", "use"),
    [
        pytest.param(film(), Use.ORIGINAL, id="fits as it is"),
        pytest.param(film(edits=Edits.SHIFT), Use.FAILED, id="an edit list"),
        pytest.param(film(**video(codec="vp9")), Use.FAILED, id="another codec"),
        pytest.param(film(**video(turned=True)), Use.FAILED, id="turned by a note"),
        pytest.param(film(faststart=False), Use.FAILED, id="index last"),
        pytest.param(film(has_location=True), Use.FAILED, id="tells where it was recorded"),
        pytest.param(None, Use.FAILED, id="nobody has looked"),
    ],
)
def test_the_original_goes_out_where_it_is_accepted(original: Probe | None, use: Use) -> None:
    chosen = choose(DELIVERIES["practice"], original, {"social": BROKEN}, original_here=True)
    assert chosen.use is use
    assert "It is damaged." in chosen.why
    assert ("original goes out" in chosen.why) == (use is Use.ORIGINAL)


def test_the_original_has_to_be_there_and_no_rendition_may_be_on_its_way() -> None:
    here = {"original_here": True, "takes_any": True}
    broken = {"social": BROKEN, "instagram": BROKEN}
    assert choose(INSTAGRAM, film(), broken).use is Use.FAILED
    assert choose(INSTAGRAM, film(), broken, **here).use is Use.ORIGINAL
    assert choose(INSTAGRAM, film(), {"social": PENDING}, **here).use is Use.WAIT
    assert choose(INSTAGRAM, film(), {"social": ready(film())}, **here).use is Use.RENDITION


def test_a_platform_that_takes_anything_takes_any_original() -> None:
    odd = film(**video(codec="vp9", turned=True))
    arguments = {"original_here": True, "takes_any": True}
    assert choose(DELIVERIES["folder"], odd, {"social": BROKEN}, **arguments).use is Use.ORIGINAL


def test_what_can_never_fit_says_why() -> None:
    chosen = choose(INSTAGRAM, film(1200), {"social": ready(film(1200))})
    assert chosen.use is Use.NOTHING
    assert "Instagram Reels" in chosen.why and "20 min are too long. Cut it" in chosen.why
    short = choose(INSTAGRAM, film(2.0), {}).why
    assert short.endswith("2 s are too short. Upload a longer one.")


def test_accepting_means_form_and_whole() -> None:
    assert accepts(INSTAGRAM_REEL, film())
    assert not accepts(INSTAGRAM_REEL, film(megabytes=301))
    assert accepts(PRACTICE, film(megabytes=301))
    assert not accepts(PRACTICE, None)


@pytest.mark.parametrize("place", ACCEPTANCES, ids=lambda place: place.key)
def test_what_an_acceptance_names_is_dated_and_sourced(place: Acceptance) -> None:
    assert place.as_of >= "2026-11" and place.source
    assert whole_faults(film(), place) == []


def test_deliveries_name_profiles_of_films() -> None:
    for delivery in DELIVERIES.values():
        assert delivery.profiles[0] == "social"
        assert all(PROFILES[name].targets is not None for name in delivery.profiles)
