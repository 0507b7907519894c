"""Look into one file and say what is in it, as JSON. A script of its own, run in the sandbox.

``python -I child.py FILE FORMATS MAX_PIXELS``. Whatever goes wrong in here (it parses hostile
files) is seen by tasks/probe/look.py as a report without a picture, a signal, or silence.
Only PyAV and the standard library. Source: ISO/IEC 14496-12 (boxes), RFC 8794 (EBML).
"""

from __future__ import annotations

import json
import math
import os
import struct
import sys
from typing import IO, Any

import av
from av.container import InputContainer

# How far is looked for the frame rate: enough to tell a steady rate from a wandering one.
LOOK_PACKETS = 4000
LOOK_PICTURES = 900
MATRICES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc", 10: "bt2020c"}
# Those at the top of an MP4 that may be cut off, and so tell how long the file was to be.
TOP_BOXES = frozenset(
    (b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"free", b"skip", b"wide")
    + (b"uuid", b"meta", b"udta", b"pdin", b"emsg", b"prft")
)
TRANSFERS = {1: "bt709", 6: "smpte170m", 13: "srgb", 14: "bt2020", 16: "pq", 18: "hlg"}
UPRIGHT = (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)


def main() -> None:
    path, formats, max_pixels = sys.argv[1], sys.argv[2], int(sys.argv[3])
    options = {"format_whitelist": formats, "protocol_whitelist": "file", "enable_drefs": "0"}
    with open(path, "rb") as file:
        report: dict[str, Any] = {"shape": shape_of(file, os.path.getsize(path))}
    av.logging.set_level(av.logging.PANIC)
    try:
        with av.open("file:" + path, options=options) as container:
            pictures = decode_first(container, max_pixels)
        # Opened again, because some files can't be wound back.
        with av.open("file:" + path, options=options) as container:
            report["media"] = look_into(container, pictures)
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        report["error"] = f"{type(error).__name__}: {error}"
    json.dump(report, sys.stdout)


def look_into(container: InputContainer, pictures: dict[str, Any] | None) -> dict[str, Any]:
    tracks = [describe(stream) for stream in container.streams]
    duration_s = container.duration / 1e6 if container.duration else None
    if pictures is not None:
        steps = measure(container, tracks, duration_s is None)
        tracks[pictures["index"]] |= pictures | steps.pop("pictures")
        duration_s = duration_s or steps["end_s"]
    return {
        "format": container.format.name,
        "duration_s": duration_s,
        "duration_measured": not container.duration,
        "bit_rate": container.bit_rate or None,
        "has_location": any("location" in name.lower() for name in container.metadata),
        "tracks": tracks,
    }


def is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def describe(stream: Any) -> dict[str, Any]:
    """What the header says of one track."""
    about: dict[str, Any] = {"index": stream.index, "type": stream.type}
    context = getattr(stream, "codec_context", None)
    if context is None:
        return about
    about |= {
        "codec": context.codec.canonical_name,  # not the name of a decoder of it
        "profile": stream.profile or "",
        "bit_rate": getattr(stream, "bit_rate", None),
        "duration_s": seconds(stream.duration, stream.time_base),
        "cover": is_cover(stream),
    }
    if stream.type == "video":
        about |= {
            "width": context.width,
            "height": context.height,
            "pix_fmt": context.pix_fmt or "",
            "level": context.level,
            "sar": ratio(stream.sample_aspect_ratio),
            "fps_average": number(stream.average_rate),
            "fps_base": number(stream.base_rate),
            "b_frames": int(context.has_b_frames),
        }
    elif stream.type == "audio":
        about |= {"rate_hz": context.sample_rate, "channels": context.layout.nb_channels}
    return about


def decode_first(container: InputContainer, max_pixels: int) -> dict[str, Any] | None:
    """What only pictures tell: turned, interlaced, colours, and whether it can be decoded.

    None: there is no track of pictures. Larger ones than ``max_pixels`` are not decoded.
    """
    stream = next((s for s in container.streams.video if not is_cover(s)), None)
    if stream is None:
        return None
    facts: dict[str, Any] = {"index": stream.index, "decodes": False}
    if not 0 < stream.codec_context.width * stream.codec_context.height <= max_pixels:
        return facts
    stream.thread_type = "NONE"
    try:
        for number_, frame in enumerate(container.decode(stream)):
            matrix = frame.side_data.get("DISPLAYMATRIX")
            turned = matrix is not None and struct.unpack("=9i", as_bytes(matrix)) != UPRIGHT
            facts |= {
                "decodes": True,
                "turned": turned,
                "rotation": round(frame.rotation) % 360,
                "interlaced": facts.get("interlaced", False) or bool(frame.interlaced_frame),
                "matrix": MATRICES.get(int(frame.colorspace), ""),
                "transfer": TRANSFERS.get(int(frame.color_trc), ""),
                "full_range": int(frame.color_range) == 2,
            }
            if number_ == 3:
                break
    except av.error.FFmpegError as error:
        facts["decode_error"] = str(error)
    return facts


