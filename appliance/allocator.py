"""Memory of the C library, set up for buffers of some 256 KiB that come and go all the time."""

from __future__ import annotations

import ctypes
import os

# Numbers of mallopt(3), glibc's malloc.h; the environment variables that say the same (mallopt(3)).
_OPTIONS = (
    (-3, "MALLOC_MMAP_THRESHOLD_", 16 << 20),
    (-1, "MALLOC_TRIM_THRESHOLD_", 64 << 20),
    (-2, "MALLOC_TOP_PAD_", 8 << 20),
)


def keep_buffers() -> bool:
    """Keep freed memory for the next buffer; False where the C library is not glibc.

    Each piece of an upload is a buffer of up to 256 KiB. glibc maps those from the kernel one by
    one and gives them back at once, so that each is paid for by 64 page faults: a fifth to a third
    of the processor time of an upload. What the environment says stands.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    done = [mallopt(number, value) for number, name, value in _OPTIONS if name not in os.environ]
    return all(done)
