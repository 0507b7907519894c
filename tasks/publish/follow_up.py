"""What is done about a post that is public: other texts, away with it, the first comment, numbers.

Handlers of the job kinds ``edit``, ``remove``, ``comment`` and ``numbers``. None of them can make a
second post: an edit and a removal are the same when repeated, a comment is looked for first.
"""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from appliance import accounts, jobs, post_numbers, posts
from appliance.clock import now
from appliance.db import database
from appliance.errors import ApplianceError, Conflict, JobFailed
from appliance.jobs import LeaseLost
from appliance.models import Account, Attempt, Job, PostTarget
from appliance.states import AccountState, JobState, TargetState
from tasks.context import PutBack
from tasks.publish import breaker, link_variables, loading, material
from tasks.publish.answers import backoff
from tasks.publish.lease_guard import guarded
from tasks.publish.machine import LONGEST_WAIT, MAX_TRIES
from tasks.publish.publisher import (
    FIRST_COMMENT,
    Done,
    Failed,
    MustEdit,
    NeedsReconnect,
    NotThere,
    PostDraft,
    RetryAt,
    Unsure,
)
from tasks.publish.registry import capabilities_of, publisher_for
from tasks.publish.rounds import load
from tasks.publish.signing_in import sign_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.context import Context, Outcome
    from tasks.publish.publisher import Publisher, Step, Target

log = logging.getLogger(__name__)

KINDS = ("edit", "remove", "comment", "numbers")
REMOVED_THERE = "It was removed on the platform"
# So many are asked for with one sweep, so that the calls spread.
NUMBERS_AT_A_TIME = 10


def begin_after(target: PostTarget) -> None:
    """It is public by now: what follows by itself. In that transaction."""
    capabilities = capabilities_of(target.account.platform)
    if capabilities and capabilities.can_comment and _comment_of(target):
        ask("comment", target, {})


def ask(kind: str, target: PostTarget, payload: dict[str, Any]) -> Job:
    """A job of one of the kinds here; of two that aren't done yet the later wish counts.

    Raises Conflict when the earlier one is being done at this moment.
    """
    job = jobs.create(
        kind,
        f"{kind}:{target.public_id}",
        video=target.post.video,
        post=target.post,
        target=target,
        payload=payload,
    )
    if payload and job.payload != payload:
        if job.state is JobState.RUNNING:
            raise Conflict(
                "The change before this one is just being made; try again in a moment.",
                code="under_way",
            )
        merged = {**job.payload, **payload}
        Job.update(payload=merged).where(Job.id == job.id, Job.state == JobState.QUEUED).execute()
        job.payload = merged
    return job


def start_numbers() -> int:
    """Ask for the numbers that are due, a few at a time; how many. Called by the sweep."""
    if not post_numbers.is_on():
        return 0
    at = now()
    query = (
        PostTarget.select(PostTarget, Account)
        .join(Account)
        .where(
            PostTarget.state == TargetState.PUBLISHED,
            PostTarget.deleted_at.is_null(),
            PostTarget.published_at > at - post_numbers.LONGEST,
            Account.state == AccountState.CONNECTED,
        )
        .order_by(PostTarget.numbers_at, PostTarget.id)
    )
    begun = 0
    for target in query:
        capabilities = capabilities_of(target.account.platform)
        due = post_numbers.is_due(target.published_at or at, target.numbers_at, at)
        if due and capabilities and capabilities.has_numbers:
            ask("numbers", target, {})
            begun += 1
        if begun == NUMBERS_AT_A_TIME:
            break
    return begun


# The handlers


def edit(job: Job, context: Context) -> Outcome:
    """Change the texts there to ``payload``'s title and description."""
    names = ("title", "description")
    texts = {name: str(job.payload[name]) for name in names if name in job.payload}

    def change(publisher: Publisher, target: Target) -> Step:
        return publisher.edit(target)

    def draft(target: PostTarget) -> PostDraft:
        before = material.final_draft(target)
        wanted = PostDraft(
            texts.get("title", before.title),
            texts.get("description", before.description),
            before.options,
        )
        return link_variables.fill(wanted, material.urls_of(target))

    def done(target: PostTarget, step: Done) -> None:
        posts.note_target(
            target,
            "",
            overrides={**target.overrides, **texts},
            edited_at=now(),
            url=step.url or target.url,
        )
        posts.tell_target(target, "target.edited")

    return _follow(job, context, change, done, draft=draft)


