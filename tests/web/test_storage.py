"""The Storage page, its API and command, and the bin for good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click.testing import CliRunner

from appliance import retention
from appliance.cli import cli
from appliance.db import database
from appliance.models import AuditEntry, Damage, Event, Job, Role, Setting, User, Video
from appliance.retention import Originals, Policy
from appliance.states import VideoState
from storage.layout import Layout
from tasks import trash
from tests.storing import ORIGINAL, SOCIAL, add_ready_video
from tests.web.serving import add_user, browser, script, send_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.serving import Served


@pytest.fixture(autouse=True)
def kept(one_server: Served) -> Iterator[None]:
    """Nothing is chosen at first; rows of settings outlive the tests of a server."""
    yield
    Setting.delete().where(
        Setting.name.startswith("storage") | (Setting.name == "retention")
    ).execute()


def page(client: httpx.Client, address: str = "/storage") -> str:
    """Its text, with all white space as one blank."""
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return " ".join(answer.text.split())


# Numbers


def test_everybody_sees_the_numbers_and_admins_decide(one_server: Served, box: Layout) -> None:
    owner, viewer = add_user(), add_user("view@example.org", Role.VIEWER)
    add_ready_video(box, owner)
    with browser(one_server.url, viewer) as client:
        text = page(client)
        assert "What takes room" in text
        assert "Would free" not in text  # that takes a look at each video
        assert "Save</button>" not in text
        assert "Would free 960 bytes now, of 1 video." in page(client, "/storage/_policies")
        assert "Original 960 bytes" in page(client, "/storage/_biggest")
        text = page(client, "/storage?whole=yes")  # without JavaScript
        assert "Would free 960 bytes now, of 1 video." in text
        assert "Original 960 bytes" in text
        assert send_form(client, "/storage/policy", kind="keep", after_days="1").status_code == 403
        assert send_form(client, "/storage/sweep").status_code == 403
    with script(one_server.url, viewer) as client:
        found = client.get("/api/v1/storage").json()
        sizes = {part["name"]: part["size_bytes"] for part in found["parts"]}
        assert (sizes["original"], sizes["social"]) == (len(ORIGINAL), len(SOCIAL))
        assert found["videos_bytes"] == len(ORIGINAL) + len(SOCIAL)
        assert found["biggest"][0]["original_bytes"] == len(ORIGINAL)
        assert client.patch("/api/v1/storage/policy", json={"kind": "keep"}).status_code == 403


def test_what_is_in_the_bin_counts_and_can_be_found(one_server: Served, box: Layout) -> None:
    owner = add_user()
    video = add_ready_video(box, owner)
    trash.throw_away(video, owner, box)
    with script(one_server.url, owner) as client:
        found = client.get("/api/v1/storage").json()
    parts = {part["name"]: part for part in found["parts"]}
    assert (parts["bin"]["count"], parts["bin"]["size_bytes"]) == (1, len(ORIGINAL) + len(SOCIAL))
    assert parts["original"]["count"] == 0


def test_titles_of_private_videos_are_for_those_who_may_see_them(
    one_server: Served, box: Layout
) -> None:
    owner, editor = add_user(), add_user("ed@example.org", Role.EDITOR)
    video = add_ready_video(box, owner, title="Salaries", visibility="private")
    Damage.create(video=video, name="original", problem="missing")
    with browser(one_server.url, editor) as client:
        assert "Salaries" not in page(client)
    with browser(one_server.url, owner) as client:
        assert "Salaries" in page(client)
        assert "The original is missing from the disk" in page(client)
        assert "The original is missing from the disk" in page(client, f"/videos/{video.public_id}")
        Damage.create(video=video, name="social", problem="content")
        text = page(client, f"/videos/{video.public_id}")
        assert "has changed on the disk, and there is no original to make it of. It stays" in text


def test_the_sums_read_no_row_of_a_video(one_server: Served) -> None:
    """At 100,000 videos: both sums come from covering indexes alone."""
    for sql in (
        "SELECT SUM(size_bytes) FROM video WHERE received_at IS NOT NULL AND "
        "original_removed_at IS NULL",
        "SELECT profile, COUNT(1), SUM(size_bytes) FROM rendition WHERE state = 'ready' "
        "GROUP BY profile",
    ):
        plan = " ".join(row[3] for row in database.execute_sql(f"EXPLAIN QUERY PLAN {sql}"))
        assert "COVERING INDEX" in plan


# The policy


def test_a_policy_is_chosen_with_its_numbers_before_it_begins(
    one_server: Served, box: Layout
) -> None:
    owner = add_user()
    add_ready_video(box, owner)
    with browser(one_server.url, owner) as client:
        asked = send_form(client, "/storage/policy", kind="delete", after_days="30")
        assert asked.status_code == 200
        assert "the original of 1 video is removed for good (960 bytes)" in asked.text
        assert retention.policy_of(one_server.settings).policy == Policy()
        sure = send_form(client, "/storage/policy", kind="delete", after_days="30", sure="yes")
        assert sure.headers["Location"] == "/storage?done=policy"
        assert retention.policy_of(one_server.settings).policy == Policy(Originals.DELETE, 30)
        # What removes nothing now needs no second question.
        kept = send_form(client, "/storage/policy", kind="smaller", after_days="9999")
        assert kept.status_code == 303
        wrong = send_form(client, "/storage/policy", kind="delete", after_days="soon")
        assert wrong.status_code == 422
        assert "Write a number of days from 1 to 9999." in wrong.text
        assert 'value="soon"' in wrong.text
        fragment = page(client, "/storage/_policies?after_days=200&kind=delete")
        assert "Would free nothing now." in fragment
        assert "<html" not in fragment


def test_the_api_counts_changes_and_sweeps(one_server: Served, box: Layout) -> None:
    owner = add_user()
    video = add_ready_video(box, owner)
    add_ready_video(box, owner, keep_original=True)
    with script(one_server.url, owner) as client:
        changed = client.patch("/api/v1/storage/policy", json={"kind": "delete", "after_days": 30})
        assert changed.json()["policy"] == {
            "kind": "delete", "after_days": 30, "count": 1, "size_bytes": 960, "spared": 1,
        }  # fmt: skip
        dry = client.post("/api/v1/storage/sweep", json={"dry_run": True})
        assert (dry.status_code, dry.json()["count"]) == (200, 1)
        assert [row["video_id"] for row in dry.json()["videos"]] == [video.public_id]
        assert Job.select().count() == 0
        begun = client.post("/api/v1/storage/sweep")
        assert begun.status_code == 202
        assert {Job.get(Job.public_id == one).kind for one in begun.json()["jobs"]} == {
            "retain", "tidy",
        }  # fmt: skip
        assert client.get("/api/v1/storage", params={"after_days": 0}).status_code == 422
        bad = client.patch("/api/v1/storage/policy", json={"kind": "delete", "after_days": 0})
        assert (bad.status_code, bad.json()["field"]) == (422, "after_days")
        assert client.post("/api/v1/storage/verify").status_code == 202
    assert Job.select().where(Job.kind == "verify").count() == 1


def test_a_video_is_pinned_by_the_api(one_server: Served, box: Layout) -> None:
    owner = add_user()
    video = add_ready_video(box, owner)
    address = f"/api/v1/videos/{video.public_id}"
    with script(one_server.url, owner) as client:
        assert client.patch(address, json={"keep_original": True}).json()["keep_original"] is True
        assert client.patch(address, json={"title": "Other"}).json()["keep_original"] is True
        Video.update(original_removed_at=video.ready_at).execute()
        gone = client.patch(address, json={"keep_original": True})
        assert (gone.status_code, gone.json()["code"]) == (409, "original_removed")
        assert client.get(address).json()["original_removed_at"]
        file = client.get(f"/media/{video.public_id}/original")
        assert file.status_code == 404
        assert "removed to save space" in file.text
        assert client.get(f"/media/{video.public_id}/social.mp4").content == SOCIAL
    assert Event.select().where(Event.type == "video.original_kept").count() == 1


def test_who_may_not_delete_may_not_unpin(one_server: Served, box: Layout) -> None:
    owner, editor = add_user(), add_user("ed@example.org", Role.EDITOR)
    video = add_ready_video(box, owner)
    address = f"/videos/{video.public_id}"
    with browser(one_server.url, editor) as client:
        assert send_form(client, f"{address}/keep-original", keep="yes").status_code == 303
        assert "Let the policy decide" not in page(client, address)
        assert send_form(client, f"{address}/keep-original", keep="no").status_code == 403
    with script(one_server.url, editor) as client:
        told = client.patch(f"/api/v1{address}", json={"keep_original": False, "title": "Other"})
        assert told.status_code == 403
    assert Video.get_by_id(video.id).keep_original
    assert Video.get_by_id(video.id).title != "Other"
    with browser(one_server.url, owner) as client:
        assert "Let the policy decide" in page(client, address)
        assert send_form(client, f"{address}/keep-original", keep="no").status_code == 303
    assert not Video.get_by_id(video.id).keep_original


# The bin, for good


def test_the_bin_is_emptied_after_a_question(one_server: Served, box: Layout) -> None:
    owner, editor = add_user(), add_user("ed@example.org", Role.EDITOR)
    mine, first, second = (add_ready_video(box, user) for user in (editor, owner, owner))
    for video in (mine, first, second):
        trash.throw_away(video, owner, box)
    with browser(one_server.url, editor) as client:
        text = page(client, "/?show=bin")
        assert "Removed for good in 7 days" in text
        assert text.count(">Delete now<") == 1
        assert "1 video is removed" in page(client, "/bin/empty")
        assert send_form(client, f"/bin/{first.public_id}/remove").status_code == 403
        assert send_form(client, "/bin/empty").headers["Location"] == "/?show=bin"
    assert not box.trashed(mine.public_id).exists()
    assert box.trashed(first.public_id).exists()
    with browser(one_server.url, owner) as client:
        asked = client.get(f"/bin/{first.public_id}/remove", headers={"HX-Request": "true"})
        assert "Delete this video for good?" in asked.text
        assert "<html" not in asked.text
        assert Video.select().count() == 2
        assert send_form(client, f"/bin/{first.public_id}/remove").status_code == 303
        assert send_form(client, f"/bin/{first.public_id}/remove").status_code == 303  # gone
    with script(one_server.url, owner) as client:
        assert client.delete(f"/api/v1/bin/{first.public_id}").status_code == 404
        assert client.delete("/api/v1/bin").json() == {"removed": 1}
    assert Video.select().count() == 0
    assert list(box.trash.iterdir()) == []
    assert AuditEntry.select().where(AuditEntry.action == "video.remove").count() == 3


def test_what_was_set_aside_goes_by_a_question_of_its_own(one_server: Served, box: Layout) -> None:
    owner, editor = add_user(), add_user("ed@example.org", Role.EDITOR)
    file = box.orphans / "2026-01-01" / "media" / "stray"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"of nobody")
    Setting.create(name="storage_looked", value={"orphans": 1, "orphans_bytes": 9})
    with browser(one_server.url, editor) as client:
        assert "/storage/set-aside" not in page(client)
        assert send_form(client, "/storage/set-aside").status_code == 403
    with browser(one_server.url, owner) as client:
        send_form(client, "/bin/empty")
        assert file.exists()
        assert "/storage/set-aside" in page(client)
        assert "1 file that belongs to no video is removed for good (9 bytes)" in page(
            client, "/storage/set-aside"
        )
        assert send_form(client, "/storage/set-aside").status_code == 303
        assert "/storage/set-aside" not in page(client)
    assert not file.exists()
    with script(one_server.url, owner) as client:
        gone = client.delete("/api/v1/storage/set-aside")
        assert gone.json() == {"removed": 0, "size_bytes": 0}
    assert AuditEntry.select().where(AuditEntry.action == "storage.set_aside_removed").count() == 2


def test_only_what_is_in_the_bin_goes_for_good(one_server: Served, box: Layout) -> None:
    owner = add_user()
    video = add_ready_video(box, owner)
    with script(one_server.url, owner) as client:
        assert client.delete(f"/api/v1/bin/{video.public_id}").status_code == 404
        assert client.delete("/api/v1/bin").json() == {"removed": 0}
    assert box.original(video.public_id).exists()


# The command


@pytest.fixture
def command(one_server: Served, monkeypatch: pytest.MonkeyPatch) -> Any:
    owner = add_user()
    with script(one_server.url, owner) as client:
        token = client.headers["Authorization"].removeprefix("Bearer ")
    monkeypatch.setenv("APPLIANCE_URL", one_server.url)
    monkeypatch.setenv("APPLIANCE_TOKEN", token)

    def run(*words: str, code: int = 0) -> str:
        answer = CliRunner().invoke(cli, ["storage", *words])
        assert answer.exit_code == code, answer.output
        return answer.output

    return run


def test_the_command_says_and_does_the_same(command: Any, box: Layout) -> None:
    video = add_ready_video(box, User.get())
    assert "Originals: kept" in command()
    assert json.loads(command("--json"))["videos_bytes"] == len(ORIGINAL) + len(SOCIAL)
    assert "delete" in command("policy")
    assert json.loads(command("policy", "--after", "200", "--json"))["policies"][1]["count"] == 0
    assert "960 bytes of 1 video(s) now" in command("policy", "delete", "--after", "30")
    command("policy", "delete", code=2)
    assert video.public_id in command("sweep", "--dry-run")
    assert len(json.loads(command("sweep", "--json"))["jobs"]) == 2
    assert command("verify").startswith("Begun: ")
    assert command("remove-set-aside", "--yes").startswith("0 file(s) removed")
    trash.throw_away(video, User.get(), box)
    assert json.loads(command("empty-bin", "--yes", "--json")) == {"removed": 1}
    assert Video.select().where(Video.state == VideoState.TRASHED).count() == 0
