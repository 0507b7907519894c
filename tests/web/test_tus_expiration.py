"""tus 1.0.0, "Expiration"."""

from __future__ import annotations

import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from appliance.clock import now
from appliance.models import Upload
from tests.web.tus_client import BYTES, create, head, location_of, made, patch, post

if TYPE_CHECKING:
    from datetime import datetime

    import httpx

    from storage.layout import Layout
    from tests.web.serving import Served

# RFC 9110 §5.6.7, IMF-fixdate
_DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d "
    r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT"
)


def expiry(answer: httpx.Response) -> datetime:
    text = answer.headers["Upload-Expires"]
    assert _DATE.fullmatch(text)
    return parsedate_to_datetime(text)


def test_it_is_said_when_it_is_created(sender: httpx.Client, one_server: Served) -> None:
    """If known at the creation, MUST be included in the response to the initial POST."""
    due = now() + timedelta(hours=one_server.settings.upload_idle_hours)
    for answer in (create(sender, 5), post(sender, b"x", Upload_Length="5", **BYTES)):
        assert abs((expiry(answer) - due).total_seconds()) < 60


def test_it_is_said_with_every_answer_to_a_patch(sender: httpx.Client) -> None:
    """MUST be included in every PATCH response if the upload is going to expire."""
    location = made(sender, 100)
    answers = [
        patch(sender, location, 0, b"abc"),
        patch(sender, location, 0, b"abc"),
        patch(sender, location, 3, b"x", Upload_Length="99"),
        patch(sender, location, 3, b"x", Upload_Checksum="crc32 AAAAAA=="),
        patch(sender, location, 3, b"x" * 98),
        patch(sender, location, 3, iter([b"x" * 50, b"x" * 48])),
    ]
    assert [a.status_code for a in answers] == [204, 409, 400, 460, 413, 413]
    for answer in answers:
        expiry(answer)


def test_bytes_renew_it(sender: httpx.Client, one_server: Served) -> None:
    """Its value MAY change over time."""
    location = made(sender, 5)
    soon = now() + timedelta(minutes=5)
    Upload.update(expires_at=soon).execute()
    assert abs((expiry(head(sender, location)) - soon).total_seconds()) < 2
    idle_s = one_server.settings.upload_idle_hours * 3600
    after = expiry(patch(sender, location, 0, b"x"))
    assert (after - now()).total_seconds() > idle_s - 60
    assert expiry(head(sender, location)) == after


def test_what_is_complete_does_not_expire(sender: httpx.Client) -> None:
    location = made(sender, 3)
    answers = [patch(sender, location, 0, b"abc"), head(sender, location), create(sender, 0)]
    assert all("Upload-Expires" not in answer.headers for answer in answers)


@pytest.mark.parametrize("concat", [{}, {"Upload-Concat": "partial"}], ids=["whole", "part"])
def test_an_expired_upload_is_gone(
    sender: httpx.Client, box: Layout, concat: dict[str, str]
) -> None:
    """SHOULD respond with 410 if the Server is keeping track of expired uploads."""
    location = location_of(create(sender, 5, **concat))
    Upload.update(expires_at=Upload.touched_at).execute()
    answers = [patch(sender, location, 0, b"x"), head(sender, location)]
    assert [a.status_code for a in answers] == [410, 410]
    assert "got no bytes for too long" in answers[0].text
    assert list(box.uploads.iterdir()) == []