def remove(job: Job, context: Context) -> Outcome:
    """Take it away from the platform."""

    def take_away(publisher: Publisher, target: Target) -> Step:
        return publisher.delete(target)

    return _follow(job, context, take_away, lambda target, step: None)


def comment(job: Job, context: Context) -> Outcome:
    """Put the first comment under it."""
    with database.connection_context():
        assert job.target is not None
        text = _comment_of(job.target)

    def say(publisher: Publisher, target: Target) -> Step:
        return publisher.comment(target, text)

    def done(target: PostTarget, step: Done) -> None:
        posts.tell_target(target, "target.commented")

    return _follow(job, context, say, done)


def fetch_numbers(job: Job, context: Context) -> Outcome:
    """Ask what the platform counts. What goes wrong waits for the next time."""
    opened = _open(job, context, None)
    if not isinstance(opened, tuple):
        return opened
    publisher, target, account = opened
    signed_in = sign_in(account, context)
    if not isinstance(signed_in, dict):
        return lambda: _keep_numbers(job, {}, account, signed_in, context)
    try:
        with guarded(context.renew):
            found = publisher.numbers(replace(target, credentials=signed_in))
    except LeaseLost:
        raise
    except Exception as exc:
        log.exception("the numbers of %s could not be asked for", target.marker)
        found = RetryAt(None, type(exc).__name__)
    if isinstance(found, dict):
        numbers = found
        return lambda: _keep_numbers(job, numbers, account, Done(""), context)
    step = found
    return lambda: _keep_numbers(job, {}, account, step, context)


def _keep_numbers(
    job: Job, numbers: dict[str, int], account: Account, step: Step, context: Context
) -> None:
    breaker.keep(account.id, step, now(), context.settings.account_pause_s)
    if isinstance(step, NeedsReconnect):
        accounts.mark_lost(Account.get_by_id(account.id), step.reason)
    target = PostTarget.get_by_id(job.target_id)
    columns: dict[str, Any] = {"numbers_at": now()}
    if numbers:
        columns["numbers"] = numbers
    if isinstance(step, NotThere):
        columns["deleted_at"] = now()
    stage = REMOVED_THERE if isinstance(step, NotThere) else target.stage
    posts.note_target(target, stage, **columns)
    if numbers:
        posts.tell_target(target, "target.numbers")


# One step, and what it means


def _follow(
    job: Job,
    context: Context,
    act: Callable[[Publisher, Target], Step],
    done: Callable[[PostTarget, Any], None],
    *,
    draft: Callable[[PostTarget], PostDraft] | None = None,
) -> Outcome:
    opened = _open(job, context, draft)
    if not isinstance(opened, tuple):
        return opened
    publisher, target, account = opened
    context.check()
    attempt = _note_attempt(job, context)
    signed_in = sign_in(account, context)
    if isinstance(signed_in, dict):
        try:
            with guarded(context.renew):
                step = act(publisher, replace(target, credentials=signed_in))
        except LeaseLost:
            raise
        except Exception as exc:
            log.exception("%s of target %s broke off", job.kind, target.marker)
            said = exc.message if isinstance(exc, ApplianceError) else type(exc).__name__
            step = RetryAt(None, f"The platform could not be asked ({said}).", repr(exc))
    else:
        step = signed_in

    def record(outcome: str) -> PostTarget:
        breaker.keep(account.id, step, now(), context.settings.account_pause_s)
        reason = getattr(step, "reason", None)
        Attempt.update(
            outcome=outcome,
            error=reason,
            detail=getattr(step, "detail", None) or None,
            ended_at=now(),
        ).where(Attempt.id == attempt).execute()
        fresh: PostTarget = PostTarget.get_by_id(job.target_id)
        return fresh

    match step:
        case Done():
            return lambda: done(record("done"), step)
        case NotThere():
            return lambda: _gone(record("gone"), wished=job.kind == "remove")
        case RetryAt() | Unsure():
            return _again(job, step, record, context)
        case NeedsReconnect():
            context.record(lambda: accounts.mark_lost(record("reconnect").account, step.reason))
            raise JobFailed(
                f"{step.reason} Connect the account again, then press Retry.",
                permanent=True,
                code="reconnect",
                detail=step.detail,
            )
        case Failed() | MustEdit():
            context.record(lambda: _say(record("refused"), job.kind, step.reason))
            raise JobFailed(step.reason, permanent=True, code=step.code, detail=step.detail)
    context.record(lambda: _say(record("refused"), job.kind, "The platform gave no answer."))
    raise JobFailed("The platform gave no answer.", permanent=True, code="no_answer")


