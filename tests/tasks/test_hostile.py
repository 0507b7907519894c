"""Files that were made to do harm: each ends in a sentence, within bounds, and reaches nothing.

``APPLIANCE_TEST_MUTANTS=200`` for the long form, ``APPLIANCE_TEST_SEED`` for another one.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import imageio_ffmpeg
import pytest

from appliance import jobs
from appliance.models import Job, Video
from appliance.states import JOB_ENDED, JobState, RenditionState, VideoState
from storage.layout import Layout
from tasks import sandbox, sandbox_local
from tasks.context import Context
from tasks.ffmpeg import find_ffmpeg
from tasks.probe import look as looking
from tasks.probe.judge import Limits as Bounds
from tasks.probe.judge import judge
from tasks.probe.look import look
from tasks.sandbox_types import MIB, Command, Ended, Limits
from tasks.transcode.command import read_options
from tests import hostile, media
from tests.end_to_end.box import ROOT
from tests.tasks.doing import again, at_work_in, bring_in, job_of, rendition_of, run_all, run_one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

SEED = int(os.environ.get("APPLIANCE_TEST_SEED", "20261121"))
LONG = bool(os.environ.get("APPLIANCE_TEST_LONG"))
MUTANTS = int(os.environ.get("APPLIANCE_TEST_MUTANTS", "200" if LONG else "20"))
BOUNDS = Bounds(max_duration_s=6 * 3600, max_pixels=8192 * 4320, max_tracks=32)

pytestmark = pytest.mark.usefixtures("db")

FFMPEGS = sorted({media.FFMPEG, imageio_ffmpeg.get_ffmpeg_exe()})


@pytest.fixture
def here(settings: Settings) -> Iterator[Context]:
    jobs.create("probe", "test")
    job = jobs.claim("quick", "test", lease_s=60)
    assert job is not None
    context = Context(job, settings, threading.Event())
    yield context
    context.clean_up()


# Scripts


@pytest.fixture(scope="module")
def secret() -> Path:
    """A film of somebody else, which every reader could show."""
    film = media.clip("other.mp4", *media.H264, *media.AAC, source="smptebars=s={size}:r={fps}")
    target = media.folder() / "secret" / "private.mp4"
    target.parent.mkdir(exist_ok=True)
    shutil.copy(film, target)
    return target


def seen(log: Path) -> tuple[set[str], list[str]]:
    """The files that were opened, by strace's word; and what was tried on the network."""
    opened, called = set(), []
    for line in log.read_text(errors="replace").splitlines():
        if (found := re.search(r'open(?:at2?)?\(.*?"([^"]*)".* = \d', line)) is not None:
            opened.add(found[1])
        elif re.search(r"\b(socket|connect|bind|sendto)\(", line) and "AF_UNIX" not in line:
            called.append(line)  # AF_UNIX: the C library asks nscd for the name of a user
    return opened, called


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("reader", ["the look", *(Path(path).name for path in FFMPEGS)])
def test_scripts_reach_nothing(reader: str, secret: Path, tmp_path: Path) -> None:
    """With no sandbox at all: the options alone have to hold. strace sees what was tried.

    Opened may be the file itself, and what belongs to the system or to this Python.
    """
    with hostile.canary() as (address, knocks):
        for kind, file in hostile.scripts(address, secret).items():
            log, folder = tmp_path / "log", tmp_path / "job"
            folder.mkdir(exist_ok=True)
            words = _run_traced(_reading(reader, file), folder, log)
            opened, called = seen(log)
            ours = (*_system(), str(folder), str(file))
            strange = {path for path in opened if not path.startswith(ours)} - BY_THE_WAY
            assert strange == set(), kind
            assert called == [] and knocks == [], kind
            made = (folder / "out.mkv").read_bytes() if (folder / "out.mkv").exists() else b""
            assert secret_sample(secret) not in made + words.encode(), kind
            assert secret.name not in words or "whitelist" in words or kind != "hls", kind
            shutil.rmtree(folder)


def secret_sample(secret: Path) -> bytes:
    content = secret.read_bytes()
    at = content.index(b"mdat")
    return content[at + 2000 : at + 2100]


# Python asks for the home of whoever runs it, and looks where this checkout is installed from.
BY_THE_WAY = {
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/proc/filesystems",
}
BY_THE_WAY |= {"/etc/ssl/openssl.cnf", "/proc/meminfo", "/proc/cpuinfo", str(ROOT), "out.mkv"}


def _system() -> tuple[str, ...]:
    places = ("/usr/", "/lib", "/etc/ld.so", "/proc/self/", "/sys/devices/", "/dev/")
    return (*places, sys.prefix, sys.base_prefix, str(looking.CHILD))


