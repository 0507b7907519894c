"""A program as a child of the worker: in bubblewrap, or under limits alone. Source: bwrap(1)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

from tasks.sandbox_types import Backend, Command, Limits
from tasks.seccomp import build_filter

LAUNCHER = Path(__file__).with_name("launch.py")
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


class LocalChild:
    """The program runs from here on. A ``Child``, as tasks/sandbox.py follows it."""

    def __init__(self, command: Command, backend: Backend, stdin: int | None) -> None:
        filter_ = _filter_file(command.limits) if backend.name == "bubblewrap" else None
        orders = {
            "rlimits": command.limits.as_rlimits(),
            # bubblewrap mounts and starts others itself; it gets the filter for its child.
            "filter": command.limits.filter if backend.name == "limits" else "",
            "umask": 0o077,
        }
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid())),
                    json.dumps(orders),
                    *_wrapped(command, backend, filter_),
                ],
                cwd=command.folder,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=() if filter_ is None else (filter_,),
                process_group=0,  # Ctrl-C is for the worker; and all of it can be killed together
            )
        finally:
            if filter_ is not None:
                os.close(filter_)
        assert self._process.stdout and self._process.stderr
        self.stdout, self.stderr = self._process.stdout.fileno(), self._process.stderr.fileno()

    def poll(self) -> int | None:
        return self._process.poll()

    def end(self) -> None:
        process = self._process
        if process.poll() is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                process.kill()  # not yet the leader of a group of its own
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@cache
def try_bubblewrap() -> Backend:
    """Whether bubblewrap works on this machine, else limits alone and why. Asked once."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Backend("limits", "bubblewrap is not installed (`apt install bubblewrap`).")
    try:
        done = subprocess.run(
            [bwrap, *_system(), "/usr/bin/env", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return Backend("limits", f"bubblewrap does not work here: {exc}.")
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        return Backend("limits", f"bubblewrap does not work here: {words[-1] if words else ''}")
    return Backend("bubblewrap")


def _system() -> list[str]:
    """bwrap's options for a bare system: programs and libraries, and no network."""
    options = [
        *("--unshare-all", "--die-with-parent", "--cap-drop", "ALL"),
        *("--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--dir", "/tmp"),
        *("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"),
        *("--ro-bind-try", "/etc/alternatives", "/etc/alternatives"),  # libblas of Debian's ffmpeg
    ]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    return options


def _filter_file(limits: Limits) -> int | None:
    """The filter of system calls for bwrap, as a file of memory. None: not on this machine."""
    program = build_filter(processes=limits.processes, own_pid=None)
    if program is None:
        return None
    handle = os.memfd_create("filter")
    os.write(handle, program)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def _wrapped(command: Command, backend: Backend, filter_: int | None) -> list[str]:
    if backend.name == "limits":
        return list(command.argv)
    options = _system()
    for path in command.reads:
        if not path.is_relative_to("/usr"):
            options += ["--ro-bind", str(path), str(path)]
    folder = str(command.folder)
    options += ["--bind", folder, folder, "--chdir", folder]
    for device in command.devices:
        options += ["--dev-bind-try", str(device), str(device)]
    if command.devices:
        # Where drivers look up which card a node belongs to.
        for place in ("/sys/dev/char", "/sys/devices", "/sys/class/drm", "/sys/bus/pci"):
            options += ["--ro-bind-try", place, place]
    # What bwrap mounts is a file system in memory, which no limit of ours counts.
    # And the settings of the kernel are files that root's children may write, whatever bwrap drops.
    for place in ("/dev", "/proc", "/"):
        options += ["--remount-ro", place]
    if filter_ is not None:
        options += ["--seccomp", str(filter_)]
    return [shutil.which("bwrap") or "bwrap", *options, "--", *command.argv]
