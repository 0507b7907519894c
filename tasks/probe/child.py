"""Look into one file and say what is in it, as JSON. A script of its own, run in the sandbox.

``python -I child.py FILE FORMATS DECODERS MAX_PIXELS``. Whatever goes wrong in here (it parses
hostile files) is seen by tasks/probe/look.py as a report without a picture, a signal, or silence.
The report is a line of JSON. A second one says more, if there was time to look further into the
file: a seek may read it to its end, and nothing but SIGALRM ends that.
Only PyAV and the standard library. Source: ISO/IEC 14496-12 (boxes), RFC 8794 (EBML), Dolby Vision
Streams Within the ISO Base Media File Format (dvcC).
"""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import sys
from typing import IO, Any

import av
from av.container import InputContainer

# How far is looked for the frame rate at the beginning: enough to tell a steady rate from a
# wandering one. Then as far in the middle and near the end, or in the index of the whole.
LOOK_PACKETS = 4000
LOOK_PICTURES = 900
SAMPLE_PICTURES = 200
SAMPLES_AT = (0.5, 0.9)
SAMPLE_S = 4.0
# Recordings without a length are read to their end: at most so many times are kept.
MOST_TIMES = 500_000
INDEX_RUN, INDEX_RUNS = 4000, 25
# How many pictures are decoded, at the beginning and in the middle.
LOOK_DECODED = 8
# Containers that find a place in the file without reading all before it.
SEEKABLE = ("mov,", "matroska,", "mpegts", "mpeg", "ogg", "avi")
# Their pictures say how they were scanned; of some others only the container does.
SAYS_ITSELF = frozenset({"h264", "mpeg2video", "mpeg1video", "mpeg4", "vc1", "dvvideo", "prores"})
MAY_BE_INTERLACED = SAYS_ITSELF | {"dnxhd", "rawvideo", "ffv1", "v210"}
# AVFieldOrder (libavcodec/defs.h); 1 is progressive. The second letter is the one shown first.
FIELD_ORDERS = {2: "top", 3: "bottom", 4: "bottom", 5: "top"}
PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020", 12: "p3"}
MATRICES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc", 10: "bt2020c"}
# Those at the top of an MP4 that may be cut off, and so tell how long the file was to be.
TOP_BOXES = frozenset(
    (b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"free", b"skip", b"wide")
    + (b"uuid", b"meta", b"udta", b"pdin", b"emsg", b"prft")
)
TRANSFERS = {1: "bt709", 6: "smpte170m", 13: "srgb", 14: "bt2020", 16: "pq", 18: "hlg"}
UPRIGHT = (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)