_WHAT = {"edit": "The change", "remove": "Removing it", "comment": "The first comment"}


def _say(target: PostTarget, kind: str, reason: str) -> None:
    posts.note_target(target, f"{_WHAT.get(kind, 'It')} did not work: {reason}")


def _gone(target: PostTarget, *, wished: bool) -> None:
    stage = "Removed from the platform" if wished else REMOVED_THERE
    posts.note_target(target, stage, deleted_at=now())
    posts.tell_target(target, "target.removed")


def _again(
    job: Job,
    step: RetryAt | Unsure,
    record: Callable[[str], PostTarget],
    context: Context,
) -> Outcome:
    counted = not isinstance(step, RetryAt) or step.counted
    tries = int(job.payload.get("_tries", 0)) + counted
    if tries >= MAX_TRIES:

        def give_up() -> None:
            _say(record("gave_up"), job.kind, step.reason)
            _count(job, 0)

        context.record(give_up)
        raise JobFailed(
            f"{step.reason} It was tried {tries} times. Press Retry later.",
            permanent=True,
            code="gave_up",
            detail=step.detail,
        )
    at = now()
    named = step.when if isinstance(step, RetryAt) else None
    when = named or at + backoff(tries, random.random())

    def write() -> None:
        record("retry" if counted else "throttled")
        _count(job, tries)

    context.record(write)
    return PutBack(min(max(when, at + timedelta(seconds=1)), at + LONGEST_WAIT), step.reason)


def _count(job: Job, tries: int) -> None:
    Job.update(payload={**job.payload, "_tries": tries}).where(Job.id == job.id).execute()


def _open(
    job: Job, context: Context, draft: Callable[[PostTarget], PostDraft] | None
) -> tuple[Publisher, Target, Account] | Outcome:
    found: list[tuple[Publisher, Target, Account] | Outcome] = []

    def look() -> None:
        assert job.target_id is not None
        target = load(job.target_id)
        if target.state is not TargetState.PUBLISHED or target.deleted_at is not None:
            found.append(None)
            return
        if until := breaker.may_begin(target.account, now()):
            found.append(PutBack(until, target.account.pause_reason or ""))
            return
        publisher = publisher_for(target.account.platform, context.settings)
        texts = draft(target) if draft else None
        loaded = loading.load_target(target, target.rendition, context, draft=texts)
        found.append((publisher, loaded, target.account))

    context.record(look)
    return found[0]


def _note_attempt(job: Job, context: Context) -> int:
    made: list[int] = []

    def write() -> None:
        Attempt.update(outcome="lost", ended_at=now()).where(
            Attempt.target == job.target_id, Attempt.step == job.kind, Attempt.ended_at.is_null()
        ).execute()
        made.append(Attempt.create(target=job.target_id, step=job.kind).id)

    context.record(write)
    return made[0]


def _comment_of(target: PostTarget) -> str:
    text = material.final_draft(target).options.get(FIRST_COMMENT)
    return text.strip() if isinstance(text, str) else ""
