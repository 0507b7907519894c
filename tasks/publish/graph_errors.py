"""What the errors of Meta's Graph API mean for a post: one table, each row dated and sourced.

The ``type`` of such an error is "OAuthException" for nearly everything, so the subcode decides,
then the code. A platform's own rows go before these (`find_row`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


class Fate(StrEnum):
    """What follows from an error. tasks/publish/graph.py makes a step of it."""

    RECONNECT = "reconnect"  # the sign-in is over
    WAIT = "wait"  # an allowance is used up; the answer says for how long, else `pause_s`
    OUTAGE = "outage"  # a trouble of theirs: after a creating call nobody knows what was done
    AGAIN = "again"  # refused for now, nothing was done: the same call again
    ANEW = "anew"  # what was staged is of no use any more: from the start
    GONE = "gone"  # it isn't there: never was, or was removed
    EDIT = "edit"  # a person has to change the text or the file
    STOP = "stop"  # refused for good; automatic repeats make it worse


@dataclass(frozen=True)
class Row:
    """``code`` None: any code with this subcode. ``last``: the end of a range of codes.

    ``sentence``: for people, what happened and what to do. ``word``: stable, for programs.
    ``pause_s``: how long to wait when the answer names no time.
    """

    code: int | None
    fate: Fate
    sentence: str
    subcode: int | None = None
    last: int | None = None
    word: str = "refused"
    pause_s: float = 0.0
    as_of: str = "2026-11"
    source: str = "developers.facebook.com/docs/graph-api/guides/error-handling"


_VIDEO = "developers.facebook.com/documentation/video-api/reference/error-codes"
_LIMITS = "developers.facebook.com/docs/graph-api/overview/rate-limiting"
_SDK = "github.com/facebook/facebook-python-business-sdk: video_uploader.py"
_AGAIN = "Connect the account again."
_HOUR_S = 3600.0

GRAPH_ERRORS: tuple[Row, ...] = (
    # Sign-in. The subcode says why; it is over in each case.
    Row(190, Fate.RECONNECT, f"The app was removed from the Facebook account. {_AGAIN}", 458),
    Row(
        190,
        Fate.RECONNECT,
        "Facebook wants the person to confirm something first. Open facebook.com as that person, "
        "do what it asks, then connect the account again.",
        459,
    ),
    Row(
        190,
        Fate.RECONNECT,
        f"The password of the Facebook account was changed, which ends its sign-ins. {_AGAIN}",
        460,
    ),
    Row(190, Fate.RECONNECT, f"The sign-in has expired. {_AGAIN}", 463),
    Row(
        190,
        Fate.RECONNECT,
        "The Facebook account isn't confirmed. Open facebook.com as that person, do what it asks, "
        "then connect the account again.",
        464,
    ),
    Row(190, Fate.RECONNECT, f"The sign-in is no longer accepted. {_AGAIN}", 467),
    Row(
        190,
        Fate.RECONNECT,
        "The person who connected this Page no longer has a role on it. Connect it again as "
        "somebody who may post there.",
        492,
    ),
    Row(190, Fate.RECONNECT, f"The sign-in is no longer accepted. {_AGAIN}"),
    Row(102, Fate.RECONNECT, f"The sign-in has ended. {_AGAIN}"),
    # Permissions. Connecting again is how somebody grants them.
    Row(
        10,
        Fate.RECONNECT,
        "The app may not do this: a permission is missing. Connect the account again and allow "
        "everything that is asked for.",
        word="permission",
    ),
    Row(
        200,
        Fate.RECONNECT,
        "The app may not do this on the Page: a permission is missing, or the person may not post "
        "there. Connect the account again and allow everything that is asked for.",
        last=299,
        word="permission",
    ),
    # Allowances. Calling on makes the pause longer, so the answer's own time counts.
    Row(
        4,
        Fate.WAIT,
        "The app has made too many calls; Facebook asks for a pause.",
        pause_s=_HOUR_S / 4,
        word="rate_limit",
        source=_LIMITS,
    ),
    Row(
        17,
        Fate.WAIT,
        "The person's account has made too many calls; Facebook asks for a pause.",
        pause_s=_HOUR_S / 4,
        word="rate_limit",
        source=_LIMITS,
    ),
    Row(
        32,
        Fate.WAIT,
        "The Page has had too many calls; Facebook asks for a pause.",
        pause_s=_HOUR_S / 4,
        word="rate_limit",
        source=_LIMITS,
    ),
    Row(
        341,
        Fate.WAIT,
        "The app has reached its limit; Facebook asks for a pause.",
        pause_s=_HOUR_S,
        word="rate_limit",
    ),
    Row(
        613,
        Fate.WAIT,
        "This was done too often in a short time; Facebook asks for a pause.",
        pause_s=_HOUR_S / 4,
        word="rate_limit",
        source=_LIMITS,
    ),
    Row(
        80000,
        Fate.WAIT,
        "The account has used up its calls for now; Facebook asks for a pause.",
        last=80014,
        pause_s=_HOUR_S / 4,
        word="rate_limit",
        source=_LIMITS,
    ),
    # Blocked, and duplicates
    Row(
        368,
        Fate.STOP,
        "Facebook has blocked this for the account for now, for a rule of the platform or because "
        "it went too fast. Look into the account's Support Inbox; press Retry some hours later.",
        word="blocked",
    ),
    Row(
        506,
        Fate.STOP,
        "Facebook says that the same post was made just before. Look at the Page; change the text "
        "if it shall go out once more.",
        word="duplicate",
    ),
    # Videos
    Row(
        None,
        Fate.AGAIN,
        "Facebook expected another part of the file.",
        1363037,
        word="wrong_offset",
        source=_SDK,
    ),
    Row(
        None,
        Fate.ANEW,
        "Facebook could not use what was uploaded; the file is sent once more.",
        1363019,
        word="upload_failed",
        source=_VIDEO,
    ),
    Row(
        None,
        Fate.ANEW,
        "Facebook could not take the upload; the file is sent once more.",
        1363030,
        word="upload_failed",
        source=_VIDEO,
    ),
    Row(
        382,
        Fate.STOP,
        "Facebook says that the file is too small to be a video. Look whether it plays.",
        word="media_rejected",
        source=_VIDEO,
    ),
    Row(
        389,
        Fate.ANEW,
        "Facebook could not fetch the file from its link; it is handed over once more.",
        word="not_fetched",
        source=_VIDEO,
    ),
    Row(
        6000,
        Fate.ANEW,
        "Facebook had trouble with the uploaded file; it is sent once more.",
        word="upload_failed",
        source=_VIDEO,
    ),
    Row(
        6001,
        Fate.ANEW,
        "Facebook had trouble with the uploaded file; it is sent once more.",
        word="upload_failed",
        source=_VIDEO,
    ),
    # Parameters
    Row(100, Fate.GONE, "Facebook doesn't know it (any more).", 33, word="not_found"),
    Row(
        100,
        Fate.EDIT,
        "Facebook doesn't accept what was sent. Its own words are below; change the text or the "
        "options.",
        word="parameter",
    ),
    # Trouble of theirs
    Row(1, Fate.OUTAGE, "Facebook had an error of its own.", word="outage"),
    Row(2, Fate.OUTAGE, "Facebook is out of order for the moment.", word="outage"),
)


def find_row(error: Mapping[str, Any], *tables: Iterable[Row]) -> Row | None:
    """The row for an ``error`` object of the Graph API: by subcode first, then by code; of
    several tables the first that has one. None: nobody has described it."""
    code, subcode = as_int(error.get("code")), as_int(error.get("error_subcode"))
    rows = [row for table in tables for row in table]
    by_subcode = (row for row in rows if _names_subcode(row, code, subcode))
    by_code = (row for row in rows if _names_code(row, code))
    return next(by_subcode, None) or next(by_code, None)


def _names_subcode(row: Row, code: int | None, subcode: int | None) -> bool:
    return subcode is not None and row.subcode == subcode and row.code in (None, code)


def _names_code(row: Row, code: int | None) -> bool:
    if code is None or row.code is None or row.subcode is not None:
        return False
    return row.code <= code <= (row.code if row.last is None else row.last)


def as_int(value: object) -> int | None:
    """Meta sends numbers as strings in places."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None
