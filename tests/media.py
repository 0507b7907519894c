"""Small clips and hostile files, made by ffmpeg when a test first asks, and kept for the session.

Each function gives the path of a file that all tests share: copy it before changing it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import imageio_ffmpeg

FFMPEG = shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()

PICTURE = "testsrc2=s={size}:r={fps}:d={seconds}"
SOUND = "sine=f=440:r=48000:d={seconds}"
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac", "-ac", "2", "-ar", "48000", "-b:a", "96k")
# What every place takes as it is.
CONFORMING = ("-bf", "0", "-movflags", "+faststart", "-use_editlist", "0")


@cache
def folder() -> Path:
    disk = os.environ.get("PYTEST_DEBUG_TEMPROOT")  # that of the boxes: they link to clips
    path = Path(tempfile.mkdtemp(prefix="appliance-media-", dir=disk))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def ffmpeg(*arguments: str, timeout_s: float = 60) -> None:
    command = [FFMPEG, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *arguments]
    subprocess.run(command, check=True, timeout=timeout_s)


@cache
def clip(
    name: str,
    *options: str,
    size: str = "160x120",
    fps: str = "30",
    seconds: float = 2,
    sound: str | None = SOUND,
    source: str = PICTURE,
) -> Path:
    """``name`` with ending; ``options`` are ffmpeg's for the output. ``sound`` None: silent."""
    target = folder() / name
    inputs = ["-f", "lavfi", "-i", source.format(size=size, fps=fps, seconds=seconds)]
    if sound is not None:
        inputs += ["-f", "lavfi", "-i", sound.format(seconds=seconds)]
    ffmpeg(*inputs, "-t", f"{seconds:g}", *options, str(target))
    return target


def h264_aac(seconds: float = 2) -> Path:
    """Fits everywhere: nothing has to be done."""
    return clip(f"conforming-{seconds:g}.mp4", *H264, *AAC, *CONFORMING, seconds=seconds)


def index_last() -> Path:
    """As ffmpeg and most cameras write it: index at the end, edit list, B-frames."""
    return clip("index-last.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", *AAC)


def webm_vp9(seconds: float = 2) -> Path:
    """Has to be encoded."""
    options = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus")
    return clip(f"vp9-{seconds:g}.webm", *options, seconds=seconds)


def h264_opus() -> Path:
    """Only the sound has to be encoded."""
    return clip("opus.mkv", *H264, "-bf", "0", "-c:a", "libopus")


def silent() -> Path:
    return clip("silent.mp4", *H264, *CONFORMING, sound=None)


def turned() -> Path:
    """A phone held upright: stored lying, with a note to turn it."""
    target = folder() / "turned.mp4"
    if not target.exists():
        shutil.copy(h264_aac(), target)
        content = bytearray(target.read_bytes())
        upright = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
        quarter = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
        # The second matrix is the first track's (the first is the whole film's).
        at = content.index(upright, content.index(b"tkhd"))
        content[at : at + len(quarter)] = quarter
        target.write_bytes(content)
    return target


def with_location() -> Path:
    """Says where it was recorded, as phones do."""
    place = ("-metadata", "location=+48.2082+016.3738/", "-movflags", "+faststart")
    return clip("location.mp4", *H264, *AAC, "-bf", "0", "-use_editlist", "0", *place)


def slow(loops: int = 300) -> Path:
    """Takes an encoder a minute and more, and is small and quickly made: for cancels and kills."""
    once = clip("once.avi", "-c:v", "mpeg4", "-q:v", "31", "-c:a", "mp3", size="640x360")
    target = folder() / f"slow-{loops}.avi"
    if not target.exists():
        ffmpeg("-stream_loop", str(loops), "-i", str(once), "-c", "copy", str(target))
    return target


# What isn't a video, or no whole one


def written(name: str, content: bytes | str) -> Path:
    target = folder() / name
    target.write_bytes(content.encode() if isinstance(content, str) else content)
    return target


def empty() -> Path:
    return written("empty.mp4", b"")


def two_bytes() -> Path:
    return written("two-bytes.mp4", b"\x00\x00")


