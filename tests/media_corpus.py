"""Sources as they come, one axis each, and what has to be done with them.

Small files, made by ffmpeg when a test first asks. What has to be done with each stands in
corpus_plans.md.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests import media
from tests.media import AAC, CONFORMING, H264

Make = Callable[[], Path]

FAST = ("-c:v", "libx264", "-preset", "ultrafast")
TEN_BIT = (*FAST, "-pix_fmt", "yuv420p10le")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-tag:v",
        "hvc1")  # fmt: skip
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "16")
FIRST = ("-movflags", "+faststart")
FILM = (*H264, *AAC, *CONFORMING)
SMALL = {"size": "64x48", "seconds": 1.0}
# Read with ``-f lavfi``; plain colours encode in no time.
PLAIN = "color=c=teal:s={size}:r={fps}:d={seconds}"


@dataclass(frozen=True)
class Case:
    """``run``: carried out by the short form of the tests, too."""

    name: str
    make: Make
    profile: str = "social"
    run: bool = False


@cache
def folder() -> Path:
    """One of its own: other tests' clips may have the same names."""
    path = media.folder() / "corpus"
    path.mkdir()
    return path


def clip(name: str, *options: str, **arguments: object) -> Make:
    def make() -> Path:
        return media.clip(
            str(folder() / name),
            *options,
            **{"seconds": 1.0, **arguments},  # type: ignore[arg-type]  # as of clip
        )

    return make


def setparams(transfer: str, matrix: str = "bt2020nc") -> tuple[str, str]:
    return "-vf", f"setparams=color_primaries=bt2020:color_trc={transfer}:colorspace={matrix}"


def second_hand(name: str, source: Make, *options: str, before: tuple[str, ...] = ()) -> Make:
    """Made of another file: copied tracks, cuts, offsets."""

    def make() -> Path:
        target = folder() / name
        if not target.exists():
            media.ffmpeg(*before, "-i", str(source()), *options, str(target))
        return target

    return make


def matrix_of(a: float, b: float, c: float, d: float) -> bytes:
    return struct.pack(">9i", *(round(part * 65536) for part in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)


def with_matrix(name: str, matrix: bytes) -> Make:
    """A note in the first track's header that turns or mirrors the picture."""

    def make() -> Path:
        target = folder() / name
        content = bytearray(clip("for-matrix.mp4", *FILM)().read_bytes())
        at = content.index(matrix_of(1, 0, 0, 1), content.index(b"tkhd"))
        content[at : at + 36] = matrix
        target.write_bytes(content)
        return target

    return make


def with_tracks(name: str, *options: str, files: tuple[Make, ...] = ()) -> Make:
    """A picture and two sounds of different pitch, mapped by ``options``."""

    def make() -> Path:
        target = folder() / name
        if not target.exists():
            inputs = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=30:d=1"]
            for pitch in (440, 880):
                inputs += ["-f", "lavfi", "-i", f"sine=f={pitch}:r=48000:d=1"]
            for file in files:
                inputs += ["-i", str(file())]
            media.ffmpeg(*inputs, *options, str(target))
        return target

    return make


def subtitles() -> Path:
    return media.written(str(folder() / "words.srt"), "1\n00:00:00,000 --> 00:00:00,900\nHello\n")


def chapters() -> Path:
    return media.written(
        str(folder() / "chapters.txt"),
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=Begin\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=End\n",
    )


def font() -> Path:
    return media.written(str(folder() / "letters.ttf"), b"\x00\x01\x00\x00" + bytes(200))


def cover() -> Path:
    target = folder() / "cover.png"
    if not target.exists():
        media.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "1", str(target))
    return target


def wavering(name: str, *options: str, steady: int = 0, then: int = 150) -> Make:
    """A steady rate for ``steady`` pictures, then as phones in the dark and screens do it."""

    def make() -> Path:
        target = folder() / name
        if not target.exists():
            seconds = (steady + then) / 30
            media.ffmpeg(
                *("-f", "lavfi", "-i", f"testsrc2=s=32x32:r=30:d={seconds:.3f}"),
                *("-f", "lavfi", "-i", f"sine=d={seconds:.3f}"),
                # Of the squares modulo 11, those below 5: steps of one to four pictures.
                *("-vf", f"select='lt(n,{steady})+lt(mod(n*n,11),5)'", "-fps_mode", "vfr"),
                *(*options, str(target)),
            )
        return target

    return make


def interlaced_later() -> Path:
    """A plain title first, then a field recording: twelve seconds, MPEG-2."""
    target = folder() / "interlaced-later.ts"
    if not target.exists():
        plain = clip("plain.ts", "-c:v", "mpeg2video", "-c:a", "mp2", fps="25", seconds=4.0)()
        weave = ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-vf", "interlace", "-c:a", "mp2")
        woven = clip("woven.ts", *weave, fps="50", seconds=8.0)()
        target.write_bytes(plain.read_bytes() + woven.read_bytes())
        joined = folder() / "interlaced-later-joined.ts"
        media.ffmpeg("-i", str(target), "-c", "copy", str(joined))
        shutil.move(joined, target)
    return target


