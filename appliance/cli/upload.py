"""`appliance upload`: bring files in, and wait until they are ready if asked."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.cli.remote import remote
from appliance.cli.waiting import transfer_bar
from appliance.models import Visibility
from appliance.text import clean_line, describe_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.progress import TaskID

    from appliance.cli.batch import Outcome
    from appliance.cli.choosing import Choice, Skipped
    from appliance.cli.journal import Journal
    from appliance.cli.remote import Box

_PIPE = "-"


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--wait", is_flag=True, help="Until each video is ready, or has failed.")
@click.option("--title", help="For one file. Default: made from its name.")
@click.option("--tag", help="Given to each video.")
@click.option(
    "--visibility",
    type=click.Choice([str(choice) for choice in Visibility]),
    help="Who sees the videos. Default: as the box is set.",
)
@click.option("--name", help="The file's name, for what comes through a pipe.")
@click.option(
    "--parallel",
    default=1,
    show_default=True,
    type=click.IntRange(1, 8),
    help="So many files at once; more than one helps with many small ones.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    help="Go on with what an earlier, interrupted command began. On by default.",
)
@click.option("--again", is_flag=True, help="Send files, too, that were sent before.")
@click.option(
    "--patience",
    default=300.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds without a byte getting through before a file is given up.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--verbose", is_flag=True, help="Name the files, too, that are left out, and why.")
@remote
def upload(
    files: Sequence[str],
    title: str | None,
    name: str | None,
    dry_run: bool,
    verbose: bool,
    box: Box,
    as_json: bool,
    patience: float,
    **wishes: Any,
) -> int:
    """Upload FILES: files, folders with all videos in them, patterns such as 'old/**/*.mov'.

    With - it reads from a pipe and wants --name. Interrupted, the same command goes on where it
    stopped; what it has sent it doesn't send again. With --json it prints one line for each file
    as it ends, with its video_id. Ends with 0 when all files are there, 1 when one is not.
    """
    from appliance.cli.batch import Batch, Wishes
    from appliance.cli.choosing import Choice, choose
    from appliance.cli.journal import Journal

    pipe = _pipe_name(files, name)
    choice = choose(files) if pipe is None else Choice()
    if title and len(choice.files) > 1:
        raise click.UsageError("--title is for one file.")
    _tell_choice(choice, verbose=verbose)
    journal = Journal(box.name)
    if dry_run:
        _print_plan(choice, journal, again=wishes["again"], as_json=as_json)
        return 1 if choice.missing else 0
    told = _Told(as_json=as_json)
    for each in choice.missing:
        told.outcome_of_missing(each)
    # cron and systemd end commands with it; what is under way ends as it does with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    total = len(choice.files) + (pipe is not None)
    with _Bars(total, _size_of(choice.files)) as bars:
        batch = Batch(box, journal, Wishes(title=title, patience_s=patience, **wishes), bars)
        try:
            for outcome in batch.run(choice.files, pipe=pipe):
                bars.above(told.outcome, outcome)
        except KeyboardInterrupt:
            bars.above(told.interrupted, total, pipe is not None)
            raise click.Abort from None
    told.summary(skipped=len(choice.skipped), verbose=verbose)
    return 1 if told.failed else 0


def _pipe_name(files: Sequence[str], name: str | None) -> str | None:
    """What the bytes of the pipe are called; None when there is no pipe. Raises UsageError."""
    if _PIPE not in files:
        if name:
            raise click.UsageError("--name is for what comes through a pipe: `… upload - --name`.")
        return None
    if len(files) > 1:
        raise click.UsageError("- stands alone: one command takes one pipe.")
    if not name:
        raise click.UsageError("- needs --name, such as --name talk.mp4.")
    return name


def _size_of(files: Sequence[Path]) -> int:
    total = 0
    for path in files:
        with contextlib.suppress(OSError):  # told when its turn comes
            total += path.stat().st_size
    return total


def _tell_choice(choice: Choice, *, verbose: bool) -> None:
    if verbose:
        for each in choice.skipped:
            click.echo(f"left out: {_shown(each.path)}: {each.why}", err=True)


def _print_plan(choice: Choice, journal: Journal, *, again: bool, as_json: bool) -> None:
    """What would happen to each file; OSError is one of its ends."""
    for each in choice.missing:
        click.echo(f"appliance: {_shown(each.path)}: {each.why}", err=True)
    total = 0
    for path in choice.files:
        try:
            size, key = path.stat().st_size, journal.key(path)
        except OSError as exc:
            click.echo(f"appliance: {_shown(path)}: {exc.strerror}", err=True)
            continue
        before = None if again else journal.sent(key)
        plan = "skip" if before else "resume" if journal.has_unfinished(key) else "send"
        total += 0 if before else size
        if as_json:
            video_id = before.video_id if before else None
            line = {"file": str(path), "size_bytes": size, "plan": plan, "video_id": video_id}
            click.echo(json.dumps(line, ensure_ascii=False))
        else:
            words = {
                "send": "would be sent",
                "resume": "would go on where it stopped",
                "skip": f"was sent {before.at if before else ''}",
            }
            click.echo(f"{_shown(path)}: {describe_size(size)}, {words[plan]}")
    if not as_json:
        click.echo(f"In all {describe_size(total)} to send; nothing was sent.", err=True)


class _Told:
    """Prints outcomes, and counts them."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.sent = self.before = self.failed = 0

    def outcome_of_missing(self, missing: Skipped) -> None:
        from appliance.cli.batch import Outcome

        self.outcome(Outcome(str(missing.path), error=missing.why))

    def outcome(self, outcome: Outcome) -> None:
        if outcome.failed:
            self.failed += 1
        elif outcome.sent_before:
            self.before += 1
        else:
            self.sent += 1
        if outcome.error:
            click.echo(f"appliance: {_shown(outcome.file)}: {outcome.error}", err=True)
        if self._as_json:
            click.echo(json.dumps(outcome.document(), ensure_ascii=False))
        elif outcome.video is not None:
            click.echo(_line(outcome, outcome.video))

    def interrupted(self, total: int, pipe: bool) -> None:
        if pipe:
            words = "Interrupted: what had come through the pipe was removed from the box."
        else:
            done = self.sent + self.before
            words = (
                f"Interrupted: {done} of {total} files are there. "
                "The same command goes on where it stopped."
            )
        click.echo(f"appliance: {words}", err=True)

    def summary(self, *, skipped: int, verbose: bool) -> None:
        parts = [
            f"{count} {words}"
            for count, words in (
                (self.sent, "sent"),
                (self.before, "sent before"),
                (self.failed, "failed"),
                (skipped, "left out" if verbose else "left out (--verbose says why)"),
            )
            if count
        ]
        if skipped or self.sent + self.before + self.failed != 1:
            click.echo(f"{', '.join(parts) or 'There was nothing to send'}.", err=True)


