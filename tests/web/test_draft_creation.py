"""draft-ietf-httpbis-resumable-upload (interop 8): “Upload Creation”, “Limits”, versions.

Each test names the section whose words it holds the server to.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import httpx
import pytest

from appliance.access import Scope
from appliance.models import Role, Source, Upload, Video
from appliance.states import UploadState, VideoState
from tests.web.draft_wire import (
    BODY,
    DRAFT,
    TYPES,
    digest,
    head,
    made,
    original,
    patch,
    post,
    probes,
    raw,
    state,
)
from tests.web.serving import Served, add_user, browser, script, wait_until

if TYPE_CHECKING:
    from appliance.models import User
    from storage.layout import Layout

LIMIT = f"max-size={20 * 1024**3}, max-age="


# Upload Creation


def test_creation_one_request_is_enough(sender: httpx.Client, box: Layout) -> None:
    answer = post(
        sender,
        BODY,
        Upload_Complete="?1",
        Content_Type="video/mp4",
        Content_Disposition='inline; filename="file name.mp4"; '
        "filename*=UTF-8''Ferien%20%E2%82%AC.mp4",
    )
    assert answer.status_code == 201
    assert answer.headers["Upload-Complete"] == "?1"
    video = Video.get()
    assert answer.json() == {
        "video_id": video.public_id,
        "state": "received",
        "status_url": f"{sender.base_url}/api/v1/videos/{video.public_id}/status",
    }
    assert answer.headers["Location"] == f"/api/v1/videos/{video.public_id}"
    assert (video.title, video.state, video.source) == (
        "Ferien €",
        VideoState.RECEIVED,
        Source.API,
    )
    assert original(box) == BODY
    assert probes() == 1
    row = Upload.get()
    assert (row.protocol, row.content_type, row.length) == ("draft", "video/mp4", len(BODY))
    assert row.complete_declared
    assert "Tus-Resumable" not in answer.headers


def test_creation_careful_that_is_without_content(sender: httpx.Client) -> None:
    answer = post(sender, Upload_Complete="?0", Upload_Length="300000")
    assert answer.status_code == 201
    assert answer.headers["Upload-Complete"] == "?0"
    assert answer.headers["Upload-Offset"] == "0"
    assert answer.headers["Upload-Limit"].startswith(LIMIT)
    assert answer.headers["Location"].startswith("/files/")  # relative: right behind any proxy
    assert state(sender, answer.headers["Location"]) == ("?0", 0)
    assert Upload.get().length == 300_000


def test_creation_with_the_first_part(sender: httpx.Client, box: Layout) -> None:
    answer = post(sender, BODY[:100_000], Upload_Complete="?0", Upload_Length=str(len(BODY)))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "100000")
    assert answer.headers["Upload-Limit"].startswith(LIMIT)
    last = patch(sender, answer.headers["Location"], 100_000, BODY[100_000:], "?1")
    assert (last.status_code, last.headers["Upload-Complete"]) == (201, "?1")
    assert original(box) == BODY


def test_creation_of_an_empty_representation(sender: httpx.Client) -> None:
    answer = post(sender, Upload_Complete="?1")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    assert Video.get().state is VideoState.RECEIVED


def test_creation_with_content_of_unknown_size(sender: httpx.Client, box: Layout) -> None:
    answer = post(sender, iter([BODY[:100_000], BODY[100_000:]]), Upload_Complete="?1")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    assert original(box) == BODY
    assert Video.get().size_bytes == len(BODY)


def test_creation_needs_somebody_who_may(one_server: Served, owner: User) -> None:
    with httpx.Client(base_url=one_server.url) as nobody:
        answer = post(nobody, Upload_Complete="?0")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    viewer = add_user("viewer@example.org", Role.VIEWER)
    with script(one_server.url, viewer) as client:
        assert post(client, Upload_Complete="?0").status_code == 403
    with script(one_server.url, owner, [Scope.READ]) as client:
        assert post(client, Upload_Complete="?0").status_code == 403
    with browser(one_server.url, owner) as client:
        assert post(client, Upload_Complete="?0").status_code == 201
        assert Video.get().source is Source.BROWSER


@pytest.mark.parametrize("complete", ["?2", "true", "1", "?0, ?0", ""])
def test_creation_completeness_that_is_none_counts_as_missing(
    sender: httpx.Client, complete: str
) -> None:
    """“Other values MUST cause the entire header field to be ignored.”"""
    answer = post(sender, BODY, Upload_Complete=complete)
    assert answer.status_code == 400
    assert "Upload-Complete" in answer.json()["detail"]
    assert Upload.select().count() == 0


def test_creation_takes_parameters_of_fields_as_none(sender: httpx.Client) -> None:
    answer = post(sender, BODY, Upload_Complete="?1;later=yes", Upload_Length="300000; x=1")
    assert answer.status_code == 201


def test_creation_by_post_alone(sender: httpx.Client) -> None:
    answer = sender.put("/files", headers={**DRAFT, "Upload-Complete": "?1"}, content=BODY)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("disposition", "title"),
    [
        ('inline; filename="a b.mp4"', "a b"),
        ("attachment; filename=plain.mp4", "plain"),
        ("inline; FileName*=utf-8''%C3%BCber.mp4", "über"),
        ("inline; filename*=iso-8859-1''%FCber.mp4; filename=x.mp4", "über"),
        ('inline; filename="../../etc/passwd.mp4"', "passwd"),
        ('inline; filename="über.mp4"', "über"),
        ("inline", "video"),
        ("inline; filename*=nonsense", "nonsense"),
    ],
)
def test_creation_representation_metadata(
    one_server: Served, sender: httpx.Client, disposition: str, title: str
) -> None:
    headers = [
        (b"Upload-Complete", b"?0"),
        (b"Content-Disposition", disposition.encode()),
    ]
    assert sender.post("/files", headers=headers).status_code == 201
    assert Video.get().title == title


def test_creation_refuses_content_codings(sender: httpx.Client) -> None:
    """Videos are stored as they come; nobody would decode this one."""
    answer = post(sender, BODY, Upload_Complete="?1", Content_Encoding="gzip")
    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "identity")
    assert Upload.select().count() == 0


def test_creation_that_is_cut_leaves_nothing(
    one_server: Served, sender: httpx.Client, box: Layout
) -> None:
    """Without an interim answer nobody has heard of the upload resource."""
    lines = [
        "Upload-Complete: ?1",
        f"Content-Length: {len(BODY)}",
        f"Authorization: {sender.headers['Authorization']}",
    ]
    with raw(one_server.url, "POST", "/files", lines, BODY[:1000]):
        wait_until("the upload has begun", lambda: Upload.select().count() == 1)
    wait_until("it is over", lambda: Upload.get().state is UploadState.TERMINATED)
    wait_until("the file is gone", lambda: not list(box.uploads.iterdir()))
    assert Video.select().count() == 0


# Length


def test_length_indicators_must_match(sender: httpx.Client) -> None:
    """“If indicators (1) and (2) are both present in the same request, they MUST match.”"""
    answer = post(sender, BODY, Upload_Complete="?1", Upload_Length="5")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Upload-Complete"] == "?0"
    assert answer.json()["type"] == TYPES + "inconsistent-upload-length"
    assert answer.json()["title"] == "inconsistent length values for upload"
    assert Upload.select().count() == 0


def test_length_smaller_than_the_part_that_comes(sender: httpx.Client) -> None:
    answer = post(sender, BODY, Upload_Complete="?0", Upload_Length="299999")
    assert answer.json()["type"] == TYPES + "inconsistent-upload-length"
    assert Upload.select().count() == 0


@pytest.mark.parametrize("length", ["-1", "1.5", "many", "1000000000000000", "5, 5", '"5"'])
def test_length_that_is_none_is_ignored(sender: httpx.Client, length: str) -> None:
    location = made(sender, Upload_Length=length)
    assert Upload.get().length is None
    assert "Upload-Length" not in head(sender, location).headers


# Limits


def test_limits_in_the_answer_to_options(sender: httpx.Client) -> None:
    """“… the server MUST include the Upload-Limit header field …”"""
    for headers in (DRAFT, {}):
        answer = sender.options("/files", headers=headers)
        assert answer.status_code == 204
        assert answer.headers["Upload-Limit"] == f"{LIMIT}86400"
    assert "Tus-Resumable" not in sender.options("/files", headers=DRAFT).headers
    assert sender.options("/files", headers=DRAFT).headers["Allow"] == "POST, OPTIONS"


def test_limits_are_enforced_and_told(sender: httpx.Client) -> None:
    """“A server responding with a 413 … SHOULD include the Upload-Limit header field.”"""
    answer = post(sender, Upload_Complete="?0", Upload_Length=str(21 * 1024**3))
    assert answer.status_code == 413
    assert answer.headers["Upload-Limit"].startswith(LIMIT)
    assert answer.json()["code"] == "too_large"
    assert Upload.select().count() == 0


def test_limits_of_the_disk(sender: httpx.Client, one_server: Served) -> None:
    settings = one_server.settings
    sizes = [int(settings.max_upload_bytes)] * 60
    answers = [post(sender, Upload_Complete="?0", Upload_Length=str(size)) for size in sizes]
    refused = next(answer for answer in answers if answer.status_code != 201)
    assert refused.status_code in (429, 507)  # whichever this disk reaches first
    assert refused.headers["Upload-Complete"] == "?0"


def test_limits_max_age_does_not_shrink(sender: httpx.Client) -> None:
    """“… the end of the upload resource's lifetime … SHOULD NOT decrease.”"""
    location = made(sender, Upload_Length=str(len(BODY)))
    before = Upload.get().expires_at
    patch(sender, location, 0, BODY[:10])
    assert Upload.get().expires_at >= before


