"""Become another program under limits. A script of its own, run by tasks/sandbox.py.

``python -I -S launch.py PARENT_PID ORDERS_JSON PROGRAM ARGUMENTS…``: a fresh small process does
this, because code between fork and exec of a program with threads may hang for ever.
Orders: ``{"rlimits": {NAME: VALUE}, "filter": "" | "threads" | "processes", "umask": 0o77}``.
Only the standard library.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
# ioprio_set(2) by machine: people's reads and writes come first, where the disk's scheduler sorts
# by that (BFQ). Not the idle class: an encode would stand still beside a long upload.
# Source: the kernel's system call tables; linux/ioprio.h.
IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
IOPRIO_WHO_PROCESS = 1
BEST_EFFORT_LAST = 2 << 13 | 7


def main() -> None:
    parent, orders, program = int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    # Linux only; on other systems an encode may outlive a worker that was killed.
    if hasattr(libc, "prctl"):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if os.getppid() != parent:  # the worker died before the line above
            sys.exit(1)
    for name, value in orders["rlimits"].items():
        kind = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    with contextlib.suppress(OSError):  # a unit that forbids it has its own Nice=
        os.nice(10)
    if number := IOPRIO_SET.get(os.uname().machine):  # where it fails, the disk treats all alike
        libc.syscall(number, IOPRIO_WHO_PROCESS, 0, BEST_EFFORT_LAST)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(orders["umask"])
    if orders["filter"] and hasattr(libc, "prctl"):
        filter_calls(processes=orders["filter"] == "processes")
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


def filter_calls(*, processes: bool) -> None:
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # -I leaves it out
    from tasks.seccomp import build_filter, install_filter

    program = build_filter(processes=processes, own_pid=os.getpid())
    if program is not None:
        with contextlib.suppress(OSError):  # a kernel without: the limits stand
            install_filter(program)


if __name__ == "__main__":
    main()