def not_a_video() -> Path:
    return written("text.mp4", "This is a letter, not a film.\n" * 40)


def audio_only() -> Path:
    target = folder() / "sound.m4a"
    if not target.exists():
        ffmpeg("-f", "lavfi", "-i", SOUND.format(seconds=2), *AAC, str(target))
    return target


def still_picture() -> Path:
    target = folder() / "picture.png"
    if not target.exists():
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x240", "-frames:v", "1", str(target))
    return target


def truncated() -> Path:
    """The first half of a file whose index is in front."""
    whole = h264_aac().read_bytes()
    return written("truncated.mp4", whole[: len(whole) // 2])


def truncated_without_index() -> Path:
    whole = index_last().read_bytes()
    return written("no-index.mp4", whole[: len(whole) // 2])


def truncated_mkv() -> Path:
    whole = h264_opus().read_bytes()
    return written("truncated.mkv", whole[: len(whole) // 2])


def playlist(canary: str = "http://127.0.0.1:9/canary.ts", secret: Path | None = None) -> Path:
    """HLS text that names a local file and an address on the network."""
    local = f"#EXTINF:2,\nfile:{secret or h264_aac()}\n"
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{local}#EXTINF:2,\n{canary}\n#EXT-X-ENDLIST\n"
    return written("playlist.mp4", text)


def concat_script(secret: Path | None = None) -> Path:
    text = f"ffconcat version 1.0\nfile '{secret or h264_aac()}'\n"
    return written("concat.mp4", text)


def dash_manifest(canary: str = "http://127.0.0.1:9/canary.mp4") -> Path:
    text = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{canary}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    )
    return written("dash.mp4", text)


def sdp() -> Path:
    return written(
        "sdp.mp4", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"
    )


def svg(canary: str = "http://127.0.0.1:9/canary.png") -> Path:
    return written(
        "svg.mp4", f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{canary}"/></svg>'
    )


def external_reference(target: Path) -> Path:
    """A mov whose samples lie in another file, which it names (a `url ` data reference)."""
    whole = bytearray(index_last().read_bytes())
    at = whole.index(b"url \x00\x00\x00\x01") - 4
    name = f"file://{target}".encode() + b"\x00"
    entry = struct.pack(">I4sI", 12 + len(name), b"url ", 0) + name
    grown = len(entry) - 12
    whole[at : at + 12] = entry
    for kind in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        size_at = whole.rindex(kind, 0, at) - 4
        (size,) = struct.unpack_from(">I", whole, size_at)
        struct.pack_into(">I", whole, size_at, size + grown)
    return written("external.mp4", bytes(whole))


def huge_picture() -> Path:
    """8192 × 8192 in few bytes: needs half a gigabyte to decode. Source: robustness R17."""
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-frames:v", "2")
    return clip("huge.mp4", *options, size="8192x8192", sound=None, source="color=s={size}:r={fps}")


def tiny_picture() -> Path:
    options = ("-c:v", "ffv1")
    return clip("tiny.mkv", *options, size="4x4", sound=None, source="color=s={size}:r={fps}")


def very_long() -> Path:
    """Seven hours in some kilobytes."""
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    return clip(
        "long.mp4", *options, size="64x64", fps="1/60", seconds=7 * 3600, sound=None,
        source="color=s={size}:r={fps}:d={seconds}",
    )  # fmt: skip


def many_tracks(count: int = 40) -> Path:
    maps = [word for _ in range(count) for word in ("-map", "1:a")]
    options = ("-map", "0:v", *maps, *H264, "-c:a", "aac", "-b:a", "16k")
    return clip(f"tracks-{count}.mkv", *options)


def append_free_box(file: Path, number: int, *, size: int) -> None:
    """Make an mp4 or webm longer and unlike its copies, without changing what it shows."""
    filling = struct.pack(">I", number) * ((size - 16) // 4)
    if file.suffix == ".mp4":
        box = struct.pack(">I4s", 8 + len(filling), b"free") + filling
    else:  # EBML: a Void element, with its length in eight bytes
        box = b"\xec" + (1 << 56 | len(filling)).to_bytes(8, "big") + filling
    with file.open("ab") as writer:
        writer.write(box)
