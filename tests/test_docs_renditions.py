"""The tables of docs/renditions.md are those of the code.

``python -m tests.test_docs_renditions`` prints them, to be pasted when the code has changed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.models import Method
from tasks.acceptance import (
    ACCEPTANCES,
    DELIVERIES,
    WISHED_DELIVERIES,
    Acceptance,
    in_time,
    megabytes,
)
from tasks.profiles import PROFILES, Profile
from tasks.transcode.budget import BUDGET, LEAST_BITS_PER_PIXEL, RUNGS

PAGE = Path(__file__).parents[1] / "docs" / "renditions.md"


def profiles() -> list[str]:
    return [
        "| profile | is | made | within |",
        "|---|---|---|---|",
        *(
            f"| `{p.name}` | {p.label} | {'of every video' if p.eager else 'when asked for'} "
            f"| {_within(p)} |"
            for p in PROFILES.values()
        ),
    ]


def _within(profile: Profile) -> str:
    words = []
    if profile.targets is not None:
        words.append(f"{profile.targets.long_side} × {profile.targets.short_side}")
    if profile.shape is not None:
        words.append(f"{profile.shape[0]}:{profile.shape[1]}")
    if profile.max_bytes is not None:
        words.append(megabytes(profile.max_bytes))
    if profile.max_duration_s is not None:
        end = "then cut" if profile.cut else "longer is refused"
        words.append(f"{in_time(profile.max_duration_s)}, {end}")
    return "; ".join(words)


def acceptances() -> list[str]:
    return [
        "| place | picture | sound | container | the whole | read | source |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {a.place} | {_picture(a)} | {_sound(a)} | {_container(a)} | {_whole(a)} "
            f"| {a.as_of} | {a.source} |"
            for a in ACCEPTANCES
        ),
    ]


def _whole(place: Acceptance) -> str:
    words = []
    if place.max_duration_s is not None:
        shortest = f"{in_time(place.min_duration_s)} to " if place.min_duration_s else "up to "
        words.append(shortest + in_time(place.max_duration_s))
    if place.max_bytes is not None:
        words.append(f"up to {megabytes(place.max_bytes)}")
    if place.shape is not None:
        words.append(f"{place.shape[0]}:{place.shape[1]}")
    return ", ".join(words) or "any length and size"


def _picture(place: Acceptance) -> str:
    if place.video_codecs is None:
        return "any"
    words = ["/".join(sorted(place.video_codecs)), "8-bit 4:2:0"]
    if place.max_width is not None:
        words.append(f"up to {place.max_width} columns")
    if place.min_fps is not None and place.max_fps is not None:
        steady = ", constant" if place.constant_fps else ""
        words.append(f"{place.min_fps:g} to {place.max_fps:g} pictures/s{steady}")
    words += ["progressive"] * place.progressive + ["closed groups"] * place.closed_gop
    if place.max_gop_s is not None:
        words.append(f"a keyframe every {place.max_gop_s:g} s")
    if place.max_video_bps is not None:
        words.append(f"up to {place.max_video_bps / 1e6:g} Mbit/s")
    if place.min_width is not None:
        words.append(f"at least {place.min_width} × {place.min_height}")
    return ", ".join(words)


def _sound(place: Acceptance) -> str:
    if place.audio_codecs is None:
        return "any"
    words = ["/".join(sorted(place.audio_codecs)).upper() + " (LC)"]
    if place.max_audio_hz is not None:
        words.append(f"up to {place.max_audio_hz // 1000} kHz, {place.max_channels} channels")
    words += ["silence is added"] * place.needs_audio
    return ", ".join(words)


def _container(place: Acceptance) -> str:
    words = ["MP4"] * place.mp4 + ["index in front"] * place.faststart
    return ", ".join(words + ["no edit list"] * place.no_edit_list) or "any"


def deliveries() -> list[str]:
    return [
        "| platform | gets the first of these that fits |",
        "|---|---|",
        *(
            f"| {name} | {', then '.join(f'`{profile}`' for profile in delivery.profiles)} |"
            for name, delivery in [
                *((f"`{name}`", delivery) for name, delivery in DELIVERIES.items()),
                *(
                    (f"`{name}` with “{wish}” chosen", delivery)
                    for (name, wish), delivery in WISHED_DELIVERIES.items()
                ),
            ]
        ),
    ]


@pytest.mark.parametrize("table", [profiles, acceptances, deliveries])
def test_tables_are_those_of_the_code(table) -> None:  # type: ignore[no-untyped-def]  # a function
    assert "\n".join(table()) in PAGE.read_text(), "python -m tests.test_docs_renditions"


def test_numbers_of_the_size_budget_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    assert f"{BUDGET:g} × bytes × 8 / seconds" in text
    assert f"{LEAST_BITS_PER_PIXEL:g} bits per pixel" in text
    assert ", ".join(map(str, RUNGS)) in text


def test_all_paths_are_told_in_their_order() -> None:
    told = re.findall(r"^\| `(\w+)` \| \d", PAGE.read_text(), re.M)
    assert told == [method.value for method in Method]


if __name__ == "__main__":
    for lines in (profiles(), acceptances(), deliveries()):
        print("\n".join(lines), end="\n\n")
