"""`appliance posts` against a box: what a person or a script sees of the history."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli import run
from appliance.models import Post, PostTarget
from appliance.posts import move_target
from appliance.states import PostState, TargetState
from tests.tasks.publish.posting import Poster, connected, emptied, working
from tests.web.serving import add_token, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def box(module_box: Poster) -> Iterator[Poster]:
    with emptied(module_box) as poster:
        yield poster


@pytest.fixture
def posts(
    box: Poster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run `appliance posts …`: exit code, output, errors."""
    monkeypatch.setenv("APPLIANCE_URL", box.url)
    monkeypatch.setenv("APPLIANCE_TOKEN", add_token(box.user))

    def command(*words: str) -> tuple[int, str, str]:
        code = run(["posts", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_the_way_of_a_post(
    box: Poster,
    posts: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box.fault(refuse_publish=1)
    post = box.post(box.video(title="=Harbour"), "practice", "folder")
    with working(box.settings):
        box.wait(post, "partial")
        id = post.public_id
        assert [p["post_id"] for p in listed(posts("--result", "failed", "--json"))] == [id]
        assert listed(posts("list", "--platform", "youtube", "--json")) == []
        code, out, _ = posts()
        assert code == 0 and "Practice channel: failed" in out
        code, out, _ = posts("show", id, "--attempts")
        assert "Posted to Folder, not to Practice." in out and "told to refuse" in out
        assert json.loads(posts("show", id, "--attempts", "--json")[1])["attempts"]

        code, out, err = posts("retry", id, "--account", "myspace")
        assert code == 1 and "no account “myspace”" in err
        assert posts("retry", id, "--account", "Practice channel")[0] == 0
        box.wait(post, "completed")
        assert len(box.received()) == 1

        # Asks before it removes.
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
        assert posts("delete", id, "--account", "practice")[0] == 130
        assert len(box.received()) == 1
        assert posts("delete", id, "--account", "practice", "--yes")[0] == 0
        wait_until("it is gone", lambda: not box.received())
        wait_until("it is noted", removed)
        code, _, err = posts("delete", id, "--account", "practice", "--yes")
        assert code == 1 and "Nothing of this post is public" in err

    file = tmp_path / "posts.csv"
    code, _, err = posts("csv", "-o", str(file))
    assert code == 0 and "2 lines" in err
    lines = list(csv.DictReader(io.StringIO(file.read_text())))
    assert {line["title"] for line in lines} == {"'=Harbour"}
    assert posts("csv", "--show", "failed")[1].count("\n") == 1  # the headings


def test_what_is_not_out_is_changed_and_cancelled(
    box: Poster, posts: Callable[..., tuple[int, str, str]]
) -> None:
    post = box.post(box.video(ready=False), "practice")
    assert posts("edit", post.public_id)[0] == 2
    assert posts("edit", post.public_id, "--title", "Better")[0] == 0
    with connected():
        assert PostTarget.get().overrides == {"title": "Better"}
    code, out, _ = posts("cancel", post.public_id, "--json")
    assert (code, json.loads(out)["status"]) == (0, "cancelled")
    assert posts("cancel", post.public_id)[0] == 1


def unknown(post: Post) -> None:
    """Nobody knows whether it is out there, and the platform can't tell."""
    with connected():
        for target in PostTarget.select().where(PostTarget.post == post):
            for state in (
                TargetState.STAGING,
                TargetState.STAGED,
                TargetState.PUBLISHING,
                TargetState.UNSURE,
                TargetState.NEEDS_PERSON,
            ):
                assert move_target(target, state)


@pytest.mark.parametrize(
    ("answer", "status"), [("--there", "completed"), ("--not-there", "pending")]
)
def test_somebody_who_has_looked_settles_it(
    box: Poster, posts: Callable[..., tuple[int, str, str]], answer: str, status: str
) -> None:
    post = box.post(box.video(), "practice", "folder")
    code, _, err = posts("settle", post.public_id, "--there")
    assert code == 1 and "Nobody has to say" in err
    unknown(post)
    code, _, err = posts("settle", post.public_id)
    assert code == 2 and "give --there or --not-there" in err
    code, _, err = posts("settle", post.public_id, answer)
    assert code == 1 and "“Practice channel”" in err and "“Folder on this box”" in err
    for account in ("folder", "practice"):
        code, out, _ = posts("settle", post.public_id, answer, "--account", account, "--json")
        assert code == 0
    assert json.loads(out)["status"] == status


@pytest.mark.usefixtures("posts")
def test_who_waits_for_a_post_waits_for_no_person(
    box: Poster, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["post", box.video().public_id, "--to", "practice", "--wait"]
    assert run([*words, "--draft"]) == 0
    assert "draft" in capsys.readouterr().out

    def made() -> Post | None:
        with connected():
            return Post.get_or_none(Post.state == PostState.PENDING)

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(run, words)
        unknown(wait_until("it is made", made))
        assert ended.result(timeout=60) == 1
    out, err = capsys.readouterr()
    assert "needs_person" in out and "then run `appliance posts settle" in err


def listed(answer: tuple[int, str, str]) -> list[Any]:
    found: list[Any] = json.loads(answer[1])["items"]
    return found


def removed() -> bool:
    with connected():
        return PostTarget.select().where(PostTarget.deleted_at.is_null(False)).exists()
