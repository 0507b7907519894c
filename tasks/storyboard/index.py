"""Which part of the storyboard belongs to which seconds, as players want to be told. Pure."""

from __future__ import annotations

from typing import Any


def to_vtt(facts: dict[str, Any], address: str, duration_s: float) -> str:
    """WebVTT whose cues name parts of the picture at ``address``.

    Source: W3C, WebVTT; W3C, Media Fragments URI 1.0 §4.2.2 (``#xywh=``).
    """
    width, height, columns = int(facts["width"]), int(facts["height"]), int(facts["columns"])
    every_s, count = float(facts["every_s"]), int(facts["count"])
    lines = ["WEBVTT", ""]
    for number in range(count):
        row, column = divmod(number, columns)
        end_s = duration_s if number == count - 1 else (number + 1) * every_s
        lines += [
            f"{_time(number * every_s)} --> {_time(max(end_s, number * every_s + 0.001))}",
            f"{address}#xywh={column * width},{row * height},{width},{height}",
            "",
        ]
    return "\n".join(lines)


def _time(seconds: float) -> str:
    whole_ms = round(seconds * 1000)
    minutes, ms = divmod(whole_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{ms // 1000:02}.{ms % 1000:03}"
