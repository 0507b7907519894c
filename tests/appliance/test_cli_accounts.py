"""`appliance accounts`, beside a running box and without one."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from appliance import accounts, posting_switch
from appliance.cli import cli, run
from appliance.db import database
from appliance.models import Account, Role
from appliance.states import AccountState
from appliance.vault import open_vault
from tests.tasks.connect.scripted import Scripted, scripted
from tests.tasks.publish.posting import working
from tests.web.serving import add_user, prepare, served, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.settings import Settings

YOUTUBE = {"refresh_token": "1//secret-r", "client_id": "me", "client_secret": "GOCSPX-s3cret"}
CHANNEL = {"items": [{"id": "UC1", "snippet": {"title": "Our channel"}}]}


@contextmanager
def pointed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """A migrated box without any process, whose platforms are a scripted one."""
    prepare(settings)
    with scripted(settings) as stand:
        monkeypatch.setenv("APPLIANCE_DATA", str(settings.data))
        for name in ("google_token", "youtube_api", "facebook_graph"):
            address = getattr(stand.settings, f"{name}_url")
            monkeypatch.setenv(f"APPLIANCE_{name.upper()}_URL", address)
        yield stand


@pytest.fixture
def stand(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    with pointed(settings, monkeypatch) as running:
        yield running


def add(platform: str, given: Any, *more: str) -> Any:
    text = given if isinstance(given, str) else json.dumps(given)
    command = ["accounts", "add", platform, "--credentials-stdin", *more]
    return CliRunner().invoke(cli, command, input=text)


def test_channel_is_added_without_a_browser(stand: Scripted, settings: Settings) -> None:
    stand.say("/token", {"access_token": "ya29.secret-a", "expires_in": 3599})
    stand.say("/youtube/v3/channels", CHANNEL)
    answer = add("youtube", YOUTUBE)
    assert answer.exit_code == 0, answer.output
    with database.connection_context():
        (row,) = Account.select().where(Account.platform == "youtube")
        opened = accounts.credentials(open_vault(settings), row)
    assert answer.stdout == f"{row.public_id}\n"
    assert (row.remote_id, row.name, row.state) == ("UC1", "Our channel", AccountState.CONNECTED)
    assert opened["client_secret"] == "GOCSPX-s3cret" and opened["access_token"]
    assert stand.to("/token")[0].form["client_id"] == "me"
    again = add("youtube", YOUTUBE, "--json")
    assert json.loads(again.stdout) == {
        "id": row.public_id,
        "platform": "youtube",
        "name": "Our channel",
    }


def test_page_and_instagram_are_added_with_a_pages_token(stand: Scripted) -> None:
    stand.say("/v25.0/1", {"id": "1", "name": "Page", "link": "https://www.facebook.com/p"})
    stand.say("/v25.0/9", {"id": "9", "username": "ours"})
    assert add("facebook", {"page_id": 1, "page_token": "EAA-secret"}).exit_code == 0
    assert add("instagram", {"instagram_id": "9", "page_token": "EAA-secret"}).exit_code == 0
    with database.connection_context():
        names = {row.platform: row.name for row in Account.select()}
    assert names == {"facebook": "Page", "instagram": "@ours"}
    assert stand.to("/v25.0/1")[0].headers["authorization"] == "Bearer EAA-secret"


def test_without_a_look_the_number_is_needed(stand: Scripted) -> None:
    assert "channel_id" in str(add("youtube", YOUTUBE, "--no-check").exception)
    done = add("youtube", {**YOUTUBE, "channel_id": "UC7", "name": "Later"}, "--no-check")
    assert done.exit_code == 0
    assert not stand.asked


@pytest.mark.parametrize(
    ("platform", "given", "words"),
    [
        ("youtube", "not json: 1//secret-r", "no JSON"),
        ("youtube", "[]", "one JSON object"),
        ("youtube", {"refresh_token": ""}, "“refresh_token” is missing"),
        ("youtube", {**YOUTUBE, "refresh": "x"}, "“refresh” isn't known"),
        ("youtube", {"refresh_token": "1//secret-r", "client_id": "x"}, "belong together"),
        ("youtube", {**YOUTUBE, "channel_id": "../../x"}, "no number"),
        ("youtube", {"refresh_token": ["1//secret-r"]}, "must be a text"),
        ("facebook", {"page_token": "EAA"}, "“page_id” is missing"),
        ("youtube", "x" * 70_000, "64 kB"),
    ],
)
def test_what_is_wrong_is_named_and_never_repeated(
    stand: Scripted, platform: str, given: Any, words: str
) -> None:
    answer = add(platform, given)
    assert answer.exit_code == 1
    said = str(answer.exception) + answer.output
    assert words in said
    assert "secret-r" not in said and "s3cret" not in said
    assert not stand.asked
    with database.connection_context():
        assert Account.select().count() == 0


def test_credentials_come_by_stdin_alone(stand: Scripted) -> None:
    assert CliRunner().invoke(cli, ["accounts", "add", "youtube"], input="{}").exit_code == 2


def test_refused_credentials_add_nothing(
    stand: Scripted,
) -> None:
    stand.say("/token", {"error": "invalid_grant", "hint": "1//secret-r"}, 400)
    answer = add("youtube", YOUTUBE)
    assert "no longer accepts the sign-in" in str(answer.exception)
    with database.connection_context():
        assert Account.select().count() == 0


def test_beside_a_running_box(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(settings)
    add_user("owner@example.org", Role.OWNER)
    monkeypatch.setenv("APPLIANCE_DATA", str(settings.data))
    with served(settings) as box, working(box.settings):
        monkeypatch.setenv("APPLIANCE_LISTEN", box.settings.listen)

        def say(*arguments: str, code: int = 0) -> Any:
            capsys.readouterr()
            assert run(["accounts", *arguments, "--json"]) == code
            return json.loads(capsys.readouterr().out)

        assert say("practice") == {"count": 2}
        _until(lambda: len(say("list")["items"]) == 6)
        found = say("check")["items"]
        assert {item["platform"] for item in found} == {"youtube", "facebook", "instagram"}
        assert {item["state"] for item in found} == {"connected"}

        google = box.app.state.google.ground
        for grant in google.all("grant"):
            google.remove("grant", grant["id"])
        for access in google.all("access"):
            google.remove("access", access["id"])
        (lost,) = say("check", "youtube", code=1)["items"]
        assert lost["state"] == "reconnect" and "Connect" in lost["error"]

        assert say("pause", "a wrong logo")["reason"] == "a wrong logo"
        with database.connection_context():
            assert posting_switch.is_paused()
        assert say("resume")["paused"] is False
        assert say("remove", "youtube", "--yes")["state"] == "disabled"
        assert len(say("list")["items"]) == 5


def _until(look: Callable[[], bool]) -> None:
    wait_until("the accounts are there", look)


def test_steps_are_printed_with_what_the_box_sees(stand: Scripted) -> None:
    answer = CliRunner().invoke(cli, ["accounts", "setup", "youtube"])
    assert answer.exit_code == 0, answer.output
    assert "/connect/google/callback" in answer.stdout and "Testing" in answer.stdout
    shown = CliRunner().invoke(cli, ["accounts", "setup", "instagram", "--json"])
    names = [item["name"] for item in json.loads(shown.stdout)["items"]]
    assert "live" in names and "public" in names
