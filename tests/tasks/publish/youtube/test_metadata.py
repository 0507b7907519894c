"""What is written about a video, and what is refused before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.publish.publisher import MediaFacts, PostDraft
from tasks.publish.publishers.youtube.metadata import (
    address_of,
    caption_language,
    is_short,
    playlist_id,
    rfc3339,
    snippet_for,
    status_for,
)
from tasks.publish.publishers.youtube.publisher import YouTubePublisher
from tasks.publish.registry import capabilities_of

FACTS = MediaFacts(1000, duration_s=10.0, width=160, height=90)


def findings(title: str = "Title", description: str = "", **options: Any) -> set[str]:
    draft = PostDraft(title, description, options)
    found = YouTubePublisher.validate(YouTubePublisher.__new__(YouTubePublisher), draft, FACTS)
    return {finding.field for finding in found if finding.must}


@pytest.mark.parametrize(
    ("title", "description", "options", "expected"),
    [
        ("a" * 100, "", {}, set()),
        ("a" * 101, "", {}, {"title"}),
        ("ü" * 100, "", {}, set()),  # characters, not bytes
        ("", "", {}, {"title"}),
        ("   ", "", {}, {"title"}),
        ("1 < 2", "", {}, {"title"}),
        ("x", "a" * 5000, {}, set()),
        ("x", "ü" * 2500, {}, set()),
        ("x", "ü" * 2501, {}, {"description"}),  # bytes, not characters
        ("x", "🎉" * 1251, {}, {"description"}),
        ("x", "<b>", {}, {"description"}),
        ("x", "", {"tags": ",".join(["a" * 49] * 10)}, set()),  # 490 and 9 commas
        ("x", "", {"tags": ",".join(["a" * 49] * 10) + ",b"}, {"tags"}),
        ("x", "", {"tags": ",".join(["a b" + "c" * 46] * 10)}, {"tags"}),  # two quotes each
        ("x", "", {"privacy": "friends"}, {"privacy"}),
        ("x", "", {"privacy": "unlisted"}, set()),
        ("x", "", {"category": "999"}, {"category"}),
        ("x", "", {"playlist": "my favourites"}, {"playlist"}),
        ("x", "", {"playlist": "PL0123456789"}, set()),
        ("x", "", {"language": "German!"}, {"language"}),
        ("x", "", {"language": "zh-Hant-TW"}, set()),
    ],
)
def test_what_youtube_would_refuse_is_said_before(
    title: str, description: str, options: dict[str, Any], expected: set[str]
) -> None:
    assert findings(title, description, **options) == expected


@pytest.mark.parametrize(
    ("width", "height", "seconds", "expected"),
    [
        (1080, 1920, 60.0, True),
        (1080, 1080, 180.0, True),  # square, three minutes
        (1080, 1080, 180.1, False),
        (1920, 1080, 60.0, False),
        (None, None, 60.0, False),
        (1080, 1920, None, False),
    ],
)
def test_shorts(
    width: int | None, height: int | None, seconds: float | None, expected: bool
) -> None:
    facts = MediaFacts(1, duration_s=seconds, width=width, height=height)
    assert is_short(facts) is expected
    assert ("/shorts/" in address_of("https://www.youtube.com", "abc", facts)) is expected


def test_a_status_keeps_what_nobody_meant_to_change() -> None:
    current = {
        "privacyStatus": "private",
        "publishAt": "2026-12-01T00:00:00Z",
        "selfDeclaredMadeForKids": False,
        "containsSyntheticMedia": True,
        "embeddable": False,
        "license": "creativeCommon",
        "publicStatsViewable": False,
        "uploadStatus": "processed",  # not ours to write
        "madeForKids": False,
    }
    assert status_for(current, "public", None) == {
        "privacyStatus": "public",
        "selfDeclaredMadeForKids": False,
        "containsSyntheticMedia": True,
        "embeddable": False,
        "license": "creativeCommon",
        "publicStatsViewable": False,
    }
    at = datetime(2026, 12, 24, 18, tzinfo=UTC)
    held = status_for(current, "public", at)
    assert (held["privacyStatus"], held["publishAt"]) == ("private", "2026-12-24T18:00:00Z")
    # YouTube knows whole seconds, and nothing goes out before its time.
    a_bit_later = status_for(current, "public", at.replace(microsecond=1))
    assert a_bit_later["publishAt"] == "2026-12-24T18:00:01Z"


def test_a_snippet_keeps_what_nobody_meant_to_change() -> None:
    current = {
        "title": "Old",
        "tags": ["a"],
        "categoryId": "19",
        "channelId": "UC",
        "thumbnails": {},
    }
    assert snippet_for(current, "New", "Text") == {
        "title": "New",
        "description": "Text",
        "tags": ["a"],
        "categoryId": "19",
    }


def test_times_are_written_in_utc() -> None:
    assert rfc3339(datetime.fromisoformat("2026-12-24T18:00:00+01:00")) == "2026-12-24T17:00:00Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PLabcdefghij", "PLabcdefghij"),
        ("https://www.youtube.com/playlist?list=PLabcdefghij", "PLabcdefghij"),
        ("https://www.youtube.com/watch?v=x&list=PLabcdefghij&index=2", "PLabcdefghij"),
        ("News", None),
        ("https://www.youtube.com/", None),
    ],
)
def test_playlists_are_named_by_id_or_address(text: str, expected: str | None) -> None:
    assert playlist_id(text) == expected


def test_the_language_of_captions() -> None:
    from tests.tasks.publish.youtube.test_metadata import FACTS as facts

    def target(**options: Any) -> Any:
        from tasks.publish.publisher import Target

        return Target("m", PostDraft("x", "", options), facts, None, None, "", {}, {}, {})

    said = "WEBVTT\nKind: captions\nLanguage: de\n\n00:00.000 --> 00:01.000\nHallo\n"
    assert caption_language(target(), said) == "de"
    assert caption_language(target(language="de-CH"), said) == "de-CH"
    assert caption_language(target(), "WEBVTT\n\n00:00.000 --> 00:01.000\nLanguage: fr\n") == "en"


def test_the_capabilities_are_youtubes() -> None:
    capabilities = capabilities_of("youtube")
    assert capabilities is not None
    assert capabilities.title is not None and capabilities.title.maximum == 100
    assert capabilities.description is not None and capabilities.description.unit == "bytes"
    assert {bucket.name: bucket.limit for bucket in capabilities.buckets} == {
        "uploads": 100,
        "units": 10_000,
    }
    assert all(bucket.resets == "America/Los_Angeles" for bucket in capabilities.buckets)
    assert {option.name for option in capabilities.options} >= {
        "privacy", "made_for_kids", "synthetic_media", "category", "tags", "playlist",
    }  # fmt: skip
