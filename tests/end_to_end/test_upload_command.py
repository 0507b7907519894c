"""`appliance upload` as scripts rely on it: many files, cuts, restarts, and what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.cli import run
from appliance.cli.journal import Journal, SentByAnother
from appliance.cli.remote import connected
from appliance.cli.sending import Changed, Patience, send_file, send_stream
from appliance.cli.transfer import Passing, Said
from tests import media
from tests.cutting import Fault, bad_network, faults
from tests.end_to_end.box import ROOT, Box, running_box, sha256, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

WRONG_USE, INTERRUPTED = 2, 130


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with running_box(tmp_path_factory.mktemp("upload")) as box:
        yield box


@pytest.fixture
def environ(box: Box, tmp_path: Path) -> dict[str, str]:
    """A user of its own, who has sent nothing yet."""
    return {**box.env, "XDG_STATE_HOME": str(tmp_path / "state")}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "appliance.cli", "upload", *words]


def upload(
    environ: dict[str, str], *words: str | Path, **options: Any
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*map(str, words)),
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def lines(done: subprocess.CompletedProcess[str]) -> list[Any]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def original(box: Box, video_id: str) -> bytes:
    (found,) = (box.data / "media").glob(f"**/{video_id}/original*")
    return found.read_bytes()


def random_file(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Four videos, each its own, and what cameras put beside them."""
    folder = tmp_path / "footage"
    (folder / "day 2").mkdir(parents=True)
    (folder / ".cache").mkdir()
    for name in ("clip10.mp4", "clip2.mp4", "day 2/KLIP.MOV", "day 2/no ending"):
        shutil.copy(media.h264_aac(), folder / name)
        media.append_free_box(folder / name, len(name), size=100)
    shutil.copy(media.h264_aac(), folder / ".cache/hidden.mp4")
    (folder / "notes.txt").write_text("no video")
    (folder / "fake.mp4").write_text("no video either, whatever its name says")
    (folder / "clip2.lrv").write_bytes(media.h264_aac().read_bytes())
    return folder


# Which files


def test_a_folder_is_sent_once_and_only_what_is_new_after_that(
    box: Box, environ: dict[str, str], footage: Path
) -> None:
    first = upload(environ, footage, "--json", "--parallel", "2")
    assert first.returncode == 0, first.stderr
    sent = {line["file"]: line for line in lines(first)}
    assert {name.removeprefix(f"{footage}/") for name in sent} == {
        "clip2.mp4", "clip10.mp4", "day 2/KLIP.MOV", "day 2/no ending",
    }  # fmt: skip
    assert "3 left out (--verbose says why)" in first.stderr
    for name, line in sent.items():
        with open(name, "rb") as file:
            assert original(box, line["video_id"]) == file.read()
    new = footage / "clip11.mp4"
    shutil.copy(media.webm_vp9(), new)
    box.run("videos", "delete", sent[f"{footage}/clip2.mp4"]["video_id"])
    second = upload(environ, footage, "--json", "--verbose")
    again = {line["file"]: line for line in lines(second)}
    assert [name for name, line in again.items() if not line["already_sent"]] == [str(new)]
    # What was thrown away on the box stays away; the journal isn't a mirror.
    assert again[f"{footage}/clip2.mp4"]["state"] == "deleted"
    assert again[f"{footage}/clip10.mp4"]["video_id"] == sent[f"{footage}/clip10.mp4"]["video_id"]
    assert "fake.mp4: It doesn't begin as a video does." in second.stderr
    assert "1 sent, 4 sent before, 3 left out" in second.stderr


def test_a_pattern_in_quotes_reaches_into_folders(environ: dict[str, str], footage: Path) -> None:
    done = upload(environ, f"{footage}/**/*.[mM][oOpP][vV4]", "--dry-run", "--json")
    assert [line["file"].removeprefix(f"{footage}/") for line in lines(done)] == [
        "clip2.mp4", "clip10.mp4", "day 2/KLIP.MOV",
    ]  # fmt: skip
    assert {line["plan"] for line in lines(done)} == {"send"}


