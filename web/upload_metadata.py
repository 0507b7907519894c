"""``Upload-Metadata``: what a tus client says about its file. Text only, never part of a path.

Source: tus 1.0.0, "Upload-Metadata": pairs separated by commas, key and base64 value by a blank.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from appliance.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 8192
# No blank, comma or control character; that it is ASCII is no more than recommended.
_KEY = re.compile(r"[!-+\--~\x80-\xff]+")


_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def parse_metadata(raw: str) -> dict[str, str]:
    """Keys and decoded values; bytes that are no UTF-8 become U+FFFD.

    Raises InvalidInput for base64 that isn't, for a key that is empty or there twice, and for
    more than ``MAX_BYTES``.
    """
    if len(raw) > MAX_BYTES:
        raise InvalidInput(f"Upload-Metadata is longer than {MAX_BYTES} bytes.")
    found: dict[str, str] = {}
    for pair in raw.split(",") if raw else []:
        key, _, value = pair.strip(" ").partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise InvalidInput("Upload-Metadata has a key that is empty, or there twice.")
        try:
            decoded = base64.b64decode(value.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError) as exc:
            raise InvalidInput(f"Upload-Metadata: the value of “{key}” is no base64.") from exc
        found[key] = decoded.decode("utf-8", errors="replace")
    return found


def whole_sha256(said: Mapping[str, str]) -> str | None:
    """What the sender says the whole file's digest is, under the key ``sha256``, in hexadecimal.

    Raises InvalidInput.
    """
    text = said.get("sha256")
    if text is None:
        return None
    if not _SHA256.fullmatch(text):
        raise InvalidInput("Upload-Metadata: sha256 must be 64 hexadecimal digits.")
    return text.lower()


def was_index_moved(said: Mapping[str, str]) -> bool:
    """Whether the sender put the index of the file in front of its media: ``indexmoved`` is 1."""
    return said.get("indexmoved") == "1"
