"""What goes over the wire, call by call, held to Meta's documentation (platforms.md §3)."""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tasks.publish.graph import Graph
from tasks.publish.publishers.instagram.upload import path_of
from tasks.publish.remote import Refused
from tests.tasks.publish.instagram.studio import ACCOUNT, Reel
from web.practice.ground import Fault

if TYPE_CHECKING:
    from tests.tasks.publish.instagram.studio import Studio

FORM = "application/x-www-form-urlencoded"


def post(studio: Studio, **target: Any) -> Reel:
    reel = Reel(studio, **target)
    reel.out()
    return reel


def only(studio: Studio, endpoint: str) -> dict[str, Any]:
    (call,) = studio.calls(endpoint)
    return call


def test_a_container_is_asked_for_by_a_form_with_the_link(studio: Studio) -> None:
    post(studio, caption="Ein Tag am See 🏊 #see")
    call = only(studio, "ig.create")
    assert (call["method"], call["path"]) == ("POST", f"/v25.0/{ACCOUNT}/media")
    assert call["headers"]["content-type"] == FORM
    assert call["headers"]["authorization"] == "Bearer …"
    assert call["query"] == []  # a token in an address ends up in logs
    assert call["form"] == {
        "media_type": "REELS",
        "caption": "Ein Tag am See 🏊 #see",
        "share_to_feed": "true",
        "video_url": studio.url,
    }


def test_options_go_as_instagram_writes_them(studio: Studio) -> None:
    options = {"share_to_feed": False, "collaborators": "@ada, grace.h", "cover_at_s": 1.5}
    post(studio, by_bytes=True, options=options)
    form = only(studio, "ig.create")["form"]
    assert form["share_to_feed"] == "false"
    assert json.loads(form["collaborators"]) == ["ada", "grace.h"]
    assert form["thumb_offset"] == "1500"  # milliseconds
    assert form["upload_type"] == "resumable"
    assert "video_url" not in form


def test_bytes_go_in_one_stream_with_oauth_offset_and_size(studio: Studio) -> None:
    done = post(studio, by_bytes=True)
    call = only(studio, "ig.bytes")
    size = studio.file.stat().st_size
    assert (call["method"], call["path"]) == (
        "POST",
        f"/ig-api-upload/v25.0/{done.saved['container']}",
    )
    headers = call["headers"]
    assert headers["authorization"] == "OAuth …"  # not Bearer
    assert (headers["offset"], headers["file_size"]) == ("0", str(size))
    assert headers["content-length"] == str(size)
    assert "transfer-encoding" not in headers
    (reel,) = studio.reels()
    assert reel["sha256"] == studio.sha256


def test_a_cut_upload_goes_on_where_instagram_stands(studio: Studio) -> None:
    studio.faults(Fault("ig.bytes", "lose", "40000"))
    post(studio, by_bytes=True)
    first, second = studio.calls("ig.bytes")
    size = studio.file.stat().st_size
    assert (first["headers"]["offset"], second["headers"]["offset"]) == ("0", "40000")
    assert second["headers"]["file_size"] == str(size)  # of the whole file
    assert second["headers"]["content-length"] == str(size - 40000)
    asked = [call for call in studio.calls("ig.container") if call["form"] == {
        "fields": "video_status"}]  # fmt: skip
    assert len(asked) == 1
    assert studio.reels()[0]["sha256"] == studio.sha256


def test_an_upload_whose_answer_was_lost_is_not_sent_again(studio: Studio) -> None:
    studio.faults(Fault("ig.bytes", "lose"))
    post(studio, by_bytes=True)
    assert len(studio.calls("ig.bytes")) == 1


def test_the_address_for_bytes_is_the_one_that_was_named_on_the_host_of_the_settings() -> None:
    said = "https://rupload.facebook.com/ig-api-upload/v26.0/17?x=1"
    assert path_of(said) == "/ig-api-upload/v26.0/17?x=1"
    assert path_of("http://127.0.0.1:1/practice/meta/ig-api-upload/v25.0/17") == (
        "/ig-api-upload/v25.0/17"
    )
    assert path_of("https://elsewhere.example/collect") == ""


def test_polling_publishing_and_the_link_ask_for_what_they_need(studio: Studio) -> None:
    reel = Reel(studio)
    done = reel.out()
    assert only(studio, "ig.limit")["form"] == {"fields": "quota_usage,config"}
    assert {json.dumps(call["form"]) for call in studio.calls("ig.container")} == {
        '{"fields": "status_code,status"}'
    }
    call = only(studio, "ig.publish")
    assert (call["method"], call["path"]) == ("POST", f"/v25.0/{ACCOUNT}/media_publish")
    assert call["headers"]["content-type"] == FORM
    assert call["form"] == {"creation_id": reel.saved["container"]}
    link = only(studio, "ig.media")
    assert (link["path"], link["form"]) == (f"/v25.0/{done.remote_id}", {"fields": "permalink"})
    assert done.url and done.url.endswith(f"/reel/{done.remote_id}/")


def test_post_now_on_what_is_staged_is_one_call_and_the_link(studio: Studio) -> None:
    reel = Reel(studio).staged()
    before = len(studio.meta.ground.calls())
    reel.go_live()
    endpoints = [call["endpoint"] for call in studio.meta.ground.calls()[before:]]
    assert endpoints == ["ig.publish", "ig.media"]


def test_tokens_are_never_in_logs_or_checkpoints(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    done = post(studio, by_bytes=True)
    assert studio.token not in caplog.text
    assert studio.token not in json.dumps(done.saved)


class Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody away."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(302)
        self.send_header("Location", "/stolen")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_a_redirect_is_not_followed_with_the_token(studio: Studio) -> None:
    Elsewhere.asked = []
    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        settings = studio.box.settings.model_copy(update={"facebook_graph_url": url})
        reply = Graph(settings, "secret", practice=False).get("/me")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert isinstance(reply, Refused)
    assert Elsewhere.asked == ["/v25.0/me"]
