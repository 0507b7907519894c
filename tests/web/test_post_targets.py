"""One account of a post, after it went out: sent again alone, changed, removed; with real parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance import accounts
from appliance.clock import now
from appliance.models import Account, Job, Post, PostTarget, Rendition, Role, Video, Visibility
from appliance.states import AccountState, PostState, TargetState
from tests.tasks.publish.posting import Poster, connected, emptied, working
from tests.web.serving import add_user, browser, form_token, script, send_form, wait_until
from web.practice.google import grants
from web.practice.ground import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

W = TargetState
HTMX = {"HX-Request": "true"}


@pytest.fixture
def box(module_box: Poster) -> Iterator[Poster]:
    with emptied(module_box) as poster:
        google = poster.running.app.state.google
        google.ground.set_faults([])
        for video in google.ground.all("video"):
            google.ground.remove("video", video["id"])
        yield poster


@pytest.fixture
def client(box: Poster) -> Iterator[httpx.Client]:
    with script(box.url, box.user) as client:
        yield client


@pytest.fixture
def owner(box: Poster) -> Iterator[httpx.Client]:
    with browser(box.url, box.user) as client:
        yield client


@pytest.fixture
def channel(box: Poster) -> Account:
    return add_channel(box)


def add_channel(box: Poster) -> Account:
    """A channel of YouTube in practice mode."""
    google = box.running.app.state.google
    tokens = grants.grant(google.ground)
    with connected():
        account = Account.create(
            platform="youtube",
            name="Our channel",
            remote_id=grants.CHANNELS[0]["id"],
            practice=True,
        )
        accounts.seal(
            box.running.app.state.vault, account, {"access_token": tokens["access_token"]}
        )
    return account


def videos_there(box: Poster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = box.running.app.state.google.ground.all("video")
    return found


def result_of(client: httpx.Client, post: Post, platform: str) -> dict[str, Any]:
    results = client.get(f"/api/v1/posts/{post.public_id}").json()["results"]
    found: dict[str, Any] = next(r for r in results if r["platform"] == platform)
    return found


def target_url(post: Post, target: dict[str, Any], what: str, *, api: bool = True) -> str:
    start = "/api/v1" if api else ""
    return f"{start}/posts/{post.public_id}/targets/{target['target_id']}/{what}"


def test_one_that_failed_is_sent_again_and_no_other(
    box: Poster, client: httpx.Client, channel: Account
) -> None:
    google = box.running.app.state.google
    google.ground.set_faults([Fault("videos.insert", "refuse", "forbidden")])
    box.fault(refuse_publish=1)
    post = box.post(box.video(), "practice", "youtube", "folder")
    with working(box.settings):
        box.wait(post, "partial")
        failed = result_of(client, post, "youtube")
        assert failed["state"] == "failed" and failed["error"] and failed["error_detail"]
        again = client.post(target_url(post, failed, "retry"))
        assert again.status_code == 202, again.text
        wait_until("it is out", lambda: result_of(client, post, "youtube")["state"] == "published")
        assert result_of(client, post, "practice")["state"] == "failed"
        assert client.post(target_url(post, failed, "retry")).status_code == 409
    assert len(videos_there(box)) == 1
    assert box.received() == []
    message = client.get(f"/api/v1/posts/{post.public_id}").json()["message"]
    assert message == "Posted to YouTube and Folder, not to Practice."


def test_texts_are_changed_on_the_platform_and_the_video_removed_there(
    box: Poster, client: httpx.Client, owner: httpx.Client, channel: Account
) -> None:
    video = box.video(title="Before")
    with connected():
        Rendition.update(ready_at=now()).where(Rendition.video == video).execute()
    post = box.post(video, "youtube")
    page = f"/posts/{post.public_id}"
    with working(box.settings):
        box.wait(post, "completed")
        target = result_of(client, post, "youtube")
        assert target["path"] == "fast"
        assert "fast path" in owner.get(page).text

        # A text that the platform would refuse is refused before anything is sent.
        edit = target_url(post, target, "edit")
        assert client.post(edit, json={"title": "<b>"}).status_code == 422
        assert client.post(edit, json={}).status_code == 422
        assert client.post(edit, json={"title": "After"}).status_code == 202
        wait_until("it is changed", lambda: result_of(client, post, "youtube")["edited_at"])
        (there,) = videos_there(box)
        assert there["snippet"]["title"] == "After"
        assert "Text changed there" in owner.get(page).text

        # Removing asks first, and is not pressed by looking.
        remove = target_url(post, target, "remove", api=False)
        asked = owner.get(remove)
        assert "Remove it from YouTube?" in asked.text and "disappears from" in asked.text
        assert "<html" not in owner.get(remove, headers=HTMX).text
        assert len(videos_there(box)) == 1
        assert send_form(owner, remove).headers["location"] == page
        wait_until("it is gone", lambda: result_of(client, post, "youtube")["removed_at"])
    assert videos_there(box) == []
    shown = owner.get(page).text
    assert "Removed there" in shown and "Change text" not in shown and ">Remove<" not in shown
    assert client.post(target_url(post, target, "remove")).status_code == 409
    assert result_of(client, post, "youtube")["url"] is None
    # It stays in the history, with what was tried.
    steps = [a["step"] for a in client.get(f"/api/v1{page}/attempts").json()["items"]]
    assert steps[0] in ("delete", "remove") and "stage" in steps


def test_a_change_that_the_platform_refuses_is_told(
    box: Poster, client: httpx.Client, owner: httpx.Client, channel: Account
) -> None:
    post = box.post(box.video(), "youtube")
    with working(box.settings):
        box.wait(post, "completed")
        target = result_of(client, post, "youtube")
        google = box.running.app.state.google
        google.ground.set_faults([Fault("videos.update", "refuse", "forbidden", lasts=True)])
        client.post(target_url(post, target, "edit"), json={"title": "After"})

        def failed() -> bool:
            with connected():
                return Job.select().where(Job.kind == "edit", Job.state == "failed").exists()

        wait_until("the change has failed", failed)
    text = owner.get(f"/posts/{post.public_id}").text
    assert "The text there stays as it was:" in text
    (video,) = videos_there(box)
    assert video["snippet"]["title"] != "After"
    assert result_of(client, post, "youtube")["state"] == "published"


def make_post(box: Poster, account: Account, state: TargetState, **columns: Any) -> Post:
    with connected():
        post = Post.create(
            video=box.video(), author=box.user, title="Ours", state=PostState.PROCESSING
        )
        PostTarget.create(post=post, account=account, state=state, **columns)
    return post


def test_the_dialog_of_a_post_that_is_not_out_changes_its_own_text(
    box: Poster, client: httpx.Client, owner: httpx.Client, channel: Account
) -> None:
    post = make_post(box, channel, W.FAILED, error="The title may not contain <.")
    target = result_of(client, post, "youtube")
    url = target_url(post, target, "edit", api=False)
    form = owner.get(url, headers=HTMX).text
    assert 'value="Ours"' in form and "This account gets its own text" in form

    token = {"_csrf_token": form_token(owner)}
    refused = owner.post(url, data={**token, "title": "<b>", "description": ""}, headers=HTMX)
    assert refused.status_code == 422
    assert 'value="&lt;b&gt;"' in refused.text and 'role="alert"' in refused.text
    done = owner.post(url, data={**token, "title": "Better", "description": "x"}, headers=HTMX)
    assert done.status_code == 202, done.text
    assert "dialog:done" in done.headers["hx-trigger"]
    with connected():
        assert PostTarget.get().overrides == {"title": "Better", "description": "x"}


@pytest.mark.parametrize(
    ("state", "columns", "edit", "remove", "retry"),
    [
        (W.WAITING, {}, True, False, False),
        (W.PUBLISHING, {}, False, False, False),
        (W.PUBLISHED, {"remote_id": "x"}, True, True, False),
        (W.FAILED, {}, True, False, True),
        (W.CANCELLED, {}, False, False, False),
    ],
)
def test_only_what_can_be_done_is_offered(
    box: Poster,
    owner: httpx.Client,
    channel: Account,
    state: TargetState,
    columns: dict[str, Any],
    edit: bool,
    remove: bool,
    retry: bool,
) -> None:
    post = make_post(box, channel, state, **columns)
    text = owner.get(f"/posts/{post.public_id}").text
    offered = [bool(re.search(f'targets/[^"]*/{what}"', text)) for what in EVERYTHING]
    assert offered == [edit, remove, retry]
    with browser(box.url, add_user("viewer@example.org", Role.VIEWER)) as viewer:
        text = viewer.get(f"/posts/{post.public_id}").text
        assert not any(re.search(f'targets/[^"]*/{what}"', text) for what in EVERYTHING)


EVERYTHING = ("edit", "remove", "retry")


def test_only_its_author_and_admins_remove_a_post(
    box: Poster, owner: httpx.Client, channel: Account
) -> None:
    author = add_user("author@example.org", Role.EDITOR)
    for person, status in (
        (add_user("other@example.org", Role.EDITOR), 403),
        (author, 202),
        (add_user("admin@example.org", Role.ADMIN), 202),
    ):
        post = make_post(box, channel, W.PUBLISHED, remote_id="x")
        with connected():
            Post.update(author=author).where(Post.id == post.id).execute()
            target = PostTarget.get(PostTarget.post == post)
        here = f"/posts/{post.public_id}/targets/{target.public_id}/remove"
        with browser(box.url, person) as page:
            offered = f'{here}"' in page.get(f"/posts/{post.public_id}").text
            assert offered == (status == 202)
            assert page.get(here).status_code == (200 if offered else 403)
            if not offered:
                assert send_form(page, here).status_code == 403
        with script(box.url, person) as client:
            answer = client.post(f"/api/v1{here}")
            assert answer.status_code == status, answer.text
        with connected():
            assert Job.select().where(Job.kind == "remove", Job.post == post).exists() == offered


def test_an_account_that_wants_a_new_sign_in_says_so(
    box: Poster, owner: httpx.Client, client: httpx.Client, channel: Account
) -> None:
    post = make_post(box, channel, W.FAILED)
    with connected():
        Account.update(state=AccountState.RECONNECT).where(Account.id == channel.id).execute()
    assert ">Reconnect<" in owner.get(f"/posts/{post.public_id}").text
    target = result_of(client, post, "youtube")
    assert client.post(target_url(post, target, "retry")).status_code == 409


def test_other_peoples_targets_are_not_there(box: Poster, channel: Account) -> None:
    post = make_post(box, channel, W.FAILED)
    with connected():
        Video.update(visibility=Visibility.PRIVATE).execute()
        target = PostTarget.get()
    with script(box.url, add_user("editor@example.org", Role.EDITOR)) as other:
        for what, body in (("retry", None), ("remove", None), ("edit", {"title": "x"})):
            url = f"/api/v1/posts/{post.public_id}/targets/{target.public_id}/{what}"
            assert other.post(url, json=body).status_code == 404
        assert other.get(f"/api/v1/posts/{post.public_id}/attempts").status_code == 404
