"""The bytes of a Reel into its container, over cuts and restarts. Nothing becomes public by it.

Source: developers.facebook.com/docs/instagram-platform/content-publishing/resumable-uploads, read
2026-11. How far it got is asked of the container (``video_status``), never guessed: the host may
hold less than was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tasks.publish.graph_errors import as_int
from tasks.publish.publisher import NeedsReconnect, NotThere, RetryAt, Step
from tasks.publish.publishers.instagram.answers import looked_in_vain, step_for
from tasks.publish.remote import Answer, Lost, Refused

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.publish.graph import Graph

KIND = "ig-api-upload"
# Within one step; after that the target waits, and goes on where it stopped.
TRIES = 3


def send_bytes(graph: Graph, container: str, uri: str, file: Path, *, resumed: bool) -> Step | None:
    """None: Instagram has them all. ``resumed``: some may be there already.

    Otherwise RetryAt, NeedsReconnect, what the errors' table says, or NotThere: this container
    takes none any more. Raises OSError when the file can't be read.
    """
    size = file.stat().st_size
    path = path_of(uri) or graph.upload_path(KIND, container)
    offset = 0
    if resumed:
        so_far = bytes_there(graph, container, size)
        if not isinstance(so_far, int):
            return so_far
        offset = so_far
    why: Step = RetryAt(None, "The connection broke while the video was sent.")
    for _ in range(TRIES):
        if offset >= size:
            return None
        reply = graph.send_file(path, file, offset=offset)
        if isinstance(reply, Answer) and reply.data.get("success") is not False:
            return None
        if not isinstance(reply, Answer | Lost | Refused):
            return reply
        why = _why(reply)
        if isinstance(why, NeedsReconnect):
            return why
        # Also after ``ProcessingFailedError``, which comes at times for a file that is there and
        # goes on to FINISHED. Source: seen by clients of the API.
        so_far = bytes_there(graph, container, size)
        if not isinstance(so_far, int):
            return so_far
        offset = so_far
    return None if offset >= size else why


def path_of(uri: str) -> str:
    """The path of the address that Instagram named, for the host of the settings: the token goes
    to no other. "" when it isn't such an address."""
    found = urlsplit(uri)
    at = found.path.find(f"/{KIND}/")
    if at < 0:
        return ""
    return found.path[at:] + (f"?{found.query}" if found.query else "")


def bytes_there(graph: Graph, container: str, size: int) -> int | Step:
    """How many of ``size`` bytes the container holds; a step when it can't be asked."""
    reply = graph.get(f"/{container}", fields="video_status")
    if not isinstance(reply, Answer):
        return looked_in_vain(reply)
    status = reply.data.get("video_status")
    phase = status.get("uploading_phase") if isinstance(status, dict) else None
    phase = phase if isinstance(phase, dict) else {}
    if phase.get("status") in ("complete", "completed"):
        return size
    # Meta's pages spell it in both ways.
    said = as_int(phase.get("bytes_transferred")) or as_int(phase.get("bytes_transfered")) or 0
    return min(max(said, 0), size)


def _why(reply: Answer | Lost | Refused) -> Step:
    if isinstance(reply, Lost):
        return RetryAt(None, "The connection broke while the video was sent.", reply.detail)
    if isinstance(reply, Answer):
        return RetryAt(None, "Instagram did not take the video.", str(reply.data))
    debug = _debug(reply)
    if debug.get("type") == "NotAuthorizedError" or reply.status == 401:
        return NeedsReconnect(
            "Instagram no longer accepts the sign-in. Connect the account again.", reply.detail
        )
    if debug.get("type") == "ProcessingFailedError":
        return NotThere()
    if debug:  # a wrong offset, a part of the file, a bad moment: asked for how far it is
        return RetryAt(None, "Instagram did not take the video.", reply.detail)
    return step_for(reply)


def _debug(reply: Refused) -> dict[str, Any]:
    """The upload host has errors of a shape of its own."""
    found = reply.data.get("debug_info")
    return found if isinstance(found, dict) else {}
