"""Hardware encoders: their command lines, and that none is used that didn't prove itself.

No machine of ours has such hardware. A wrapper around ffmpeg lists them and fails, or has x264 do
what NVENC was asked for: all but the card itself is as it would be.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.clock import boot_id
from appliance.models import Method, Setting
from appliance.states import VideoState
from storage.layout import Layout
from tasks.profiles import SOCIAL
from tasks.sandbox_local import _wrapped
from tasks.sandbox_types import MIB, Backend, Command, Limits
from tasks.transcode import proof
from tasks.transcode.command import ffmpeg_command
from tasks.transcode.encoders import SOFTWARE, Encoder, choose
from tasks.transcode.plan import plan
from tasks.transcode.proof import Found, Made, Proof, decide, encoder_of
from tests import media
from tests.tasks.doing import again, bring_in, in_thread, rendition_of, run_social
from tests.tasks.test_plan import FITS, audio, video
from web import version_rows

if TYPE_CHECKING:
    from appliance.settings import Settings

NODE = "/dev/dri/renderD128"
FPS30 = plan(FITS, SOCIAL)
TRANSCODE = plan(
    type(FITS)(**{**vars(FITS), **video(codec="vp9"), **audio(codec="opus")}), SOCIAL
)  # fmt: skip


def command(encoder: Encoder) -> list[str]:
    assert SOCIAL.targets is not None
    return ffmpeg_command(
        TRANSCODE,
        SOCIAL.targets,
        ffmpeg="ffmpeg",
        threads=2,
        max_pixels=1000,
        max_duration_s=15,
        max_bytes=99,
        encoder=encoder,
    )


COMMON = "-maxrate 10000000 -bufsize 16000000 -g 60 -flags +cgop -bf 0"
GOLDEN = {
    "nvenc": "-c:v h264_nvenc -preset p5 -tune hq -profile:v high -level 4.1 -pix_fmt yuv420p "
    f"-rc vbr -cq 23 -b:v 0 {COMMON} -strict_gop 1 -forced-idr 1 -no-scenecut 1 -spatial-aq 1",
    "vaapi": f"-c:v h264_vaapi -profile:v high -level 41 -rc_mode VBR -b:v 6220800 {COMMON}",
    "qsv": f"-c:v h264_qsv -preset medium -profile:v high -level 41 -b:v 6220800 {COMMON} "
    "-forced_idr 1 -adaptive_i 0",
}
FIRST = {"nvenc": "", "vaapi": f"-vaapi_device {NODE}", "qsv": f"-qsv_device {NODE}"}
LAST = {"nvenc": "", "vaapi": ",format=nv12,hwupload", "qsv": ",format=nv12"}


@pytest.mark.parametrize("name", list(GOLDEN))
def test_command_lines(name: str) -> None:
    words = command(encoder_of(name, NODE))
    text = " ".join(words)
    assert f" {GOLDEN[name]} " in text
    assert FIRST[name] in text.partition("-protocol_whitelist")[0]
    ours = command(SOFTWARE)
    chain = ours[ours.index("-vf") + 1]
    assert words[words.index("-vf") + 1] == chain + LAST[name]
    # All else is the same.
    assert words[words.index("-c:a") :] == ours[ours.index("-c:a") :]


def test_a_rate_is_a_rate_for_all() -> None:
    assert TRANSCODE.picture is not None and SOCIAL.targets is not None
    for name in ("nvenc", "vaapi", "qsv", "x264"):
        options = encoder_of(name, NODE).options(
            TRANSCODE.picture, SOCIAL.targets, 2, bitrate_bps=123_456
        )
        assert options[options.index("-b:v") + 1] == "123456"
        assert not {"-cq", "-crf"} & set(options)


# What is taken


X264 = Made(2.0, 1000, 30.0)
GOOD = Made(0.5, 1000, 30.0)


def found(**made: Made | None) -> Found:
    return Found(tuple(Proof(name, "no" * (m is None), NODE, m) for name, m in made.items()), X264)


@pytest.mark.parametrize(
    ("wanted", "seen", "name"),
    [
        pytest.param("auto", found(), "x264", id="nothing there"),
        pytest.param("auto", found(nvenc=None), "x264", id="doesn't work"),
        pytest.param("auto", found(nvenc=GOOD), "nvenc", id="works, and is worth it"),
        pytest.param("auto", found(qsv=Made(0.7, 900, 30), vaapi=GOOD), "vaapi", id="quickest"),
        pytest.param("auto", found(nvenc=Made(1.5, 900, 31)), "x264", id="hardly quicker"),
        pytest.param("auto", found(nvenc=Made(0.5, 900, 29)), "x264", id="looks worse"),
        pytest.param("auto", found(nvenc=Made(0.5, 1300, 31)), "x264", id="much larger"),
        pytest.param("auto", Found((Proof("qsv", "", NODE, GOOD),)), "x264", id="no measure"),
        pytest.param("qsv", found(qsv=Made(9, 9000, 1), nvenc=GOOD), "qsv", id="as asked for"),
        pytest.param("qsv", found(qsv=None, nvenc=GOOD), "x264", id="asked for, doesn't work"),
    ],
)
def test_hardware_is_taken_when_it_works_and_is_worth_it(
    wanted: str, seen: Found, name: str
) -> None:
    assert decide(wanted, seen).name == name
    assert decide(wanted, Found.from_dict(seen.to_dict())).name == name
    label, said = proof.describe(wanted, seen)
    assert label == decide(wanted, seen).label
    assert all(sentence.endswith(".") for sentence in said)


def test_of_several_cards_the_one_that_works() -> None:
    two = Found((Proof("vaapi", "broken", "/dev/a"), Proof("vaapi", "", "/dev/b", GOOD)), X264)
    assert [str(path) for path in decide("vaapi", two).devices] == ["/dev/b"]


def test_devices(tmp_path: Path) -> None:
    dev, sys = tmp_path / "dev", tmp_path / "sys"
    (dev / "dri").mkdir(parents=True)
    for kind in proof.HARDWARE:
        assert proof.devices_of(kind, dev, sys) == []
    for node, vendor in (("renderD128", "0x1002"), ("renderD129", "0x8086")):
        (dev / "dri" / node).touch()
        about = sys / "class" / "drm" / node / "device"
        about.mkdir(parents=True)
        (about / "vendor").write_text(f"{vendor}\n")
    (dev / "nvidiactl").touch()
    nodes = [str(dev / "dri" / node) for node in ("renderD128", "renderD129")]
    assert proof.devices_of("vaapi", dev, sys) == nodes
    assert proof.devices_of("qsv", dev, sys) == nodes[1:]
    assert proof.devices_of("nvenc", dev, sys) == [""]


def test_only_a_hardware_encoder_sees_devices(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=MIB, cpu_s=1, file_bytes=1)
    for encoder in (SOFTWARE, encoder_of("vaapi", NODE)):
        asked = Command(("true",), tmp_path, limits, devices=encoder.devices)
        argv = _wrapped(asked, Backend("bubblewrap"), None)
        assert (NODE in argv) is (encoder is not SOFTWARE)
        assert ("/sys/devices" in argv) is (encoder is not SOFTWARE)


# The proof itself


WRAPPER = """#!/bin/sh
# ffmpeg on a machine whose card is {kind}.
for word; do
    if [ "$word" = -encoders ]; then
        echo ' V....D h264_nvenc  NVIDIA NVENC H.264 encoder'
        exit 0
    fi
