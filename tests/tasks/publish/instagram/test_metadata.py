from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.publish.graph_errors import GRAPH_ERRORS, Fate
from tasks.publish.publisher import Done, MediaFacts, PostDraft
from tasks.publish.publishers.instagram.answers import in_its_name
from tasks.publish.publishers.instagram.held import Held, Way
from tasks.publish.publishers.instagram.look import twins_among
from tasks.publish.publishers.instagram.metadata import (
    can_be_fetched,
    caption_of,
    collaborators_of,
    container_form,
    findings,
    fingerprint,
    same_text,
)
from tasks.publish.publishers.instagram.publisher import InstagramPublisher

FACTS = MediaFacts(1_000_000, duration_s=20.0, width=1080, height=1920)


def draft(text: str = "At the lake", **options: object) -> PostDraft:
    return PostDraft("A title", text, options)


def messages(post: PostDraft, facts: MediaFacts = FACTS) -> list[str]:
    return [finding.message for finding in findings(post, facts) if finding.must]


def test_the_caption_is_the_description_or_the_title() -> None:
    assert caption_of(draft(" At the lake\n")) == "At the lake"
    assert caption_of(draft(" ")) == "A title"


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("", []),
        ("ada", ["ada"]),
        ("@ada, grace.h;@ada", ["ada", "grace.h"]),
        (["@ada", " "], ["ada"]),
    ],
)
def test_collaborators_are_read_as_people_write_them(said: object, names: list[str]) -> None:
    assert collaborators_of(draft(collaborators=said)) == names


def test_what_instagram_would_refuse_is_found_before_any_call() -> None:
    assert messages(draft()) == []
    assert len(messages(draft("a" * 2201))) == 1
    assert len(messages(draft("😀" * 1101))) == 1  # an emoji counts as two
    assert len(messages(draft("#a " * 31))) == 1
    assert len(messages(draft("@a " * 21))) == 1
    assert len(messages(draft(collaborators="a, b, c, d"))) == 1
    assert len(messages(draft(collaborators="no one!"))) == 1
    assert len(messages(draft(cover_at_s=20.0))) == 1
    assert messages(draft(cover_at_s=19.9)) == []
    assert len(messages(draft(), MediaFacts(300_000_001, duration_s=20.0))) == 1
    assert len(messages(draft(), MediaFacts(1000, duration_s=901.0))) == 1
    assert len(messages(draft(), MediaFacts(1000, duration_s=2.0))) == 1


def test_a_cover_by_address_goes_before_a_moment() -> None:
    form = container_form(
        draft(cover_at_s=2), video_url="https://v.example/a", cover_url="https://v.example/c"
    )
    assert form["cover_url"] == "https://v.example/c"
    assert "thumb_offset" not in form


@pytest.mark.parametrize(
    ("url", "reached"),
    [
        ("https://video.example.org/public/a.mp4", True),
        ("http://video.example.org/public/a.mp4", False),
        ("https://localhost/a.mp4", False),
        ("https://box/a.mp4", False),
        ("https://box.local/a.mp4", False),
        ("https://192.168.1.4/a.mp4", False),
        ("https://93.184.215.14/a.mp4", True),
        ("https://video.example.org/öffentlich.mp4", False),
        (None, False),
    ],
)
def test_only_public_https_addresses_are_handed_over(url: str | None, reached: bool) -> None:
    assert can_be_fetched(url, practice=False) is reached


def test_the_stand_in_reaches_this_box() -> None:
    assert can_be_fetched("http://127.0.0.1:1/a.mp4", practice=True)


def test_the_fingerprint_changes_with_what_a_container_has_fixed() -> None:
    prints = [
        fingerprint(draft()),
        fingerprint(draft("At the other lake")),
        fingerprint(draft(share_to_feed=False)),
        fingerprint(draft(collaborators="ada")),
        fingerprint(draft(cover_at_s=3)),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint(draft(first_comment="First!")) == prints[0]


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    at = datetime(2028, 2, 29, 23, 59, tzinfo=UTC)
    held = Held("17", Way.BYTES, 2, "/x", True, at, "f00", at, "18")
    assert Held.of(held.checkpoint()) == held
    assert Held.of({}) == Held()
    assert Held.of({"container": "17", "of a newer version": 1}) == Held("17")


def test_reels_are_told_apart_by_caption_kind_and_time() -> None:
    since = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)

    def row(id: str, caption: str, at: str, kind: str = "REELS") -> dict[str, str]:
        return {"id": id, "caption": caption, "timestamp": at, "media_product_type": kind}

    rows = [
        row("1", "At  the lake ", "2026-11-21T18:00:03+0000"),
        row("2", "At the lake", "2026-11-21T17:00:00+0000"),  # of the day before, so to speak
        row("3", "At the lake", "2026-11-21T18:00:03+0000", "STORY"),
        row("4", "Elsewhere", "2026-11-21T18:00:03+0000"),
        row("5", "At the lake", "no time"),
        "no row",
    ]
    assert twins_among(rows, "At the lake", since) == [Done("1", None)]
    assert same_text("Caf\u00e9", "Cafe\u0301")


def test_the_capabilities_are_those_of_reels() -> None:
    capabilities = InstagramPublisher.capabilities
    assert capabilities.needs_public_url
    assert capabilities.staged_lifetime_s == 86400
    assert not capabilities.can_delete and not capabilities.can_edit
    assert {option.name for option in capabilities.options} == {"share_to_feed", "collaborators"}


def test_what_metas_table_says_is_said_of_instagram() -> None:
    """But for the sign-in, which is Facebook's."""
    said = [in_its_name(row.sentence) for row in GRAPH_ERRORS if row.fate is not Fate.RECONNECT]
    assert [sentence for sentence in said if "Facebook" in sentence] == []
    assert in_its_name("The password of the Facebook account was changed.").count("Facebook") == 1
