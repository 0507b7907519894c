"""Where Ubuntu's packages are, and the keys that they are signed with: Debian ships neither."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from pathlib import Path

SUITES = ("noble",)
_ARCHIVE = "http://archive.ubuntu.com/ubuntu"
# The first package of its kind in noble, which therefore stays there. Its hash was taken after the
# key that the archive is signed with, F6ECB3762474EDA9D21B7022871920D1991BC93C, had been compared.
_KEYS = "pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
_KEYS_SHA256 = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8"


def apt_sources(suite: str) -> str:
    """Lines of a sources.list; Caddy and FFmpeg are in universe."""
    pockets = (suite, f"{suite}-updates", f"{suite}-security")
    return "".join(f"deb {_ARCHIVE} {pocket} main universe\n" for pocket in pockets)


def keyring(folder: Path) -> Path:
    """Fetch the keys into ``folder``."""
    answer = httpx.get(f"{_ARCHIVE}/{_KEYS}", timeout=60, follow_redirects=True)
    assert answer.status_code == 200, answer
    assert hashlib.sha256(answer.content).hexdigest() == _KEYS_SHA256, "not the package of the keys"
    package = folder / "keys.deb"
    package.write_bytes(answer.content)
    subprocess.run(["dpkg-deb", "--extract", package, folder / "keys"], check=True)
    return folder / "keys/usr/share/keyrings/ubuntu-archive-keyring.gpg"
