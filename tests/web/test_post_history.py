"""The history of posts: what is found in it, and what it is as CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance.clock import now
from appliance.models import Account, Attempt, Post, PostTarget, Role, User, Video, Visibility
from appliance.states import PostState, TargetState
from tests.factories import make_video
from tests.web.serving import Served, add_user, browser, script, send_form
from web import post_csv
from web.post_list import WantedPosts
from web.post_shapes import retry_after_s

if TYPE_CHECKING:
    import httpx

W = TargetState


@pytest.fixture
def channel(one_server: Served) -> Account:
    return Account.create(platform="youtube", name="=Channel", remote_id="UC1")


@pytest.fixture
def page(one_server: Served) -> Account:
    return Account.create(platform="facebook", name="Our page", remote_id="1")


@pytest.fixture
def video(owner: User) -> Video:
    return make_video(owner, title="Harbour")


def make_post(
    video: Video, *targets: tuple[Account, TargetState], state: PostState, **columns: Any
) -> Post:
    columns = {"title": video.title, "author": video.owner, **columns}
    post = Post.create(video=video, state=state, **columns)
    for account, target_state in targets:
        PostTarget.create(post=post, account=account, state=target_state)
    return post


@pytest.fixture
def history(owner: User, video: Video, channel: Account, page: Account) -> dict[str, Post]:
    other = add_user("grace@example.org", Role.EDITOR)
    return {
        "both": make_post(
            video, (channel, W.PUBLISHED), (page, W.PUBLISHED), state=PostState.COMPLETED
        ),
        "half": make_post(
            video,
            (channel, W.PUBLISHED),
            (page, W.FAILED),
            state=PostState.PARTIAL,
            description="Boats at five",
        ),
        "hers": make_post(video, (page, W.PUBLISHED), state=PostState.COMPLETED, author=other),
        "planned": make_post(
            video,
            (channel, W.WAITING),
            state=PostState.SCHEDULED,
            publish_at=datetime(2031, 3, 1, 12, tzinfo=UTC),
        ),
        "old": make_post(
            make_video(owner, title="Other 100 %"),
            (channel, W.PUBLISHED),
            state=PostState.COMPLETED,
            created_at=datetime(2020, 2, 29, 23, 30, tzinfo=UTC),
        ),
    }


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, "old planned hers half both"),
        ({"platform": "facebook"}, "hers half both"),
        ({"account": "channel"}, "old planned half both"),
        ({"result": "failed"}, "half"),
        ({"result": "failed", "platform": "youtube"}, ""),
        ({"result": "published", "platform": "youtube"}, "old half both"),
        ({"status": "completed"}, "old hers both"),
        ({"author": "grace"}, "hers"),
        ({"q": "five BOATS"}, "half"),
        ({"q": "100 %"}, "old"),
        ({"q": "_"}, ""),
        ({"since": "2031-03-01T12:00:00Z"}, "planned"),
        ({"since": "2031-03-01T13:00:00+01:00", "until": "2031-03-01T12:00:01Z"}, "planned"),
        ({"until": "2020-03-01T00:00:00Z"}, "old"),
        ({"until": "2020-02-29T23:30:00Z"}, ""),
    ],
)
def test_filters(
    sender: httpx.Client,
    history: dict[str, Post],
    channel: Account,
    asked: dict[str, str],
    names: str,
) -> None:
    ids = {"channel": channel.public_id, "grace": User.get(email="grace@example.org").public_id}
    params = {name: ids.get(value, value) for name, value in asked.items()}
    answer = sender.get("/api/v1/posts", params=params)
    assert answer.status_code == 200, answer.text
    found = {post.public_id: name for name, post in history.items()}
    assert [found[item["post_id"]] for item in answer.json()["items"]] == names.split()


@pytest.mark.parametrize(
    "asked",
    [
        {"result": "lost"},
        {"since": "2031-03-01T12:00:00"},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"until": "tomorrow"},
        {"until": "9999-12-31T23:59:59-12:00"},
    ],
)
def test_filters_that_make_no_sense_are_refused(
    sender: httpx.Client, asked: dict[str, str]
) -> None:
    assert sender.get("/api/v1/posts", params=asked).status_code in (400, 422)


def test_a_target_that_was_sent_again_counts_as_what_it_is_now(
    sender: httpx.Client, video: Video, channel: Account
) -> None:
    post = make_post(video, (channel, W.CANCELLED), state=PostState.COMPLETED)
    PostTarget.create(post=post, account=channel, generation=2, state=W.PUBLISHED)
    found = sender.get("/api/v1/posts", params={"result": "cancelled"}).json()["items"]
    assert found == []
    found = sender.get("/api/v1/posts", params={"result": "published"}).json()["items"]
    assert [item["post_id"] for item in found] == [post.public_id]


def test_the_page_keeps_its_filters_in_its_address(
    one_server: Served, owner: User, history: dict[str, Post]
) -> None:
    with browser(one_server.url, owner) as client:
        answer = client.get("/posts?show=posted&platform=facebook&q=harbour")
        assert f'id="post-{history["both"].public_id}"' in answer.text
        assert f'id="post-{history["old"].public_id}"' not in answer.text
        assert 'href="/posts?show=failed&amp;platform=facebook&amp;q=harbour"' in answer.text
        answer = client.get("/posts?q=zebra")
        assert "Nothing matches" in answer.text
        # What makes no sense is left out.
        answer = client.get("/posts?show=x&platform=%3Cb%3E&since=2026-02-30&account=1")
        assert answer.text.count('class="post-row"') == len(history)


def test_days_are_those_of_the_viewer() -> None:
    wanted = WantedPosts.of(since="2026-03-29", until="2026-03-29")
    filters = wanted.filters("Europe/Berlin")
    assert filters.since is not None and filters.until is not None
    begins, ends = filters.since.astimezone(UTC), filters.until.astimezone(UTC)
    assert begins == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert ends - begins == timedelta(hours=23)  # the clocks go forward on that day
    assert WantedPosts.of(until="9999-12-31").filters("UTC").until is None


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_history_as_csv(
    sender: httpx.Client, history: dict[str, Post], channel: Account
) -> None:
    target = PostTarget.get(PostTarget.post == history["both"], PostTarget.account == channel)
    PostTarget.update(
        url="https://youtube.com/shorts/x", numbers={"views": 1204}, published_at=now()
    ).where(PostTarget.id == target.id).execute()
    answer = sender.get("/api/v1/posts/history.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    lines = read(answer.text)
    assert len(lines) == 7
    (line,) = [
        line
        for line in lines
        if line["post_id"] == history["both"].public_id and line["platform"] == "youtube"
    ]
    assert (line["result"], line["views"], line["url"]) == (
        "published",
        "1204",
        "https://youtube.com/shorts/x",
    )
    assert line["account"] == "'=Channel"
    narrowed = sender.get("/api/v1/posts/history.csv", params={"show": "failed"})
    assert {line["post_id"] for line in read(narrowed.text)} == {history["half"].public_id}
    marked = sender.get("/api/v1/posts/history.csv", params={"bom": True}).content
    assert marked.startswith(b"\xef\xbb\xbf") and not answer.content.startswith(b"\xef")


def test_csv_of_more_than_fits_in_one_piece(
    sender: httpx.Client, video: Video, channel: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_csv, "_AT_ONCE", 2)
    made = [make_post(video, (channel, W.PUBLISHED), state=PostState.COMPLETED) for _ in range(5)]
    lines = read(sender.get("/api/v1/posts/history.csv").text)
    assert [line["post_id"] for line in lines] == [post.public_id for post in reversed(made)]


def test_csv_shows_only_what_its_reader_may_see(
    one_server: Served, owner: User, channel: Account
) -> None:
    hidden = make_video(owner, title="Ours alone", visibility=Visibility.PRIVATE)
    make_post(hidden, (channel, W.PUBLISHED), state=PostState.COMPLETED)
    with script(one_server.url, add_user("editor@example.org", Role.EDITOR)) as other:
        assert read(other.get("/api/v1/posts/history.csv").text) == []
        assert other.get("/api/v1/posts").json()["items"] == []


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://example.org")',
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\u00a0=1",
        "\ufeff=1",
        "＝1",
    ],
)
def test_cells_are_no_formulas(text: str) -> None:
    assert post_csv.safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Harbour = sea", "5 + 5", "a@b", "'=1", "קטע"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert post_csv.safe_cell(text) == text


def test_what_was_tried_is_told_with_the_raw_answer(
    sender: httpx.Client, history: dict[str, Post], page: Account
) -> None:
    post = history["half"]
    target = PostTarget.get(PostTarget.post == post, PostTarget.account == page)
    Attempt.create(target=target, step="stage", outcome="RetryAt", error="A pause.", detail="429")
    Attempt.create(target=target, step="stage", outcome="Failed", error="No.", detail="400")
    items = sender.get(f"/api/v1/posts/{post.public_id}/attempts").json()["items"]
    assert [(a["platform"], a["step"], a["error"], a["detail"]) for a in items] == [
        ("facebook", "stage", "No.", "400"),
        ("facebook", "stage", "A pause.", "429"),
    ]


def test_the_pause_before_asking_again_grows_while_nothing_changes() -> None:
    pauses = []
    at = datetime(2026, 3, 1, tzinfo=UTC)
    post = Post(state=PostState.PROCESSING)
    for _ in range(8):
        pause_s = retry_after_s(post, datetime(2026, 3, 1, tzinfo=UTC), at)
        assert pause_s is not None
        pauses.append(pause_s)
        at += timedelta(seconds=pause_s)
    assert pauses == [3, 3, 6, 12, 24, 48, 60, 60]
    assert retry_after_s(post, at, at) == 3  # something has changed
    assert retry_after_s(Post(state=PostState.COMPLETED), at, at) is None
    soon = Post(state=PostState.SCHEDULED, publish_at=at + timedelta(seconds=90))
    assert retry_after_s(soon, at, at) == 90
    later = Post(state=PostState.SCHEDULED, publish_at=at + timedelta(days=3))
    assert retry_after_s(later, at, at) == 300


def test_views_and_likes_are_fetched_only_when_an_admin_says_so(
    one_server: Served, owner: User, sender: httpx.Client
) -> None:
    url = "/api/v1/posting/numbers"
    assert sender.get(url).json() == {"on": False}
    with script(one_server.url, add_user("editor@example.org", Role.EDITOR)) as editor:
        assert editor.put(url, json={"on": True}).status_code == 403
    assert sender.put(url, json={"on": True}).json() == {"on": True}
    with browser(one_server.url, owner) as client:
        page = client.get("/settings/accounts").text
        assert 'name="on" value="yes" checked' in page
        assert send_form(client, "/settings/accounts/numbers").status_code == 303
    assert sender.get(url).json() == {"on": False}
