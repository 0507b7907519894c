"""The decoders that videos of cameras, phones, recorders and editors need; all others stay shut.

ffmpeg has some 500, most of them for games and machines of the nineties, written once and looked
at seldom: that is where holes are found. Names as ffmpeg knows them (``ffmpeg -decoders``); those
of codecs are the same but for a few, which stand here too. Tried with ffmpeg 5.1 and 9.0.
"""

from __future__ import annotations

_PICTURES = (
    # what comes from phones, cameras and browsers
    *("h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp8", "libvpx", "vp9", "libvpx-vp9"),
    *("mpeg4", "mpeg1video", "mpeg2video", "h263", "mjpeg", "dvvideo"),
    # from editors
    *("prores", "dnxhd", "cfhd", "png", "qtrle", "ffv1", "huffyuv", "ffvhuff", "utvideo"),
    *("rawvideo", "v210"),
    # from recorders of the screen, and from older cameras and collections
    *("flv", "flv1", "flashsv", "flashsv2", "vp6", "vp6a", "vp6f", "theora", "vc1", "wmv3"),
    *("msmpeg4", "msmpeg4v2", "msmpeg4v3"),
)
_SOUND = (
    *("aac", "aac_latm", "mp3", "mp3float", "mp2", "mp2float", "mp1", "mp1float"),
    *("opus", "libopus", "vorbis", "libvorbis", "flac", "alac", "ac3", "eac3", "dca", "dts"),
    *("truehd", "speex", "libspeex", "nellymoser", "amrnb", "amr_nb", "libopencore_amrnb"),
    *("amrwb", "amr_wb", "libopencore_amrwb", "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms"),
    *("adpcm_swf", "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd", "pcm_u8", "pcm_s8"),
    *(f"pcm_{kind}{end}" for kind in ("s16", "s24", "s32", "f32", "f64") for end in ("le", "be")),
)

ALLOWED = frozenset(_PICTURES + _SOUND)
DECODERS = ",".join(_PICTURES + _SOUND)