done
count=$#
while [ $count -gt 0 ]; do
    word="$1"; shift; count=$((count - 1))
    case "$word" in
        h264_nvenc) {nvenc}; set -- "$@" libx264 ;;
        p5) set -- "$@" superfast ;;
        -tune|-rc|-strict_gop|-forced-idr|-no-scenecut|-spatial-aq) shift; count=$((count - 1)) ;;
        -cq) set -- "$@" -crf ;;
        -b:v) [ "$1" = 0 ] && {{ shift; count=$((count - 1)); }} || set -- "$@" -b:v ;;
        *) set -- "$@" "$word" ;;
    esac
done
exec {ffmpeg} "$@"
"""
FAILS = "echo 'Cannot load libcuda.so.1' >&2; exit 1"


def wrap(target: Path, kind: str, nvenc: str) -> Path:
    target.write_text(WRAPPER.format(kind=kind, nvenc=nvenc, ffmpeg=media.FFMPEG))
    target.chmod(target.stat().st_mode | stat.S_IXUSR)
    return target


@pytest.fixture
def card(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a machine with a card of NVIDIA. A small second is as good as a large one."""
    monkeypatch.setattr(proof, "devices_of", lambda name: [""] if name == "nvenc" else [])
    for value, small in (("WIDTH", 320), ("HEIGHT", 240), ("FPS", 30)):
        monkeypatch.setattr(proof, value, small)
    wrapper = wrap(tmp_path / "ffmpeg", "well", ":")
    # In the limits alone, so that the wrapper finds ffmpeg wherever that is.
    more = {"ffmpeg": wrapper, "encoder": "nvenc", "sandbox": "limits"}
    return settings.model_copy(update=more)


