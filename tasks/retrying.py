"""May another try of a failed job end better? Pure."""

from __future__ import annotations

# What is wrong is in the file, which stays the same: only another file helps. Whoever changes
# the box instead (a higher limit, a newer ffmpeg) can still start the job again by itself.
ABOUT_THE_FILE = frozenset(
    {
        # tasks.probe
        "empty",
        "ends_early",
        "no_duration",
        "no_picture",
        "not_a_video",
        "original_missing",
        "picture",
        "playlist",
        "too_few_pixels",
        "too_long",
        "too_many_pixels",
        "too_many_tracks",
        "too_small",
        "undecodable",
        # tasks.pipeline
        "not_as_sent",
        # tasks.poster
        "no_poster",
    }
)
# Ended at once, too, but by ffmpeg's doing: a person may well want to see it fail again.
ABOUT_THE_ENCODE = frozenset({"encode_failed", "result_refused"})


def may_help(kind: str, code: str | None) -> bool:
    """Whether a retry of a job of this kind, which ended with this code, should be offered.

    Codes of posts are the platforms' own: what may be sent again is decided with the post.
    """
    return kind == "publish" or code not in ABOUT_THE_FILE
