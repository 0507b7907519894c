"""Sources as they come: the plan for each, and what comes of it.

The plans stand in tests/corpus_plans.md, to be read; ``APPLIANCE_TEST_GOLDEN=1`` writes them anew.
``APPLIANCE_TEST_LONG=1`` carries all of them out, not only one of each sort.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from array import array
from contextlib import redirect_stdout
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from appliance.models import Method
from storage.layout import Layout
from tasks.probe import child
from tasks.probe.decoders import DECODERS
from tasks.probe.facts import FORMATS, Edits, Probe, parse
from tasks.profiles import INSTAGRAM, PROFILES, SOCIAL
from tasks.transcode import run
from tasks.transcode.plan import plan
from tasks.transcode.task import verify
from tests import media
from tests.media_corpus import CASES, Case, clip
from tests.tasks.test_sandbox import context

if TYPE_CHECKING:
    from appliance.settings import Settings
    from tasks.profiles import Profile
    from tasks.transcode.plan import Plan

PLANS = Path(__file__).parents[1] / "corpus_plans.md"
LONG = bool(os.environ.get("APPLIANCE_TEST_LONG"))
HEAD = """# What is done with each source of the corpus

Made by `APPLIANCE_TEST_GOLDEN=1 .venv/bin/python -m pytest tests/tasks/test_corpus.py -k golden`;
held to the planner by that test. The sources are those of `tests/media_corpus.py`.

| source | profile | plan | because |
|---|---|---|---|
"""


@cache
def probed(file: Path) -> Probe:
    """Looked at by the child's own code, without the cost of the sandbox."""
    said = io.StringIO()
    arguments, sys.argv = sys.argv, ["child", str(file), FORMATS, DECODERS, "33177600"]
    try:
        with redirect_stdout(said):
            child.main()
    finally:
        sys.argv = arguments
    return parse(json.loads(said.getvalue().splitlines()[-1]), file.stat().st_size)


def plan_of(case: Case) -> Plan:
    return plan(probed(case.make()), PROFILES[case.profile])


def in_words(chosen: Plan) -> str:
    words = [chosen.method.value]
    if (picture := chosen.picture) is not None:
        words.append(f"{picture.width}×{picture.height}@{float(Fraction(picture.fps)):.5g}")
        if picture.inside is not None:
            words.append("{}×{} in front of itself".format(*picture.inside))
        words += [f"deinterlaced {picture.parity}".strip()] * picture.deinterlace
        words += [f"tone-mapped from {picture.transfer}"] * picture.tone_map
    if chosen.encode_audio:
        words.append("silence" if chosen.audio_index is None else f"sound {chosen.audio_index}")
    elif chosen.audio_index not in (1, None):
        words.append(f"copied sound {chosen.audio_index}")
    if chosen.cut_s is not None:
        words.append(f"cut at {chosen.cut_s:g} s")
    return ", ".join(words)


def row(case: Case) -> str:
    chosen = plan_of(case)
    because = re.sub(r" \([^)]*\)", "", "; ".join(chosen.reasons))  # the places: test_plan.py
    return f"| {case.name} | {case.profile} | {in_words(chosen)} | {because} |"


def test_golden_plans_of_all_sources() -> None:
    assert len({(case.name, case.profile) for case in CASES}) == len(CASES) >= 60
    rows = [row(case) for case in CASES]
    if os.environ.get("APPLIANCE_TEST_GOLDEN"):
        PLANS.write_text(HEAD + "\n".join(rows) + "\n")
    assert rows == PLANS.read_text().removeprefix(HEAD).splitlines()


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.run or LONG], ids=lambda case: case.name
)
def test_what_comes_of_a_source_is_what_the_profile_asks_for(
    case: Case, settings: Settings
) -> None:
    facts, chosen = probed(case.make()), plan_of(case)
    profile = PROFILES[case.profile]
    made, result = carry_out(case.make(), chosen, profile, settings)

    assert result.video is not None
    assert plan(result, profile).method is Method.LEAVE
    assert result.duration_s == pytest.approx(chosen.seconds(facts), rel=0.05, abs=0.2)
    if chosen.method is Method.LEAVE:
        assert made.read_bytes() == case.make().read_bytes()
        return
    assert (result.tracks, result.edits, result.faststart) == (2, Edits.NONE, True)
    assert not result.chapters and not result.has_location and not result.timecode
    assert result.audio is not None
    assert result.video.first_s == 0.0 and result.audio.first_s < 0.03
    if chosen.picture is None:
        assert copied_times(made) == pytest.approx(
            copied_times(case.make())[: len(copied_times(made))], abs=0.002
        )
    else:
        assert (result.video.matrix, result.video.transfer) == ("bt709", "bt709")
        assert result.video.pix_fmt == "yuv420p" and not result.video.hdr
        # Copied sound may begin 21 ms before the picture, whose first one is then longer.
        assert (result.video.longest_gop_s or 0.0) <= 2.05 and not result.video.b_frames


