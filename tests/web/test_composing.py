"""Composing posts over the API: readiness, options, templates, covers; and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click.testing import CliRunner

from appliance import accounts, post_templates
from appliance.cli import cli
from appliance.models import Account, Job, Post, PostTarget, Role, User
from tests.tasks.publish.posting import Poster, connected, emptied
from tests.tasks.publish.test_choice import LYING, film
from tests.tasks.test_plan import video as probed
from tests.web.serving import add_token, add_user, browser, script, send_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.models import Video


@pytest.fixture
def box(module_box: Poster) -> Iterator[Poster]:
    with emptied(module_box) as poster:
        with connected():
            for platform in ("youtube", "facebook", "instagram"):
                Account.create(
                    platform=platform, name=f"Our {platform}", remote_id=platform, practice=True
                )
        yield poster


@pytest.fixture
def client(box: Poster) -> Iterator[httpx.Client]:
    with script(box.url, box.user) as client:
        yield client


def new_video(box: Poster, seconds: float = 30.0, **columns: Any) -> Video:
    facts = film(seconds, **probed(**LYING)).to_dict()
    return box.video(title="Summer", facts=facts, duration_s=seconds, **columns)


def by_platform(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {item["platform"]: item for item in answer.json()["items"]}


def press(client: httpx.Client, video: Video, *platforms: str, **body: Any) -> httpx.Response:
    wanted = {"video_id": video.public_id, "platforms": list(platforms), **body}
    return client.post("/api/v1/posts", json=wanted)


def test_readiness_says_for_each_account_what_must_change(
    box: Poster, client: httpx.Client
) -> None:
    video = new_video(box, 1000.0)
    path = f"/api/v1/videos/{video.public_id}/readiness"
    found = by_platform(client.get(path, params={"platform": ["youtube", "instagram"]}))
    assert set(found) == {"youtube", "instagram"}
    assert found["youtube"]["status"] == "ready"
    assert found["instagram"]["status"] == "change"
    (finding,) = found["instagram"]["findings"]
    assert finding["message"] == "The video lasts 16:40; Instagram takes at most 15:00."
    assert [fix["name"] for fix in finding["fixes"]] == ["version:reel"]

    # The fix is an option; with it, the beginning goes out, upright.
    body = {"platforms": ["instagram"], "options": {"version": "reel"}}
    fixed = by_platform(client.post(path, json=body))["instagram"]
    assert (fixed["status"], fixed["version"]) == ("fixed", "reel")
    assert "Only the first 1:30 go out." in [f["message"] for f in fixed["findings"]]


def test_readiness_knows_accounts_that_need_their_sign_in(
    box: Poster, client: httpx.Client
) -> None:
    video = new_video(box)
    with connected():
        account = Account.get(Account.platform == "youtube")
        accounts.mark_lost(account, "gone")
    found = by_platform(client.get(f"/api/v1/videos/{video.public_id}/readiness"))
    with connected():
        accounts.mark_connected(account)
    assert found["youtube"]["status"] == "change"
    assert "connected again" in found["youtube"]["findings"][0]["message"]
    assert found["facebook"]["form"] == "a video"


@pytest.mark.parametrize(
    ("platforms", "body", "field", "words"),
    [
        (["youtube"], {"title": "x" * 101}, "title", "101 characters; 100 are allowed"),
        (["youtube"], {"title": "😀" * 51}, "title", "102 characters"),
        (["youtube"], {"title": "a <b>"}, "title", "may not contain < or >"),
        (["youtube"], {"description": "é" * 2501}, "description", "5002 bytes"),
        (["instagram"], {"description": "#a " * 31}, "description", "31 hashtags"),
        (["instagram"], {"description": "{youtube_url}"}, "description", "needs YouTube among"),
        (["youtube"], {"description": "{youtube_url}"}, "description", "its own text"),
        (["youtube"], {"options": {"colour": "red"}}, "options", "no option “colour”"),
        (["youtube"], {"options": {"privacy": "secret"}}, "options", "“privacy” can't be"),
        (["instagram"], {"options": {"cover": "nothing"}}, "cover", "no such cover"),
        (["instagram"], {"options": {"first_comment": "c" * 2201}}, "first_comment", "2201"),
        (["youtube"], {"publish_at": "2020-01-01T00:00:00Z"}, "publish_at", "has passed"),
        (["youtube"], {"overrides": {"facebook": {"title": "x"}}}, "overrides", "none of the"),
    ],
)  # fmt: skip
def test_what_a_platform_would_refuse_is_refused_before_anything_is_made(
    box: Poster,
    client: httpx.Client,
    platforms: list[str],
    body: dict[str, Any],
    field: str,
    words: str,
) -> None:
    # The practice platform would take all of it: it gets nothing either.
    refused = press(client, new_video(box), *platforms, "practice", **body)
    assert refused.status_code == 422, refused.text
    assert words in refused.json()["detail"]
    assert refused.json()["field"] == field
    with connected():
        assert not Post.select().exists()
        assert not Job.select().where(Job.kind == "publish").exists()


def test_a_file_that_no_version_helps_is_refused_with_the_reason(
    box: Poster, client: httpx.Client
) -> None:
    refused = press(client, new_video(box, 1000.0), "youtube", "instagram")
    assert "The video lasts 16:40; Instagram takes at most 15:00." in refused.json()["detail"]
    with connected():
        assert not Post.select().exists()


def test_somebody_elses_private_video_and_a_deleted_one_are_not_there(
    box: Poster, client: httpx.Client
) -> None:
    from appliance.models import Visibility
    from appliance.videos import trash

    video = new_video(box, visibility=Visibility.PRIVATE)
    with connected():
        other: User = User.get_or_none(User.email == "other@example.org") or add_user(
            "other@example.org", Role.EDITOR
        )
    with script(box.url, other) as stranger:
        assert press(stranger, video, "practice").status_code == 404
    with connected():
        trash(video, actor=box.user)
    assert press(client, video, "practice").status_code == 404


def test_options_are_kept_for_the_accounts_that_know_them(
    box: Poster, client: httpx.Client
) -> None:
    made = press(
        client,
        new_video(box),
        "youtube",
        "facebook",
        options={"first_comment": "First!", "version": "vertical", "privacy": "unlisted"},
        overrides={
            "facebook": {"title": "For the Page", "options": {"version": "", "kind": "video"}}
        },
    )
    assert made.status_code == 202, made.text
    with connected():
        kept = {t.account.platform: t.overrides for t in PostTarget.select().join(Account)}
    assert kept["youtube"] == {
        "options": {"first_comment": "First!", "version": "vertical", "privacy": "unlisted"}
    }
    assert kept["facebook"] == {
        "title": "For the Page",
        "options": {"first_comment": "First!", "kind": "video"},
    }


def test_templates_begin_posts_and_are_the_teams(box: Poster, client: httpx.Client) -> None:
    body = {
        "name": "Weekly talk",
        "title": "Talk: {title}",
        "description": "Soon: {description}{title}",
        "options": {"first_comment": "Questions?", "privacy": "private"},
    }
    made = client.post("/api/v1/post-templates", json=body).json()
    assert client.post("/api/v1/post-templates", json=body).status_code == 409
    path = f"/api/v1/post-templates/{made['template_id']}"
    assert client.put(path, json={**body, "name": ""}).status_code == 422
    assert client.put(path, json={**body, "name": "Talk"}).json()["name"] == "Talk"
    assert [t["name"] for t in client.get("/api/v1/post-templates").json()["items"]] == ["Talk"]

    video = new_video(box, description="{title} of the week")
    taken = press(client, video, "instagram", template="Talk", title="Mine")
    assert taken.status_code == 202, taken.text
    post = client.get(taken.json()["status_url"]).json()
    assert (post["title"], post["description"]) == ("Mine", "Soon: {title} of the weekSummer")
    with connected():
        assert PostTarget.get().overrides == {"options": {"first_comment": "Questions?"}}
    assert "no template “None”" in press(client, video, "youtube", template="None").json()["detail"]
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_a_cover_has_to_be_made_before_it_goes_out(box: Poster, client: httpx.Client) -> None:
    video = new_video(box)
    path = f"/api/v1/videos/{video.public_id}/covers"
    assert client.post(path, json={"at_s": 31}).json()["field"] == "at_s"
    assert client.post(path, json={"at": 1}).status_code == 422
    bad = client.post(path, content=b"no picture", headers={"content-type": "image/png"})
    assert "Only PNG, JPEG and WebP" in bad.json()["detail"]

    made = client.post(path, json={"at_s": 3.5})
    assert (made.status_code, made.json()["state"]) == (202, "making")
    options = {"cover": made.json()["cover_id"]}
    early = press(client, video, "youtube", options=options)
    assert "still being made" in early.json()["detail"]
    # The worker has put it there.
    file = box.layout.cover(video.public_id, options["cover"])
    file.write_bytes(b"\xff\xd8\xff made")
    assert client.get(f"{path}/{options['cover']}").json()["state"] == "ready"
    assert client.get(made.json()["url"]).content == b"\xff\xd8\xff made"
    assert press(client, video, "youtube", options=options).status_code == 202


def test_the_shell_says_what_must_change_and_posts_with_options(
    box: Poster, client: httpx.Client
) -> None:
    long, fine = new_video(box, 1000.0).public_id, new_video(box).public_id
    token = add_token(box.user)

    def run(*words: str, **how: bool) -> Any:
        return CliRunner().invoke(cli, [*words, "--url", box.url, "--token", token], **how)  # type: ignore[arg-type]  # standalone_mode

    told = run("readiness", long, "--to", "instagram", standalone_mode=False)
    assert told.return_value == 1
    assert "Our instagram (instagram): Must change" in told.stdout
    assert "The video lasts 16:40; Instagram takes at most 15:00." in told.stdout
    assert "Trim it to 90 s, upright: --option version=reel" in told.stdout
    fixed = run("readiness", long, "--to", "instagram", "--option", "version=reel")
    assert (fixed.exit_code, "Will be fixed automatically" in fixed.stdout) == (0, True)

    client.post("/api/v1/post-templates", json={"name": "Weekly", "title": "Week: {title}"})
    made = run(
        "post", fine, "--to", "youtube", "--to", "Our instagram", "--template", "Weekly",
        "--comment", "Questions?", "--option", "privacy=private",
        "--option", "instagram:version=vertical", "--text-for", "instagram=See {youtube_url}",
        "--title-for", "youtube=For the channel", "--draft",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    with connected():
        kept = {t.account.platform: t.overrides for t in PostTarget.select().join(Account)}
        assert Post.get().title == "Week: Summer"
    assert kept["youtube"] == {
        "title": "For the channel",
        "options": {"first_comment": "Questions?", "privacy": "private"},
    }
    assert kept["instagram"] == {
        "description": "See {youtube_url}",
        "options": {"first_comment": "Questions?", "version": "vertical"},
    }
    assert run("post", fine, "--to", "youtube", "--option", "privacy").exit_code == 2


def test_templates_are_made_changed_and_deleted_by_forms(box: Poster) -> None:
    with browser(box.url, box.user) as client:
        made = send_form(client, "/post-templates", name="Talk", title="{title}", comment="Hi")
        assert made.status_code == 303
        again = send_form(client, "/post-templates", name="Talk", title="Kept")
        assert again.status_code == 422
        assert "Choose another name" in again.text and "Kept" in again.text
        with connected():
            (template,) = post_templates.all_templates()
        assert template.options == {"first_comment": "Hi"}
        path = f"/post-templates/{template.public_id}"
        assert "Talk" in client.get(path).text
        assert send_form(client, path, name="Talks", description="d").status_code == 303
        with connected():
            changed = post_templates.get(template.public_id)
        assert (changed.name, changed.description, changed.options) == ("Talks", "d", {})
        assert send_form(client, f"{path}/delete").status_code == 303
        assert client.get(path).status_code == 404
