"""``Upload-Metadata``: what a tus client says about its file. Text only, never part of a path.

Source: tus 1.0.0, "Upload-Metadata": pairs separated by commas, key and base64 value by a blank.
"""

from __future__ import annotations

import base64
import binascii
import re

from appliance.errors import InvalidInput

MAX_BYTES = 8192
# ASCII without blank, comma and control characters.
_KEY = re.compile(r"[!-+\--~]+")


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
            raise InvalidInput("Upload-Metadata has a key that is empty, there twice or no ASCII.")
        try:
            decoded = base64.b64decode(value.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError) as exc:
            raise InvalidInput(f"Upload-Metadata: the value of “{key}” is no base64.") from exc
        found[key] = decoded.decode("utf-8", errors="replace")
    return found