def carry_out(
    source: Path, chosen: Plan, profile: Profile, settings: Settings
) -> tuple[Path, Probe]:
    """As the handler does it; the file and its facts."""
    here = context(settings)
    facts = probed(source)
    assert profile.targets is not None
    Layout(settings.data).job_folder(here.job.public_id, here.job.fence).parent.mkdir(
        parents=True, exist_ok=True
    )
    made = run.make(source, facts, chosen, profile.targets, here, share=1.0)
    result, fault = verify(made, facts, chosen, profile, here)
    assert fault == "", result.error
    return made, result


def copied_times(file: Path) -> list[float]:
    """When the pictures are shown, in seconds from the first."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        times = sorted(
            float(packet.pts * packet.time_base)
            for packet in container.demux(stream)
            if packet.pts is not None and packet.time_base is not None and packet.size
        )
    return [time - times[0] for time in times]


@pytest.mark.usefixtures("db")
def test_the_default_sound_is_the_one_that_is_kept(settings: Settings) -> None:
    case = next(case for case in CASES if case.name == "second sound is the default")
    made, _ = carry_out(case.make(), plan_of(case), SOCIAL, settings)
    assert pitch_hz(made) == pytest.approx(880, rel=0.02)


def pitch_hz(file: Path) -> float:
    with av.open(str(file)) as container:
        frames = [array("f", bytes(frame.planes[0])) for frame in container.decode(audio=0)]
    signs = [sample >= 0 for frame in frames[5:35] for sample in frame[:1024]]
    crossings = sum(a != b for a, b in zip(signs, signs[1:], strict=False))
    return crossings / 2 / (len(signs) / 48_000)


@pytest.mark.usefixtures("db")
def test_a_size_budget_is_kept_by_two_passes(settings: Settings) -> None:
    """Constant quality makes this noise four times as large."""
    source = clip(
        "noisy.mkv", *media.H264, "-qp", "20", *media.AAC, seconds=4.0, size="160x120",
        source="nullsrc=s={size}:r={fps}:d={seconds},geq=random(1)*255:128:128",
    )()  # fmt: skip
    profile = replace(INSTAGRAM, max_bytes=400_000)
    chosen = plan(probed(source), profile)
    assert chosen.passes == 2 and chosen.rate_bps is not None
    made, result = carry_out(source, chosen, profile, settings)
    assert 250_000 < made.stat().st_size <= 400_000
    assert result.audio is not None


@pytest.mark.usefixtures("db")
def test_the_picture_stands_in_front_of_itself(settings: Settings) -> None:
    """A yellow film in a vertical frame: yellow in the middle, and around it, too."""
    source = clip("yellow.mp4", *media.H264, *media.AAC, size="320x180",
                  source="color=c=yellow:s={size}:r={fps}:d={seconds}")()  # fmt: skip
    profile = PROFILES["vertical"]
    made, _ = carry_out(source, plan(probed(source), profile), profile, settings)
    with av.open(str(made)) as container:
        frame = next(container.decode(video=0)).reformat(format="rgb24")
    assert (frame.width, frame.height) == (540, 960)
    plane = frame.planes[0]
    for down, across in ((480, 270), (60, 270), (900, 30)):
        at = down * plane.line_size + 3 * across
        red, green, blue = bytes(plane)[at : at + 3]
        assert min(red, green) > 200 and blue < 60, (down, across)
