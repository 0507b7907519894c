"""The readiness card: what is well, what is fixed without asking, what somebody has to change."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.states import RenditionState
from tasks.acceptance import DELIVERIES, FACEBOOK_REEL, Delivery
from tasks.probe.facts import Probe
from tasks.publish import readiness, rules
from tasks.publish.choice import Known, choose
from tasks.publish.publisher import PostDraft
from tasks.publish.readiness import Level, Readiness, mend_text
from tests.tasks.publish.test_choice import LYING, film, ready
from tests.tasks.test_plan import video

REELS = Delivery(FACEBOOK_REEL, ("social", "vertical", "reel"))


def assess(
    platform: str,
    original: Probe | None,
    known: dict[str, Known] | None = None,
    draft: PostDraft | None = None,
    *,
    delivery: Delivery | None = None,
    asked: dict[str, set[str]] | None = None,
) -> Readiness:
    delivery = delivery or DELIVERIES[platform]
    known = known or {}
    return readiness.assess(
        platform,
        delivery,
        choose(delivery, original, known),
        draft or PostDraft("Title", "Text"),
        lambda draft, facts: rules.check(platform, draft, facts),
        original=original,
        known=known,
        asked=asked,
    )


def said(found: Readiness) -> list[tuple[Level, str]]:
    return [(item.level, item.code) for item in found.items]


@pytest.mark.parametrize(
    ("platform", "original", "level", "codes"),
    [
        ("youtube", film(), Level.READY, []),
        ("youtube", film(1000), Level.READY, ["note"]),
        ("instagram", film(901), Level.CHANGE, ["too_long_video"]),
        ("instagram", film(2.5), Level.CHANGE, ["too_short_video"]),
        ("instagram", film(600, 400), Level.FIXED, ["converted", "waits"]),
        ("instagram", film(**video(codec="vp9")), Level.FIXED, ["converted", "waits"]),
        ("instagram", film(**video(**LYING)), Level.READY, ["lies"]),
    ],
)
def test_the_level_says_who_has_to_do_something(
    platform: str, original: Probe, level: Level, codes: list[str]
) -> None:
    known = {} if level is Level.FIXED else {"social": ready(original)}
    found = assess(platform, original, known)
    assert found.level is level
    assert [item.code for item in found.items] == codes


def test_what_is_done_without_asking_is_told_by_name() -> None:
    original = film(95, audio=None, **video(**LYING))
    found = assess("facebook_reels", original, delivery=REELS)
    assert found.profile == "reel"
    assert [item.message for item in found.items] == [
        "The picture isn't 9:16: it is put in the middle of one that is, with itself blurred "
        "around it.",
        "Only the first 1:30 go out.",
        "There is no sound: silence is added.",
        "“Reel, 9:16, the first 90 seconds” has to be made first; the post waits for it.",
    ]
    assert {item.level for item in found.items} == {Level.FIXED}


def test_a_video_that_is_too_long_can_be_trimmed_by_one_press() -> None:
    (item,) = assess("instagram", film(901), {"social": ready(film(901))}).items
    assert item.message == "The video lasts 15:01; Instagram takes at most 15:00."
    assert [fix.name for fix in item.fixes] == ["version:reel"]


def test_nothing_helps_a_video_that_is_too_short() -> None:
    (item,) = assess("instagram", film(2.5)).items
    assert item.fixes == ()


def test_a_lying_picture_is_offered_an_upright_version() -> None:
    original = film(30, **video(**LYING))
    (item,) = assess("instagram", original, {"social": ready(original)}).items
    assert (item.level, [fix.name for fix in item.fixes]) == (Level.READY, ["version:vertical"])


def test_a_failed_version_has_to_be_looked_at() -> None:
    broken = Known(RenditionState.FAILED, error="It is damaged.")
    found = assess("youtube", film(), {"social": broken})
    assert said(found) == [(Level.CHANGE, "version_failed")]
    assert "It is damaged." in found.items[0].message


def test_nothing_is_known_yet_of_a_video_that_arrives() -> None:
    found = assess("instagram", None)
    assert said(found) == [(Level.FIXED, "waits")]


def test_links_of_other_accounts_are_checked_together() -> None:
    draft = PostDraft("t", "See {youtube_url}")
    alone = assess(
        "instagram", film(), {"social": ready(film())}, draft, asked={"instagram": {"youtube"}}
    )
    assert said(alone) == [(Level.CHANGE, "no_account_for_link")]
    (fix,) = alone.items[0].fixes
    assert mend_text("instagram", *fix.name.split(":")[1:2], draft.description,
                     fix.name.split(":")[2]) == "See"  # fmt: skip
    both = {"instagram": {"youtube"}, "youtube": set[str]()}
    assert assess("instagram", film(), {"social": ready(film())}, draft, asked=both).level is (
        Level.READY
    )


@pytest.mark.parametrize(
    ("platform", "texts"),
    [
        ("youtube", {"title": "One <b>word</b> more " * 9, "description": "é" * 3000 + ">"}),
        ("youtube", {"title": "👩‍🚒" * 60, "description": "word " * 2000}),
        ("instagram", {"title": "", "description": "x " + " ".join(f"#tag{n}" for n in range(40))}),
        ("instagram", {"title": "", "description": "y" * 2190 + "{youtube_url} and more"}),
        ("facebook", {"title": "word " * 100, "description": ""}),
    ],
)  # fmt: skip
def test_one_press_mends_what_is_wrong_with_a_text(platform: str, texts: dict[str, str]) -> None:
    def assessed() -> Readiness:
        draft = PostDraft(texts["title"], texts["description"])
        return assess(
            platform, film(), {"social": ready(film())}, draft, delivery=DELIVERIES["youtube"]
        )

    assert assessed().level is Level.CHANGE
    for _ in range(6):
        fixes = [fix.name for item in assessed().items for fix in item.fixes if "text:" in fix.name]
        if not fixes:
            break
        _kind, field, how = fixes[0].split(":")
        texts[field] = mend_text(platform, field, texts[field], how)
    assert assessed().level is Level.READY
    assert texts["title"] or platform == "instagram"
    assert "�" not in str(texts) and not texts["title"].endswith("\u200d…")


def test_hashtags_that_stay_are_the_first_and_the_text_around_them_is_kept() -> None:
    text = " ".join(["Hello", *(f"#t{n}" for n in range(31)), "and bye #t30 C#"])
    mended: Any = mend_text("instagram", "description", text, "hashtags")
    assert mended.startswith("Hello #t0 #t1 ")
    assert mended.endswith("#t29 and bye C#")