# Draft Version Identification


def test_version_is_that_of_the_text(sender: httpx.Client) -> None:
    """“The current interop version is 8.”"""
    answer = sender.options("/files", headers=DRAFT)
    assert answer.headers["Upload-Draft-Interop-Version"] == "8"


@pytest.mark.parametrize("version", ["8", "6", "99", "x"])
def test_version_no_interim_answer_is_sent(
    one_server: Served, sender: httpx.Client, version: str
) -> None:
    """“… MUST NOT send a 104 … when the interop version is missing or mismatching.”

    Nor otherwise: ASGI has no way to. The upload itself works.
    """
    lines = [
        f"Upload-Draft-Interop-Version: {version}",
        "Upload-Complete: ?1",
        "Content-Length: 5",
        f"Authorization: {sender.headers['Authorization']}",
    ]
    with raw(one_server.url, "POST", "/files", lines, b"12345") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 201")


def test_version_may_be_missing(sender: httpx.Client) -> None:
    """As clients of the standard to come will have it: all four questions work without."""
    created = sender.post("/files", headers={"Upload-Complete": "?0"})
    assert created.status_code == 201
    location = created.headers["Location"]
    headers = {
        "Upload-Complete": "?0",
        "Upload-Offset": "0",
        "Content-Type": "application/partial-upload",
    }
    assert sender.patch(location, headers=headers, content=b"abc").status_code == 204
    for method in ("HEAD", "GET"):
        answer = sender.request(method, location)
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "3")
        assert "Tus-Resumable" not in answer.headers
    assert sender.delete(location).status_code == 204


