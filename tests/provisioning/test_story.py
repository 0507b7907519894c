"""The life of a box, told in order on real machines: docs/operate.md, done step by step.

Installed by the playbook, used, rebooted in the middle of work, upgraded, spoiled and taken back,
killed at, backed up, restored on another machine, uninstalled. A step stands on those before it.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests import media
from tests.end_to_end.box import ROOT, sha256, wait_for
from tests.provisioning.guests import Guest, booted, why_not
from tests.provisioning.installing import DOMAIN, PASSWORD, Installed, build_wheel, play

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.provisioning.installing import Played

_reason = why_not()
pytestmark = [
    pytest.mark.long,
    pytest.mark.needs_root,
    pytest.mark.needs_systemd,
    pytest.mark.skipif(bool(_reason), reason=_reason),
    pytest.mark.timeout(1500),
]


NEIGHBOUR = "10.0.2.77"


@dataclass
class Story:
    """What one step leaves to the next."""

    guest: Guest
    folder: Path  # stays to the end
    wheel: Path
    began_s: float = 0.0
    setup_path: str = ""
    videos: dict[str, str] = field(default_factory=dict)  # id → sha256 of the original
    recovery_key: str = ""
    backup: str = ""
    _box: Installed | None = None

    @property
    def box(self) -> Installed:
        if self._box is None:
            self._box = Installed(self.guest)
        return self._box

    def play(self, *words: str, **variables: Any) -> Played:
        variables = {"appliance_wheel": str(self.wheel)} | variables
        return site(self.guest, *words, **variables)


def site(guest: Guest, *words: str, **variables: Any) -> Played:
    # A neighbour, whom nobody asks here.
    given = {"domain": DOMAIN, "caddy_tls": "internal", "appliance_reach": [NEIGHBOUR]} | variables
    return play(guest.inventory(), "site.yml", *words, **given)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("wheels")
    wheel = build_wheel(folder / "first")
    with booted("bookworm", "first") as guest:
        yield Story(guest, folder, wheel)


def original_of(box: Installed, video_id: str) -> str:
    """The sha256 of the original, as somebody who downloads it gets it."""
    with box.client() as client:
        answer = client.get(f"/media/{video_id}/original")
    assert answer.status_code == 200, answer.text[:500]
    return sha256(answer.content)


def test_a_dry_run_on_a_fresh_machine_tells_what_it_would_do(story: Story) -> None:
    played = story.play("--check", "--diff")
    assert played.code == 0, played.said[-4000:]
    assert "+table inet appliance" in played.said
    assert story.guest.run("ls /opt; id -u appliance", check=False) == ""


def test_one_playbook_installs_it(story: Story) -> None:
    story.began_s = time.monotonic()
    played = story.play(appliance_secrets={"metrics_token": "m" * 40})
    assert played.code == 0, played.said[-4000:]
    link = re.search(rf"https://{DOMAIN}(/setup/[\w-]+)", played.said)
    assert link is not None, played.said[-1000:]
    story.setup_path = link[1]
    print(f"installed in {played.seconds:.0f} s")
    assert "m" * 40 not in played.said
    assert story.guest.run("grep -rl mmmmmmmmmm /etc/appliance /var/log", check=False) == ""
    for unit in ("appliance-watch", "appliance-worker@delivery"):
        assert NEIGHBOUR in story.guest.run(f"systemctl show --property=IPAddressAllow {unit}")


def test_the_link_makes_the_first_account(story: Story) -> None:
    with story.box.browser() as person:
        person.headers["Origin"] = f"https://{DOMAIN}"
        assert person.get(story.setup_path).status_code == 200
        answer = person.post(
            story.setup_path,
            data={
                "_csrf_token": form_token_of(person),
                "email": "owner@example.org",
                "name": "Owner",
                "password": PASSWORD,
                "time_zone": "Europe/Berlin",
            },
        )
        assert (answer.status_code, answer.headers.get("location")) == (303, "/"), answer.text
        assert person.get("/").status_code == 200
    create = "appliance token create owner@example.org --name story"
    story.box.token = story.guest.run(create)


def form_token_of(person: httpx.Client) -> str:
    """What the forms of the pages that were opened carry."""
    (found,) = (each.value for each in person.cookies.jar if each.name.endswith("csrf"))
    assert found is not None
    return found


def test_a_video_gets_ready_and_goes_out(story: Story) -> None:
    box, clip = story.box, media.webm_vp9()
    video_id = box.upload(clip)
    video = box.wait_video(video_id, "ready", seconds=240)
    print(f"first video ready {time.monotonic() - story.began_s:.0f} s after the playbook began")
    story.videos[video_id] = sha256(clip.read_bytes())
    assert video["social_ready_status"] == "ready"
    post = box.post(video_id, key="first")
    done = box.wait_post(post["post_id"], "completed", "failed", "partial", seconds=120)
    assert done["status"] == "completed", done


def test_caddy_sends_public_media_itself_after_the_box_said_yes(story: Story) -> None:
    (video_id,) = story.videos
    address = story.box.get(f"/api/v1/videos/{video_id}")["social_ready_url"]
    with story.box.browser() as person:
        whole = person.get(address)
        part = person.get(address, headers={"Range": "bytes=100-199"})
        made_up = person.get(address.replace("/public/", "/public/x"))
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "video/mp4"
    assert "x-accel-redirect" not in whole.headers
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert made_up.status_code == 404
    # The box itself sent none of it: with its data out of Caddy's reach there is no answer.
    story.guest.run("chmod g-x /var/lib/appliance/media")
    try:
        with story.box.browser() as person:
            assert person.get(address).status_code in (403, 404)
    finally:
        story.guest.run("chmod g+x /var/lib/appliance/media")


def test_the_box_finds_itself_healthy(story: Story) -> None:
    found = json.loads(story.box.command("appliance doctor --json"))
    bad = [each for each in found["findings"] if each["verdict"] == "bad"]
    assert bad == []
    story.guest.run("systemctl --quiet is-system-running")
    story.guest.run("cd /root && appliance diagnostics -o b.zip && python3 -m zipfile -e b.zip b")
    assert "appliance-worker@media.service" in story.guest.run("cat /root/b/logs.txt")


def test_a_reboot_in_the_middle_of_an_upload_and_an_encode(story: Story) -> None:
    box, guest = story.box, story.guest
    encoded = box.upload(media.slow(60))
    story.videos[encoded] = sha256(media.slow(60).read_bytes())
    body = media.index_last().read_bytes() * 40
    with held_upload(box, body, "half.mp4") as location:
        wait_for(
            "the encode is under way",
            lambda: box.get(f"/api/v1/videos/{encoded}")["social_ready_status"] == "processing",
        )
        guest.reboot()
    wait_for("it answers again", lambda: answers(box), seconds=120)
    sent = box.finish_upload(location, body)
    story.videos[sent] = sha256(body)
    box.wait_video(sent, "ready", seconds=240)
    box.wait_video(encoded, "ready", seconds=240)
    assert {video: original_of(box, video) for video in story.videos} == story.videos


def answers(box: Installed) -> bool:
    try:
        with box.browser() as client:
            return client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


class held_upload:
    """An upload whose request has sent half and stays open; the body gets its address."""

    def __init__(self, box: Installed, body: bytes, name: str) -> None:
        self.location, half = box.begin_upload(body, name), threading.Event()
        self._enough = threading.Event()
        self._thread = threading.Thread(
            target=box.send_half, args=(self.location, body, half, self._enough), daemon=True
        )
        self._thread.start()
        assert half.wait(60)

    def __enter__(self) -> str:
        return self.location

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()


def test_a_second_run_changes_nothing(story: Story) -> None:
    secrets = {"metrics_token": "m" * 40}
    for words in ((), ("--check", "--diff")):
        played = story.play(*words, appliance_secrets=secrets)
        assert played.code == 0, played.said[-4000:]
        assert (played.changed, played.changes) == (0, [])
        assert "/setup/" not in played.said


class Visitor(threading.Thread):
    """Somebody who opens a page again and again; ``failed``: what was no answer."""

    def __init__(self, box: Installed) -> None:
        super().__init__(daemon=True)
        self.box, self.answered, self.failed = box, 0, list[str]()
        self.longest_s = 0.0
        self._ended = threading.Event()

    def __enter__(self) -> Visitor:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        with self.box.browser() as client:
            client.timeout = httpx.Timeout(120)
            while not self._ended.wait(0.02):
                began_s = time.monotonic()
                try:
                    status = client.get("/sign-in").status_code
                except httpx.TransportError as exc:
                    self.failed.append(repr(exc))
                else:
                    self.answered += 1
                    if status != 200:
                        self.failed.append(str(status))
                self.longest_s = max(self.longest_s, time.monotonic() - began_s)


def why_failed(guest: Guest) -> str:
    """What the proxy and the box have noted about it."""
    logs = "journalctl -o short-precise -u caddy -u appliance-web"
    return guest.run(f"{logs} | grep -vE 'INFO|status=200' | tail -60")


def test_an_upgrade_with_an_upload_in_flight(story: Story) -> None:
    box = story.box
    wheel = build_wheel(story.folder / "second", "99.0.1")
    body = media.index_last().read_bytes() * 41
    with Visitor(box) as visitor, held_upload(box, body, "upgrade.mp4") as location:
        played = story.play(appliance_wheel=str(wheel))
        assert played.code == 0, played.said[-4000:]
    print(f"{visitor.answered} answered, the longest took {visitor.longest_s:.1f} s")
    assert visitor.failed == [], why_failed(story.guest)
    sent = box.finish_upload(location, body)
    story.videos[sent] = sha256(body)
    box.wait_video(sent, "ready", seconds=240)
    assert "99.0.1" in story.guest.run("appliance --version")
    assert json.loads(box.command("appliance release list --json"))["active"].startswith("99.0.1-")
    story.wheel = wheel


def test_a_bad_release_is_taken_back(story: Story) -> None:
    box = story.box
    bad = build_wheel(story.folder / "bad", "99.0.2", spoiled=True)
    with Visitor(box) as visitor:
        played = story.play(appliance_wheel=str(bad))
    assert played.code == 2
    assert "spoiled for a test" in played.said and "is in use again" in played.said
    assert visitor.failed == [], why_failed(story.guest)
    assert json.loads(box.command("appliance release list --json"))["active"].startswith("99.0.1-")
    assert box.get(f"/api/v1/videos/{next(iter(story.videos))}")["state"] == "ready"


def test_an_admin_goes_back_by_one_command(story: Story) -> None:
    box = story.box
    before = json.loads(box.command("appliance release list --json"))
    box.command("appliance release rollback")
    after = json.loads(box.command("appliance release list --json"))
    assert after["active"] == before["previous"] != before["active"]
    story.guest.run(f"appliance release activate /opt/appliance/releases/{before['active']}")
    wait_for("it answers", lambda: answers(box))


def test_the_units_hold_inside(story: Story) -> None:
    """Restarts, kills, watchdogs and the sandbox, looked at from inside: tests/systemd."""
    site_packages = Path(pytest.__file__).parents[1]
    names = ["pytest", "_pytest", "py.py", "pluggy", "iniconfig", "packaging", "pygments"]
    sent = subprocess.run(
        ["tar", "-c", "-C", site_packages, "--exclude=__pycache__", *names]
        + ["-C", ROOT / "tests", "systemd"],
        check=True,
        capture_output=True,
    ).stdout
    send(story.guest, sent, "mkdir -p /root/tests && tar -x -C /root/tests")
    said = story.guest.run(
        "cd /root/tests && python3 -m pytest -c /dev/null -p no:cacheprovider -q -rA "
        "systemd/test_installed.py 2>&1; echo ended with $?"
    )
    assert said.endswith("ended with 0"), said[-6000:]
    assert " passed" in said


def send(guest: Guest, content: bytes, command: str) -> None:
    done = subprocess.run([*guest.ssh, command], input=content, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_backup_under_load(story: Story) -> None:
    box = story.box
    story.recovery_key = box.command("appliance backup key").splitlines()[0]
    ended, sent = threading.Event(), list[str]()

    def keep_sending() -> None:
        while not ended.is_set():
            sent.append(box.upload(media.h264_aac(), name=f"{len(sent)}.mp4"))

    load = threading.Thread(target=keep_sending)
    load.start()
    try:
        wait_for("the load is on", lambda: len(sent) >= 2)
        made = json.loads(box.command("appliance backup create --json"))
    finally:
        ended.set()
        load.join()
    assert made["problems"] == []
    story.backup = made["name"]
    assert "every byte" in box.command("appliance backup verify")
    box.command("appliance backup drill")


def test_it_is_restored_on_another_machine(story: Story) -> None:
    with booted("bookworm", "second") as guest:
        played = site(guest, appliance_wheel=str(story.wheel))
        assert played.code == 0, played.said[-4000:]
        content = subprocess.run(
            [*story.guest.ssh, "tar -c -C /var/backups/appliance ."],
            check=True,
            capture_output=True,
        ).stdout
        unpack = "tar -x -C /var/backups/appliance && chown -R appliance: /var/backups/appliance"
        send(guest, content, unpack)
        other = Installed(guest)
        assert story.backup in other.command("appliance backup list")
        other.command("appliance backup restore --key-stdin", given=f"{story.recovery_key}\n")
        wait_for("it answers", lambda: answers(other), seconds=60)
        other.token = story.box.token
        assert {video: original_of(other, video) for video in story.videos} == story.videos
        found = json.loads(other.command("appliance doctor --json"))
        assert [each for each in found["findings"] if each["verdict"] == "bad"] == []
        played = site(guest, appliance_wheel=str(story.wheel))
        assert (played.code, played.changes) == (0, []), played.said[-4000:]
        uninstall(guest)


def uninstall(guest: Guest) -> None:
    played = play(guest.inventory(), "uninstall.yml")
    assert played.code == 0, played.said[-4000:]
    assert guest.run("ls /opt/appliance /etc/systemd/system | grep appliance", check=False) == ""
    assert "appliance.db" in guest.run("ls /var/lib/appliance")
    again = play(guest.inventory(), "uninstall.yml")
    assert (again.code, again.changed) == (0, 0), again.said[-4000:]
    unsure = play(guest.inventory(), "uninstall.yml", remove_data=True)
    assert unsure.code == 2 and "for good" in unsure.said
    gone = play(guest.inventory(), "uninstall.yml", remove_data=True, confirm=guest.name)
    assert gone.code == 0, gone.said[-4000:]
    assert guest.run("ls -d /var/lib/appliance /etc/appliance", check=False) == ""
