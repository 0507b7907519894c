"""May another try of a failed job end better? The one place that says it, by the code. Pure.

- ABOUT_THE_FILE, ABOUT_THE_ENCODE, ABOUT_THE_BOX: the next try would end the same, so there is
  none, and the reason is shown at once.
- ONCE: a crash, a standstill. Mostly it is the file, sometimes the machine: one more try tells.
- Everything else (a disk or a database that is slow, a sandbox that didn't start) may pass: up to
  ``Job.max_attempts``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.errors import StorageFull
from appliance.models import Job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.errors import JobFailed

# What is wrong is in the file, which stays the same: only another file helps. Whoever changes
# the box instead (a higher limit, a newer ffmpeg) can still start the job again by itself.
ABOUT_THE_FILE = frozenset(
    {
        # tasks.probe
        "empty",
        "ends_early",
        "format_refused",
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
        # tasks.making
        "original_removed",
        # tasks.poster, tasks.waveform
        "no_poster",
        "no_sound",
        # tasks.sandbox
        "sandbox_broken",
    }
)
# Ended at once, too, but by ffmpeg's doing: a person may well want to see it fail again.
ABOUT_THE_ENCODE = frozenset(
    {"bad_picture", "encode_failed", "no_storyboard", "no_waveform", "result_refused"}
)
# Until somebody mends the machine. After that Retry helps.
ABOUT_THE_BOX = frozenset(
    {"bad_setting", "sandbox_missing", "crashed", "backup_damaged", "test_not_sent"}
)
# A person's wish.
CANCELLED = "cancelled"
ONCE = frozenset({"encoder_crashed", "stalled", "internal_error", "disk_error"})
# Known to pass.
TRANSIENT = frozenset(
    {
        "going_out",
        "sandbox_failed",
        "work_removed",
        "database_busy",
        "not_sent",
        StorageFull.code,
    }
)

PERMANENT = ABOUT_THE_FILE | ABOUT_THE_ENCODE | ABOUT_THE_BOX | {CANCELLED}


def may_help(kind: str, code: str | None) -> bool:
    """Whether a retry of a job of this kind, which ended with this code, should be offered.

    Codes of posts are the platforms' own: what may be sent again is decided with the post.
    """
    return kind == "publish" or code not in ABOUT_THE_FILE


def hopeful() -> Any:
    """The same, as the condition on Job rows."""
    code = Job.error_code
    return (Job.kind == "publish") | code.is_null() | code.not_in(sorted(ABOUT_THE_FILE))


def ends_at_once(kind: str, failure: JobFailed, before: Sequence[str | None]) -> bool:
    """Whether a job that failed so is not tried again by itself, however many tries it has left.

    ``before``: the codes of its earlier failures.
    """
    code = failure.code
    if kind == "publish" or code not in PERMANENT | ONCE | TRANSIENT:
        return failure.permanent  # who raised it knows
    return code in PERMANENT or (code in ONCE and code in before)
