"""Ask Apprise in a process of its own, which is gone when it has answered.

What it knows about all its services takes 25 MB; the box needs it some seconds a month. The
address goes in by the standard input: arguments and environments can be seen from outside.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

log = logging.getLogger(__name__)

APP = "Media Appliance"

# On a busy machine most of it goes by until Apprise is there.
CHECK_WITHIN_S = 30.0
SEND_WITHIN_S = 90.0
# What others gave this process for itself alone.
_OURS = ("APPLIANCE_", "CREDENTIALS_", "NOTIFY_", "LISTEN_", "WATCHDOG_")
_NO_ANSWER = "The program that talks to the service {}. Try again; the log of the box says more."


def ask(wish: dict[str, str], within_s: float) -> str:
    """What went wrong, as a sentence without secrets; "": nothing.

    ``wish``: ``do`` ("check" or "send"), ``address``, and to send ``title`` and ``body``.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tasks.alerting.child", f"{within_s:.0f}"],
            input=json.dumps(wish),
            capture_output=True,
            text=True,
            timeout=within_s,
            cwd="/",
            env={name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
            process_group=0,  # Ctrl-C is for the worker, which lets a message go out first
        )
    except subprocess.TimeoutExpired:
        return _NO_ANSWER.format(f"did not answer within {within_s:.0f} seconds")
    except OSError as exc:
        log.error("Apprise could not be started: %s", exc.strerror)
        return _NO_ANSWER.format("could not be started")
    try:
        return str(json.loads(done.stdout.splitlines()[-1])["problem"])
    except (ValueError, LookupError, TypeError):
        # The kind of the error alone: its text may quote the address.
        last = (done.stderr.strip().splitlines() or [""])[-1].partition(":")[0]
        log.error("Apprise ended with %d (%s).", done.returncode, last[:80])
        return _NO_ANSWER.format("has ended without an answer")
