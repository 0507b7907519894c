"""What YouTube's refusals mean, and when a quota is full again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.publish.publisher import Failed, MustEdit, NeedsReconnect, NotThere, RetryAt
from tasks.publish.publishers.youtube.errors import ROWS, quota_reset, step_of, verdict_on
from tasks.publish.remote import Refused
from web.practice.google.google import STATUS_OF

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def refused(status: int, reason: str | None = None, **headers: str) -> Refused:
    errors = [{"domain": "youtube", "reason": reason}] if reason else []
    data: dict[str, Any] = {"error": {"code": status, "message": "No", "errors": errors}}
    return Refused(status, "No", detail=f"HTTP {status}: raw", data=data, headers=headers)


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (401, "authError", NeedsReconnect),
        (401, "youtubeSignupRequired", NeedsReconnect),
        (401, None, NeedsReconnect),
        (403, "insufficientPermissions", NeedsReconnect),
        (403, "quotaExceeded", RetryAt),
        (403, "rateLimitExceeded", RetryAt),  # the same status, another fate
        (403, "forbidden", Failed),
        (403, None, Failed),
        (403, "accessNotConfigured", Failed),
        (400, "uploadLimitExceeded", RetryAt),
        (429, None, RetryAt),
        (400, "invalidTitle", MustEdit),
        (400, "invalidTags", MustEdit),
        (400, "invalidPublishAt", MustEdit),
        (400, "mediaBodyRequired", MustEdit),
        (404, "videoNotFound", NotThere),
        (404, None, NotThere),
        (400, "somethingNew", Failed),
        (418, None, Failed),
    ],
)
def test_the_reason_decides(status: int, reason: str | None, kind: type) -> None:
    step = step_of(refused(status, reason), NOW)
    assert type(step) is kind
    if not isinstance(step, NotThere):
        assert step.reason.endswith(".") or "No" in step.reason  # type: ignore[union-attr]
        assert "HTTP" in step.detail  # type: ignore[union-attr]


def test_each_row_has_a_date_a_source_and_a_sentence_of_its_own() -> None:
    reasons = [row.reason for row in ROWS]
    assert len(reasons) == len(set(reasons))
    for row in ROWS:
        datetime.strptime(row.as_of, "%Y-%m")
        assert row.source.startswith("developers.google.com/youtube/")
        assert "oops" not in row.sentence.lower() and "please" not in row.sentence.lower()
    assert set(STATUS_OF) - {"captionExists"} <= set(reasons)  # all that the stand-in can say


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-21T12:00:00+00:00", "2026-11-22T08:00:00+00:00"),  # standard time
        ("2026-07-01T12:00:00+00:00", "2026-07-02T07:00:00+00:00"),  # summer time
        ("2026-03-08T07:59:00+00:00", "2026-03-08T08:00:00+00:00"),  # the evening before the change
        ("2026-03-08T08:01:00+00:00", "2026-03-09T07:00:00+00:00"),  # the day has 23 hours
        ("2026-11-01T07:01:00+00:00", "2026-11-02T08:00:00+00:00"),  # it has 25
        ("2028-02-29T09:00:00+00:00", "2028-03-01T08:00:00+00:00"),
    ],
)
def test_quotas_are_full_again_at_midnight_in_california(at: str, expected: str) -> None:
    assert quota_reset(datetime.fromisoformat(at)) == datetime.fromisoformat(expected)


def test_waits_that_youtube_names_are_not_counted() -> None:
    quota = step_of(refused(403, "quotaExceeded"), NOW)
    assert isinstance(quota, RetryAt)
    assert (quota.when, quota.counted) == (quota_reset(NOW), False)
    day = step_of(refused(400, "uploadLimitExceeded"), NOW)
    assert isinstance(day, RetryAt)
    assert (day.when, day.counted) == (NOW + timedelta(hours=24), False)
    named = step_of(refused(429, "rateLimitExceeded", **{"retry-after": "90"}), NOW)
    assert isinstance(named, RetryAt)
    assert (named.when, named.counted) == (NOW + timedelta(seconds=90), False)
    unnamed = step_of(refused(403, "userRateLimitExceeded"), NOW)
    assert isinstance(unnamed, RetryAt)
    assert (unnamed.when, unnamed.counted) == (None, True)


@pytest.mark.parametrize("errors", [None, [], ["x"], [{}], "x"])
def test_errors_of_a_strange_shape_are_read_by_their_status(errors: Any) -> None:
    strange = Refused(403, "No", data={"error": {"errors": errors}})
    assert isinstance(step_of(strange, NOW), Failed)
    assert isinstance(step_of(Refused(403, "No", data={"error": "x"}), NOW), Failed)


def test_a_video_that_youtube_gave_up_says_why() -> None:
    assert verdict_on({"uploadStatus": "processed"}, "") is None
    assert verdict_on({"uploadStatus": "uploaded"}, "") is None
    unknown = verdict_on({"uploadStatus": "rejected", "rejectionReason": "newOne"}, "raw")
    assert unknown is not None
    assert "newOne" in unknown.reason
    assert unknown.detail == "raw"
