"""The unit under which a new release is tried: that of the web process, where nobody sees it.

It is made of the very unit that is installed, with its drop-ins (settings, credentials, sandbox),
so that what works in it works in the real one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRIAL = "appliance-trial.service"
_FOLDER = "appliance-trial"
TRIAL_LISTEN = f"unix:/run/{_FOLDER}/web.sock"
_START_S = 60

# Nothing of the public's is to be pulled in, and nothing started again.
_LEFT_OUT = {
    "Unit": {
        "After", "Also", "Before", "BindsTo", "Conflicts", "OnFailure", "OnSuccess", "PartOf",
        "Requires", "Requisite", "Upholds", "Wants",
    },
    "Service": {
        "ExecReload", "ExecStart", "ExecStartPost", "ExecStartPre", "ExecStop", "ExecStopPost",
        "FileDescriptorStoreMax", "NonBlocking", "Restart", "RestartSec", "RuntimeDirectory",
        "RuntimeDirectoryMode", "RuntimeDirectoryPreserve", "Sockets", "TimeoutStartSec",
    },
}  # fmt: skip


def trial_unit(installed: str, release: Path) -> str:
    """The text of the unit; ``installed``: what ``systemctl cat appliance-web.service`` prints."""
    lines = [
        *_kept(installed),
        "[Service]",
        f"ExecStart={release}/bin/appliance web --listen {TRIAL_LISTEN}",
        f"RuntimeDirectory={_FOLDER}",
        "RuntimeDirectoryMode=0700",
        "Restart=no",
        f"TimeoutStartSec={_START_S}",
    ]
    return "\n".join(lines) + "\n"


def _kept(installed: str) -> Iterator[str]:
    section = ""
    for line in _logical_lines(installed):
        if line.startswith("["):
            section = line.strip("[]")
        name = line.partition("=")[0].strip()
        if section in _LEFT_OUT and name not in _LEFT_OUT[section]:
            yield line


def _logical_lines(text: str) -> Iterator[str]:
    """Without comments and empty lines; those that end in a backslash are joined."""
    begun = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith(("#", ";")) or (not stripped and not begun):
            continue
        if stripped.endswith("\\"):
            begun += stripped[:-1] + " "
            continue
        yield begun + stripped
        begun = ""