def _line(outcome: Outcome, video: dict[str, Any]) -> str:
    words = str(video["state"])
    if video["state"] == "failed":
        words = f"failed. {video['error'] or ''}".rstrip()
    if outcome.sent_before:
        words += f", sent {outcome.sent_before}; --again sends it once more"
    title = video.get("title") or _shown(outcome.file)
    return f"{video['video_id']}  {clean_line(title)}: {words}"


def _shown(path: Path | str) -> str:
    return clean_line(str(path), max_bytes=1000)


class _Bars:
    """On a terminal: each file under way, and all of them; elsewhere nothing."""

    def __init__(self, count: int, total_bytes: int) -> None:
        self._bars = transfer_bar()
        self._tasks: dict[Path, TaskID] = {}
        self._offsets: dict[Path, int] = {}
        self._work: TaskID | None = None
        self._all: TaskID | None = None
        if count > 1:
            self._all = self._bars.add_task(f"All {count} files", total=total_bytes)

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def above(self, tell: Callable[..., None], *arguments: Any) -> None:
        """Print without a bar in the way."""
        self._bars.stop()
        tell(*arguments)
        self._bars.start()

    def begin(self, path: Path, size: int) -> None:
        self._offsets[path] = 0
        self._tasks[path] = self._bars.add_task(clean_line(path.name), total=size or None)

    def at(self, path: Path, offset: int) -> None:
        self._bars.update(self._tasks[path], completed=offset)
        if self._all is not None:
            self._bars.advance(self._all, offset - self._offsets[path])
            self._offsets[path] = offset

    def end(self, path: Path) -> None:
        if (task := self._tasks.pop(path, None)) is not None:
            self._bars.remove_task(task)

    def working(self, videos: dict[str, Any]) -> None:
        if self._work is None and videos:
            self._work = self._bars.add_task("", total=None)
        if self._work is not None:
            labels = {job["label"] for status in videos.values() for job in status["jobs"]}
            words = f"{len(videos)} at work: {', '.join(sorted(labels)) or 'waiting'}"
            self._bars.update(self._work, description=words, visible=bool(videos))
