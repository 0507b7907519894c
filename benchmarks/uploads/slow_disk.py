"""A disk that writes 40 MB/s: a real file system on a loop device that the kernel throttles.

What has to wait for it waits in the kernel, as on a worn SD card: ``fdatasync``, and, since the
device may have only a little unwritten data, ``pwrite`` too. Wants root and cgroup v1's blkio.
Source: Documentation/admin-guide/cgroup-v1/blkio-controller.rst;
Documentation/ABI/testing/sysfs-class-bdi (strict_limit, max_bytes).
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")
_UNWRITTEN_BYTES = 16 << 20


def why_not() -> str:
    """Empty: this machine can do it."""
    if os.geteuid() != 0:
        return "a slow disk can be made by root only"
    if not _LIMIT.exists():
        return "a slow disk wants the blkio controller of cgroup v1"
    return ""


@contextmanager
def slow_disk(folder: Path, *, bytes_per_s: int, size: int) -> Iterator[Path]:
    image, mount = folder / "slow.img", folder / "slow"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(size)
    _run("mkfs.ext4", "-q", "-F", image)
    device = _run("losetup", "--find", "--show", "--direct-io=on", image)
    number = Path("/sys/class/block", Path(device).name, "dev").read_text().strip()
    bdi = Path("/sys/class/bdi", number)
    before = {name: (bdi / name).read_text() for name in ("max_bytes", "strict_limit")}
    try:
        _run("mount", device, mount)
        try:
            (bdi / "strict_limit").write_text("1")
            (bdi / "max_bytes").write_text(str(_UNWRITTEN_BYTES))
            _LIMIT.write_text(f"{number} {bytes_per_s}")
            yield mount
        finally:
            _LIMIT.write_text(f"{number} 0")
            _run("umount", mount)
    finally:
        for name, value in before.items():
            (bdi / name).write_text(value)
        _run("losetup", "--detach", device)
        image.unlink()


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
