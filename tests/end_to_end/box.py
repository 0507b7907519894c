"""A whole appliance in processes of its own, as `appliance up` starts it, and a client for it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent
PROCESSES = ("web", "media", "quick", "delivery")
TUS = {"Tus-Resumable": "1.0.0"}


def wait_for(what: str, look: Callable[[], Any], *, seconds: float = 90) -> Any:
    """The first true answer of ``look``; fails with ``what`` when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.05)  # between two looks, never instead of one
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Box:
    """`appliance up` on a folder of its own; `token` belongs to its owner."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.data = data
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("APPLIANCE_")},
            "APPLIANCE_DATA": str(data),
            "APPLIANCE_LISTEN": self.address,
            "APPLIANCE_LEASE_S": "3",
            "APPLIANCE_SWEEP_S": "1",
            "APPLIANCE_DISK_RESERVE": "10 MiB",
            "PYTHONUNBUFFERED": "1",
            # What `appliance upload` remembers: of this box alone, not of whoever runs the tests.
            "XDG_STATE_HOME": str(data.parent / "state"),
            **{f"APPLIANCE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.log = data.parent / "box.log"
        self.token = ""
        self._up: subprocess.Popen[bytes] | None = None

    # Processes

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._up = subprocess.Popen(
                [sys.executable, "-m", "appliance.cli", "up"],
                env=self.env,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the box answers", self.answers, seconds=60)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop all of it; the exit code."""
        assert self._up is not None
        self._up.send_signal(how)
        code = self._up.wait(timeout=40)
        self._up = None
        return code

    def answers(self) -> bool:
        if self._up is not None and self._up.poll() is not None:
            raise AssertionError(f"`appliance up` ended:\n{self.log.read_text()[-4000:]}")
        try:
            return httpx.get(f"{self.url}/health/live", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def pid(self, process: str) -> int | None:
        """The process that is ``web``, or the worker of that name; None: not at the moment."""
        assert self._up is not None
        words = ("web",) if process == "web" else ("worker", process)
        for child in _children(self._up.pid):
            try:
                command = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if tuple(word for word in command if word in ("web", "worker", *PROCESSES)) == words:
                return child
        return None

    def signal(self, process: str, how: signal.Signals) -> bool:
        pid = self.pid(process)
        if pid is None:
            return False
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            return False
        return True

    def run(self, *command: str, stdin: str = "") -> str:
        """An `appliance` command on the same box; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "appliance.cli", *command],
            env=self.env,
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def add_owner(self) -> None:
        self.run(
            "user", "add", "owner@example.org", "--role", "owner", "--password-stdin",
            stdin="correct horse battery\n",
        )  # fmt: skip
        self.token = self.run("token", "create", "owner@example.org", "--name", "tests")

    # As a script would use it

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=20
        )

    def get(self, path: str) -> Any:
        """A JSON answer; asks again while the web process is away."""

        def ask() -> Any:
            try:
                with self.client() as client:
                    answer = client.get(path)
            except httpx.TransportError:
                return None
            return answer if answer.status_code < 500 else None

        answer = wait_for(f"GET {path}", ask, seconds=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create_upload(self, client: httpx.Client, name: str, length: int) -> str:
        named = b64encode(name.encode()).decode()
        answer = client.post(
            "/files",
            headers={**TUS, "Upload-Length": str(length), "Upload-Metadata": f"filename {named}"},
        )
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    def upload(self, file: Path, *, name: str | None = None) -> str:
        """The whole file in one PATCH; the id of its video."""
        body = file.read_bytes()
        with self.client() as client:
            location = self.create_upload(client, name or file.name, len(body))
            answer = client.patch(
                location,
                headers={
                    **TUS,
                    "Upload-Offset": "0",
                    "Content-Type": "application/offset+octet-stream",
                },
                content=body,
            )
            assert answer.status_code == 204, answer.text
            return answer.headers["Appliance-Video-Id"]

    def wait_video(self, video_id: str, *states: str, seconds: float = 90) -> Any:
        def look() -> Any:
            video = self.get(f"/api/v1/videos/{video_id}")
            return video if video["state"] in states else None

        return wait_for(f"video {video_id} is {states}", look, seconds=seconds)

    def post(self, video_id: str, *, key: str, platforms: tuple[str, ...] = ("practice",)) -> Any:
        with self.client() as client:
            answer = client.post(
                "/api/v1/posts",
                json={"video_id": video_id, "platforms": list(platforms)},
                headers={"Idempotency-Key": key},
            )
        assert answer.status_code == 202, answer.text
        return answer.json()

    def wait_post(self, post_id: str, *states: str, seconds: float = 90) -> Any:
        def look() -> Any:
            post = self.get(f"/api/v1/posts/{post_id}")
            return post if post["status"] in states else None

        return wait_for(f"post {post_id} is {states}", look, seconds=seconds)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


@contextmanager
def running_box(folder: Path, **settings: Any) -> Iterator[Box]:
    box = Box(folder / "data", **settings)
    box.data.mkdir(parents=True)
    box.add_owner()
    box.start()
    try:
        yield box
    except BaseException:
        sys.stderr.write(box.log.read_text()[-6000:])
        raise
    finally:
        if box._up is not None and box._up.poll() is None:
            box.stop()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def parse(text: str) -> Any:
    return json.loads(text)
