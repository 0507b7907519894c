"""The job "backup": what a person has pressed on the Backups page, with its progress.

The timers run the same verbs by the command; whoever comes second is told that another is at it.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from appliance import events, jobs
from appliance.db import transaction
from appliance.errors import Conflict, JobFailed, NotFound
from appliance.models import Job, Priority
from storage.backups import format, running
from storage.backups.verify import say
from storage.ballast import although_full

if TYPE_CHECKING:
    from appliance.models import User
    from appliance.settings import Settings
    from storage.backups.create import Progress
    from storage.layout import Layout
    from tasks.context import Context, Outcome

VERBS = ("create", "verify", "drill", "remove")


def start(actor: User, verb: str, layout: Layout, name: str = "") -> Job:
    """The job, or the one that does the same already. Wants a connection. Raises NotFound."""
    assert verb in VERBS
    if name and not format.is_name(name):
        raise NotFound(f"There is no backup “{name[:40]}”.")
    begin = partial(_start, actor, verb, name)
    # Removing one is a way out of a full disk.
    return although_full(layout, begin) if verb == "remove" else begin()


def _start(actor: User, verb: str, name: str) -> Job:
    with transaction():
        events.audit(actor, f"backup.{verb}", f"backup:{name}" if name else "")
        payload = {"verb": verb, "name": name}
        key = f"backup:{verb}:{name}"
        return jobs.create("backup", key, payload=payload, priority=Priority.NORMAL)


def back_up(job: Job, context: Context) -> Outcome:
    """The job. Cut short it begins anew; what was copied by then is found and not copied again."""
    verb, name = job.payload["verb"], job.payload["name"]
    settings = context.settings

    def progress(stage: str, fraction: float) -> None:
        context.moved()
        context.report(stage, fraction)

    try:
        if verb == "create":
            running.run_create(settings, progress=progress)
        elif verb == "verify":
            _require_good(running.run_verify(settings, name, progress=progress).problems, name)
        elif verb == "drill":
            _require_good(running.run_drill(settings, name, progress).problems, name)
        else:
            _remove(settings, name, progress)
    except Conflict as exc:
        raise JobFailed(exc.message, permanent=False, code=exc.code) from exc
    return None


def _require_good(problems: list[str], name: str) -> None:
    if problems:
        raise JobFailed(
            f"The backup {name or '(the newest)'} is damaged: {say(problems)}.",
            permanent=True,
            code="backup_damaged",
            detail="\n".join(problems[:200]),
        )


def _remove(settings: Settings, name: str, progress: Progress) -> None:
    with suppress(NotFound):  # it is gone: that is what was wanted
        running.run_prune(settings, names=[name], progress=progress)
