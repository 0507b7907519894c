"""Send many files: some at once, one that fails doesn't stop the others, each end is told."""

from __future__ import annotations

import queue
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from appliance.cli.remote import Answered, Unreachable
from appliance.cli.sending import PATIENCE_S, NoKeeper, Stopped, send_file, send_stream
from appliance.cli.transfer import Said
from appliance.cli.waiting import FIRST_LOOK_S, LONGEST_LOOK_S, MISSED_LOOKS
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from appliance.cli.journal import Journal, Sent
    from appliance.cli.remote import Box

# How long a command that is to end waits for what it has under way.
_END_S = 3.0
_ENDED = ("ready", "failed")


@dataclass(frozen=True)
class Wishes:
    """What the options of the command say."""

    title: str | None = None
    visibility: str | None = None
    tag: str | None = None
    parallel: int = 1
    resume: bool = True
    again: bool = False
    wait: bool = False
    patience_s: float = PATIENCE_S

    def said(self, name: str) -> Said:
        return Said(name, self.title, self.visibility, self.tag)


@dataclass
class Outcome:
    """How one file ended. ``video`` is the box's description; ``error`` a sentence, or ""."""

    file: str
    video: dict[str, Any] | None = None
    error: str = ""
    sent_before: str = ""  # when an earlier command sent it

    @property
    def failed(self) -> bool:
        """What an earlier command sent is there, whatever the box made of it since."""
        if self.sent_before:
            return bool(self.error)
        return bool(self.error) or (self.video is not None and self.video["state"] == "failed")

    def document(self) -> dict[str, Any]:
        """For scripts: the video, and which file it was."""
        video = self.video or {"video_id": None, "state": "failed", "error": self.error}
        return {**video, "file": self.file, "already_sent": bool(self.sent_before)}


class Watcher(Protocol):
    """Shows how far it is; called from all threads."""

    def begin(self, path: Path, size: int) -> None: ...
    def at(self, path: Path, offset: int) -> None: ...
    def end(self, path: Path) -> None: ...
    def working(self, videos: dict[str, Any]) -> None: ...


@dataclass
class Batch:
    box: Box
    journal: Journal
    wishes: Wishes
    watcher: Watcher

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._todo: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._sent: queue.SimpleQueue[tuple[Outcome, str]] = queue.SimpleQueue()

    def run(self, files: Sequence[Path], *, pipe: str | None = None) -> Iterator[Outcome]:
        """Each file's outcome as it ends. ``pipe``: the name of what comes from standard input.

        On KeyboardInterrupt the senders end in order, then it is raised on.
        """
        count = len(files) + (pipe is not None)
        senders = min(self.wishes.parallel, max(1, len(files)))
        for path in files:
            self._todo.put(path)
        for _ in range(senders):
            self._todo.put(None)
        works: list[Callable[[], None]] = [self._send_files] * senders
        if pipe is not None:
            works = [lambda: self._send_pipe(pipe)]
        threads = [
            threading.Thread(target=work, name=f"sender {number}", daemon=True)
            for number, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._gather(count)
        finally:
            self._stop.set()
            deadline = time.monotonic() + _END_S
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))

    # In the threads of the senders

    def _send_files(self) -> None:
        while (path := self._todo.get()) is not None and not self._stop.is_set():
            outcome, video_id = Outcome(str(path)), ""
            try:
                outcome, video_id = self._send_one(path)
            except Stopped:
                return
            except Exception as exc:
                outcome.error = _sentence(exc)
            finally:
                self.watcher.end(path)
            self._sent.put((outcome, video_id))

    def _send_one(self, path: Path) -> tuple[Outcome, str]:
        key = self.journal.key(path)
        before = None if self.wishes.again else self.journal.sent(key)
        if before is not None:
            return self._sent_before(path, before)
        self.watcher.begin(path, path.stat().st_size)
        options: dict[str, Any] = {
            "said": self.wishes.said(path.name),
            "on_offset": lambda offset: self.watcher.at(path, offset),
            "patience_s": self.wishes.patience_s,
            "stop": self._stop,
        }
        if self.wishes.resume:
            with self.journal.unfinished(key) as keeper:
                video_id = send_file(self.box, path, keeper=keeper, **options)
        else:
            video_id = send_file(self.box, path, keeper=NoKeeper(), **options)
        self.journal.note_sent(key, path, video_id)
        return Outcome(str(path)), video_id

    def _sent_before(self, path: Path, before: Sent) -> tuple[Outcome, str]:
        """As it is on the box; deleted there, it stays deleted."""
        outcome = Outcome(str(path), sent_before=before.at)
        try:
            self.box.get(f"/api/v1/videos/{before.video_id}")
        except Answered as exc:
            if exc.status != 404:
                raise
            outcome.video = {"video_id": before.video_id, "state": "deleted", "error": None}
            return outcome, ""
        return outcome, before.video_id

    def _send_pipe(self, name: str) -> None:
        outcome, video_id = Outcome("-"), ""
        path = Path(name)
        self.watcher.begin(path, 0)
        try:
            video_id = send_stream(
                self.box,
                sys.stdin.buffer,
                self.wishes.said(name),
                on_offset=lambda offset: self.watcher.at(path, offset),
                patience_s=self.wishes.patience_s,
                stop=self._stop,
            )
        except Stopped:
            return
        except Exception as exc:
            outcome.error = _sentence(exc)
        finally:
            self.watcher.end(path)
        self._sent.put((outcome, video_id))

    # In the thread of the command

    def _gather(self, count: int) -> Iterator[Outcome]:
        waiting: dict[str, list[Outcome]] = {}
        pause_s, missed = FIRST_LOOK_S, 0
        while count or waiting:
            try:
                outcome, video_id = self._sent.get(timeout=pause_s if waiting else 0.5)
            except queue.Empty:
                pass
            else:
                count -= 1
                if video_id and not outcome.error:
                    waiting.setdefault(video_id, []).append(outcome)
                else:
                    yield outcome
                pause_s = FIRST_LOOK_S
                if self._sent.qsize():
                    continue
            if waiting:
                try:
                    yield from self._look(waiting)
                    missed = 0
                except Unreachable:
                    missed += 1
                    if missed > MISSED_LOOKS:
                        raise
                pause_s = min(LONGEST_LOOK_S, pause_s * 1.2)

    def _look(self, waiting: dict[str, list[Outcome]]) -> Iterator[Outcome]:
        """Those that have come as far as they are waited for."""
        at_work: dict[str, Any] = {}
        for video_id, outcomes in list(waiting.items()):
            try:
                video = self._ended(video_id, at_work)
            except Answered as exc:  # deleted meanwhile, say
                video = None
                for outcome in outcomes:
                    outcome.error = str(exc)
            else:
                if video is None:
                    continue
            del waiting[video_id]
            for outcome in outcomes:
                outcome.video = video
                yield outcome
        self.watcher.working(at_work)

    def _ended(self, video_id: str, at_work: dict[str, Any]) -> dict[str, Any] | None:
        """The video; None while it is to be waited for. Raises Answered, Unreachable."""
        if self.wishes.wait:
            status = self.box.get(f"/api/v1/videos/{video_id}/status")
            if status["state"] not in _ENDED:
                at_work[video_id] = status
                return None
        video: dict[str, Any] = self.box.get(f"/api/v1/videos/{video_id}")
        return video


def _sentence(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return f"It can't be read: {exc.strerror}."
    if isinstance(exc, ApplianceError):
        return str(exc)
    return f"Something unexpected went wrong ({type(exc).__name__}: {exc})."
