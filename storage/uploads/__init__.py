"""Uploads: bytes that arrive in pieces, are kept whatever happens, and become videos."""

from storage.uploads.first_looks import looks_of
from storage.uploads.growing import GrowingFile, UploadAborted, UploadStalled, feed
from storage.uploads.housekeeping import (
    OpenUpload,
    cancel,
    end_cut_off,
    find_ended,
    open_uploads,
    stop,
)
from storage.uploads.receiving import receive
from storage.uploads.recovery import Recovered, recover
from storage.uploads.rows import (
    Created,
    Digest,
    DigestMismatch,
    Held,
    NewUpload,
    UploadGone,
    WrongOffset,
    progress_of,
)
from storage.uploads.slots import Slot, Slots, StillJoining, UploadBusy
from storage.uploads.store import Store

__all__ = [
    "Created",
    "Digest",
    "DigestMismatch",
    "GrowingFile",
    "Held",
    "NewUpload",
    "OpenUpload",
    "Recovered",
    "Slot",
    "Slots",
    "StillJoining",
    "Store",
    "UploadAborted",
    "UploadBusy",
    "UploadGone",
    "UploadStalled",
    "WrongOffset",
    "cancel",
    "feed",
    "end_cut_off",
    "find_ended",
    "looks_of",
    "open_uploads",
    "progress_of",
    "receive",
    "recover",
    "stop",
]
