"""The rules of texts and files: Python and the browser's module give the same answers."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks import acceptance
from tasks.publish import counting, rules
from tasks.publish.publisher import Finding, MediaFacts, PostDraft
from tasks.publish.publishers.youtube.metadata import SHORT_MAX_S
from tests.web.browser_modules import running_modules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.browser_modules import Modules

VECTORS = json.loads((Path(__file__).parent / "vectors/rules.json").read_text(encoding="utf-8"))
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])


@pytest.fixture(scope="module")
def browser() -> Iterator[Modules]:
    with running_modules() as modules:
        yield modules


def as_list(findings: list[Finding]) -> list[list[Any]]:
    return [[f.field, f.code, f.must, f.message] for f in findings]


def find(vector: dict[str, Any]) -> list[list[Any]]:
    platform, texts = vector["platform"], vector.get("texts", {})
    found = rules.check_texts(platform, texts) if texts else []
    if "asked" in vector:
        found += rules.check_links(platform, texts, vector["asked"])
    if "facts" in vector:
        found += rules.check_media(platform, MediaFacts(**vector["facts"]))
    return as_list(found)


@each_vector
def test_python_finds_what_the_vector_says(vector: dict[str, Any]) -> None:
    assert find(vector) == vector["finds"]


@each_vector
def test_browser_finds_what_the_vector_says(vector: dict[str, Any], browser: Modules) -> None:
    assert browser.call("postRules", rules=rules.rules(), vector=vector) == vector["finds"]


def test_browser_counts_as_python_does_whatever_is_typed(browser: Modules) -> None:
    """Seeded texts of the signs that matter: both sides count alike."""
    chance = random.Random(5)
    signs = [
        *"#＃@&/_.,;! \n\tab1é日ש",
        "😀",
        "👩‍🚒",
        "❤️",
        "{youtube_url}",
        "&#39;",
        "a@b.c",
        "<",
        ">",
    ]
    texts = ["".join(chance.choices(signs, k=chance.randrange(60))) for _ in range(400)]
    expected = [
        [
            counting.count_utf16(text),
            counting.count_bytes(text),
            counting.count_tags(text),
            counting.find_hashtags(text),
            counting.find_mentions(text),
        ]
        for text in texts
    ]
    assert browser.call("postCounts", texts=texts) == expected


def test_rules_and_what_renditions_are_made_for_name_the_same_limits() -> None:
    (instagram,) = rules.rules()["instagram"]["media"]
    place = acceptance.INSTAGRAM_REEL
    assert (instagram["max_bytes"], instagram["min_duration_s"], instagram["max_duration_s"]) == (
        (place.max_bytes, place.min_duration_s, place.max_duration_s)
    )
    reel = rules.rules()["facebook"]["media"][0]
    place = acceptance.FACEBOOK_REEL
    assert (reel["min_duration_s"], reel["max_duration_s"], tuple(reel["shape"])) == (
        (place.min_duration_s, place.max_duration_s, place.shape)
    )
    assert (reel["min_width"], reel["min_height"]) == (place.min_width, place.min_height)
    short, youtube = rules.rules()["youtube"]["media"]
    assert short["max_duration_s"] == SHORT_MAX_S
    assert youtube["max_duration_s"] == acceptance.YOUTUBE.max_duration_s
    assert youtube["max_bytes"] == acceptance.YOUTUBE.max_bytes


@pytest.mark.parametrize("platform", rules.rules())
def test_every_platform_says_when_and_where_its_rules_were_read(platform: str) -> None:
    rule = rules.rules()[platform]
    assert rule["label"] and rule["source"]
    assert len(rule["as_of"]) == 7


def test_a_draft_is_checked_with_the_texts_among_its_options() -> None:
    draft = PostDraft("t", "d", {"first_comment": "a" * 2201, "tags": "x", "kids": True})
    found = rules.check("instagram", draft, MediaFacts(size_bytes=0))
    assert [(f.field, f.code) for f in found] == [("first_comment", "too_long")]


def test_which_form_a_file_takes_is_told() -> None:
    tall = MediaFacts(size_bytes=1, duration_s=30, width=1080, height=1920)
    wide = MediaFacts(size_bytes=1, duration_s=30, width=1920, height=1080)
    assert rules.form_of("facebook", tall) == "a reel"
    assert rules.form_of("facebook", wide) == "a video"
    assert rules.form_of("youtube", wide) == "a video"
    assert rules.form_of("youtube", tall) == "a Short"
    unknown = MediaFacts(size_bytes=1)
    assert rules.form_of("youtube", unknown) == ""
