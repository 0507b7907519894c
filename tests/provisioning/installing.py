"""The playbook as an administrator starts it, and the box that it has set up, seen from outside."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.end_to_end.box import ROOT, TUS, Box, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from tests.provisioning.guests import Guest

DOMAIN = "video.test"
OPERATE = ROOT / "docs" / "operate.md"
PASSWORD = "correct horse battery"
_AUTHORITY = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"
_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


@dataclass(frozen=True)
class Played:
    """What a playbook said at its end."""

    code: int
    said: str
    seconds: float

    @property
    def joined(self) -> str:
        """What it said, as one line: ansible breaks sentences as it likes."""
        return " ".join(self.said.split())

    @property
    def changed(self) -> int:
        found = re.findall(r"changed=(\d+)", self.said)
        assert found, self.said[-4000:]
        return int(found[-1])

    @property
    def changes(self) -> list[str]:
        """The names of the tasks that changed something."""
        tasks = re.split(r"^TASK \[", self.said, flags=re.M)[1:]
        return [task.split("]")[0] for task in tasks if re.search(r"^changed: ", task, re.M)]


def _command(inventory: str, playbook: str, *words: str, **variables: object) -> list[str]:
    file = str(ROOT / "ansible" / playbook)
    return [str(_PLAYBOOK), "-i", inventory, file, *words, "-e", json.dumps(variables)]


def _environ() -> dict[str, str]:
    """Whatever the person has set for ansible is not for the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
    return {**kept, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1", "PYTHONUNBUFFERED": "1"}


def play(inventory: str, playbook: str, *words: str, **variables: object) -> Played:
    """Run ``ansible/PLAYBOOK``; ``variables`` as by ``-e``."""
    began_s = time.monotonic()
    done = subprocess.run(
        _command(inventory, playbook, *words, **variables),
        env=_environ(),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return Played(done.returncode, done.stdout + done.stderr, time.monotonic() - began_s)


def cut_short(guest: Guest, playbook: str, task: str, after_s: float, **variables: object) -> None:
    """Run a playbook, and kill it, here and there, ``after_s`` seconds after ``task`` has begun."""
    log = guest.folder / "cut.log"
    with log.open("wb") as file:
        player = subprocess.Popen(
            _command(guest.inventory(), playbook, **variables),
            env=_environ(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        wait_for(
            f"{task!r} begins",
            lambda: f"TASK [{task}]" in log.read_text() or player.poll() is not None,
            seconds=600,
        )
        time.sleep(after_s)  # the moment of the kill: wherever it hits, the next run mends it
        assert player.poll() is None, log.read_text()[-4000:]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(player.pid, signal.SIGKILL)
        player.wait()
    # All that Ansible has started there belongs to the user it signs in as, sudo or not.
    guest.run("systemctl kill --signal=KILL user-$(id -u admin).slice")


def build_wheel(folder: Path, version: str = "", *, spoiled: bool = False) -> Path:
    """The wheel of this checkout, or of another ``version``; ``spoiled``: its web doesn't start."""
    source = ROOT
    if version or spoiled:
        source = folder / "source"
        keep_out = shutil.ignore_patterns("__pycache__")
        for name in ("appliance", "storage", "tasks", "web"):
            shutil.copytree(ROOT / name, source / name, ignore=keep_out)
        for name in ("README.md", "LICENSE", "hatch_build.py", "package.json", "package-lock.json"):
            shutil.copy(ROOT / name, source / name)
        (source / "node_modules").symlink_to(ROOT / "node_modules")
        project = (ROOT / "pyproject.toml").read_text()
        text, count = re.subn(r'(?m)^version = ".*"', f'version = "{version}"', project)
        assert count == 1
        (source / "pyproject.toml").write_text(text)
    if spoiled:
        (source / "web" / "app.py").write_text("raise RuntimeError('spoiled for a test')\n")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*command, folder / "dist"], cwd=source, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


class Installed(Box):
    """A box that the playbook has set up: by its name, over https, through its proxy."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.url = f"https://{DOMAIN}"
        self.token = ""
        self.trusted = ssl.create_default_context(cadata=guest.run(f"cat {_AUTHORITY}"))

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(
            base_url=self.url, transport=_ToGuest(self), headers=headers, timeout=60
        )

    def browser(self) -> httpx.Client:
        """Without the token, and with what a browser says of itself."""
        headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        return httpx.Client(
            base_url=self.url, transport=_ToGuest(self), headers=headers, timeout=60
        )

    def command(self, words: str, *, given: str = "") -> str:
        """A command that docs/operate.md names, typed by root on the box."""
        named = words.removesuffix(" --json")
        assert named in OPERATE.read_text(), f"docs/operate.md doesn't say `{named}`"
        return self.guest.run(words, given=given)

    def begin_upload(self, body: bytes, name: str) -> str:
        with self.client() as client:
            return self.create_upload(client, name, len(body))

    def send_half(self, location: str, body: bytes, half_sent: Event, enough: Event) -> None:
        """Send the first half, then next to nothing, until the line breaks or it is enough."""

        def pieces() -> Iterator[bytes]:
            yield body[: len(body) // 2]
            half_sent.set()
            # What comes from time to time keeps the request from counting as silent.
            for at in range(len(body) // 2, len(body) - 1):
                if enough.wait(0.2):
                    raise httpx.WriteError("enough")
                yield body[at : at + 1]

        headers = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        with self.client() as client, suppress(httpx.TransportError):
            client.patch(location, headers=headers, content=pieces())

    def finish_upload(self, location: str, body: bytes) -> str:
        """Go on where it stopped; the id of the video."""
        with self.client() as client:
            offset = int(client.head(location, headers=TUS).headers["Upload-Offset"])
            assert 0 < offset < len(body), offset
            answer = client.patch(
                location,
                headers={
                    **TUS,
                    "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream",
                },
                content=body[offset:],
            )
        assert answer.status_code == 204, answer.text
        return answer.headers["Appliance-Video-Id"]


class _ToGuest(httpx.HTTPTransport):
    """Names the box by its name, and reaches it by the port that leads there."""

    def __init__(self, box: Installed) -> None:
        super().__init__(verify=box.trusted, http2=False)
        self.port = box.guest.port(443)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == DOMAIN, f"{request.url} leads away from the box"
        # A request of its own: cookies belong to the name, not to where it leads.
        sent = httpx.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1", port=self.port),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": DOMAIN},
        )
        return super().handle_request(sent)
