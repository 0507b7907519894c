"""All checks in their order, for the command and for the job behind "Check now"."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from appliance import doctor as core
from appliance import events, jobs, kept
from appliance.clock import now
from appliance.db import transaction
from appliance.doctor import Finding, Verdict, finding
from tasks.checkup import care, programs, running, system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.models import Job, User
    from appliance.settings import Settings
    from tasks.context import Context, Outcome

    Check = Callable[[Settings], Finding]

NAME = "checkup"
CHECKS: tuple[Check, ...] = (
    *core.CHECKS,
    *running.CHECKS,
    *programs.CHECKS,
    *system.CHECKS,
    *care.CHECKS,
)


def examine_box(settings: Settings) -> Iterator[Finding]:
    """One finding after another. Opens connections of its own."""
    return (look(check, settings) for check in CHECKS)


def look(check: Check, settings: Settings) -> Finding:
    """A check that fails is a finding; the others still run."""
    try:
        return check(settings)
    except Exception as exc:
        name = check.__name__.removeprefix("check_").replace("_", " ").capitalize()
        what = str(exc) or type(exc).__name__
        return finding(
            name, "It could not be looked at.", what, bad="Mend what stands above first."
        )


def start(actor: User | None) -> Job:
    """The job, or the one that is under way. Wants a connection."""
    with transaction():
        job = jobs.create("checkup", "checkup")
        events.audit(actor, "system.checkup", f"job:{job.public_id}")
    return job


def check_up(job: Job, context: Context) -> Outcome:
    """The job: what it finds is kept, for the System page."""
    found: list[dict[str, Any]] = []
    for number, check in enumerate(CHECKS):
        context.check()
        context.report("Checking the box", number / len(CHECKS))
        found.append(asdict(look(check, context.settings)))
    return partial(_keep, found)


def _keep(found: list[dict[str, Any]]) -> None:
    kept.write(NAME, {"at": now().isoformat(), "findings": found})
    bad = sum(each["verdict"] == Verdict.BAD for each in found)
    events.record("system.checked", "system:box", admins_only=True, bad=bad)


def last() -> tuple[str, list[Finding]]:
    """When it was ("": never), and what was found then. Wants a connection."""
    value = kept.read(NAME)
    findings = [
        Finding(**{**each, "verdict": Verdict(each["verdict"])})
        for each in value.get("findings", [])
    ]
    return str(value.get("at", "")), findings