def _reading(reader: str, file: Path) -> list[str]:
    if reader == "the look":
        bounds = (looking.FORMATS, looking.DECODERS, str(BOUNDS.max_pixels))
        return [sys.executable, "-I", str(looking.CHILD), str(file), *bounds]
    ffmpeg = next(path for path in FFMPEGS if Path(path).name == reader)
    options = (*read_options(max_pixels=BOUNDS.max_pixels), "-i", f"file:{file}")
    return [ffmpeg, "-nostdin", "-y", *options, "-map", "0", "-c", "copy", "out.mkv"]


def _run_traced(argv: list[str], folder: Path, log: Path) -> str:
    calls = "trace=open,openat,openat2,socket,connect,bind,sendto"
    done = subprocess.run(
        ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "4096", "-e", calls, "-o", str(log), *argv],
        cwd=folder,
        env=sandbox_local.ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def test_scripts_are_named_for_what_they_are(here: Context, secret: Path) -> None:
    """People are told what they brought, without a word of any other file."""
    files = hostile.scripts("http://127.0.0.1:9", secret)
    for kind in ("hls", "ffconcat", "dash", "sdp", "svg", "series of pictures", "filter"):
        facts = look(files[kind], here)
        refusals = judge(facts, BOUNDS, files[kind].read_bytes()[:4096])
        assert refusals, kind
        assert secret.name not in str(refusals) + facts.error, kind


def test_attachments_are_left_behind(settings: Settings) -> None:
    video = bring_in(settings, hostile.with_attachment("#EXTM3U\n"))
    run_all(settings)
    rendition = rendition_of(video)
    assert rendition.state is RenditionState.READY
    made = Layout(settings.data).rendition(video.public_id, "social").read_bytes()
    assert b"#EXTM3U" not in made and b"font" not in made
    assert (rendition.facts["probe"]["tracks"], again(video).facts["tracks"]) == (2, 3)


# Decoders


@pytest.mark.parametrize("ffmpeg", FFMPEGS, ids=lambda path: Path(path).name)
def test_a_decoder_that_nobody_needs_stays_shut(ffmpeg: str, here: Context) -> None:
    rare = media.clip("rare.mov", "-c:v", "cinepak", size="32x32", seconds=0.2, sound=None)
    sound = media.clip("rare.mkv", *media.H264, "-c:a", "wmav2", size="32x32", seconds=0.5)
    for file, codec in ((rare, "cinepak"), (sound, "wmav2")):
        facts = look(file, here)
        refusal = judge(facts, BOUNDS, b"")[0]
        assert refusal.code == "format_refused" and f"({codec})" in refusal.sentence
        assert "Export" in refusal.sentence
        ended = _decode(file, here, ffmpeg)
        assert ended.code != 0 and "not on whitelist" in ended.words


def _decode(file: Path, here: Context, ffmpeg: str = "") -> Ended:
    """Decode all of it, had the look let it pass."""
    ffmpeg = ffmpeg or str(find_ffmpeg(here.settings))
    argv = (
        *(ffmpeg, "-nostdin", "-v", "warning", "-y", *read_options(max_pixels=BOUNDS.max_pixels)),
        *("-i", f"file:{file}", "-t", "60", "-threads", "1", "-f", "null", "-"),
    )
    limits = Limits(memory_bytes=2048 * MIB, cpu_s=20, file_bytes=MIB)
    command = Command(argv, here.folder, limits, reads=(file, Path(ffmpeg)))
    return sandbox.run(command, here.settings, check=lambda: None, timeout_s=30)


# Bombs

WORK = """
import json, resource, sys
from appliance.db import database, open_database
from appliance.models import Job
from appliance.settings import Settings
from appliance.states import JOB_ENDED
from tests.tasks.doing import run_all
settings = Settings(**json.loads(sys.argv[1]))
open_database(settings.database_path)
for _ in range(6):  # what is tried again later, now
    run_all(settings)
    with database.connection_context():
        Job.update(run_after=None).where(Job.state.not_in(list(JOB_ENDED))).execute()
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"rss_mib": usage.ru_maxrss / 1024, "cpu_s": usage.ru_utime + usage.ru_stime}))
"""

EXPECTED = {
    "8192 x 8192": "too_many_pixels",
    "a day": "too_long",
    "one pixel": "too_few_pixels",
    "65535 x 1": "too_few_pixels",
    "a thousand tracks": "too_many_tracks",
}


