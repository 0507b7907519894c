"""Waveform, loudness, and the sound alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from appliance.clock import now
from appliance.errors import Conflict, NotFound
from appliance.models import Account, Job, Method, Post, PostTarget, Rendition, Video
from appliance.states import JobState, PostState, RenditionState, TargetState
from appliance.vault import Vault
from tasks import asking, renditions
from tasks.acceptance import DELIVERIES, WISHED_DELIVERIES
from tasks.audio.command import audio_command, is_copied
from tasks.probe.facts import AudioTrack
from tasks.waveform.sound import MOST_PEAKS, read_sound, samples_for_peak, waveform_command
from tests import media
from tests.factories import make_video
from tests.storing import add_ready_video, add_rendition
from tests.tasks.doing import again, bring_in, run_one, run_only
from tests.tasks.test_plan import FITS

if TYPE_CHECKING:
    from appliance.settings import Settings
    from storage.layout import Layout

TRACK = AudioTrack(
    index=1, codec="aac", profile="LC", rate_hz=48_000, channels=2, bit_rate=96_000, first_s=0.0
)


@pytest.mark.parametrize("duration_s", [0.01, 2.0, 199.0, 3600.0, 43_200.0])
def test_there_are_never_too_many_peaks(duration_s: float) -> None:
    samples = samples_for_peak(48_000, duration_s)
    assert 1 <= duration_s * 48_000 / samples + 1 <= MOST_PEAKS + 1
    assert samples >= 48_000 / 20


def test_what_ffmpeg_says_is_read() -> None:
    levels = "".join(
        f"frame:{n} pts:0 pts_time:0\nlavfi.astats.Overall.Peak_level={level}\n"
        for n, level in enumerate(["-inf", "-70.5", "-6.0206", "0.5", "nan", "-inf"])
    )
    words = "M: -1 I: -3.0 LUFS\nSummary:\n I:  -21.8 LUFS\n True peak:\n Peak:  -12.1 dBFS\n"
    sound = read_sound(levels, words, samples=4800, rate_hz=48_000)
    assert sound.peaks == (0, 0, 50, 100, 0, 0)
    assert (sound.loudness_lufs, sound.true_peak_dbtp) == (-21.8, -12.1)
    assert (sound.silent_start_s, sound.silent_end_s) == (0.2, 0.2)
    silence = read_sound("", "I: -70.0 LUFS\nPeak: -inf dBFS", samples=1, rate_hz=1)
    assert (silence.peaks, silence.loudness_lufs, silence.true_peak_dbtp) == ((), None, None)


def test_commands_open_nothing_but_the_file() -> None:
    for words in (
        waveform_command(TRACK, 100, ffmpeg="ffmpeg", max_pixels=9, max_duration_s=7),
        audio_command(TRACK, copied=False, ffmpeg="ffmpeg", max_pixels=9, max_duration_s=7,
                      max_bytes=5),
    ):  # fmt: skip
        before = words[: words.index("file:original")]
        assert before[before.index("-protocol_whitelist") + 1] == "file"
        assert "-format_whitelist" in before and "-nostdin" in before
        assert words[words.index("-t") + 1] == "7"


def test_silence_at_both_ends_is_measured(db: None, settings: Settings, layout: Layout) -> None:
    beep = "aevalsrc='0.5*sin(880*PI*t)*between(t,1,2)':s=48000:d={seconds}"
    video = bring_in(
        settings, media.clip("beep.mp4", *media.H264, *media.AAC, seconds=4, sound=beep)
    )
    assert run_only(settings, "waveform").state is JobState.COMPLETED
    rendition = Rendition.get(Rendition.profile == "waveform")
    content = json.loads(layout.rendition(video.public_id, "waveform").read_text())
    peaks, per_s = content["peaks"], content["peaks_per_s"]
    assert content["version"] == 1 and abs(len(peaks) / per_s - 4) < 0.2
    assert max(peaks[: int(0.9 * per_s)]) < 3 < 30 < peaks[int(1.5 * per_s)] < 60
    facts = rendition.facts
    assert facts["peaks_per_s"] == per_s
    assert abs(facts["silent_start_s"] - 1) < 0.15 and abs(facts["silent_end_s"] - 2) < 0.15
    assert -18 < facts["loudness_lufs"] < -3 and -12 < facts["true_peak_dbtp"] < -4


def test_of_a_silent_video_no_sound_is_wanted(db: None, settings: Settings) -> None:
    video = bring_in(settings, media.silent())
    asking.ask(video, "audio", None)  # before anybody knows that there is none
    assert run_one(settings, "quick").kind == "probe"
    assert not Job.select().where(Job.kind.in_(["waveform", "audio"])).exists()
    asked = Rendition.get(Rendition.profile == "audio")
    assert (asked.state, asked.error) == (RenditionState.FAILED, asking.NO_SOUND)
    with pytest.raises(Conflict, match="no sound"):
        asking.ask(again(video), "waveform", None)


@pytest.mark.parametrize(
    ("changes", "copied"),
    [
        ({}, True),
        ({"codec": "opus"}, False),
        ({"channels": 6}, False),
        ({"rate_hz": 96_000}, False),
        ({"bit_rate": 320_000}, False),
    ],
)
def test_which_sound_is_copied(changes: dict[str, object], copied: bool) -> None:
    assert is_copied(replace(TRACK, **changes)) is copied


def sound_of(video: Video, settings: Settings) -> Rendition:
    asking.ask(video, "audio", None)
    run_only(settings, "audio")
    return Rendition.get(Rendition.profile == "audio")


def test_sound_that_fits_is_copied(db: None, settings: Settings) -> None:
    made = sound_of(bring_in(settings, media.h264_aac()), settings)
    assert (made.state, made.method) == (RenditionState.READY, Method.REMUX)
    assert made.facts["codec"] == "aac" and abs(made.facts["duration_s"] - 2) < 0.1


def test_other_sound_is_encoded(db: None, settings: Settings) -> None:
    surround = media.clip("surround.mkv", *media.H264, "-c:a", "flac", "-ac", "6", "-ar", "44100")
    made = sound_of(bring_in(settings, surround), settings)
    assert made.method is Method.AUDIO
    facts = made.facts
    assert (facts["codec"], facts["rate_hz"], facts["channels"]) == ("aac", 48_000, 2)


# Asking


def test_twice_asked_is_once_made(db: None, settings: Settings, layout: Layout) -> None:
    video = bring_in(settings, media.h264_aac())
    first = asking.ask(video, "audio", None)
    assert asking.ask(video, "audio", None).id == first.id
    run_only(settings, "audio")
    ready = asking.ask(again(video), "audio", None)
    assert ready.state is RenditionState.READY
    assert Job.select().where(Job.kind == "audio").count() == 1

    twin = bring_in(settings, media.h264_aac())
    reused = sound_of(twin, settings)
    reused = Rendition.get(Rendition.video == twin, Rendition.profile == "audio")
    assert reused.facts["reused"] and reused.sha256 == ready.sha256
    inode = layout.rendition(video.public_id, "audio").stat().st_ino
    assert layout.rendition(twin.public_id, "audio").stat().st_ino == inode


def test_one_by_an_older_recipe_serves_until_it_is_made_anew(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = bring_in(settings, media.h264_aac())
    made = sound_of(video, settings)
    Rendition.update(recipe="0").execute()
    assert asking.ask(again(video), "audio", None, at_night=True).state is RenditionState.READY
    job = Job.select().where(Job.kind == "audio").order_by(Job.id.desc()).get()
    assert job.only_at_night and renditions.is_stale(Rendition.get_by_id(made.id))
    asking.ask(again(video), "audio", None)  # now, after all
    assert not Job.get_by_id(job.id).only_at_night
    assert run_one(settings, "media").state is JobState.COMPLETED
    assert renditions.is_current(Rendition.get_by_id(made.id))


def test_what_was_made_on_demand_can_be_taken_away(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = bring_in(settings, media.h264_aac())
    made = sound_of(video, settings)
    post = Post.create(video=video)
    sealed = Vault(bytes(32)).encrypt({}, bound_to="account:1")
    account = Account.create(platform="practice", name="x", remote_id="x", credentials=sealed)
    target = PostTarget.create(post=post, account=account, rendition=made)
    with pytest.raises(Conflict, match="post still needs it"):
        asking.remove(again(video), "audio", None, layout)
    PostTarget.update(state=TargetState.CANCELLED).where(PostTarget.id == target.id).execute()
    asking.remove(again(video), "audio", None, layout)
    assert not layout.rendition(video.public_id, "audio").exists()
    assert Job.get(Job.kind == "audio").state is JobState.COMPLETED  # the ledger keeps it
    with pytest.raises(NotFound):
        asking.remove(again(video), "audio", None, layout)
    with pytest.raises(Conflict, match="made of every video"):
        asking.remove(again(video), "waveform", None, layout)


def test_what_could_not_be_made_again_or_is_waited_for_stays(
    db: None, settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DELIVERIES, "facebook", WISHED_DELIVERIES["facebook", "reel"])
    video = add_ready_video(layout, facts=None)
    Rendition.delete().execute()
    add_rendition(layout, video, "reel", b"reel")
    sealed = Vault(bytes(32)).encrypt({}, bound_to="account:1")
    account = Account.create(platform="facebook", name="x", remote_id="x", credentials=sealed)
    post = Post.create(video=video, state=PostState.SCHEDULED)
    target = PostTarget.create(post=post, account=account)  # it takes what is there, in time
    with pytest.raises(Conflict, match="post still needs it"):
        asking.remove(video, "reel", None, layout)
    target.delete_instance()
    layout.original(video.public_id).unlink()
    with pytest.raises(Conflict, match="could never be made again"):
        asking.remove(video, "reel", None, layout)
    assert layout.rendition(video.public_id, "reel").exists()


def test_nothing_is_made_of_what_is_gone(db: None, settings: Settings) -> None:
    facts = FITS.to_dict()
    video = make_video(facts=facts, original_removed_at=now())
    with pytest.raises(Conflict, match="original of this video was removed"):
        asking.ask(video, "audio", None)
    with pytest.raises(NotFound):
        asking.ask(video, "holiday", None)
