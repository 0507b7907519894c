"""Many scheduled posts that come due within one minute, while somebody looks at pages.

Over accounts whose platforms have allowances: as many as fit into what each may still do, the rest
as videos of a Page, which have none; and a few more than fit, which have to wait and say until
when. Or all to the plain practice platform, which has no allowance: that measures the ledger alone.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from appliance.models import Account, Job, Post, PostTarget, PublicLink
from appliance.states import JobState, TargetState
from benchmarks.box import read, wait_for
from benchmarks.starvation import p95
from tasks.publish import budgets
from web.practice.ground import Ground

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.models import Video
    from appliance.settings import Settings
    from benchmarks.publish import Visitor

GOAL_PAGES_MS = 100.0
LONGEST_S = 1800
ENDED = (TargetState.PUBLISHED, TargetState.FAILED, TargetState.NEEDS_PERSON)
TITLE = "Film "


@dataclass(frozen=True)
class Share:
    """So many of the crowd go to one account, as ``options`` say; ``beyond`` of them don't fit into
    its allowances today."""

    platform: str
    account: str
    count: int
    options: dict[str, Any]
    beyond: int = 0


def shares_of(accounts: dict[str, str], count: int, beyond: int) -> list[Share]:
    """``count`` posts over the stand-ins of YouTube, Facebook and Instagram, and ``beyond`` more to
    each account that has allowances."""
    left, shares = count, []
    kinds: dict[str, dict[str, Any]] = {
        "youtube": {},
        "instagram": {},
        "facebook": {"kind": "reel"},
    }
    for number, (platform, options) in enumerate(kinds.items()):
        room = read(partial(posts_left, accounts[platform]))
        # Never more than a fair share, so that small crowds go everywhere, too.
        fits = min(room, left // (len(kinds) - number + 1))
        more = beyond if fits == room else 0
        shares.append(Share(platform, accounts[platform], fits + more, options, more))
        left -= fits
    return [*shares, Share("facebook", accounts["facebook"], left, {"kind": "video"})]


def posts_left(account: str) -> int:
    return min(use.posts_left for use in budgets.usage(Account.get(Account.public_id == account)))


def rush(visitor: Visitor, settings: Settings, video: Video, shares: list[Share]) -> None:
    """All of ``shares`` within one minute; how late they were, and how quick pages stayed."""
    read(lambda: Account.update(stage_ahead=False).execute())
    idle = [visitor.page("/posts") for _ in range(50)]
    wishes = _mixed(shares)
    count = len(wishes)
    first = now() + timedelta(seconds=30 + count * 0.25)
    for number, share in enumerate(wishes):
        _schedule(visitor, video, share, number, first + timedelta(seconds=60.0 * number / count))
    if now() > first:
        raise SystemExit("The posts could not be made before their time; nothing was measured.")
    wait_for(lambda: now() >= first, seconds=600)
    began_s, pages = time.perf_counter(), []
    while read(_on_their_way):
        pages.append(visitor.page("/posts"))
        time.sleep(0.2)
        if time.perf_counter() - began_s > LONGEST_S:
            raise SystemExit(f"It took too long: {read(_left)}")
    took_s = time.perf_counter() - began_s
    read(lambda: _tell(settings, shares, count, took_s))
    quick = "yes" if p95(pages) < GOAL_PAGES_MS else "NO"
    print(f"  /posts: idle p95 {p95(idle):.0f} ms, meanwhile p95 {p95(pages):.0f} ms")
    print(f"  under {GOAL_PAGES_MS:.0f} ms: {quick}; load {os.getloadavg()[0]:.1f}")


def _mixed(shares: list[Share]) -> list[Share]:
    """One entry for each post, those of one account spread over the minute."""
    spread = [
        ((number + 0.5) / share.count, index, share)
        for index, share in enumerate(shares)
        for number in range(share.count)
    ]
    return [share for _, _, share in sorted(spread, key=lambda each: each[:2])]


def _schedule(visitor: Visitor, video: Video, share: Share, number: int, at: datetime) -> None:
    body = {
        "video_id": video.public_id,
        "accounts": [share.account],
        "title": f"{TITLE}{number}",
        "description": f"{TITLE}{number}",
        "publish_at": at.isoformat(),
        "options": share.options,
        "again": True,  # one film, often to the same account
    }
    visitor.call("POST", "/api/v1/posts", body)


def _crowd(*also: Any) -> Any:
    return (
        PostTarget.select(PostTarget, Post, Account)
        .join(Post)
        .switch(PostTarget)
        .join(Account)
        .where(Post.title.startswith(TITLE), *also)
    )


def _waits_for_allowance(target: PostTarget) -> bool:
    """Also one that others were faster than after it was brought there."""
    unseen = target.state in (TargetState.WAITING, TargetState.STAGED)
    return unseen and "is used up" in target.stage


def _on_their_way() -> int:
    open_ones = list(_crowd(PostTarget.state.not_in(list(ENDED))))
    return sum(not _waits_for_allowance(target) for target in open_ones)


def _left() -> Counter[str]:
    """What the others wait for."""
    open_ones = _crowd(PostTarget.state.not_in(list(ENDED)))
    return Counter(f"{t.account.platform} {t.state}: {t.stage}" for t in open_ones)


def _tell(settings: Settings, shares: list[Share], count: int, took_s: float) -> None:
    targets = list(_crowd())
    out = [target for target in targets if target.state is TargetState.PUBLISHED]
    waiting = [target for target in targets if _waits_for_allowance(target)]
    late = [(t.published_at - t.post.publish_at).total_seconds() for t in out]
    wished = sum(share.beyond for share in shares)
    print(f"{count} posts due in one minute: {len(out)} out after {took_s:.0f} s")
    print(f"  late: median {statistics.median(late):.1f} s, p95 {p95(late):.1f} s; "
          f"early: {sum(each < 0 for each in late)}")  # fmt: skip
    print(f"  wait for an allowance: {len(waiting)} ({wished} more than fit); each has its job: "
          f"{'yes' if all(_goes_on_by_itself(t) for t in waiting) else 'NO'}")  # fmt: skip
    print(f"  lost: {count - len(out) - len(waiting)}; there twice: {_twice(settings, out)}; "
          f"public links left: {_links_left()}")  # fmt: skip
    for account in {share.account for share in shares}:
        _tell_allowances(Account.get(Account.public_id == account))


def _goes_on_by_itself(target: PostTarget) -> bool:
    """It has a job, for its time or just looking again."""
    live = Job.select().where(
        Job.target == target, Job.state.in_([JobState.QUEUED, JobState.RUNNING])
    )
    return bool(live.exists())


def _twice(settings: Settings, out: list[PostTarget]) -> int:
    """Films that are on a stand-in more often than they were posted there, by its own list."""
    google, meta = (Ground(settings.data / "practice", name) for name in ("google", "meta"))
    there = Counter(("youtube", video["snippet"]["title"]) for video in google.all("video"))
    there += Counter(("facebook", video["title"]) for video in meta.all("video"))
    there += Counter(("instagram", reel["caption"]) for reel in meta.all("ig_container"))
    mine = Counter((target.account.platform, target.post.title) for target in out)
    return sum(there[film] > posted for film, posted in mine.items())


def _links_left() -> int:
    return int(PublicLink.select().where(PublicLink.revoked_at.is_null()).count())


def _tell_allowances(account: Account) -> None:
    for use in budgets.usage(account):
        kept = "within it" if use.used <= use.limit else "OVER IT"
        print(f"  {account.platform}, {use.label}: {use.used} of {use.limit}, {kept}")