@pytest.mark.timeout(300)
def test_bombs_end_in_a_sentence_and_within_bounds(settings: Settings) -> None:
    """Through the real pipeline, in a process of its own whose children are counted."""
    videos = {kind: bring_in(settings, make()) for kind, make in hostile.BOMBS.items()}
    last = bring_in(settings, media.h264_aac())
    given = {"data": str(settings.data), "disk_reserve": "10 MiB", "auto_renditions": False}
    done = subprocess.run(
        [sys.executable, "-c", WORK, json.dumps(given)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    used = json.loads(done.stdout.splitlines()[-1])
    assert used["rss_mib"] < 1024 and used["cpu_s"] < 60, used
    for kind, video in videos.items():
        job = job_of(video, "probe")
        assert job.state in JOB_ENDED, kind
        assert again(video).state in (VideoState.READY, VideoState.FAILED), kind
        if job.state is JobState.FAILED:
            assert job.error and job.error.endswith("."), kind
        if kind in EXPECTED:
            assert job.error_code == EXPECTED[kind], (kind, job.error)
    assert again(last).state is VideoState.READY
    assert not Job.select().where(Job.error_code == "internal_error").exists()
    assert not Job.select().where(Job.state.not_in(list(JOB_ENDED))).exists()
    assert list(Layout(settings.data).tmp.iterdir()) == []


def test_pictures_that_grow_in_the_middle_take_no_room(here: Context) -> None:
    """64 × 64 in the header, 8192 × 8192 (half a gigabyte) later on."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    bomb = hostile.grows_in_the_middle()
    limits = Limits(memory_bytes=768 * MIB, cpu_s=20, file_bytes=MIB)
    options = ("-threads", "1", *read_options(max_pixels=1920 * 1080), "-i", f"file:{bomb}")
    argv = (media.FFMPEG, "-nostdin", "-v", "warning", *options, "-f", "null", "-")
    command = Command(argv, here.folder, limits, reads=(bomb, Path(media.FFMPEG)))
    ended = sandbox.run(command, here.settings, check=lambda: None, timeout_s=30)
    assert "8192x8192" in ended.words and "Cannot allocate" not in ended.words, ended
    assert before >= 0


# Damage


@pytest.mark.timeout(1200 if LONG else 300)
def test_damage_ends_in_an_answer(here: Context) -> None:
    """Cut at every tenth, bits turned over: an answer for each, and the worker stays as it was."""
    sources = hostile.SOURCES if LONG else (media.h264_aac, media.h264_opus)
    files = [cut for source in sources for cut in hostile.truncations(source())]
    files += [hostile.mutant(SEED + number) for number in range(MUTANTS)]
    for file in files:
        facts = look(file, here)
        assert facts.size_bytes == file.stat().st_size, file.name
        refusals = judge(facts, BOUNDS, file.read_bytes()[:4096])
        assert all(refusal.sentence.endswith(".") for refusal in refusals), file.name
        assert refusals or not file.name.startswith("cut-"), file.name
        if facts.video is not None:
            ended = _decode(file, here)
            # Whatever it was: no limit was hit on the way, and nothing was left.
            assert -ended.code not in (signal.SIGXCPU, signal.SIGKILL), (file.name, ended)
        assert not list(here.folder.iterdir()), file.name
        file.unlink()


# Crashes


@pytest.mark.parametrize("held", ["limits", "auto"])
def test_a_decoder_that_crashes_is_a_failed_job_and_blocks_nobody(
    settings: Settings, layout: Layout, held: str
) -> None:
    settings = settings.model_copy(update={"sandbox": held})
    poison, good = bring_in(settings, media.slow()), bring_in(settings, media.h264_aac())
    Job.update(priority=99, max_attempts=2).where(Job.video == poison).execute()
    over = threading.Event()
    killer = threading.Thread(target=_crash_encoders_in, args=(layout.tmp, over))
    run_one(settings, "quick")
    killer.start()
    try:
        for _ in range(8):
            run_all(settings)  # the poison comes first; while it waits the good one has its turn
            Job.update(run_after=None).where(Job.state == JobState.QUEUED).execute()
    finally:
        over.set()
        killer.join()
    assert again(good).state is VideoState.READY
    encode = job_of(poison, "encode")
    assert (encode.state, encode.error_code) == (JobState.FAILED, "encoder_crashed")
    assert encode.attempts > 1
    assert "crashed" in (encode.error or "") and "MP4" in (encode.error or "")
    assert again(poison).state is VideoState.FAILED
    assert not list(layout.tmp.iterdir())


def _crash_encoders_in(folder: Path, over: threading.Event) -> None:
    """Send SIGSEGV, as a broken decoder does to itself, to each encoder of a long film."""
    while not over.wait(0.02):
        for pid in at_work_in(folder):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                program = os.path.basename(words[0]).startswith(b"ffmpeg")
                if program and b"libx264" in words and b"file:original" in words:
                    os.kill(pid, signal.SIGSEGV)
            except (FileNotFoundError, ProcessLookupError):
                continue


def test_a_look_that_crashes_is_a_sentence(
    settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crashing = tmp_path / "child.py"
    crashing.write_text("import os\nos.kill(os.getpid(), 11)\n")
    monkeypatch.setattr(looking, "CHILD", crashing)
    video = bring_in(settings, media.h264_aac())
    job = run_one(settings, "quick")
    assert job.state is JobState.FAILED and job.error is not None and job.error.endswith(".")
    assert again(video).state is VideoState.FAILED
    assert Video.select().count() == 1
