"""What a request by the IETF draft says, before anything is done about it.

Source: draft-ietf-httpbis-resumable-upload, interop version 8: "State", "Upload Creation".
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, Any

from web.draft_answers import inconsistent_length
from web.structured_fields import parse_boolean, parse_count
from web.upload_metadata import parse_metadata

if TYPE_CHECKING:
    from web.upload_requests import Request

PARTIAL = "application/partial-upload"


@dataclass(frozen=True)
class Said:
    """``Upload-Complete``, ``Upload-Offset``, ``Upload-Length``; None: not there, or unusable.

    ``size``: bytes of content, as announced; None: they come in chunks, until they end.
    """

    complete: bool | None
    offset: int | None
    length: int | None
    size: int | None

    def length_from(self, offset: int) -> int | None:
        """The length of the whole file, if this request at ``offset`` tells it.

        By ``Upload-Length``, and by content that is said to be all the rest. Raises Refused when
        the two differ, or when the content goes beyond.
        """
        rest = offset + self.size if self.complete and self.size is not None else None
        found = self.length if rest is None else rest
        if found is not None and (
            self.length not in (None, found) or found < offset + (self.size or 0)
        ):
            raise inconsistent_length(
                f"By Upload-Length the file has {self.length} bytes; the content of this request "
                f"goes from byte {offset} to byte {offset + (self.size or 0)}."
            )
        return found


def speaks_draft(request: Request) -> bool:
    """Whether a request says so itself; tus clients always name their version."""
    headers = request.headers
    if "tus-resumable" in headers:
        return False
    return (
        "upload-draft-interop-version" in headers
        or "upload-complete" in headers
        or is_partial(request)
    )


def is_partial(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() == PARTIAL


def read(request: Request) -> Said:
    """Fields of other kinds than they should be are ignored, as the draft says.

    Raises Refused for a Content-Length that is no number.
    """
    all_of = request.headers.getall
    size = request.number("Content-Length")
    if size is None and "transfer-encoding" not in request.headers:
        size = 0
    return Said(
        complete=parse_boolean(all_of("upload-complete", [])),
        offset=parse_count(all_of("upload-offset", [])),
        length=parse_count(all_of("upload-length", [])),
        size=size,
    )


def filename_of(request: Request) -> str:
    """From ``Content-Disposition``; clients that also speak tus give it in ``Upload-Metadata``.

    Raises InvalidInput for metadata that can't be read. Source: RFC 6266 §4.3.
    """
    header = request.headers.get("content-disposition", "")
    if not header:
        metadata = parse_metadata(request.headers.get("upload-metadata", "").strip())
        return metadata.get("filename", "")
    message = Message()
    message["Content-Disposition"] = _as_utf8(header)
    parameters: list[tuple[str, Any]] = message.get_params([], "content-disposition")
    names = [value for name, value in parameters[1:] if name.lower() == "filename"]
    # ``filename*`` comes as a tuple; it is the better one when there are both.
    names.sort(key=lambda value: not isinstance(value, tuple))
    return collapse_rfc2231_value(names[0]) if names else ""


def _as_utf8(header: str) -> str:
    """Headers arrive as Latin-1; names in them are sent as UTF-8 nowadays, allowed or not."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return header
