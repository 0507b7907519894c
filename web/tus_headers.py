"""What a tus request says in its headers, looked at before anything is done for it.

Each header may be there once: of two, nobody could tell which is meant. Headers that belong to
another kind of request are left alone, as long as they are well formed: clients send
``Upload-Concat: partial`` with everything that concerns a part, for example.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from web.checksums import Checksum, parse_checksum
from web.upload_metadata import parse_metadata
from web.upload_requests import ADDRESS, PREFIX, Refused, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

BYTES = "application/offset+octet-stream"
_FINAL = "final;"


@dataclass(frozen=True)
class Creation:
    """A POST. ``length`` None: said later, or, of a final upload, that of its parts together.

    ``concat``: as it was sent. ``parts``: of a final upload, ids and tokens in their order.
    ``size``: of the body, None when that isn't announced.
    """

    length: int | None
    concat: str
    parts: tuple[tuple[str, str], ...]
    metadata_raw: str
    metadata: Mapping[str, str]
    brings_bytes: bool
    size: int | None
    checksum: Checksum | None


@dataclass(frozen=True)
class Append:
    """A PATCH. ``length``: when this request declares it."""

    offset: int
    length: int | None
    size: int | None
    checksum: Checksum | None


def read_creation(request: Request) -> Creation:
    """Raises Refused, InvalidInput."""
    length, deferred = _length(request)
    concat = request.text("Upload-Concat") or ""
    parts = _parts(concat, request)
    # Blanks around it are no part of a header (RFC 9110 §5.5), and could not be sent back.
    metadata_raw = (request.text("Upload-Metadata") or "").strip(" \t")
    size = request.number("Content-Length")
    brings_bytes = _brings_bytes(request)
    checksum = _checksum(request)
    if parts:
        _check_final(request, brings_bytes=brings_bytes, size=size)
    elif length is None and not deferred:
        raise Refused(400, "Say in Upload-Length how many bytes the file has.")
    if size and not brings_bytes:
        raise Refused(415, f"First bytes must be sent as {BYTES}.")
    if checksum is not None and not brings_bytes:
        raise Refused(400, "Upload-Checksum is about bytes, and this request brings none.")
    if brings_bytes and length is not None and size is not None and size > length:
        raise Refused(413, "The body goes beyond Upload-Length.")
    return Creation(
        length=length,
        concat=concat,
        parts=parts,
        metadata_raw=metadata_raw,
        metadata=parse_metadata(metadata_raw),
        brings_bytes=brings_bytes,
        size=size,
        checksum=checksum,
    )


def read_append(request: Request) -> Append:
    """Raises Refused, InvalidInput."""
    if not _brings_bytes(request):
        raise Refused(415, f"The Content-Type must be {BYTES}.", ("Accept-Patch", BYTES))
    offset = request.number("Upload-Offset")
    if offset is None:
        raise Refused(400, "Say in Upload-Offset where these bytes belong.")
    length, _ = _length(request)
    size = request.number("Content-Length")
    if length is not None and size is not None and offset <= length < offset + size:
        raise Refused(413, "The body goes beyond Upload-Length.")
    return Append(offset=offset, length=length, size=size, checksum=_checksum(request))


def _length(request: Request) -> tuple[int | None, bool]:
    """What is said of the file's length, and whether it will be said later."""
    length = request.number("Upload-Length")
    deferred = request.text("Upload-Defer-Length")
    if deferred not in (None, "1"):
        raise Refused(400, "Upload-Defer-Length can only be 1.")
    if deferred and length is not None:
        raise Refused(400, "Send Upload-Length or Upload-Defer-Length, not both.")
    return length, deferred is not None


def _brings_bytes(request: Request) -> bool:
    kind = request.text("Content-Type") or ""
    return kind.partition(";")[0].strip().lower() == BYTES


def _checksum(request: Request) -> Checksum | None:
    text = request.text("Upload-Checksum")
    return None if text is None else parse_checksum(text)


def _check_final(request: Request, *, brings_bytes: bool, size: int | None) -> None:
    for name in ("Upload-Length", "Upload-Defer-Length"):
        if name in request.headers:
            raise Refused(400, f"The length of a final upload is that of its parts; omit {name}.")
    if brings_bytes or size:
        raise Refused(400, "A final upload is made of its parts; it takes no bytes of its own.")


def _parts(concat: str, request: Request) -> tuple[tuple[str, str], ...]:
    """Ids and tokens of the parts of a final upload; () for all others. Raises Refused."""
    if "Upload-Concat" not in request.headers or concat == "partial":
        return ()
    if not concat.startswith(_FINAL):
        raise Refused(400, "Upload-Concat must be “partial”, or “final;” and the parts' addresses.")
    addresses = concat.removeprefix(_FINAL).split()
    if not addresses:
        raise Refused(400, "Upload-Concat: a final upload needs at least one part.")
    return tuple(_part(number, address) for number, address in enumerate(addresses, start=1))


def _part(number: int, address: str) -> tuple[str, str]:
    """Absolute and relative addresses are fine; a path that is none of ours isn't.

    The host of an absolute one isn't looked at: behind proxies the box may have many names, and
    the capability in the path is good for this box alone.
    """
    try:
        url = urlsplit(urljoin(f"http://box{PREFIX}", address))
    except ValueError:
        raise Refused(400, f"Upload-Concat: part {number} is no address.") from None
    folder, _, name = url.path.rpartition("/")
    if url.scheme not in ("http", "https") or url.query or url.fragment or folder != PREFIX:
        raise Refused(400, f"Upload-Concat: part {number} is no address of an upload here.")
    match = ADDRESS.fullmatch(name)
    if match is None:
        raise Refused(404, f"Part {number} is no upload of yours.")
    return match[1], match[2]