def test_one_that_fails_stops_no_other_and_makes_it_1(
    box: Box, environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    # A folder in place of a file can't be opened, not even by an admin.
    done = upload(
        environ, tmp_path / "nowhere.mp4", tmp_path / "empty.mp4", media.h264_aac(), "--wait",
        "--json",
    )  # fmt: skip
    assert done.returncode == 1
    assert {line["file"].rpartition("/")[2]: line["state"] for line in lines(done)} == {
        "nowhere.mp4": "failed", "empty.mp4": "failed", media.h264_aac().name: "ready",
    }  # fmt: skip
    assert "nowhere.mp4: There is no such file." in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("-",),
        ("-", "other.mp4", "--name", "x.mp4"),
        ("x.mp4", "--name", "y.mp4"),
        ("x.mp4", "--parallel", "0"),
        ("x.mp4", "--visibility", "nobody"),
    ],
    ids=str,
)
def test_wrong_use_is_2(
    box: Box, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("APPLIANCE_URL", box.url)
    monkeypatch.setenv("APPLIANCE_TOKEN", box.token)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run(["upload", *words]) == WRONG_USE


def test_what_is_said_of_files_gets_to_the_box(box: Box, environ: dict[str, str]) -> None:
    done = upload(
        environ, media.h264_aac(), "--title", "Das große Fest", "--visibility", "private",
        "--tag", "sommer", "--json",
    )  # fmt: skip
    (line,) = lines(done)
    assert (line["title"], line["visibility"], line["source"]) == (
        "Das große Fest", "private", "cli",
    )  # fmt: skip
    assert line["tags"] == ["sommer"]


# Through a pipe


def test_a_pipe_is_sent_without_a_known_length(box: Box, environ: dict[str, str]) -> None:
    body = media.h264_aac().read_bytes()
    with media.h264_aac().open("rb") as file:
        done = upload(environ, "-", "--name", "talk.mp4", "--wait", "--json", stdin=file)
    (line,) = lines(done)
    assert (done.returncode, line["state"], line["filename"]) == (0, "ready", "talk.mp4")
    assert original(box, line["video_id"]) == body


def test_an_empty_pipe_is_an_error_and_leaves_nothing(box: Box, environ: dict[str, str]) -> None:
    done = upload(environ, "-", "--name", "empty.mp4", stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "Nothing came through the pipe" in done.stderr
    assert open_uploads(box, "empty.mp4") == []


def test_a_pipe_over_a_network_that_breaks(box: Box) -> None:
    body = os.urandom(20_000_000)
    with (
        bad_network(box.url, faults(11, 6, within_bytes=6_000_000)) as network,
        connected(network.url, box.token) as there,
        feeding(body) as stream,
    ):
        video_id = send_stream(there, stream, Said("piped.bin"))
        assert network.done == 6
    assert sha256(original(box, video_id)) == sha256(body)


def test_a_pipe_that_is_interrupted_leaves_nothing(box: Box, environ: dict[str, str]) -> None:
    sender = subprocess.Popen(
        command("-", "--name", "live.mp4"), env=environ, cwd=ROOT, stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert sender.stdin is not None
    sender.stdin.write(os.urandom(9_000_000))
    sender.stdin.flush()
    wait_for("bytes arrive", lambda: [u for u in open_uploads(box, "live.mp4") if u["offset"]])
    shown = box.run("uploads", "list")
    assert re.search(r"live .*(in \d+ \w+|tomorrow)$", shown, re.MULTILINE), shown
    # Tests before this may have left uploads of their own: their answers were cut off.
    listed = json.loads(box.run("uploads", "list", "--json"))["items"]
    (ours,) = [item for item in listed if item["filename"] == "live.mp4"]
    assert datetime.fromisoformat(ours["expires_at"]).tzinfo is not None
    sender.send_signal(signal.SIGINT)
    said = sender.communicate(timeout=30)[1].decode()
    assert sender.returncode == INTERRUPTED
    assert "removed from the box" in said
    wait_for("it is gone", lambda: not open_uploads(box, "live.mp4"))


class feeding:
    """Bytes in a pipe, from a thread."""

    def __init__(self, body: bytes) -> None:
        reading, self._writing = os.pipe()
        self._stream = os.fdopen(reading, "rb", buffering=0)
        self._thread = threading.Thread(target=self._feed, args=(body,))

    def _feed(self, body: bytes) -> None:
        with os.fdopen(self._writing, "wb") as pipe:
            pipe.write(body)

    def __enter__(self) -> Any:
        self._thread.start()
        return self._stream

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._thread.join(timeout=10)


def open_uploads(box: Box, name: str) -> list[Any]:
    """Of files of this name. An answer that is cut off leaves an upload that nobody knows of."""
    items = box.get("/api/v1/uploads")["items"]
    return [item for item in items if item["filename"] == name]


# Cuts


def test_over_a_network_that_breaks_again_and_again(box: Box, tmp_path: Path) -> None:
    file = random_file(tmp_path / "film.bin", 12_000_000)
    with (
        bad_network(box.url, faults(3, 8, within_bytes=4_000_000)) as network,
        connected(network.url, box.token) as there,
    ):
        video_id = send_file(there, file)
        assert network.done == 8
    assert sha256(original(box, video_id)) == sha256(file.read_bytes())
    video = box.get(f"/api/v1/videos/{video_id}")
    assert video["size_bytes"] == 12_000_000


def test_over_a_network_that_falls_silent(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.cli.transfer._ANSWER_S", 1.0)
    file = random_file(tmp_path / "film.bin", 12_000_000)
    with (
        bad_network(box.url, [Fault(5_000_000, "up", "stall")]) as network,
        connected(network.url, box.token) as there,
    ):
        there.http.timeout = httpx.Timeout(1.0)
        video_id = send_file(there, file)
        assert network.done == 1
    assert sha256(original(box, video_id)) == sha256(file.read_bytes())


def test_through_a_box_that_is_killed_and_starts_again(
    box: Box, environ: dict[str, str], tmp_path: Path
) -> None:
    file = random_file(tmp_path / "killed.bin", 100_000_000)
    with bad_network(box.url) as network:
        remote = {**environ, "APPLIANCE_URL": network.url, "APPLIANCE_TOKEN": box.token}
        sender = subprocess.Popen(
            command(str(file), "--json"), env=remote, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        wait_for(
            "bytes arrive", lambda: any(u["offset"] > 0 for u in open_uploads(box, "killed.bin"))
        )
        pid = box.pid("web")
        assert box.signal("web", signal.SIGKILL)
        network.cut_all()
        wait_for("it comes back", lambda: box.pid("web") not in (None, pid))
        said, _ = sender.communicate(timeout=100)
    assert sender.returncode == 0
    line = json.loads(said)
    assert sha256(original(box, line["video_id"])) == sha256(file.read_bytes())


def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(
    box: Box, environ: dict[str, str], tmp_path: Path
) -> None:
    first = random_file(tmp_path / "1.bin", 1000)
    second = tmp_path / "2.bin"
    with second.open("wb") as file:
        file.truncate(200_000_000)
    words = (str(first), str(second), "--json")
    sender = subprocess.Popen(
        command(*words), env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    wait_for(
        "the second arrives",
        lambda: [u for u in open_uploads(box, "2.bin") if u["offset"]],
    )
    sender.send_signal(signal.SIGINT)
    said, told = sender.communicate(timeout=30)
    assert sender.returncode == INTERRUPTED
    assert "The same command goes on where it stopped." in told
    assert [json.loads(line)["file"] for line in said.splitlines()] == [str(first)]
    (begun,) = open_uploads(box, "2.bin")
    (state,) = (tmp_path / "state").glob("appliance/unfinished/*")
    assert state.stat().st_mode & 0o077 == 0  # whoever reads it may write to the upload
    done = upload(environ, *words)
    assert done.returncode == 0
    assert [line["already_sent"] for line in lines(done)] == [True, False]
    assert lines(done)[1]["video_id"] == begun["video_id"]  # the same upload went on
    assert open_uploads(box, "2.bin") == []
    assert list((tmp_path / "state").glob("appliance/unfinished/*")) == []


def test_without_resume_it_begins_anew(box: Box, tmp_path: Path) -> None:
    file = random_file(tmp_path / "anew.bin", 4_000_000)
    journal = Journal("a box", tmp_path / "state")
    with connected(box.url, box.token) as there:
        interrupt(there, file, journal)
        (begun,) = open_uploads(box, "anew.bin")
        assert box.get(f"/api/v1/videos/{send_file(there, file)}")["video_id"] != begun["video_id"]
        there.delete(f"/api/v1/uploads/{begun['upload_id']}")


def interrupt(there: Any, file: Path, journal: Journal) -> None:
    """Send the first half."""

    def stop(offset: int) -> None:
        if offset > file.stat().st_size // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), journal.unfinished(journal.key(file)) as keeper:
        send_file(there, file, keeper=keeper, on_offset=stop)


def test_what_was_cancelled_on_the_box_meanwhile_starts_anew(box: Box, tmp_path: Path) -> None:
    file = random_file(tmp_path / "gone.bin", 4_000_000)
    journal = Journal("a box", tmp_path / "state")
    with connected(box.url, box.token) as there:
        interrupt(there, file, journal)
        (begun,) = open_uploads(box, "gone.bin")
        there.delete(f"/api/v1/uploads/{begun['upload_id']}")
        with journal.unfinished(journal.key(file)) as keeper:
            video_id = send_file(there, file, keeper=keeper)
    assert video_id != begun["video_id"]
    assert original(box, video_id) == file.read_bytes()


def test_what_is_cancelled_while_it_is_sent_is_not_begun_again(box: Box, tmp_path: Path) -> None:
    file = random_file(tmp_path / "cancelled.bin", 90_000_000)

    with connected(box.url, box.token) as there:
        cancelled: list[str] = []

        def cancel(offset: int) -> None:
            if offset > 10_000_000 and not cancelled:
                (begun,) = open_uploads(box, "cancelled.bin")
                cancelled.append(begun["video_id"])
                there_too = httpx.delete(
                    f"{box.url}/api/v1/uploads/{begun['upload_id']}",
                    headers={"Authorization": f"Bearer {box.token}"},
                )
                assert there_too.status_code == 204

        with pytest.raises(Exception, match="cancelled|ended on the box"):
            send_file(there, file, on_offset=cancel)
    assert open_uploads(box, "cancelled.bin") == []


def test_a_file_that_changes_while_it_is_sent_is_no_video(box: Box, tmp_path: Path) -> None:
    file = random_file(tmp_path / "changes.bin", 4_000_000)
    before = len(box.get("/api/v1/videos?limit=100")["items"])

    def write(offset: int) -> None:
        if 1_000_000 < offset < 1_300_000:
            with file.open("ab") as more:
                more.write(b"more")

    with (
        connected(box.url, box.token) as there,
        pytest.raises(Changed, match="changes.bin changed"),
    ):
        send_file(there, file, on_offset=write)
    wait_for("what arrived is removed", lambda: not open_uploads(box, "changes.bin"))
    assert len(box.get("/api/v1/videos?limit=100")["items"]) == before


def test_a_file_that_changed_between_is_another_upload(tmp_path: Path) -> None:
    file = random_file(tmp_path / "film.bin", 1000)
    journal = Journal("a box", tmp_path / "state")
    first = journal.key(file)
    os.utime(file, ns=(1, 1))
    assert journal.key(file) != first
    assert Journal("another box", tmp_path / "state").key(file) != journal.key(file)


def test_two_commands_do_not_send_the_same_file_at_once(tmp_path: Path) -> None:
    one, other = (Journal("a box", tmp_path / "state") for _ in range(2))
    with one.unfinished("key") as keeper:
        keeper.keep("/files/somewhere")
        with pytest.raises(SentByAnother), other.unfinished("key"):
            pass
    with other.unfinished("key") as keeper:
        assert keeper.address == "/files/somewhere"
        keeper.forget()
    assert not one.has_unfinished("key")


def test_half_a_line_in_the_journal_costs_one_file(tmp_path: Path) -> None:
    journal = Journal("a box", tmp_path / "state")
    journal.note_sent("1" * 64, tmp_path / "a.mp4", "video-1")
    with (tmp_path / "state" / "sent.jsonl").open("a") as file:
        file.write('{"key": "22')
    again = Journal("a box", tmp_path / "state")
    found = again.sent("1" * 64)
    assert found is not None and found.video_id == "video-1"


def test_a_box_that_stays_away_is_given_up(box: Box, tmp_path: Path) -> None:
    patience = Patience(0.0, threading.Event())
    patience.heard(0)
    with pytest.raises(Exception, match=r"film.mp4 got no further.*The same command goes on"):
        patience.pause(Passing("It is away."), "film.mp4")
