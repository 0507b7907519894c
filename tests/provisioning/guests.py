"""Whole machines for the tests: systemd-nspawn with a network of their own, in seconds.

``booted("bookworm")`` gives a fresh Debian with its own systemd as first process, reached over ssh
at a port of this machine, as an administrator reaches a rented one. The network is slirp4netns's:
what the guest sends leaves through sockets of this machine, and nothing here is changed for it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.end_to_end.box import free_port, wait_for
from tests.provisioning import systems

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("ip", "mmdebstrap", "slirp4netns", "ssh", "ssh-keygen", "systemd-nspawn")
# systemd-nspawn ends so when the guest wants to be started again.
_WANTS_REBOOT = 133
_GUEST_ADDRESS = "10.0.2.15"  # slirp4netns gives it to each


def why_not() -> str:
    """What keeps guests from working here; empty when they do."""
    if os.geteuid() != 0:
        return "only root can start whole machines"
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"there is no {' and no '.join(missing)} (./dev test installs them on Debian)"
    kind = subprocess.run(["systemd-detect-virt", "--container"], capture_output=True, text=True)
    if kind.stdout.strip() == "systemd-nspawn":
        return "this machine is a guest of that kind itself"
    if subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True).returncode:
        return "this machine can't make namespaces of its own"
    return ""


class Guest:
    """A machine that runs; ``root`` is its disk."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name, self.root = folder, name, folder / "root"
        self.ssh_port = free_port()
        self.boots = 0
        self._ports: dict[int, int] = {}
        self._machine: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        # Followed by a command, it is run by root.
        self.ssh = [
            "ssh", "-p", str(self.ssh_port), "-i", str(systems.key()), "-o", "IdentitiesOnly=yes",
            "-o", f"UserKnownHostsFile={folder}/known_hosts", "-o", "LogLevel=ERROR",
            "-o", "StrictHostKeyChecking=accept-new", "-o", "ConnectTimeout=10",
            "root@127.0.0.1",
        ]  # fmt: skip

    def run(self, command: str, *, check: bool = True, given: str = "") -> str:
        """A line for the guest's shell, by root; what it prints."""
        done = subprocess.run(
            [*self.ssh, command],
            input=given,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command!r}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout.strip()

    def answers(self) -> bool:
        done = subprocess.run(
            ["ssh", "-o", "ConnectTimeout=2", *self.ssh[1:], "true"], capture_output=True
        )
        return done.returncode == 0

    def port(self, number: int) -> int:
        """The port of this machine that leads to a TCP port of the guest."""
        if number not in self._ports:
            self._ports[number] = free_port()
            self._forward(self._ports[number], number)
        return self._ports[number]

    def inventory(self) -> str:
        """For ``ansible-playbook -i``: a file that names the guest, with an ordinary user."""
        file = self.folder / "inventory.yml"
        host = {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.ssh_port,
            "ansible_user": "admin",
            "ansible_ssh_private_key_file": str(systems.key()),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.folder}/known_hosts "
            "-o StrictHostKeyChecking=accept-new -o IdentitiesOnly=yes",
        }
        file.write_text(json.dumps({"all": {"hosts": {self.name: host}}}))
        return str(file)

    def reboot(self) -> None:
        """As an administrator does; returns when it can be reached again."""
        before = self.boots
        self.run("systemctl reboot", check=False)
        wait_for("the guest starts again", lambda: self.boots > before, seconds=180)
        wait_for("the guest can be reached", self.answers, seconds=90)

    # Its parts, for ``booted``

    def _forward(self, here: int, there: int) -> None:
        said = {"proto": "tcp", "host_addr": "127.0.0.1", "host_port": here}
        said |= {"guest_addr": _GUEST_ADDRESS, "guest_port": there}
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.folder / "network.sock"))
            line.sendall(json.dumps({"execute": "add_hostfwd", "arguments": said}).encode())
            line.shutdown(socket.SHUT_WR)
            answer: dict[str, Any] = json.loads(line.recv(4096))
        assert "error" not in answer, answer

    @contextmanager
    def _network(self) -> Iterator[str]:
        """The path of a network namespace that reaches out."""
        name = f"ma-{os.getpid()}-{self.name}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        api = self.folder / "network.sock"
        try:
            with (self.folder / "network.log").open("wb") as log:
                helper = subprocess.Popen(
                    ["slirp4netns", "--disable-host-loopback", "--netns-type=path"]
                    + ["--api-socket", str(api), f"/run/netns/{name}", "eth0"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            try:
                wait_for("the guest's network", api.exists, seconds=20)
                self._forward(self.ssh_port, 22)
                yield f"/run/netns/{name}"
            finally:
                helper.terminate()
                helper.wait(20)
        finally:
            subprocess.run(["ip", "netns", "del", name], check=False)

    def _keep_running(self, command: list[str]) -> None:
        """Start the machine, and again each time that it asks for it."""
        environ = {**os.environ, "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE": "1"}
        with (self.folder / "console.log").open("ab") as log:
            while not self._ended.is_set():
                # It must not outlive us (this thread lives as long as the guest does): told so, it
                # shuts the machine down. Killed, it would leave the machine running.
                self._machine = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "TERM", *command],
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                self.boots += 1
                if self._machine.wait() != _WANTS_REBOOT:
                    return

    def _kill(self) -> None:
        """All processes of the machine at once, by its first one; who keeps it then ends, too."""
        assert self._machine is not None
        children = Path(f"/proc/{self._machine.pid}/task/{self._machine.pid}/children")
        with suppress(OSError):
            for first in children.read_text().split():
                os.kill(int(first), signal.SIGKILL)

    @contextmanager
    def _running(self, namespace: str, binds: dict[Path, str]) -> Iterator[None]:
        command = [
            "systemd-nspawn", "--quiet", "--register=no", f"--machine={self.name}", "--boot",
            f"--directory={self.root}", f"--network-namespace-path={namespace}",
            "--capability=CAP_NET_ADMIN", "--resolv-conf=off", "--timezone=off",
            "--link-journal=no", "--console=read-only",
        ]  # fmt: skip
        if not Path("/run/systemd/system").is_dir():
            command.append("--keep-unit")
        command += [f"--bind={here}:{there}" for here, there in binds.items()]
        keeper = threading.Thread(target=self._keep_running, args=(command,))
        keeper.start()
        try:
            began_s = time.monotonic()
            while not self.answers():
                assert keeper.is_alive(), (self.folder / "console.log").read_text()[-3000:]
                assert time.monotonic() - began_s < 90, "no ssh within 90 s"
            yield
        finally:
            self._ended.set()
            self._kill()
            keeper.join()


@contextmanager
def booted(suite: str, name: str) -> Iterator[Guest]:
    """A fresh machine; all of it is gone afterwards."""
    whole = systems.system(suite)
    # Packages are fetched once: what a mirror takes is no part of what is measured.
    shared = {
        systems.cache() / f"packages-{suite}": "/var/cache/apt/archives",
        systems.cache() / "pip": "/root/.cache/pip",
    }
    for folder in shared:
        (folder / "partial").mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=systems.cache()))
        stack.callback(_remove, folder)
        guest = Guest(folder, name)
        subprocess.run(["cp", "-a", "--reflink=auto", whole, guest.root], check=True)
        namespace = stack.enter_context(guest._network())
        stack.enter_context(guest._running(namespace, shared))
        yield guest


def _remove(folder: Path) -> None:
    """Processes of a machine that was just killed may write for an instant yet."""

    def is_gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    wait_for("the guest's disk is removed", is_gone, seconds=30)
