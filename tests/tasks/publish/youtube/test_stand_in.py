"""The stand-in of Google: as strict as the real one where posts depend on it."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from appliance.models import Role
from tests.tasks.publish.youtube.channel import CHANNEL, CLIENT, STEP, film
from tests.web.serving import add_user, browser, prepare, served
from web.practice.google import grants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings
    from tests.tasks.publish.youtube.channel import Channel

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")


@pytest.fixture
def google(channel: Channel) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=channel.google.base) as client:
        yield client


def asked(channel: Channel, **changes: str) -> dict[str, str]:
    return {
        "client_id": CLIENT["client_id"],
        "redirect_uri": f"{channel.stand.settings.base_url}/connect/google/callback",
        "response_type": "code",
        "scope": " ".join(grants.CONSENTED),
        "access_type": "offline",
        "prompt": "consent",
        "state": "s&t",
        "code_challenge": CHALLENGE.decode(),
        "code_challenge_method": "S256",
        **changes,
    }


def code_for(google: httpx.Client, channel: Channel, choose: str = CHANNEL, **changes: str) -> str:
    query = {**asked(channel, **changes), "choose": choose}
    answer = google.get("/o/oauth2/v2/auth", params=query)
    assert answer.status_code == 302
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert back["state"] == ["s&t"]
    return back["code"][0]


def redeem(google: httpx.Client, channel: Channel, code: str, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        **CLIENT,
        "redirect_uri": asked(channel)["redirect_uri"],
        "code_verifier": VERIFIER,
        **changes,
    }
    return google.post("/token", data=form)


def test_a_consent_becomes_tokens_once(google: httpx.Client, channel: Channel) -> None:
    code = code_for(google, channel)
    tokens = redeem(google, channel, code).json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["refresh_token"]
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    mine = google.get("/youtube/v3/channels?part=id,snippet&mine=true", headers=headers).json()
    assert mine["items"][0]["id"] == CHANNEL
    again = redeem(google, channel, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 43},
        {"redirect_uri": "http://127.0.0.1/other"},
    ],
)
def test_a_code_is_for_who_asked_alone(
    google: httpx.Client, channel: Channel, changes: dict[str, str]
) -> None:
    answer = redeem(google, channel, code_for(google, channel), **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "changes", [{"client_id": "another"}, {"client_secret": "secret"}, {"client_secret": ""}]
)
def test_tokens_are_for_this_box_alone(
    google: httpx.Client, channel: Channel, changes: dict[str, str]
) -> None:
    code = code_for(google, channel)
    refused = redeem(google, channel, code, **changes)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    tokens = redeem(google, channel, code).json()  # the code wasn't used up
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], **CLIENT}
    assert google.post("/token", data={**form, **changes}).status_code == 401
    assert google.post("/token", data=form).status_code == 200


def test_who_is_not_known_is_not_asked_for_consent(google: httpx.Client, channel: Channel) -> None:
    answer = google.get("/o/oauth2/v2/auth", params=asked(channel, client_id="another"))
    assert (answer.status_code, "invalid_client" in answer.text) == (401, True)


def test_tokens_are_asked_for_by_a_form(google: httpx.Client, channel: Channel) -> None:
    code = code_for(google, channel)
    answer = google.post("/token", json={"grant_type": "authorization_code", "code": code})
    assert answer.status_code == 401


def test_a_refresh_brings_no_new_refresh_token(google: httpx.Client, channel: Channel) -> None:
    tokens = redeem(google, channel, code_for(google, channel)).json()
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        **CLIENT,
    }
    fresh = google.post("/token", data=form).json()
    assert "refresh_token" not in fresh
    assert fresh["access_token"] != tokens["access_token"]
    assert google.post("/revoke", data={"token": fresh["access_token"]}).status_code == 200
    assert google.post("/token", data=form).json()["error"] == "invalid_grant"
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert google.get("/youtube/v3/channels?mine=true", headers=headers).status_code == 401


def test_without_asking_for_consent_the_second_time_brings_no_lasting_sign_in(
    google: httpx.Client, channel: Channel
) -> None:
    redeem(google, channel, code_for(google, channel))
    second = redeem(google, channel, code_for(google, channel, prompt="")).json()
    assert "refresh_token" not in second


def test_an_app_in_testing_says_when_it_ends(google: httpx.Client, channel: Channel) -> None:
    tokens = redeem(google, channel, code_for(google, channel, f"{CHANNEL}~testing")).json()
    assert tokens["refresh_token_expires_in"] < 7 * 86_400


def test_unticked_boxes_are_missing_from_the_scopes(google: httpx.Client, channel: Channel) -> None:
    tokens = redeem(google, channel, code_for(google, channel, f"{CHANNEL}~unticked")).json()
    assert len(tokens["scope"].split()) == 1


def test_nobody_is_led_away_from_the_box(google: httpx.Client, channel: Channel) -> None:
    for away in ("https://evil.example/x", f"{channel.stand.settings.base_url}.evil.example/"):
        query = asked(channel, redirect_uri=away)
        answer = google.get("/o/oauth2/v2/auth", params={**query, "choose": CHANNEL})
        assert answer.status_code == 400
    refused = google.get("/o/oauth2/v2/auth", params={**asked(channel), "choose": "nobody"})
    assert "error=access_denied" in refused.headers["location"]


def test_an_account_without_a_channel_is_told_so(google: httpx.Client, channel: Channel) -> None:
    token = grants.grant(channel.ground, grants.CHANNELS[2]["id"])["access_token"]
    answer = google.get(
        "/youtube/v3/channels?mine=true", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 401
    assert answer.json()["error"]["errors"][0]["reason"] == "youtubeSignupRequired"


def test_scopes_are_held_to(google: httpx.Client, channel: Channel) -> None:
    token = grants.grant(channel.ground, scopes=[grants.UPLOAD])["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = google.get("/youtube/v3/videos?part=status&id=x", headers=headers)
    assert answer.json()["error"]["errors"][0]["reason"] == "insufficientPermissions"


def open_session(google: httpx.Client, channel: Channel, **headers: str) -> httpx.Response:
    return google.post(
        "/upload/youtube/v3/videos?uploadType=resumable&part=snippet,status",
        json={"snippet": {"title": "x"}, "status": {"privacyStatus": "private"}},
        headers={
            "Authorization": f"Bearer {channel.token}",
            "X-Upload-Content-Length": str(film().stat().st_size),
            "X-Upload-Content-Type": "video/mp4",
            **headers,
        },
    )


@pytest.mark.parametrize(
    ("said", "length", "status", "kept"),
    [
        ("bytes 0-{last}/{total}", STEP, 308, STEP),
        ("bytes 0-99/{total}", 100, 400, 0),  # no multiple of 256 KiB, and not the last
        ("bytes 5-{shifted}/{total}", STEP, 308, 0),  # a gap isn't stored
        ("bytes 0-{last}/99", STEP, 400, 0),
    ],
)
def test_pieces_of_an_upload(
    google: httpx.Client, channel: Channel, said: str, length: int, status: int, kept: int
) -> None:
    session = open_session(google, channel).headers["location"]
    total = film().stat().st_size
    answer = google.put(
        session,
        content=film().read_bytes()[:length],
        headers={"Content-Range": said.format(total=total, last=STEP - 1, shifted=STEP + 4)},
    )
    assert answer.status_code == status
    asks = {"Content-Range": f"bytes */{total}"}
    there = google.put(session, headers=asks)
    assert there.status_code == 308
    assert there.headers.get("range") == (f"bytes=0-{kept - 1}" if kept else None)


def test_a_video_may_be_larger_than_other_bodies(google: httpx.Client, channel: Channel) -> None:
    length = 12_000_000  # Litestar takes 10 MB unless it is told
    headers = {"X-Upload-Content-Length": str(length)}
    session = open_session(google, channel, **headers).headers["location"]
    answer = google.put(session, content=bytes(length))
    assert answer.status_code == 201
    assert channel.videos[0]["size_bytes"] == length


def test_the_parts_of_a_body_are_named(google: httpx.Client, channel: Channel) -> None:
    answer = google.put(
        "/youtube/v3/videos?part=snippet,status",
        json={"id": "x", "status": {"privacyStatus": "public"}},
        headers={"Authorization": f"Bearer {channel.token}"},
    )
    assert answer.json()["error"]["errors"][0]["reason"] == "unexpectedPart"


def test_strangers_leave_no_trace(google: httpx.Client, channel: Channel) -> None:
    channel.fault("*", "break_before")
    channel.fault("*", "blind")
    before = kept(channel)
    large = {"snippet": {"title": "x" * 1_000_000}}
    upload = "/upload/youtube/v3/videos?uploadType=resumable&part=snippet"
    for path in (upload, "/youtube/v3/commentThreads?part=snippet"):
        for headers in ({}, {"Authorization": "Bearer ya29.unknown"}):
            answer = google.post(path, json=large, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["errors"][0]["reason"] == "authError"
    assert google.get("/youtube/v3/videos?part=id&id=x").status_code == 401
    assert google.put(f"{upload}&upload_id=none", content=b"x" * 100).status_code == 404
    form = {**CLIENT, "grant_type": "refresh_token"}
    assert google.post("/token", data={**form, "refresh_token": "no"}).status_code == 400
    assert google.post("/token", data={**form, "refresh_token": "n" * 20_000}).status_code == 413
    assert google.post("/revoke", data={"token": "no"}).status_code == 400
    assert google.post("/revoke", data={"token": "n" * 20_000}).status_code == 413
    assert kept(channel) == before


def kept(channel: Channel) -> list[list[Any]]:
    tables = ("thing", "call", "fault")
    with channel.ground.connection() as db:
        return [db.execute(f"SELECT * FROM {table}").fetchall() for table in tables]


def test_a_long_call_is_noted_in_short(google: httpx.Client, channel: Channel) -> None:
    headers = {"Authorization": f"Bearer {channel.token}"}
    body = {"id": "x", "snippet": {"title": '"' * 100_000}}
    google.put("/youtube/v3/videos?part=snippet", json=body, headers=headers)
    with channel.ground.connection() as db:
        ((length,),) = db.execute("SELECT length(data) FROM call").fetchall()
    assert length <= 16 * 1024
    call = channel.call("videos.update")
    assert call["cut"] is True
    assert call["method"] == "PUT"


def test_what_is_over_is_let_go_at_the_next_start(google: httpx.Client, channel: Channel) -> None:
    ground = channel.ground
    ids = []
    for _ in range(2):
        location = open_session(google, channel).headers["location"]
        ids.append(parse_qs(urlsplit(location).query)["upload_id"][0])
    old, new = ids
    os.utime(channel.google.part(old), (1e9, 1e9))
    code = code_for(google, channel)
    past = "2020-01-01T00:00:00+00:00"
    ground.put("code", "old", {"until": past})
    ground.put("access", "old", {"id": "old", "grant": "none", "until": past})
    channel.google.begin()
    assert [session["id"] for session in ground.all("session")] == [new]
    assert not channel.google.part(old).exists() and channel.google.part(new).exists()
    assert ground.get("code", "old") is None and ground.get("code", code) is not None
    assert ground.get("access", "old") is None and ground.get("access", channel.token) is not None


def test_finished_sessions_are_let_go_while_it_works(
    google: httpx.Client, channel: Channel
) -> None:
    ground = channel.ground
    sessions = []
    for _ in range(3):
        location = open_session(google, channel).headers["location"]
        assert google.put(location, content=film().read_bytes()).status_code == 201
        sessions.append(parse_qs(urlsplit(location).query)["upload_id"][0])
    old, new, removed = (ground.get("session", id)["video"] for id in sessions)
    past = "2020-01-01T00:00:00+00:00"
    ground.change("video", old, lambda video: {**video, "uploaded_at": past})
    ground.remove("video", removed)
    stray = channel.google.file("being-moved")
    stray.touch()  # by a request of this very moment
    channel.google.tidy()
    assert [session["video"] for session in ground.all("session")] == [new]
    assert ground.get("video", old) is not None and channel.google.file(old).exists()
    assert stray.exists()
    stray.unlink()


def test_the_box_itself_runs_it(settings: Settings) -> None:
    """Its tokens aren't taken for the box's, its page is for people with a session."""
    prepare(settings)
    with served(settings) as running:
        base = running.app.state.google.base.removeprefix(running.url)
        token = grants.grant(running.app.state.google.ground)["access_token"]
        with httpx.Client(base_url=running.url) as client:
            headers = {"Authorization": f"Bearer {token}"}
            mine = client.get(f"{base}/youtube/v3/channels?part=id&mine=true", headers=headers)
            assert mine.json()["items"][0]["id"] == CHANNEL
            nobody = client.post(f"{base}/upload/youtube/v3/videos", json={})
            assert nobody.json()["error"]["errors"][0]["reason"] == "authError"
            query: dict[str, Any] = {
                "client_id": CLIENT["client_id"],
                "redirect_uri": f"{running.url}/connect/google/callback",
                "response_type": "code",
                "scope": grants.READ,
            }
            assert client.get(f"{base}/o/oauth2/v2/auth", params=query).status_code != 200
        with browser(running.url, add_user("admin@example.org", Role.ADMIN)) as person:
            page = person.get(f"{base}/o/oauth2/v2/auth", params=query)
            assert page.status_code == 200
            assert "Practice on YouTube" in page.text
            assert "youtube.readonly" in page.text
            short = person.get(f"{base}/shorts/abc")
            assert short.headers["location"] == "/practice/of/youtube/abc"


def test_a_lost_answer_breaks_off_without_a_traceback(
    google: httpx.Client, channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    signed_in = {"authorization": f"Bearer {channel.token}"}
    channel.fault("channels.list", "lose")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        google.get("/youtube/v3/channels", headers=signed_in)
    assert google.get("/youtube/v3/channels", headers=signed_in).status_code == 200
    assert [record for record in caplog.records if record.exc_info] == []
