"""The command line beside a running box, as a person or a script uses it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests import media
from tests.end_to_end.box import ROOT, Box, running_box, wait_for
from tests.tasks.alerting.receivers import http_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with running_box(tmp_path_factory.mktemp("cli")) as box:
        yield box


@pytest.fixture(scope="module")
def ready(box: Box) -> Any:
    """A video that is ready."""
    return json.loads(box.run("upload", str(media.h264_aac()), "--wait", "--json"))


def fails(box: Box, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "appliance.cli", *words],
        env={**box.env, **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done
    assert done.stderr.startswith("appliance: ")
    assert "Traceback" not in done.stderr
    return done


def tokens(box: Box) -> list[Any]:
    return json.loads(box.run("token", "list", "--json"))["items"]  # type: ignore[no-any-return]


def test_upload_waits_and_prints_the_video(box: Box, ready: Any) -> None:
    assert ready["state"] == "ready"
    assert ready["source"] == "cli"
    assert box.get(f"/api/v1/videos/{ready['video_id']}")["state"] == "ready"


def test_the_token_of_a_command_ends_with_it(box: Box) -> None:
    before = tokens(box)
    box.run("videos", "list")
    assert tokens(box) == before


def test_what_videos_prints_is_what_the_api_says(box: Box, ready: Any) -> None:
    shown = json.loads(box.run("videos", "show", ready["video_id"], "--json"))
    assert shown["video_id"] == ready["video_id"]
    listed = json.loads(box.run("videos", "list", "--state", "ready", "--json"))
    assert ready["video_id"] in [video["video_id"] for video in listed["items"]]
    assert json.loads(box.run("videos", "list", "xyzzy", "--json"))["items"] == []
    assert ready["title"] in box.run("videos", "list")
    assert "1280" not in box.run("videos", "show", ready["video_id"])


def test_jobs_of_a_video(box: Box, ready: Any) -> None:
    found = json.loads(box.run("jobs", "list", "--video", ready["video_id"], "--json"))["items"]
    assert {"probe", "poster"} <= {job["kind"] for job in found}
    shown = json.loads(box.run("jobs", "show", found[0]["job_id"], "--json"))
    assert shown["state"] == "completed"
    assert "failed or were cancelled" in fails(box, "jobs", "retry", shown["job_id"]).stderr
    assert [run["outcome"] for run in shown["runs"]] == ["completed"]
    assert "Came to" in box.run("jobs", "show", shown["job_id"])
    assert found[0]["job_id"] in box.run("jobs", "--state", "completed")  # "list" may be left out
    assert "Today: " in box.run("jobs", "stats")
    assert "0 started again." in box.run("jobs", "retry", "--failed")


def test_a_post_to_practice_waits_and_prints_its_link(box: Box, ready: Any) -> None:
    made = json.loads(
        box.run("post", ready["video_id"], "--to", "Practice channel", "--wait", "--json")
    )
    assert made["status"] == "completed"
    (result,) = made["results"]
    assert result["success"] is True
    assert httpx.get(result["url"]).status_code in (200, 303)


def test_a_post_for_later_is_scheduled(box: Box, ready: Any) -> None:
    words = box.run(
        "post", ready["video_id"], "--to", "practice", "--at", "2999-01-01 12:00", "--again"
    )
    assert words.endswith("scheduled")


def test_what_does_not_exist_is_told_in_a_sentence(box: Box, ready: Any) -> None:
    assert "Practice channel" in fails(box, "post", ready["video_id"], "--to", "nowhere").stderr
    fails(box, "videos", "show", "0" * 26)
    fails(box, "jobs", "cancel", "0" * 26)


def test_a_video_goes_to_the_bin_once(box: Box) -> None:
    video = json.loads(box.run("upload", str(media.h264_aac()), "--wait", "--again", "--json"))
    box.run("videos", "delete", video["video_id"])
    fails(box, "videos", "delete", video["video_id"])


def test_over_http_with_address_and_token(box: Box, tmp_path: Path) -> None:
    # On another folder: nothing but HTTP can answer.
    elsewhere = {**box.env, "APPLIANCE_DATA": str(tmp_path / "other")}
    elsewhere |= {"APPLIANCE_URL": box.url, "APPLIANCE_TOKEN": box.token}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "appliance.cli", "upload", str(media.h264_aac())),
            *("--wait", "--json", "--title", "From afar"),
        ],
        env=elsewhere,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["title"] == "From afar"
    assert not (tmp_path / "other").exists()
    wrong = fails(box, "videos", "list", APPLIANCE_URL=box.url, APPLIANCE_TOKEN="ma_wrong")
    assert "token" in wrong.stderr


def test_an_address_that_is_no_box_is_told(box: Box) -> None:
    done = fails(
        box, "videos", "list", APPLIANCE_URL=f"{box.url}/practice", APPLIANCE_TOKEN=box.token
    )
    assert "appliance: " in done.stderr


def test_doctor_of_a_running_box(box: Box) -> None:
    report = json.loads(box.run("doctor", "--json"))
    found = {item["check"]: item for item in report["findings"]}
    assert report["healthy"] is True
    assert found["Processes"]["verdict"] == "good"
    assert found["Address"]["found"] == box.url


def test_alerts_by_command(box: Box, tmp_path: Path) -> None:
    with http_receiver() as got:
        address = f"json://127.0.0.1:{got.port}/hidden-word"
        channel = box.run("alerts", "add", "Hook", "--address", address).strip()
        assert json.loads(box.run("alerts", "test", channel, "--json"))["sent"] is True
        assert len(got.requests) == 1
        got.status = 500
        done = fails(box, "alerts", "test", channel)
        assert "was not sent" in done.stderr
    listed = box.run("alerts", "list")
    assert "Hook" in listed and "hidden-word" not in listed
    changes = ("--name", "Bell", "--kind", "disk_low", "--off")
    changed = json.loads(box.run("alerts", "change", channel, *changes, "--json"))
    assert (changed["name"], changed["kinds"], changed["enabled"]) == ("Bell", ["disk_low"], False)
    assert "Bell is changed." in box.run("alerts", "change", channel, "--kind", "all", "--on")
    assert box.run("alerts", "remove", channel)
    assert json.loads(box.run("alerts", "list", "--json"))["channels"] == []
    assert json.loads(box.run("alerts", "watch", "--json"))["delivery"] is True
    assert json.loads(box.run("alerts", "quiet", "--minutes", "5", "--json"))["until"]
    assert "told again" in box.run("alerts", "quiet", "--minutes", "0")


def test_diagnostics_are_written_for_nobody_else(box: Box, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    told = json.loads(box.run("diagnostics", "-o", str(path), "--json"))
    assert told["size_bytes"] == path.stat().st_size
    assert path.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(path) as bundle:
        findings = json.loads(bundle.read("doctor.json"))["findings"]
    assert "Processes" in {finding["check"] for finding in findings}
    assert fails(box, "diagnostics", "-o", str(path))  # never over another file


def test_demo_goes_all_the_way(box: Box) -> None:
    told = json.loads(box.run("demo", "--seconds", "2", "--json"))
    assert told["video"]["state"] == "ready"
    assert told["post"]["status"] == "completed"
    phases = [phase["phase"] for phase in told["phases"]]
    assert phases[:4] == [
        "Make the film", "Upload it", "Wait until it is ready", "Post it to Practice",
    ]  # fmt: skip
    assert {"job probe", "job encode", "job publish"} <= set(phases)


# `appliance up` itself


def test_a_second_up_on_the_same_data_is_refused(box: Box) -> None:
    done = fails(box, "up", APPLIANCE_LISTEN="127.0.0.1:0")
    assert str(box.data) in done.stderr
    assert "already" in done.stderr


def test_a_port_in_use_is_told_with_what_to_change(box: Box, tmp_path: Path) -> None:
    done = fails(box, "up", APPLIANCE_DATA=str(tmp_path / "other"))
    assert "APPLIANCE_LISTEN" in done.stderr
    assert box.address in done.stderr


def test_web_that_dies_comes_back_at_the_same_address_and_no_connection_is_refused(
    box: Box,
) -> None:
    pid = box.pid("web")
    assert box.signal("web", signal.SIGKILL)
    wait_for("it comes back", lambda: box.pid("web") not in (None, pid))
    # The socket is the supervisor's: this waits in its queue until the new process takes it.
    assert httpx.get(f"{box.url}/health/live", timeout=30).status_code == 200


def test_a_command_that_waits_goes_on_when_the_box_comes_back(box: Box) -> None:
    waiting = subprocess.Popen(
        [
            *(sys.executable, "-m", "appliance.cli", "upload", str(media.webm_vp9(seconds=4))),
            *("--wait", "--json"),
        ],
        env=box.env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for("it works on it", lambda: box.get("/api/v1/jobs?state=running")["items"])
    assert box.signal("web", signal.SIGKILL)
    words, _ = waiting.communicate(timeout=100)
    assert waiting.returncode == 0
    assert json.loads(words)["state"] == "ready"


def start_up(environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "appliance.cli", "up"],
            env=environ,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def environ_for(tmp_path: Path, listen: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("APPLIANCE_")}
    return {
        **inherited,
        "APPLIANCE_DATA": str(tmp_path / "data"),
        "APPLIANCE_LISTEN": listen,
        "APPLIANCE_DISK_RESERVE": "10 MiB",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }


def test_the_first_run_prints_a_link_that_opens_and_stops_with_a_live_page_open(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    up = start_up(environ_for(tmp_path, "127.0.0.1:0"), log)
    try:
        link = wait_for(
            "the link is printed",
            lambda: [word for word in log.read_text().split() if "/setup/" in word],
            seconds=40,
        )[0]
        assert ":0/" not in link  # the port that was found, not the one that was asked for
        assert httpx.get(link).status_code == 200
        live = link.split("/setup/")[0]
        host, port = live.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            # A request that never ends, like a page with a live stream.
            slow.sendall(b"POST /files HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
            up.send_signal(signal.SIGINT)
            assert up.wait(timeout=40) == 0
    finally:
        if up.poll() is None:
            up.kill()
        up.wait()


def test_on_a_unix_socket_commands_work_too(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    environ = environ_for(tmp_path, f"unix:{path}")
    environ["APPLIANCE_PRACTICE"] = "false"

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "appliance.cli", *words],
            env=environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("user", "add", "owner@example.org", "--role", "owner")
    up = start_up(environ, tmp_path / "log")
    try:
        wait_for("it runs", lambda: "runs at" in (tmp_path / "log").read_text(), seconds=40)
        assert path.stat().st_mode & 0o777 == 0o660
        video = json.loads(run("upload", str(media.h264_aac()), "--json"))
        assert run("videos", "show", video["video_id"])
        findings = json.loads(run("doctor", "--json"))["findings"]
        assert not [item for item in findings if item["verdict"] == "bad"]
    finally:
        up.send_signal(signal.SIGTERM)
        try:
            assert up.wait(timeout=40) == 0
        except subprocess.TimeoutExpired:
            up.kill()
            raise


def test_nothing_is_left_when_up_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    up = start_up(environ_for(tmp_path, "127.0.0.1:0"), log)
    children: list[int] = []
    try:
        wait_for("it runs", lambda: "/setup/" in log.read_text(), seconds=40)
        text = Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text()
        children = [int(word) for word in text.split()]
        assert len(children) == 4
    finally:
        up.kill()
        up.wait()
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in children):
        assert time.monotonic() < deadline, "a child outlived it"
        time.sleep(0.05)


def test_what_is_made_of_a_video_is_listed_made_and_taken(box: Box, ready: Any) -> None:
    video = ready["video_id"]
    listed = json.loads(box.run("videos", "renditions", video, "--json"))
    assert {"social", "storyboard", "audio"} <= {item["profile"] for item in listed["items"]}
    made = json.loads(box.run("videos", "make", video, "audio", "--wait", "--json"))
    assert (made["state"], made["method"]) == ("ready", "remux")
    assert "Sound alone" in box.run("videos", "make", video, "audio")
    assert "no-such-thing" not in box.run("videos", "renditions", video)
    fails(box, "videos", "make", video, "no-such-thing")


def test_a_poster_is_chosen(box: Box, ready: Any) -> None:
    video = ready["video_id"]
    chosen = json.loads(box.run("videos", "poster", video, "--at", "1", "--wait", "--json"))
    assert (chosen["choice"], chosen["at_s"]) == ("moment", 1.0)
    shown = box.run("videos", "poster", video, "--file", str(media.still_picture()), "--wait")
    assert shown.strip().endswith(f"poster.webp?v={chosen['version'] + 1}")
    assert "lasts 2" in fails(box, "videos", "poster", video, "--at", "99").stderr


def test_profiles_are_shown_and_changed(box: Box) -> None:
    changed = json.loads(box.run("profiles", "set", "social", "crf=18", "preset=fast", "--json"))
    assert changed["items"][0]["chosen"] == {"crf": 18, "preset": "fast"}
    assert "18*" in box.run("profiles", "show")
    assert "16 (best) to 32" in fails(box, "profiles", "set", "social", "crf=90").stderr
    left = json.loads(box.run("profiles", "set", "social", "crf=", "--json"))
    assert left["items"][0]["chosen"] == {"preset": "fast"}
    assert (
        json.loads(box.run("profiles", "set", "social", "--reset", "--json"))["items"][0]["chosen"]
        == {}
    )