def remember(settings: Settings) -> Found:
    """As the worker does it: in a thread, with connections of its own."""
    found: list[Found] = []
    in_thread(lambda: found.append(proof.remember(settings, lambda: None)))
    return found[0]


def test_what_works_is_proved_remembered_and_used(db: None, card: Settings) -> None:
    assert choose(card) is SOFTWARE  # nobody has tried
    seen = remember(card)
    assert seen.of("nvenc") is not None and seen.of("nvenc").works, seen  # type: ignore[union-attr]  # said before
    assert seen.software is not None and seen.software.ssim_db > 10
    assert [p.why for p in seen.proofs if p.name != "nvenc"] == ["ffmpeg was built without"] * 2
    assert choose(card).name == "nvenc"
    assert choose(card.model_copy(update={"encoder": "x264"})) is SOFTWARE
    assert remember(card) == seen  # not tried again

    video = bring_in(card, media.webm_vp9())
    run_social(card)
    made = rendition_of(video)
    assert (again(video).state, made.method) == (VideoState.READY, Method.TRANSCODE)
    assert made.facts["encoder"] == "NVENC (NVIDIA)"

    # Another ffmpeg, or another start of the machine: it has to prove itself anew.
    assert card.ffmpeg is not None
    wrap(card.ffmpeg, "broken", FAILS)
    assert proof.recall(card) is None and choose(card) is SOFTWARE
    refused = remember(card).of("nvenc")
    assert refused is not None and not refused.works
    assert "Cannot load libcuda.so.1" in refused.why
    row = Setting.get(Setting.name == proof.ROW)
    Setting.update(value={**row.value, "boot": "another"}).where(Setting.id == row.id).execute()
    assert proof.recall(card) is None


def test_what_fails_later_is_done_by_the_processor(
    db: None, card: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert card.ffmpeg is not None
    wrap(card.ffmpeg, "broken since this morning", FAILS)
    nvenc = Found((Proof("nvenc", "", "", GOOD),), X264)
    value = {
        "boot": boot_id(),
        "ffmpeg": proof.identity(card.ffmpeg),
        "found": nvenc.to_dict(),
    }
    Setting.create(name=proof.ROW, value=value)
    assert choose(card).name == "nvenc"
    video = bring_in(card, media.webm_vp9())
    run_social(card)
    assert again(video).state is VideoState.READY
    made = rendition_of(video)
    assert made.facts["encoder"] == SOFTWARE.label
    assert made.facts["fell_back_from"] == "NVENC (NVIDIA)"
    (said,) = [value for name, value in version_rows._making(made.facts) if name == "Encoder"]
    assert said == "x264 (processor), because NVENC (NVIDIA) failed"


def test_it_is_tried_where_the_sandbox_may_look(db: None, card: Settings) -> None:
    """The unit of the sandbox shows what lies below `data`, and no /tmp."""
    assert card.ffmpeg is not None
    place = Layout(card.data).proof
    for name in ("left behind", "of another"):
        (place / name).mkdir(parents=True)
    os.utime(place / "left behind", (0, 0))
    wrap(card.ffmpeg, "elsewhere", "pwd >&2; exit 1")
    refused = remember(card).of("nvenc")
    assert refused is not None and refused.why.startswith("it does not work here: ")
    where = Path(refused.why.removeprefix("it does not work here: "))
    assert where.parent == place
    assert [entry.name for entry in place.iterdir()] == ["of another"]


def test_what_makes_something_else_is_not_used(db: None, card: Settings) -> None:
    assert card.ffmpeg is not None
    wrap(card.ffmpeg, "odd", 'set -- "$@" libx264 -s 160x120; continue')
    odd = remember(card).of("nvenc")
    assert odd is not None and "160 × 120 instead of 320 × 240" in odd.why
    assert choose(card) is SOFTWARE
