"""`appliance schedule` and the times of `appliance post`, against a running box."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from appliance.cli import cli
from appliance.cli.posts import parse_time
from appliance.errors import ApplianceError
from appliance.models import Post, Role
from appliance.settings import Settings
from appliance.states import PostState
from tests.tasks.publish.posting import Poster, connected, emptied, posting
from tests.web.serving import add_token, add_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poster]:
    settings = Settings(data=tmp_path_factory.mktemp("box") / "data", team_time_zone="Asia/Tokyo")
    with posting(settings) as poster:
        yield poster


@pytest.fixture
def box(module_box: Poster) -> Iterator[Poster]:
    with emptied(module_box) as poster:
        yield poster


@pytest.fixture
def run(box: Poster) -> Callable[..., Result]:
    token = add_token(box.user)

    def call(*words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--url", box.url, "--token", token])

    return call


def answered(result: Result) -> Any:
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def test_slots_are_added_listed_and_removed(run: Callable[..., Result]) -> None:
    made = answered(run("schedule", "add-slot", "Friday", "18:00", "--json"))
    assert (made["weekday"], made["time_zone"]) == (4, "Asia/Tokyo")
    assert "Friday" in run("schedule", "slots").stdout
    assert answered(run("schedule", "next", "--json"))["publish_at"] == made["next_at"]
    assert run("schedule", "remove-slot", made["id"]).exit_code == 0
    assert "No slots are set up." in run("schedule", "slots").stdout


def test_posts_are_planned_moved_and_listed(box: Poster, run: Callable[..., Result]) -> None:
    year = datetime.now(UTC).year + 1
    video = box.video(title="Film")
    made = answered(
        run("post", video.public_id, "--to", "practice", "--at", f"{year}-07-01 18:00",
            "--zone", "Europe/Berlin", "--json")
    )  # fmt: skip
    with connected():
        post = Post.get()
    assert post.publish_at == datetime(year, 7, 1, 16, tzinfo=UTC)
    assert post.time_zone == "Europe/Berlin"
    moved = answered(
        run("schedule", "move", made["post_id"], "--at", f"{year}-07-02 18:00", "--json")
    )
    assert moved["publish_at"].startswith(f"{year}-07-02T16:00")  # the post's own clocks
    listed = run("schedule", "list", "--since", f"{year}-06-20T00:00:00Z", "--zone", "UTC").stdout
    assert f"{year}-07-02 16:00" in listed
    assert f"{year}-07-03 01:00" in listed  # the team's
    assert run("schedule", "move", made["post_id"]).exit_code == 2
    sent = answered(run("schedule", "move", made["post_id"], "--now", "--json"))
    assert sent["publish_at"] is None


def test_a_post_takes_the_next_free_slot(box: Poster, run: Callable[..., Result]) -> None:
    made = answered(run("schedule", "add-slot", "monday", "09:00", "--zone", "UTC", "--json"))
    for _ in range(2):
        answered(
            run("post", box.video().public_id, "--to", "practice", "--slot", "--hold", "--json")
        )
    with connected():
        rows = list(Post.select().order_by(Post.publish_at))
    first = datetime.fromisoformat(made["next_at"])
    assert [row.publish_at for row in rows] == [first, first + timedelta(days=7)]
    assert all(row.hold_there for row in rows)


def test_an_admin_approves_from_the_shell(box: Poster, run: Callable[..., Result]) -> None:
    rules = answered(run("schedule", "rules", "--approval", "editors", "--json"))
    assert rules["approval"] == "editors"
    editor = add_token(add_user("ed@example.org", Role.EDITOR))
    command = ["post", box.video().public_id, "--to", "practice", "--url", box.url]
    made = CliRunner().invoke(cli, [*command, "--token", editor, "--json"])
    post_id = answered(made)["post_id"]
    assert "Needs approval:" in run("schedule").stdout
    assert answered(run("schedule", "refuse", post_id, "--note", "No", "--json"))
    again = CliRunner().invoke(cli, ["schedule", "approve", post_id, "--url", box.url,
                                     "--token", editor])  # fmt: skip
    assert isinstance(again.exception, ApplianceError)
    answered(run("schedule", "rules", "--approval", "nobody", "--json"))
    with connected():
        assert Post.get().state is PostState.DRAFT


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "zone", "meant"),
    [
        ("2026-07-01 18:00", None, "2026-07-01T18:00:00+02:00"),
        ("2026-07-01 18:00", "UTC", "2026-07-01T18:00:00+00:00"),
        ("2026-07-01T18:00+05:00", "UTC", "2026-07-01T18:00:00+05:00"),
        ("2026-10-25 02:30", None, "2026-10-25T02:30:00+02:00"),
        ("2026-10-25 02:30", "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
    ],
)
@pytest.mark.usefixtures("in_berlin")
def test_what_a_time_on_the_command_line_means(text: str, zone: str | None, meant: str) -> None:
    parsed = datetime.fromisoformat(parse_time(text, zone))
    assert parsed == datetime.fromisoformat(meant)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.usefixtures("in_berlin")
def test_a_time_that_the_clocks_skip_is_refused(zone: str | None) -> None:
    with pytest.raises(ApplianceError, match="put forward") as refused:
        parse_time("2026-03-29 02:30", zone)
    assert refused.value.code == "time_skipped"
