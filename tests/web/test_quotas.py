"""Limits of people on the pages, in the shell, and at the upload addresses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from appliance import users
from appliance.cli import cli
from appliance.models import Role, Upload, User, Video
from tests.web.serving import add_user, browser, script, send_form
from tests.web.tus_client import create, location_of, made, patch, post

if TYPE_CHECKING:
    from tests.web.serving import Served


def test_an_admin_sets_a_limit_and_both_see_it(one_server: Served) -> None:
    owner, editor = add_user(), add_user("ed@example.org", Role.EDITOR)
    with browser(one_server.url, owner) as client:
        answer = send_form(client, f"/people/{editor.public_id}/quota", quota="20 GiB")
        assert answer.headers["Location"] == "/people?done=quota"
        page = client.get("/people?done=quota").text
        assert "The limit is changed" in page
        assert "0 bytes of 21.5 GB" in page
        assert 'value="20 GiB"' in page
        assert (
            send_form(client, f"/people/{editor.public_id}/quota", quota="lots").status_code == 422
        )
    assert User.get_by_id(editor.id).quota_bytes == 20 << 30
    with browser(one_server.url, editor) as client:
        assert "Your videos take 0 bytes of 21.5 GB" in client.get("/settings").text


def test_what_would_go_over_the_limit_is_refused_before_its_bytes(one_server: Served) -> None:
    editor = add_user("ed@example.org", Role.EDITOR)
    users.set_quota(editor, 1_000_000, actor=None)
    with script(one_server.url, editor) as client:
        first = made(client, 600_000)
        refused = create(client, 500_000)
        assert refused.status_code == 413
        assert "600 kB of your 1.0 MB are used" in refused.text
        granted = client.post(
            "/api/v1/uploads",
            json={"filename": "a.mp4", "file_size": 500_000, "content_type": "video/mp4"},
        )
        assert (granted.status_code, granted.json()["code"]) == (413, "quota_exceeded")
        assert patch(client, first, 0, bytes(600_000)).status_code == 204
        assert create(client, 400_001).status_code == 413
        assert create(client, 400_000).status_code == 201
    assert Upload.select().count() == Video.select().count() == 2


def test_a_limit_that_sinks_meanwhile_loses_no_file(one_server: Served) -> None:
    editor = add_user("ed@example.org", Role.EDITOR)
    with script(one_server.url, editor) as client:
        location = made(client, 600_000)
        assert patch(client, location, 0, bytes(300_000)).status_code == 204
        users.set_quota(editor, 1, actor=None)
        assert patch(client, location, 300_000, bytes(300_000)).status_code == 204
    assert Video.get().received_at is not None


def test_a_file_of_unknown_length_is_stopped_at_the_limit(one_server: Served) -> None:
    editor = add_user("ed@example.org", Role.EDITOR)
    users.set_quota(editor, 1_000_000, actor=None)
    with script(one_server.url, editor) as client:
        location = location_of(post(client, Upload_Defer_Length="1"))
        assert patch(client, location, 0, bytes(900_000)).status_code == 204
        refused = patch(client, location, 900_000, bytes(100_001))
        assert (refused.status_code, refused.headers["Upload-Offset"]) == (413, "900000")
        too_long = patch(client, location, 900_000, b"", Upload_Length="1000001")
        assert too_long.status_code == 413
        assert patch(client, location, 900_000, bytes(100_000), Upload_Length="1000000").is_success
    assert Video.get().size_bytes == 1_000_000


@pytest.mark.parametrize(
    ("size", "limit"), [("2 GB", 2_000_000_000), ("none", None), ("default", None)]
)
def test_the_shell_sets_limits(
    one_server: Served, monkeypatch: pytest.MonkeyPatch, size: str, limit: Any
) -> None:
    add_user("ed@example.org", Role.EDITOR)
    monkeypatch.setenv("APPLIANCE_DATA", str(one_server.settings.data))
    done = CliRunner().invoke(cli, ["user", "quota", "ed@example.org", size, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["used_bytes"], told["quota_bytes"]) == (0, limit)