def test_tus_clients_are_still_asked_for_their_version(sender: httpx.Client) -> None:
    answer = sender.post("/files", headers={"Upload-Length": "5"})
    assert (answer.status_code, answer.headers["Tus-Version"]) == (412, "1.0.0")
    created = sender.post("/files", headers={"Upload-Length": "5", "Tus-Resumable": "1.0.0"})
    assert sender.head(created.headers["Location"]).status_code == 412


# Status Code 104: “the server MUST NOT omit the 100 (Continue) response”


def test_expectation_is_answered_before_the_content(
    one_server: Served, sender: httpx.Client
) -> None:
    lines = [
        "Upload-Complete: ?1",
        "Content-Length: 5",
        "Expect: 100-continue",
        f"Authorization: {sender.headers['Authorization']}",
    ]
    with raw(one_server.url, "POST", "/files", lines) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(b"12345")
        answer = http.client.HTTPResponse(connection, method="POST")
        answer.begin()
        assert answer.status == 201


def test_expectation_of_what_is_refused_gets_the_refusal_alone(
    one_server: Served, sender: httpx.Client
) -> None:
    lines = [
        "Upload-Complete: ?1",
        "Content-Length: 5",
        "Upload-Length: 6",
        "Expect: 100-continue",
        f"Authorization: {sender.headers['Authorization']}",
    ]
    with raw(one_server.url, "POST", "/files", lines) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


# Integrity Digests


def test_digest_of_the_content_is_checked(sender: httpx.Client, box: Layout) -> None:
    for algorithm in ("sha-256", "sha-512"):
        answer = post(sender, BODY, Upload_Complete="?1", Content_Digest=digest(BODY, algorithm))
        assert answer.status_code == 201, answer.text
    refused = post(sender, BODY, Upload_Complete="?1", Content_Digest=digest(b"other"))
    assert (refused.status_code, refused.json()["code"]) == (400, "digest_mismatch")
    assert "Location" not in refused.headers
    assert Video.select().count() == 2
    assert list(box.uploads.iterdir()) == []


@pytest.mark.parametrize("value", ["sha-256=abc", "sha-256=:YQ==:", "sha-256", "=", "sha-256=:!:"])
def test_digest_that_is_none(sender: httpx.Client, value: str) -> None:
    for name in ("Content_Digest", "Repr_Digest"):
        answer = post(sender, BODY, Upload_Complete="?1", **{name: value})
        assert answer.status_code == 400
    assert Upload.select().count() == 0


def test_digest_by_an_unknown_algorithm_is_ignored(sender: httpx.Client) -> None:
    """RFC 9530 §2: “A recipient MAY ignore any or all digests.”"""
    answer = post(sender, BODY, Upload_Complete="?1", Content_Digest="unixsum=:YQ==:")
    assert answer.status_code == 201