def measure(
    container: InputContainer, tracks: list[dict[str, Any]], to_the_end: bool
) -> dict[str, Any]:
    """Read packets without decoding them: starts, steadiness, distance of keyframes.

    All of them when the header has no duration (recordings of browsers), else the first ones.
    """
    picture = next(t["index"] for t in tracks if t["type"] == "video" and not t["cover"])
    times: list[float] = []
    keys: list[float] = []
    end_s = 0.0
    tick_s = 0.0
    try:
        for count, packet in enumerate(container.demux()):
            if packet.pts is None or packet.time_base is None:
                continue
            at_s = float(packet.pts * packet.time_base)
            end_s = max(end_s, at_s + float((packet.duration or 0) * packet.time_base))
            track = tracks[packet.stream_index]
            track["first_s"] = min(at_s, track.get("first_s", math.inf))
            if packet.stream_index == picture:
                tick_s = float(packet.time_base)
                if len(times) < LOOK_PICTURES:
                    times.append(at_s)
                if packet.is_keyframe:
                    keys.append(at_s)
            if not to_the_end and (count > LOOK_PACKETS or len(times) >= LOOK_PICTURES):
                break
    except av.error.FFmpegError:
        pass  # the end of a file that is cut off; its shape says so
    times.sort()
    steps = [b - a for a, b in zip(times, times[1:], strict=False)]
    # The last ones read may still have neighbours that were not.
    varies, fps = pace(steps[:-8] if len(steps) > 16 else steps, tick_s)
    return {
        "end_s": end_s or None,
        "pictures": {
            "variable": varies,
            "fps_seen": fps,
            "pictures_seen": len(times),
            "longest_gop_s": max(
                (b - a for a, b in zip(keys, keys[1:], strict=False)), default=None
            ),
        },
    }