def screen_recording() -> Path:
    """As browsers record: no length, no index, a rate that varies."""
    return wavering("screen.webm", *VP8, "-c:a", "libopus", "-live", "1")()


def late(name: str, *, sound: bool) -> Make:
    """One track begins 0.6 s after the other."""

    def make() -> Path:
        target = folder() / name
        if not target.exists():
            first, second = "testsrc2=s=160x120:r=30:d=2", "sine=d=2"
            if not sound:
                first, second = second, first
            command = (
                *("-f", "lavfi", "-i", first, "-itsoffset", "0.6", "-f", "lavfi", "-i", second),
                *(*H264, "-bf", "0", *AAC, str(target)),
            )
            media.ffmpeg(*command)
        return target

    return make


UPRIGHT_9_16 = clip("nine-sixteen.mp4", *FILM, size="540x960", source=PLAIN)
# Ten seconds, ten times.
LONG_9_16 = second_hand(
    "long-9-16.mp4",
    clip("ten-9-16.mp4", *FILM, "-g", "48", size="540x960", fps="24", seconds=10.0, source=PLAIN),
    *("-c", "copy", *CONFORMING),
    before=("-stream_loop", "9"),
)
LONG = second_hand(
    "long-lying.mp4",
    clip("ten-lying.mp4", *FILM, "-g", "48", size="64x36", fps="24", seconds=10.0, source=PLAIN),
    *("-c", "copy", *CONFORMING),
    before=("-stream_loop", "9"),
)
TWO = ("-map", "0:v", "-map", "1:a", "-map", "2:a", *H264, *AAC)

