"""The list of posts: what its address asks for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from appliance import access, post_history
from appliance.ids import is_id
from appliance.models import Post
from appliance.post_history import Filters
from appliance.states import PostState, TargetState
from web.posting_words import platform_name

if TYPE_CHECKING:
    from peewee import ModelSelect

    from appliance.models import User

PAGE = 30

# What a tab shows: states of the post, and those of an account of it.
SHOWN: dict[str, tuple[tuple[PostState, ...], tuple[TargetState, ...]]] = {
    "": ((), ()),
    "draft": ((PostState.DRAFT,), ()),
    "scheduled": ((PostState.SCHEDULED,), ()),
    "posting": ((PostState.PENDING, PostState.PROCESSING), ()),
    "posted": ((), (TargetState.PUBLISHED,)),
    "failed": ((), (TargetState.FAILED, TargetState.NEEDS_PERSON)),
    "cancelled": ((PostState.CANCELLED,), ()),
}


@dataclass(frozen=True)
class WantedPosts:
    """Unknown words fall back to the first choice. ``since`` and ``until``: days, both included,
    by the clocks of who looks; "" when none, or none that a calendar knows."""

    show: str = ""
    platform: str = ""
    account: str = ""
    author: str = ""
    words: str = ""
    since: str = ""
    until: str = ""
    before: str = ""

    @classmethod
    def of(cls, **asked: str) -> WantedPosts:
        """From the fields of an address (``q`` are the words)."""
        show, platform = asked.get("show", ""), asked.get("platform", "")
        ids = {name: asked.get(name, "") for name in ("account", "author", "before")}
        return cls(
            show=show if show in SHOWN else "",
            platform=platform if platform.isascii() and platform.isidentifier() else "",
            words=" ".join(asked.get("q", "").split())[:200],
            since=_day(asked.get("since", "")),
            until=_day(asked.get("until", "")),
            **{name: value if is_id(value) else "" for name, value in ids.items()},
        )

    @property
    def narrowed(self) -> bool:
        """By more than the tab."""
        return replace(self, show="", before="") != WantedPosts()

    @property
    def folded_used(self) -> bool:
        """By what is folded away below the words."""
        return bool(self.platform or self.account or self.author or self.since or self.until)

    def url(self, path: str = "/posts", **changes: str) -> str:
        """The address with other choices; from its beginning, unless ``before`` is given."""
        named = asdict(replace(self, **{"before": "", **changes}))
        named = {"q" if name == "words" else name: value for name, value in named.items()}
        query = urlencode({name: value for name, value in named.items() if value})
        return f"{path}?{query}" if query else path

    def filters(self, zone: str) -> Filters:
        states, target_states = SHOWN[self.show]
        return Filters(
            states=states,
            target_states=target_states,
            platform=self.platform,
            account=self.account,
            author=self.author,
            words=self.words,
            since=_midnight(self.since, zone),
            until=_midnight(self.until, zone, days=1),
        )


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _midnight(day: str, zone: str, *, days: int = 0) -> datetime | None:
    """When a day begins by the clocks of ``zone``; ``days`` later ones."""
    if not day:
        return None
    try:
        local = datetime.combine(date.fromisoformat(day) + timedelta(days=days), time())
        return local.replace(tzinfo=ZoneInfo(zone))
    except OverflowError:  # the last day of all
        return None


def load_page(user: User, wanted: WantedPosts) -> tuple[list[Post], str]:
    """The posts of one page, the newest first, and the address of the next; "" at the end."""
    query = found(user, wanted)
    if wanted.before:
        query = query.where(Post.public_id < wanted.before)  # ids sort by the time of making
    rows = list(query.order_by(Post.public_id.desc()).limit(PAGE + 1))
    more = wanted.url(before=rows[PAGE - 1].public_id) if len(rows) > PAGE else ""
    return rows[:PAGE], more


def found(user: User, wanted: WantedPosts) -> ModelSelect[Post]:
    return post_history.narrow(access.visible_posts(user), wanted.filters(user.time_zone))


@dataclass(frozen=True)
class Menus:
    """(value, words) of what can be chosen."""

    platforms: list[tuple[str, str]]
    accounts: list[tuple[str, str]]
    authors: list[tuple[str, str]]


def load_menus(user: User) -> Menus:
    """Of the posts that this person may see, whatever is shown now."""
    everything = access.visible_posts(user)
    accounts = post_history.accounts_posted_to(everything)
    platforms = sorted({account.platform for account in accounts})
    return Menus(
        platforms=[(name, platform_name(name)) for name in platforms],
        accounts=[(a.public_id, f"{a.name} ({platform_name(a.platform)})") for a in accounts],
        authors=[(u.public_id, u.name or u.email) for u in post_history.authors_of(everything)],
    )