def pace(steps: list[float], tick_s: float) -> tuple[bool, float | None]:
    """Whether the rate varies, and the rate itself if it doesn't, in pictures per second.

    It varies when more than one in fifty steps is off by a tenth (or what the clock can't
    express). Two may always be: a start that stumbles, a lost picture.
    """
    if not steps:
        return False, None
    usual = sorted(steps)[len(steps) // 2]
    allowed = max(usual * 0.1, 1.5 * tick_s)
    steady = [step for step in steps if abs(step - usual) <= allowed]
    if len(steps) - len(steady) > max(2, len(steps) / 50):
        return True, None
    # The mean evens out what a clock of milliseconds rounds.
    return False, len(steady) / sum(steady) if sum(steady) > 0 else None


def seconds(value: int | None, base: Any) -> float | None:
    return float(value * base) if value is not None and base is not None else None


def as_bytes(side_data: Any) -> bytes:
    return bytes(side_data)


def number(value: Any) -> float | None:
    return float(value) if value else None


def ratio(value: Any) -> list[int]:
    return [value.numerator, value.denominator] if value else [1, 1]


# The shape of the file: what the demuxers keep to themselves.


def shape_of(file: IO[bytes], size: int) -> dict[str, Any]:
    head = file.read(64)
    try:
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return shape_of_mp4(file, size)
        if head[:4] == b"\x1aE\xdf\xa3":
            return {"declared_size": declared_matroska(file), "header_end": end_of_tracks(file)}
        if head[:4] == b"RIFF":
            shape = {"declared_size": struct.unpack("<I", head[4:8])[0] + 8}
            if head[8:16] == b"AVI LIST" and head[20:24] == b"hdrl":
                shape["header_end"] = 20 + struct.unpack("<I", head[16:20])[0]
            return shape
    except (struct.error, IndexError):
        return {"broken": True}
    return {}


def boxes(file: IO[bytes], start: int, end: int) -> list[tuple[bytes, int, int]]:
    """(type, begin of the content, declared end) of the boxes between two offsets, at most 4096."""
    found: list[tuple[bytes, int, int]] = []
    at = start
    while at + 8 <= end and len(found) < 4096:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        content = at + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            content = at + 16
        elif size == 0:
            size = end - at
        if size < content - at:
            break
        found.append((kind, content, at + size))
        at += size
    return found


def shape_of_mp4(file: IO[bytes], size: int) -> dict[str, Any]:
    # What phones and editors append is no box: its "length" says nothing about the film.
    top = [box for box in boxes(file, 0, size) if box[2] <= size or box[0] in TOP_BOXES]
    kinds = [kind for kind, _, _ in top]
    shape: dict[str, Any] = {
        "declared_size": max((end for _, _, end in top), default=size),
        "has_index": b"moov" in kinds,
        "fragmented": b"moof" in kinds,
    }
    if b"ftyp" in kinds:
        file.seek(top[kinds.index(b"ftyp")][1])
        shape["brand"] = file.read(4).decode("latin-1")
    if b"moov" in kinds:
        shape["faststart"] = b"mdat" not in kinds or kinds.index(b"moov") < kinds.index(b"mdat")
        _, start, end = top[kinds.index(b"moov")]
        shape["header_end"] = end
        shape |= edits_of(file, start, min(end, size))
    return shape


def edits_of(file: IO[bytes], start: int, end: int) -> dict[str, Any]:
    """The edit lists: [duration in seconds, start in the media in seconds (-1: nothing shown)]."""
    scale = 1000
    edits: list[list[list[float]]] = []
    for kind, begin, stop in boxes(file, start, end):
        if kind == b"mvhd":
            file.seek(begin)
            version = file.read(4)[0]
            file.seek(begin + (20 if version else 12))
            scale = struct.unpack(">I", file.read(4))[0] or 1
        elif kind == b"trak":
            edits.append(edits_of_track(file, begin, min(stop, end), scale))
    return {"edits": [track for track in edits if track]}


def edits_of_track(file: IO[bytes], start: int, end: int, scale: int) -> list[list[float]]:
    media_scale, at = 1, None
    for kind, begin, stop in boxes(file, start, end):
        if kind == b"edts":
            at = next((b for k, b, _ in boxes(file, begin, min(stop, end)) if k == b"elst"), None)
        elif kind == b"mdia":
            for inner, content, _ in boxes(file, begin, min(stop, end)):
                if inner == b"mdhd":
                    file.seek(content)
                    version = file.read(4)[0]
                    file.seek(content + (20 if version else 12))
                    media_scale = struct.unpack(">I", file.read(4))[0] or 1
    if at is None:
        return []
    file.seek(at)
    version = file.read(4)[0]
    (count,) = struct.unpack(">I", file.read(4))
    layout = ">Qqi" if version else ">Iii"
    entries = []
    for _ in range(min(count, 64)):
        length, begin, _ = struct.unpack(layout, file.read(struct.calcsize(layout)))
        entries.append([length / scale, begin / media_scale if begin >= 0 else -1.0])
    return entries


def element(file: IO[bytes], at: int) -> tuple[bytes, int, int | None]:
    """(id, begin of the content, its length or None if unknown) of the EBML element at ``at``.

    Raises IndexError where there is none.
    """
    file.seek(at)
    head = file.read(12)
    id_length = 9 - head[0].bit_length()
    marker = head[id_length]
    length = 9 - marker.bit_length()
    unknown = (1 << 7 * length) - 1
    value = int.from_bytes(head[id_length : id_length + length], "big") & unknown
    content = at + id_length + length
    return head[:id_length], content, None if value == unknown else value


def segment(file: IO[bytes]) -> tuple[int, int | None] | None:
    """(begin of the content, its length or None if unknown) of the part that holds the media."""
    at = 0
    for _ in range(8):
        kind, content, length = element(file, at)
        if kind == b"\x18S\x80g":
            return content, length
        at = content + (length or 0)
    return None


def declared_matroska(file: IO[bytes]) -> int | None:
    """Where the segment says that it ends; None: it doesn't (a recording), or nothing to read."""
    found = segment(file)
    return None if found is None or found[1] is None else found[0] + found[1]


def end_of_tracks(file: IO[bytes]) -> int | None:
    """Where the first cluster begins: what is said of the tracks stands before it."""
    try:
        found = segment(file)
        at = found[0] if found else 0
        for _ in range(64):
            kind, content, length = element(file, at)
            if kind == b"\x1fC\xb6u":
                return at
            if length is None:
                return None
            at = content + length
    except IndexError:
        pass  # not that far yet
    return None


if __name__ == "__main__":
    main()