CASES: tuple[Case, ...] = (
    # Fits as it is
    Case("conforming", clip("fits.mp4", *FILM), run=True),
    Case("film rate", clip("film.mp4", *FILM, fps="24000/1001")),
    Case("pal", clip("pal.mp4", *FILM, fps="25")),
    Case("48 pictures", clip("48.mp4", *FILM, fps="48")),
    Case("ntsc 59.94", clip("5994.mp4", *FILM, fps="60000/1001")),
    Case("full range", clip("full.mp4", *FILM, "-pix_fmt", "yuvj420p")),
    Case("upright", clip("upright.mp4", *FILM, size="120x160")),
    Case("square", clip("square.mp4", *FILM, size="128x128")),
    Case("mono 44.1", clip("mono.mp4", *FILM, "-ac", "1", "-ar", "44100")),
    Case("a title", clip("title.mp4", *FILM, "-metadata", "title=Lake")),
    # A new container is enough
    Case("index last", media.index_last, run=True),
    Case("b-frames", clip("b.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", *AAC, *FIRST),
         run=True),
    Case("mov of a phone", clip("phone.mov", *H264, *AAC)),
    Case("mov with timecode", clip("timecode.mov", *H264, *AAC, "-timecode", "01:00:00:00"),
         run=True),
    Case("matroska", clip("plain.mkv", *H264, *AAC)),
    Case("fragmented", clip("fragmented.mp4", *H264, *AAC, "-movflags",
                            "+frag_keyframe+empty_moov+default_base_moof")),
    Case("tells the place", media.with_location),
    Case("transport stream", clip("stream.ts", *H264, *AAC)),
    Case("late clock", clip("clock.ts", *H264, *AAC, "-output_ts_offset", "3600"), run=True),
    Case("flash with h264", clip("modern.flv", *H264, *AAC)),
    Case("two sounds", with_tracks("two-sounds.mp4", *TWO, *CONFORMING)),
    Case("second sound is the default",
         with_tracks("default-second.mkv", *TWO, "-disposition:a:0", "0", "-disposition:a:1",
                     "default"), run=True),
    Case("comment first", with_tracks("comment-first.mkv", *TWO, "-disposition:a:0", "comment",
                                      "-disposition:a:1", "0")),
    Case("languages", with_tracks("languages.mkv", *TWO, "-metadata:s:a:0", "language=deu",
                                  "-metadata:s:a:1", "language=eng")),
    Case("subtitles", with_tracks("subtitles.mkv", "-map", "0:v", "-map", "1:a", "-map", "3:s",
                                  *H264, *AAC, files=(subtitles,))),
    Case("attached font", with_tracks("font.mkv", "-map", "0:v", "-map", "1:a", *H264, *AAC,
                                      "-attach", str(font()), "-metadata:s:t",
                                      "mimetype=font/ttf")),
    Case("cover art", with_tracks("cover.mp4", "-map", "0:v", "-map", "1:a", "-map", "3:v", *H264,
                                  *AAC, "-c:v:1", "copy", "-disposition:v:1", "attached_pic",
                                  *CONFORMING, files=(cover,))),
    Case("chapters", with_tracks("chapters.mkv", "-map", "0:v", "-map", "1:a", "-map_metadata",
                                 "3", *H264, *AAC, files=(chapters,)), run=True),
    Case("two pictures", with_tracks("two-pictures.mkv", "-map", "0:v", "-map", "0:v", "-map",
                                     "1:a", *H264, *AAC)),
    # Only the sound
    Case("silent", clip("silent-1.mp4", *H264, *CONFORMING, sound=None), run=True),
    Case("opus", clip("opus-1.mkv", *H264, "-c:a", "libopus")),
    Case("mp3", clip("mp3.mp4", *H264, *CONFORMING, "-c:a", "mp3")),
    Case("pcm of a camera", clip("pcm.mov", *H264, "-c:a", "pcm_s16le"), run=True),
    Case("ac3 5.1", clip("ac3.mkv", *H264, "-c:a", "ac3", "-ac", "6")),
    Case("aac 5.1", clip("surround.mp4", *H264, "-c:a", "aac", "-ac", "6", *CONFORMING),
         run=True),
    Case("aac 7.1", clip("surround8.mp4", *H264, "-c:a", "aac", "-ac", "8", *CONFORMING)),
    Case("96 kHz", clip("96.mp4", *H264, *AAC, "-ar", "96000", *CONFORMING)),
    Case("flac", clip("flac.mkv", *H264, "-c:a", "flac")),
    Case("vorbis", clip("vorbis.mkv", *H264, "-c:a", "libvorbis")),
    Case("8 kHz telephone", clip("phone-call.mov", *H264, "-c:a", "pcm_mulaw", "-ar", "8000",
                                 "-ac", "1")),
    Case("alac", clip("alac.mov", *H264, "-c:a", "alac")),
    Case("late sound", late("late-sound.mkv", sound=True), run=True),
    # The picture
    Case("hevc", clip("hevc.mp4", *HEVC, "-pix_fmt", "yuv420p", *AAC, *CONFORMING)),
    Case("hevc hlg of a phone", clip("hlg.mov", *HEVC, "-pix_fmt", "yuv420p10le", *AAC,
                                     *setparams("arib-std-b67")), run=True),
    Case("hdr10", clip("pq.mp4", *TEN_BIT, *AAC, *setparams("smpte2084")), run=True),
    Case("hdr without a matrix", clip("pq-bare.mp4", *TEN_BIT, *AAC,
                                      *setparams("smpte2084", "unknown")), run=True),
    Case("10 bit", clip("ten-bit.mp4", *TEN_BIT, *AAC)),
    Case("4:2:2", clip("422.mp4", *FAST, "-pix_fmt", "yuv422p", *AAC)),
    Case("4:4:4", clip("444.mp4", *FAST, "-pix_fmt", "yuv444p", *AAC), run=True),
    Case("grey", clip("grey.mkv", "-c:v", "ffv1", "-pix_fmt", "gray", *AAC)),
    Case("rgb with alpha", clip("rgba.mov", "-c:v", "qtrle", "-pix_fmt", "argb", *AAC)),
    Case("interlaced, top first", clip("top.ts", "-c:v", "mpeg2video", "-flags", "+ildct+ilme",
                                       "-vf", "interlace", "-c:a", "mp2", fps="50"), run=True),
    Case("interlaced, bottom first", clip("bottom.ts", "-c:v", "mpeg2video", "-flags",
                                          "+ildct+ilme", "-vf", "interlace=scan=bff", "-c:a",
                                          "mp2", fps="50")),
    Case("interlaced h264", clip("woven.mp4", *FAST, "-x264-params", "tff=1", "-pix_fmt",
                                 "yuv420p", "-vf", "interlace", *AAC, fps="50")),
    Case("interlaced after the title", interlaced_later),
    Case("anamorphic", clip("anamorphic.mp4", *H264, "-vf", "setsar=4/3", *AAC)),
    Case("odd size", clip("odd.mkv", "-vf", "format=yuv444p,scale=161:121", "-c:v", "ffv1")),
    Case("turned left", with_matrix("left.mp4", matrix_of(0, -1, 1, 0)), run=True),
    Case("upside down", with_matrix("down.mp4", matrix_of(-1, 0, 0, -1))),
    Case("mirrored", with_matrix("mirror.mp4", matrix_of(-1, 0, 0, 1))),
    Case("120 pictures", clip("120.mp4", *H264, *AAC, fps="120")),
    Case("15 pictures", clip("15.mp4", *H264, *AAC, fps="15")),
    Case("12.5 pictures", clip("12.mp4", *H264, *AAC, fps="25/2", seconds=2.0)),
    Case("one picture a second", clip("slides.mp4", *H264, *AAC, fps="1", seconds=4.0),
         run=True),
    Case("screen recording", screen_recording, run=True),
    Case("rate that varies", wavering("vfr.mp4", *H264, *AAC, *FIRST)),
    Case("varies later, mp4", wavering("later.mp4", *H264, *AAC, *FIRST, steady=950, then=150)),
    Case("varies later, mkv", wavering("later.mkv", *H264, *AAC, steady=950, then=800)),
    Case("prores", clip("prores.mov", "-c:v", "prores_ks", "-profile:v", "2", "-timecode",
                        "01:00:00:00", "-c:a", "pcm_s24le"), run=True),
    Case("prores 4444", clip("4444.mov", "-c:v", "prores_ks", "-profile:v", "4", "-pix_fmt",
                             "yuva444p10le", "-c:a", "pcm_s16le")),
    Case("dnxhr", clip("dnxhr.mov", "-c:v", "dnxhd", "-profile:v", "dnxhr_lb", "-pix_fmt",
                       "yuv422p", "-c:a", "pcm_s16le", size="256x144")),
    Case("motion jpeg", clip("mjpeg.avi", "-c:v", "mjpeg", "-c:a", "pcm_s16le")),
    Case("old avi", clip("divx.avi", "-c:v", "mpeg4", "-c:a", "mp3")),
    Case("lossless avi", clip("huffyuv.avi", "-c:v", "huffyuv", "-c:a", "pcm_s16le")),
    Case("mpeg-1", clip("one.mpg", "-c:v", "mpeg1video", "-c:a", "mp2")),
    Case("flash", clip("flash.flv", "-c:v", "flv1", "-c:a", "mp3", "-ar", "44100")),
    Case("theora", clip("theora.ogv", "-c:v", "libtheora", "-c:a", "libvorbis")),
    Case("vp8", clip("vp8.webm", *VP8, "-c:a", "libvorbis")),
    Case("vp9 in mp4", clip("vp9.mp4", *VP9, *AAC, **SMALL)),
    Case("av1", clip("av1.mp4", "-c:v", "libaom-av1", "-cpu-used", "8", *AAC, size="64x64",
                     fps="25", seconds=0.4)),
    Case("wide", clip("wide.mp4", *FILM, size="2560x64")),
    Case("4k", clip("4k.mp4", *FILM, size="3840x2160", seconds=0.2, source=PLAIN)),
    Case("many megabits", clip("noise.mp4", *FAST, "-qp", "4", "-pix_fmt", "yuv420p", *AAC,
                               *CONFORMING, seconds=0.3, size="640x360",
                               source="nullsrc=s={size}:r={fps}:d={seconds},geq=random(1)*255")),
    Case("cut by an edit list",
         second_hand("cut.mp4", clip("for-cut.mp4", *H264, *AAC, "-g", "30", seconds=3.0), "-c",
                     "copy", before=("-ss", "0.6")), run=True),
    Case("late picture", late("late-picture.mkv", sound=False), run=True),
    Case("open groups", clip("open.mp4", *FAST, "-bf", "2", "-x264-params",
                             "open-gop=1:keyint=12:min-keyint=12:scenecut=0:b-adapt=0", "-pix_fmt",
                             "yuv420p", *AAC, *FIRST, seconds=2.0)),
    Case("one keyframe", clip("one-key.mp4", *FILM, "-g", "9999", "-sc_threshold", "0",
                              size="32x32", seconds=12.0)),
    # Other profiles
    Case("preview of what fits", clip("fits.mp4", *FILM), profile="preview"),
    Case("preview of hevc", clip("hevc.mp4", *HEVC, "-pix_fmt", "yuv420p", *AAC, *CONFORMING),
         profile="preview", run=True),
    Case("preview of 4k", clip("4k.mp4", *FILM, size="3840x2160", seconds=0.2, source=PLAIN),
         profile="preview"),
    Case("instagram of what fits", clip("fits.mp4", *FILM), profile="instagram"),
    Case("vertical of a lying film", clip("fits.mp4", *FILM), profile="vertical", run=True),
    Case("vertical of a vertical", UPRIGHT_9_16, profile="vertical"),
    Case("vertical of a small one", clip("small-916.mp4", *FILM, size="90x160"),
         profile="vertical"),
    Case("vertical of a square", clip("square.mp4", *FILM, size="128x128"),
         profile="vertical"),
    Case("vertical of a tall one", clip("tall.mp4", *FILM, size="90x200"), profile="vertical"),
    Case("reel of a long vertical", LONG_9_16, profile="reel", run=True),
    Case("reel of a long film", LONG, profile="reel"),
    Case("reel of a short vertical", UPRIGHT_9_16, profile="reel"),
)  # fmt: skip
