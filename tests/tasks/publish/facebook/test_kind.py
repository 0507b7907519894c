"""Reel or Page video, and the words of Facebook's status; all pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from appliance.settings import Settings
from tasks.acceptance import FACEBOOK_VIDEO, delivery_for
from tasks.publish import rules
from tasks.publish.graph_errors import GRAPH_ERRORS, find_row
from tasks.publish.publisher import Finding, MediaFacts, PostDraft
from tasks.publish.publishers.facebook.kind import Kind, choose_kind
from tasks.publish.publishers.facebook.publisher import FacebookPublisher
from tasks.publish.publishers.facebook.status import Seen, read


def facts(seconds: float | None, width: int | None, height: int | None) -> MediaFacts:
    return MediaFacts(1000, duration_s=seconds, width=width, height=height)


@pytest.mark.parametrize(
    ("media", "kind", "words"),
    [
        pytest.param(facts(30, 1080, 1920), Kind.REEL, "upright", id="fits"),
        pytest.param(facts(3, 540, 960), Kind.REEL, "upright", id="just fits"),
        pytest.param(facts(90, 606, 1080), Kind.REEL, "upright", id="nearly 9:16"),
        pytest.param(facts(2.9, 1080, 1920), Kind.VIDEO, "3 to 90 s", id="short"),
        pytest.param(facts(90.5, 1080, 1920), Kind.VIDEO, "3 to 90 s", id="long"),
        pytest.param(facts(30, 1920, 1080), Kind.VIDEO, "1920 × 1080", id="lying"),
        pytest.param(facts(30, 1080, 1080), Kind.VIDEO, "9:16", id="square"),
        pytest.param(facts(30, 360, 640), Kind.VIDEO, "540 × 960", id="few pixels"),
        pytest.param(facts(None, 1080, 1920), Kind.VIDEO, "isn't known", id="unknown length"),
        pytest.param(facts(30, None, None), Kind.VIDEO, "isn't known", id="unknown size"),
    ],
)
def test_the_kind_follows_from_shape_and_length(media: MediaFacts, kind: Kind, words: str) -> None:
    chosen = choose_kind(media, {})
    assert (chosen.kind, chosen.faults) == (kind, ())
    assert words in chosen.why
    if media.duration_s and media.width:  # the card in the browser says the same
        assert rules.form_of("facebook", media) == f"a {kind.value}"


def test_a_wish_decides_and_a_reel_that_cannot_be_is_refused_before_any_call() -> None:
    upright = facts(30, 1080, 1920)
    assert choose_kind(upright, {"kind": "video"}).kind is Kind.VIDEO
    assert rules.form_of("facebook", upright, "video") == "a video"
    assert rules.form_of("facebook", upright, "auto") == "a reel"
    lying = facts(30, 1920, 1080)
    assert choose_kind(lying, {"kind": "reel"}).faults != ()
    publisher = FacebookPublisher(Settings())
    draft = PostDraft("Title", "Text", {"kind": "reel"})
    musts = [found for found in publisher.validate(draft, lying) if found.must]
    assert len(musts) == 1 and "can't be a Reel" in musts[0].message
    fine = publisher.validate(PostDraft("Title", "Text"), lying)
    assert fine == [
        Finding(
            "kind",
            "It goes out as a Page video, not as a Reel: the picture is 1920 × 1080, and a Reel is "
            "9:16.",
            must=False,
        )
    ]


def test_who_wishes_a_reel_gets_a_version_that_can_be_one() -> None:
    assert delivery_for("facebook", {"kind": "reel"}).profiles == ("social", "vertical", "reel")
    assert delivery_for("facebook", {"kind": "auto"}).place is FACEBOOK_VIDEO
    assert delivery_for("facebook", {}).profiles == ("social",)


def status(word: str, up: str = "", work: str = "", out: str = "", **more: Any) -> dict[str, Any]:
    phases = {
        name: {"status": value}
        for name, value in (
            ("uploading_phase", up),
            ("processing_phase", work),
            ("publishing_phase", out),
        )
        if value
    }
    for name, values in more.items():
        phases[name].update(values)
    return {"status": {"video_status": word, **phases}}


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (status("uploading", "in_progress"), Seen.UPLOADING),
        (status("upload_complete", "complete", "not_started", "not_started"), Seen.UPLOADED),
        (status("upload_complete", "completed", "not_started", "not_started"), Seen.UPLOADED),
        (status("processing", "complete", "in_progress", "not_started"), Seen.PROCESSING),
        # Of a page's own example: accepted, nothing begun.
        (status("processing", "complete", "not_started", "not_started"), Seen.PROCESSING),
        (status("ready", "complete", "complete", "not_started"), Seen.READY),
        (
            status("ready", "complete", "complete", "not_started",
                   publishing_phase={"publish_status": "draft"}),
            Seen.READY,
        ),
        (
            status("ready", "complete", "complete", "not_started",
                   publishing_phase={"publish_status": "scheduled", "publish_time": 1800000000}),
            Seen.SCHEDULED,
        ),
        (
            status("ready", "complete", "complete", "complete",
                   publishing_phase={"publish_status": "published"}),
            Seen.PUBLISHED,
        ),
        (status("ready", "complete", "complete", "completed"), Seen.PUBLISHED),
        (
            status("ready", "complete", "complete", "in_progress",
                   publishing_phase={"publish_status": "published"}),
            Seen.PROCESSING,
        ),
        ({**status("ready"), "published": True}, Seen.PUBLISHED),
        ({**status("ready"), "published": False}, Seen.READY),
        (status("error", "complete", "error", "not_started"), Seen.REJECTED),
        (status("ready", "complete", "complete", "error"), Seen.REJECTED),
        (status("upload_failed", "error"), Seen.BROKEN),
        (status("expired", "complete"), Seen.BROKEN),
        (status("brand_new_word"), Seen.UNKNOWN),
        ({}, Seen.UNKNOWN),
        ({"status": "odd"}, Seen.UNKNOWN),
    ],
)  # fmt: skip
def test_a_status_is_read_into_one_word(data: dict[str, Any], seen: Seen) -> None:
    assert read(data).seen is seen


def test_details_of_a_status() -> None:
    spelled = status("uploading", "in_progress", uploading_phase={"bytes_transfered": 50002})
    assert read(spelled).offset == 50002
    other = status("uploading", "in_progress", uploading_phase={"bytes_transferred": "7"})
    assert read(other).offset == 7
    wrong = {"errors": [{"code": 1, "message": "Too wide"}]}
    assert read(status("error", "complete", "error", processing_phase=wrong)).message == "Too wide"
    held = read({**status("ready", "complete"), "scheduled_publish_time": 1800000000})
    assert held.until == datetime(2027, 1, 15, 8, tzinfo=UTC)
    text = read({**status("ready"), "scheduled_publish_time": "2027-01-15T08:00:00+0000"})
    assert text.until == held.until


def test_every_row_of_the_table_is_dated_sourced_and_says_what_to_do() -> None:
    for row in GRAPH_ERRORS:
        assert row.as_of >= "2026-11" and row.source and row.sentence.endswith((".", "”"))
        assert row.code is not None or row.subcode is not None
    said = [(row.code, row.subcode) for row in GRAPH_ERRORS]
    assert len(said) == len(set(said))


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ({"code": 100, "error_subcode": 33}, "not_found"),
        ({"code": 100}, "parameter"),
        ({"code": "100"}, "parameter"),
        ({"code": 200}, "permission"),
        ({"code": 299}, "permission"),
        ({"code": 80001}, "rate_limit"),
        ({"code": 6001, "error_subcode": 1363037}, "wrong_offset"),
        ({"code": 6001, "error_subcode": 1}, "upload_failed"),
        ({"code": 4, "error_subcode": 99}, "rate_limit"),
        ({"code": 300}, None),
        ({}, None),
        ({"code": True}, None),
        ({"code": [1]}, None),
    ],
)
def test_subcodes_decide_before_codes(error: dict[str, Any], word: str | None) -> None:
    row = find_row(error, GRAPH_ERRORS)
    assert (row.word if row else None) == word
