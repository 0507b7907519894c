"""The command line, as processes: its exit codes, its sentences, and what it prints for scripts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from appliance import __version__
from appliance.cli import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"

Run = Any


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`appliance …` on a box of its own, in an empty folder."""

    def start(*words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("APPLIANCE_")}
        return subprocess.run(
            [sys.executable, "-m", "appliance.cli", *words],
            cwd=tmp_path,
            env={
                **inherited,
                "APPLIANCE_DATA": str(tmp_path / "data"),
                "APPLIANCE_LISTEN": "127.0.0.1:0",
                "APPLIANCE_DISK_RESERVE": "10 MiB",
                "PYTHONPATH": str(ROOT),
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                **environ,
            },
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return start


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    group.list_commands(click.Context(group))  # which loads them
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue  # the parts of `release`, which speaks to them in its own way
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def find(path: tuple[str, ...]) -> click.Command:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_says_what_it_does_and_answers_scripts(path: tuple[str, ...]) -> None:
    command = find(path)
    assert command.help
    if path[0] not in ("up", "web", "worker", "reference"):
        options = {word for option in command.params for word in option.opts}
        assert "--json" in options


def assert_one_sentence(text: str) -> None:
    assert text.startswith("appliance: ")
    assert text.rstrip().endswith((".", "`"))
    assert "Traceback" not in text


def test_the_version_is_the_package_s(run: Run) -> None:
    assert run("--version").stdout.strip().endswith(__version__)


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("user", "add"),
        ("user", "add", "a@example.org", "--role", "king"),
        ("worker", "night"),
        ("upload",),
        ("post", "x"),
        ("token", "create", "a@example.org", "--name", "x", "--scope", "everything"),
        ("user", "add", "a@example.org", "--role", "owner", "--password-stdin"),  # no stdin
    ],
    ids=" ".join,
)
def test_wrong_use_is_2(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert "Usage: appliance" in done.stderr
    assert done.stdout == ""


def test_a_bad_setting_fails_with_a_sentence_that_names_it(run: Run) -> None:
    done = run("user", "list", APPLIANCE_LEASE_S="soon")
    assert done.returncode == 1
    assert done.stderr.startswith("appliance: APPLIANCE_LEASE_S: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_used_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("user", "list", APPLIANCE_DATA=str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr
    assert_one_sentence(done.stderr)


def test_a_damaged_database_is_an_error_and_no_traceback(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "appliance.db").write_bytes(b"this is no database" * 1000)
    done = run("user", "list")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Traceback" in run("user", "list", APPLIANCE_DEVELOPMENT="1").stderr


# People


def test_a_user_is_added_with_a_password_of_stdin(run: Run) -> None:
    done = run(
        "user", "add", "Owner@Example.org", "--role", "owner", "--password-stdin", "--json",
        stdin=f"{PASSWORD}\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["email"], made["role"]) == ("owner@example.org", "owner")
    assert made["reset_link"] is None
    (listed,) = json.loads(run("user", "list", "--json").stdout)["items"]
    assert listed["user_id"] == made["user_id"]
    assert listed["active"] is True


def test_a_user_without_a_password_gets_a_link(run: Run) -> None:
    done = run("user", "add", "a@example.org", "--role", "viewer")
    assert done.returncode == 0
    assert "/reset/" in done.stdout


def test_the_same_user_twice_is_an_error(run: Run) -> None:
    assert run("user", "add", "a@example.org", "--role", "viewer").returncode == 0
    done = run("user", "add", "A@example.org", "--role", "viewer")
    assert done.returncode == 1
    assert_one_sentence(done.stderr)
    assert "a@example.org" in done.stderr


def test_a_weak_password_is_refused_and_nobody_is_added(run: Run) -> None:
    done = run("user", "add", "a@example.org", "--role", "owner", "--password-stdin", stdin="abc\n")
    assert done.returncode == 1
    assert_one_sentence(done.stderr)
    assert json.loads(run("user", "list", "--json").stdout)["items"] == []


def test_reset_deactivate_reactivate(run: Run) -> None:
    run("user", "add", "owner@example.org", "--role", "owner")
    run("user", "add", "a@example.org", "--role", "viewer")
    assert (
        "/reset/"
        in json.loads(run("user", "reset", "a@example.org", "--json").stdout)["reset_link"]
    )
    done = run("user", "reset", "a@example.org", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert done.returncode == 0
    assert (
        json.loads(run("user", "deactivate", "a@example.org", "--json").stdout)["active"] is False
    )
    assert json.loads(run("user", "reactivate", "a@example.org", "--json").stdout)["active"] is True
    last = run("user", "deactivate", "owner@example.org")
    assert last.returncode == 1
    assert "only owner" in last.stderr
    nobody = run("user", "reset", "nobody@example.org")
    assert nobody.returncode == 1
    assert "nobody@example.org" in nobody.stderr


def test_a_token_is_printed_alone_and_only_then(run: Run, tmp_path: Path) -> None:
    run("user", "add", "owner@example.org", "--role", "owner")
    done = run(
        "token", "create", "owner@example.org", "--name", "tests",
        "--scope", "read", "--scope", "upload",
    )  # fmt: skip
    text = done.stdout.strip()
    assert done.returncode == 0
    assert done.stdout == f"{text}\n" and " " not in text and len(text) > 30
    (row,) = json.loads(run("token", "list", "--json").stdout)["items"]
    assert row["scopes"] == ["read", "upload"]
    assert text not in json.dumps(row)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("appliance.db*"))
    assert text.encode() not in kept
    assert run("token", "revoke", row["token_id"]).returncode == 0
    assert run("token", "revoke", row["token_id"]).returncode == 1
    assert json.loads(run("token", "list", "--json").stdout)["items"] == []


def test_without_a_scope_a_token_may_all_but_manage_the_box(run: Run) -> None:
    run("user", "add", "owner@example.org", "--role", "owner")
    done = run("token", "create", "owner@example.org", "--name", "tests", "--json")
    assert set(json.loads(done.stdout)["scopes"]) == {"read", "upload", "write", "post"}


# Without a running box


def test_migrate_says_what_it_did(run: Run) -> None:
    names = [file.stem for file in sorted((ROOT / "appliance" / "migrations").glob("0*.py"))]
    assert json.loads(run("migrate", "--json").stdout) == {"applied": names}
    assert run("migrate").stdout == "Nothing to do.\n"


def test_commands_that_need_a_running_box_say_so(run: Run) -> None:
    run("user", "add", "owner@example.org", "--role", "owner")
    done = run("videos", "list")
    assert done.returncode == 1
    assert "appliance up" in done.stderr
    assert_one_sentence(done.stderr)


def test_a_box_elsewhere_wants_a_token(run: Run) -> None:
    done = run("videos", "list", APPLIANCE_URL="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "APPLIANCE_TOKEN" in done.stderr


def test_nobody_at_that_address_is_told(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    done = run("videos", "list", "--url", address, APPLIANCE_TOKEN="ma_x")
    assert done.returncode == 1
    assert address in done.stderr
    assert_one_sentence(done.stderr)


def test_doctor_of_a_new_box_finds_nothing_bad(run: Run) -> None:
    done = run("doctor", "--json")
    report = json.loads(done.stdout)
    bad = [item for item in report["findings"] if item["verdict"] == "bad"]
    assert bad == []
    assert done.returncode == 0
    by_name = {item["check"]: item for item in report["findings"]}
    assert by_name["Processes"]["verdict"] == "note"
    assert all(item["mend"] for item in report["findings"] if item["verdict"] != "good")


def test_doctor_names_what_is_wrong_and_how_to_mend_it(run: Run, tmp_path: Path) -> None:
    run("migrate")
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\necho ffmpeg version 3.0 x\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    (tmp_path / "data" / "secret.key").write_text("nonsense")
    done = run(
        "doctor", "--json",
        APPLIANCE_FFMPEG=str(tmp_path / "ffmpeg"),
        APPLIANCE_DISK_RESERVE="1 PB",
        APPLIANCE_PUBLIC_URL="http://video.example.org",
    )  # fmt: skip
    assert done.returncode == 1
    bad = {
        item["check"]: item
        for item in json.loads(done.stdout)["findings"]
        if item["verdict"] == "bad"
    }
    assert set(bad) == {"Credentials key", "ffmpeg", "Space", "Address"}
    assert "libx264" in bad["ffmpeg"]["found"]
    assert "APPLIANCE_DISK_RESERVE" in bad["Space"]["mend"]
    assert "https" in bad["Address"]["mend"]


def test_doctor_sees_a_damaged_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "appliance.db").write_bytes(b"this is no database" * 1000)
    done = run("doctor")
    assert done.returncode == 1
    assert "bad   Database: " in done.stdout
    assert "backup" in done.stdout
    assert "ffmpeg" in done.stdout  # the others are looked at all the same


def test_doctor_sees_that_the_clock_was_set_back(run: Run, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    run("migrate")
    with closing(sqlite3.connect(tmp_path / "data" / "appliance.db")) as db, db:
        db.execute(
            "INSERT INTO event (at, type, subject, admins_only, data)"
            " VALUES ('2999-01-01T00:00:00.000000Z', 'x', 'x', 0, '{}')"
        )
    findings = {f["check"]: f for f in json.loads(run("doctor", "--json").stdout)["findings"]}
    assert findings["Clock"]["verdict"] == "bad"


def test_a_service_loads_no_other_commands() -> None:
    """Each of them would take its memory in each of the services, for ever."""
    code = (
        "import sys; from appliance.cli import cli; import click; "
        "cli.get_command(click.Context(cli), 'worker'); "
        "print(sorted({'httpx', 'rich', 'appliance.cli.upload'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