def main() -> None:
    path, formats, decoders, max_pixels = *sys.argv[1:4], int(sys.argv[4])
    options = {"format_whitelist": formats, "protocol_whitelist": "file", "enable_drefs": "0"}
    # For the short look that opening takes; each decoder that is opened later is told, too.
    options["codec_whitelist"] = decoders
    bounds = {"codec_whitelist": decoders, "max_pixels": str(max_pixels)}
    with open(path, "rb") as file:
        report: dict[str, Any] = {"shape": shape_of(file, os.path.getsize(path))}
    av.logging.set_level(av.logging.PANIC)
    seen: Steps | None = None
    try:
        with av.open("file:" + path, options=options) as container:
            pictures = decode_first(container, max_pixels, bounds)
        # Opened again, because some files can't be wound back.
        with av.open("file:" + path, options=options) as container:
            report["media"], seen = look_into(container, pictures)
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        report["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(report), flush=True)
    media = report.get("media")
    if seen is None or media is None or not media["format"].startswith(SEEKABLE):
        return
    signal.setitimer(signal.ITIMER_REAL, SAMPLE_S)
    try:
        with av.open("file:" + path, options=options) as container:
            look_further(container, media, seen, bounds)
    except (av.error.FFmpegError, ValueError, OverflowError):
        return  # what the beginning has told stands
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    print(json.dumps(report), flush=True)


class Steps:
    """When pictures are shown, gathered from several places of the file; all in seconds."""

    def __init__(self) -> None:
        self.index = 0
        self.tick_s = 0.0
        self.steps: list[float] = []
        self.longest_gop_s: float | None = None
        self.pictures = 0
        self.open_gops = 0
        self.keys = 0
        self.complete = False  # the whole file was looked at

    def add(self, times: list[float], keys: list[float], end_s: float | None = None) -> None:
        """Times of pictures that follow each other; ``end_s``: where the last GOP ends, if so."""
        times.sort()
        steps = [b - a for a, b in zip(times, times[1:], strict=False)]
        # The last ones read may still have neighbours that were not.
        self.steps += steps[:-8] if len(steps) > 16 else steps
        self.pictures += len(times)
        ends = [*keys, end_s] if end_s is not None and keys else keys
        gaps = [b - a for a, b in zip(ends, ends[1:], strict=False)]
        if gaps:
            self.longest_gop_s = max(self.longest_gop_s or 0.0, *gaps)

    def facts(self) -> dict[str, Any]:
        varies, fps = pace(self.steps, self.tick_s)
        return {
            "variable": varies,
            "fps_seen": fps,
            "pictures_seen": self.pictures,
            "longest_gop_s": self.longest_gop_s,
            "closed_gop": self.open_gops == 0 if self.keys > 1 else None,
        }


def look_into(
    container: InputContainer, pictures: dict[str, Any] | None
) -> tuple[dict[str, Any], Steps | None]:
    tracks = [describe(stream) for stream in container.streams]
    duration_s = container.duration / 1e6 if container.duration else None
    seen = None
    if pictures is not None:
        seen = Steps()
        seen.index = pictures["index"]
        end_s = measure(container, tracks, seen, duration_s is None)
        tracks[seen.index] |= pictures | seen.facts()
        duration_s = duration_s or end_s
    about = {
        "format": container.format.name,
        "duration_s": duration_s,
        "duration_measured": not container.duration,
        "start_s": container.start_time / 1e6 if container.start_time else 0.0,
        "bit_rate": container.bit_rate or None,
        "has_location": any("location" in name.lower() for name in container.metadata),
        "timecode": next((t["timecode"] for t in tracks if t.get("timecode")), "")
        or container.metadata.get("timecode", ""),
        "chapters": [chapter(entry) for entry in container.chapters()[:200]],
        "tracks": tracks,
    }
    return about, seen


def chapter(entry: Any) -> list[Any]:
    return [
        seconds(entry["start"], entry["time_base"]) or 0.0,
        entry["metadata"].get("title", "")[:200],
    ]


def is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def choose_picture(container: InputContainer) -> Any:
    """The track of pictures that counts: the one that players choose, else the first. Or None."""
    tracks = [s for s in container.streams.video if s.codec_context is not None and not is_cover(s)]
    chosen = [s for s in tracks if s.disposition & av.stream.Disposition.default]
    return next(iter(chosen or tracks), None)


def describe(stream: Any) -> dict[str, Any]:
    """What the header says of one track."""
    disposition = av.stream.Disposition
    apart = disposition.comment | disposition.hearing_impaired | disposition.visual_impaired
    about: dict[str, Any] = {
        "index": stream.index,
        "type": stream.type,
        "cover": is_cover(stream),
        "default": bool(stream.disposition & disposition.default),
        "apart": bool(stream.disposition & apart),
        "language": (stream.language or "").replace("und", "")[:16],
        "title": str(stream.metadata.get("title", ""))[:200],
        "timecode": str(stream.metadata.get("timecode", ""))[:32],
        "start_s": seconds(stream.start_time, stream.time_base),
    }
    context = getattr(stream, "codec_context", None)
    if context is None:
        return about
    about |= {
        "codec": context.codec.canonical_name,  # not the name of a decoder of it
        "profile": stream.profile or "",
        "bit_rate": getattr(stream, "bit_rate", None),
        "duration_s": seconds(stream.duration, stream.time_base)
        or in_seconds(str(stream.metadata.get("DURATION", ""))),
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
            "field_order": FIELD_ORDERS.get(int(context.field_order), ""),
            "progressive": int(context.field_order) == 1,
        }
    elif stream.type == "audio":
        about |= {
            "rate_hz": context.sample_rate,
            "channels": context.layout.nb_channels,
            "layout": context.layout.name,
        }
    return about


def decode_first(
    container: InputContainer, max_pixels: int, bounds: dict[str, str]
) -> dict[str, Any] | None:
    """What only pictures tell: turned, interlaced, colours, and whether it can be decoded.

    None: there is no track of pictures. Larger ones than ``max_pixels`` are not decoded.
    """
    stream = choose_picture(container)
    if stream is None:
        return None
    facts: dict[str, Any] = {"index": stream.index, "decodes": False}
    if not 0 < stream.codec_context.width * stream.codec_context.height <= max_pixels:
        return facts
    stream.thread_type = "NONE"
    stream.codec_context.options = bounds
    looked = weaved = 0
    facts["raw"] = stream.codec_context.codec.canonical_name in MAY_BE_INTERLACED - SAYS_ITSELF
    try:
        for frame in container.decode(stream):
            matrix = frame.side_data.get("DISPLAYMATRIX")
            turned = matrix is not None and struct.unpack("=9i", as_bytes(matrix)) != UPRIGHT
            looked += 1
            weaved += bool(frame.interlaced_frame)
            facts |= {
                "decodes": True,
                "turned": turned,
                "rotation": round(frame.rotation) % 360,
                "matrix": MATRICES.get(int(frame.colorspace), ""),
                "primaries": PRIMARIES.get(int(frame.color_primaries), ""),
                "transfer": TRANSFERS.get(int(frame.color_trc), ""),
                "full_range": int(frame.color_range) == 2,
                "dolby_vision": has_dolby_vision(frame),
            }
            if looked == (LOOK_DECODED if may_be_interlaced(stream) else 1):
                break
    except av.error.FFmpegError as error:
        facts["decode_error"] = str(error)
    facts |= {"decoded": looked, "weaved": weaved}
    facts["interlaced"] = interlaced(facts, int(stream.codec_context.field_order))
    return facts


def has_dolby_vision(frame: Any) -> bool:
    return any(
        frame.side_data.get(name) is not None for name in ("DOVI_RPU_BUFFER", "DOVI_METADATA")
    )


def may_be_interlaced(stream: Any) -> bool:
    context = stream.codec_context
    return context.codec.canonical_name in MAY_BE_INTERLACED and context.height <= 1088


def interlaced(facts: dict[str, Any], field_order: int) -> bool:
    """By the pictures: one in four, so that a stray flag does no harm. Formats whose pictures say
    nothing (QuickTime's ``fiel``) are believed by their header."""
    if facts["decoded"] and facts["weaved"] * 4 >= facts["decoded"]:
        return True
    return field_order in FIELD_ORDERS and facts.get("raw", False)


def measure(
    container: InputContainer, tracks: list[dict[str, Any]], seen: Steps, to_the_end: bool
) -> float | None:
    """Read packets without decoding them: starts, steadiness, distance of keyframes.

    All of them when the header has no duration (recordings of browsers), else the first ones.
    The end of the last one read, in seconds.
    """
    times: list[float] = []
    keys: list[float] = []
    end_s = 0.0
    most = MOST_TIMES if to_the_end else LOOK_PICTURES
    last_key_s = math.inf
    complete = True
    try:
        for count, packet in enumerate(container.demux()):
            if packet.pts is None or packet.time_base is None:
                continue
            at_s = float(packet.pts * packet.time_base)
            end_s = max(end_s, at_s + float((packet.duration or 0) * packet.time_base))
            track = tracks[packet.stream_index]
            track["first_s"] = min(at_s, track.get("first_s", math.inf))
            if packet.stream_index == seen.index:
                seen.tick_s = float(packet.time_base)
                if len(times) < most:
                    times.append(at_s)
                if packet.is_keyframe:
                    keys.append(at_s)
                    last_key_s = at_s
                    seen.keys += 1
                elif at_s < last_key_s and len(keys) > 1:
                    # Shown before the keyframe that it follows: it needs the one before, too.
                    seen.open_gops += 1
            if not to_the_end and (count > LOOK_PACKETS or len(times) >= LOOK_PICTURES):
                complete = False
                break
    except av.error.FFmpegError:
        pass  # the end of a file that is cut off; its shape says so
    seen.complete = complete
    entries = index_of(container.streams[seen.index], len(times))
    if entries:
        seen.complete = True
        for run in entries:
            base = container.streams[seen.index].time_base
            seen.add(
                [float(entry.timestamp * base) for entry in run],
                [float(entry.timestamp * base) for entry in run if entry.is_keyframe],
                # The last GOP of the file ends with its last picture.
                float(run[-1].timestamp * base) if run is entries[-1] else None,
            )
    else:
        seen.add(times, keys, max(times) if complete and times else None)
    return end_s or None


def index_of(stream: Any, seen: int) -> list[list[Any]]:
    """All pictures of the track by its index, in runs; [] where the index isn't of all pictures.

    An MP4 has them all in front; indices of other files hold keyframes only. Its times are those
    of decoding: as far apart as those of showing.
    """
    entries = stream.index_entries
    count = len(entries)
    if not stream.container.format.name.startswith("mov,") or count < max(seen, 2):
        return []
    if count <= INDEX_RUN * INDEX_RUNS:
        return [list(entries)]
    step = (count - INDEX_RUN) // (INDEX_RUNS - 1)
    return [list(entries[at : at + INDEX_RUN]) for at in range(0, count - INDEX_RUN + 1, step)]


def look_further(
    container: InputContainer, media: dict[str, Any], seen: Steps, bounds: dict[str, str]
) -> None:
    """Look in the middle and near the end, where the beginning says little: into ``media``."""
    stream: Any = container.streams[seen.index]
    track = media["tracks"][seen.index]
    duration_s = media["duration_s"] or 0.0
    if not track["decodes"] or duration_s < 4 or media["duration_measured"]:
        return
    start_s = media["start_s"]
    for at in SAMPLES_AT if not seen.complete else ():
        container.seek(int((start_s + at * duration_s) * 1e6))
        sample(container, stream, seen)
    if may_be_interlaced(stream) and not track["interlaced"]:
        container.seek(int((start_s + 0.5 * duration_s) * 1e6))
        stream.thread_type = "NONE"
        stream.codec_context.options = bounds
        frames: Any = container.decode(stream)
        for number_, frame in enumerate(frames):
            track["decoded"] += 1
            track["weaved"] += bool(frame.interlaced_frame)
            if number_ + 1 >= 2 * LOOK_DECODED:
                break
        track["interlaced"] = interlaced(track, int(stream.codec_context.field_order))
    track |= seen.facts()


def sample(container: InputContainer, stream: Any, seen: Steps) -> None:
    times: list[float] = []
    keys: list[float] = []
    for packet in container.demux(stream):
        if packet.pts is None or packet.time_base is None:
            continue
        times.append(float(packet.pts * packet.time_base))
        if packet.is_keyframe:
            keys.append(times[-1])
        if len(times) >= SAMPLE_PICTURES:
            break
    seen.add(times, keys)


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


def in_seconds(tag: str) -> float | None:
    """ "00:01:02.5", the length of a track as Matroska notes it."""
    try:
        hours, minutes, rest = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)
    except ValueError:
        return None


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
        shape["dolby_vision"] = dolby_vision_profile(file, start, min(end, size))
    return shape


def dolby_vision_profile(file: IO[bytes], start: int, end: int) -> int | None:
    """From the configuration that stands with the track's codec, at most 1 MiB into the index."""
    file.seek(start)
    index = file.read(min(end - start, 1 << 20))
    for kind in (b"dvcC", b"dvvC"):
        at = index.find(kind)
        if at >= 0 and at + 7 <= len(index) and index[at + 4] == 1:
            return index[at + 6] >> 1  # two bytes of version, then seven bits
    return None


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
