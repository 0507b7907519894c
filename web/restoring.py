"""A backup brought back from the first page of a new box: by a child, while the empty box runs.

The child builds everything aside and checks it; its last step is to say that the data is to be
switched. This process and the workers then end, and whoever starts next carries the switch out
(storage/backups/in_use.py). Cut short before that, nothing has changed, and one begins anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from appliance.errors import Conflict

if TYPE_CHECKING:
    from appliance.settings import Settings


@dataclass(frozen=True)
class RestoreState:
    """``error``: why it ended without a restore; ``done``: what `appliance backup restore` says."""

    name: str = ""
    running: bool = False
    stage: str = ""
    progress: float = 0.0
    error: str = ""
    code: str = ""
    done: dict[str, Any] = field(default_factory=dict)


class Restoring:
    """One at a time, of this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._state = RestoreState()
        self._child: subprocess.Popen[str] | None = None

    @property
    def state(self) -> RestoreState:
        return self._state

    def start(self, name: str, key: str, *, without_sign_ins: bool) -> None:
        """Returns at once. Raises Conflict while one is under way."""
        with self._lock:
            if self._state.running:
                raise Conflict("A backup is being restored already. Wait until that is done.")
            self._state = RestoreState(name, running=True, stage="Beginning")
            child = self._child = subprocess.Popen(
                [
                    *(sys.executable, "-m", "appliance.cli", "backup", "restore", name),
                    *("--at-restart", "--key-stdin"),
                    *(["--without-sign-ins"] if without_sign_ins else []),
                ],
                env=self._environ(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        threading.Thread(target=self._listen, args=(child, name), daemon=True).start()
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already, and has said why
            child.stdin.write(f"{key}\n")
            child.stdin.close()

    def _environ(self) -> dict[str, str]:
        """Ours, with the folders as this process has them, however they were said."""
        said = {
            "APPLIANCE_DATA": str(self._settings.data),
            "APPLIANCE_BACKUP_FOLDER": str(self._settings.backups),
        }
        also_said = {f"{name}_FILE" for name in said}
        kept = {name: value for name, value in os.environ.items() if name not in also_said}
        return {**kept, **said}

    def _listen(self, child: subprocess.Popen[str], name: str) -> None:
        assert child.stdout is not None
        last = ""
        found = RestoreState(name, error="", running=False)
        for line in child.stdout:
            last = line.strip() or last
            try:
                said = json.loads(line)
            except ValueError:
                continue  # a warning of a library
            if not isinstance(said, dict):
                continue
            if "done" in said:
                found = RestoreState(name, done=said["done"])
            elif "error" in said:
                found = RestoreState(name, error=said["error"], code=said.get("code", ""))
            else:
                self._state = RestoreState(
                    name, running=True, stage=said["stage"], progress=said["progress"]
                )
        child.wait()
        if not found.done and not found.error:
            found = RestoreState(name, error=f"The restore ended early: {last[-300:]}")
        self._state = found
