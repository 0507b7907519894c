"""Ask a release for something: its own program is started, as the user of the box.

So root never opens the database, each version reads its own settings and knows its own schema, and
a release that doesn't even start is found out before anything was touched.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.errors import ApplianceError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

USER = "appliance"
CONFIG = Path("/etc/appliance/appliance.toml")


class ReleaseFailed(ApplianceError):
    """A release could not do what it was asked for; the message has its last words."""

    code = "release_failed"


class Asking:
    """``user``: who owns the data; None: we do. ``held``: a lock that lasts as long as its child.

    Raises SettingsError when there is no such user, or we may not become that.
    """

    def __init__(self, user: str | None, held: int | None = None) -> None:
        self.held = held
        self._as: dict[str, Any] = {}
        self._environ = {**os.environ}
        if "APPLIANCE_CONFIG" not in os.environ and CONFIG.is_file():
            self._environ["APPLIANCE_CONFIG"] = str(CONFIG)
        if user is None:
            return
        try:
            found = pwd.getpwnam(user)
        except KeyError as exc:
            raise SettingsError(f"There is no user {user} on this machine.") from exc
        if found.pw_uid == os.geteuid():
            return
        if os.geteuid() != 0:
            raise SettingsError(f"Only root may work for {user}: run it with sudo.")
        groups = os.getgrouplist(user, found.pw_gid)
        self._as = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": groups}
        self._environ |= {"HOME": found.pw_dir, "USER": user, "LOGNAME": user}

    def ask(self, release: Path | None, *words: str, aloud: bool = False) -> Any:
        """What ``appliance release step WORDS`` of a release answers; None: of this very program.

        ``aloud``: what it says about its progress is seen. Raises ReleaseFailed.
        """
        program: Sequence[str] = (
            [sys.executable, "-m", "appliance.cli"]
            if release is None
            else [str(release / "bin/appliance")]
        )
        try:
            done = subprocess.run(
                [*program, "release", "step", *words],
                env=self._environ,
                cwd="/",  # any that the user may be in
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if aloud else subprocess.PIPE,
                text=True,
                umask=0o077,
                # Ctrl-C at the terminal is for us to answer: it must not end a way back.
                process_group=-1 if aloud else 0,
                pass_fds=() if self.held is None else (self.held,),
                **self._as,
            )
        except OSError as exc:
            raise ReleaseFailed(f"{program[0]} can't be run: {exc.strerror}.") from exc
        try:
            if done.returncode == 0:
                return json.loads(done.stdout)
        except ValueError:
            pass
        said = (done.stderr or "").strip().removeprefix("appliance: ") or done.stdout.strip()
        raise ReleaseFailed(said[-2000:] or f"{program[0]} ended with {done.returncode}.")


def user_of_box(wish: str | None) -> str | None:
    """``wish``, or ``appliance`` where root works on a machine that has that user."""
    if wish is not None:
        return wish
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(USER).pw_name
    except KeyError:
        return None
