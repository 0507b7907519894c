"""The library's list: what the address asks for, and the videos that answer it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from peewee import SQL, fn

from appliance import access, guest_links, tags, videos
from appliance.ids import is_id
from appliance.models import Rendition, Video
from appliance.states import VideoState
from tasks import profile_choices
from web.words import _

if TYPE_CHECKING:
    from peewee import ModelSelect

    from appliance.models import User

PAGE = 24

FILTERS: dict[str, tuple[VideoState, ...]] = {
    "": tuple(state for state in VideoState if state is not VideoState.TRASHED),
    "processing": (VideoState.UPLOADING, VideoState.RECEIVED, VideoState.PROCESSING),
    "ready": (VideoState.READY,),
    "failed": (VideoState.FAILED,),
    "bin": (VideoState.TRASHED,),
    "stale": (),  # whatever its state, a version of it is older than the settings
}
SORTS = ("newest", "oldest", "title", "longest")


@dataclass(frozen=True)
class Wanted:
    """What the address of the library says. Unknown words fall back to the first choice."""

    words: str = ""
    state: str = ""
    sort: str = "newest"
    view: str = "grid"
    after: str = ""
    tag: str = ""
    link: str = ""
    """A guest link's id: what was sent by it."""

    @classmethod
    def of(
        cls,
        words: str,
        state: str,
        sort: str,
        view: str,
        after: str,
        tag: str = "",
        link: str = "",
    ) -> Wanted:
        return cls(
            words=words.strip()[:200],
            state=state if state in FILTERS else "",
            sort=sort if sort in SORTS else "newest",
            view="list" if view == "list" else "grid",
            after=after,
            tag=tag.strip()[:100],
            link=link if is_id(link) else "",
        )

    def url(self, **changes: str) -> str:
        """The library's address with other choices; what is the first choice isn't written."""
        other = replace(self, after="", **{k: v for k, v in changes.items() if k != "after"})
        named = {
            "q": other.words,
            "show": other.state,
            "sort": "" if other.sort == "newest" else other.sort,
            "view": "" if other.view == "grid" else other.view,
            "tag": other.tag,
            "link": other.link,
            "after": changes.get("after", ""),
        }
        query = urlencode({name: value for name, value in named.items() if value})
        return f"/?{query}" if query else "/"

    @property
    def narrowed(self) -> bool:
        return bool(self.words or self.state or self.tag or self.link)


# Nobody counts further by eye, and counting takes time: a millisecond for so many, or for so many
# that words were searched for.
COUNTED, FOUND = 10_000, 1_000
# Of what words find, the latest: nearly always enough for a first page.
LATEST = 500


@dataclass(frozen=True)
class Tab:
    """``more``: ``count`` is as far as was counted."""

    label: str
    url: str
    count: int
    more: bool
    current: bool


def load_tabs(user: User, wanted: Wanted) -> list[Tab]:
    """The filters with how many videos each shows (for the words searched for)."""
    by_state, most = _count_by_state(user, wanted)
    labels = {
        "": _("All"),
        "processing": _("Processing"),
        "ready": _("Ready"),
        "failed": _("Failed"),
    }
    tabs = []
    for name, label in labels.items():
        count = sum(by_state.get(state, 0) for state in FILTERS[name])
        tabs.append(
            Tab(label, wanted.url(state=name), min(count, most), count > most, wanted.state == name)
        )
    # Only worth a look while there is something to be made anew; not what a search would find.
    current = wanted.state == "stale"
    stale = 0 if wanted.words and not current else _count_stale(user, wanted)
    if stale or current:
        url = wanted.url(state="stale")
        tabs.append(Tab(_("Older settings"), url, min(stale, FOUND), stale > FOUND, current))
    return tabs


def _count_stale(user: User, wanted: Wanted) -> int:
    """How many videos have a version made by other settings than today's, as far as is counted.

    After an upgrade that may be all of them: each range of an index is read no further than that.
    """
    some = profile_choices.some_stale(FOUND + 1)
    if not some:
        return 0
    seen = access.visible_videos(user).where(Video.id.in_(sorted(some)[: 4 * FOUND]))
    return int(_narrowed(seen, wanted).limit(FOUND + 1).count())


def stale_videos() -> ModelSelect[Rendition]:
    """The numbers of videos with a version made by other settings than today's."""
    return Rendition.select(Rendition.video).where(profile_choices.stale_condition())


def _count_by_state(user: User, wanted: Wanted) -> tuple[dict[VideoState, int], int]:
    """How many videos there are in each state, and how far at most each was counted."""
    everything = access.visible_videos(user)
    if wanted.words or wanted.tag or wanted.link:
        counts = _count_narrowed(everything, wanted, newest=FOUND + 1)
        if sum(counts.values()) <= FOUND:
            counts = _count_narrowed(everything, wanted)
        return counts, FOUND
    return {
        state: everything.where(Video.state == state).limit(COUNTED + 1).count()
        for state in FILTERS[""]
    }, COUNTED


def _count_narrowed(
    everything: ModelSelect[Video], wanted: Wanted, *, newest: int | None = None
) -> dict[VideoState, int]:
    found = _narrowed(everything, wanted, newest=newest).select(Video.state).limit(FOUND + 1)
    counted = found.select_from(found.c.state, fn.COUNT(SQL("*"))).group_by(found.c.state)
    rows: Any = counted.tuples()
    return {VideoState(state): count for state, count in rows}


def _narrowed(
    query: ModelSelect[Video], wanted: Wanted, *, newest: int | None = None
) -> ModelSelect[Video]:
    """By words (of the ``newest`` only), tag and link; the state is for the tabs."""
    query = tags.narrow(videos.search(query, wanted.words, newest=newest), wanted.tag)
    return guest_links.narrow(query, wanted.link) if wanted.link else query


def count_bin(user: User) -> int:
    return int(access.visible_videos(user, trashed=True).count())


def load_page(user: User, wanted: Wanted) -> tuple[list[Video], str]:
    """The videos of one page, and the cursor of the next; "" when it was the last."""
    rows: list[Video] = []
    if wanted.words and wanted.sort == "newest":
        rows = _load_rows(user, wanted, newest=LATEST)
    if len(rows) <= PAGE:
        rows = _load_rows(user, wanted)
    if len(rows) <= PAGE:
        return rows, ""
    rows = rows[:PAGE]
    return rows, _cursor(rows[-1], wanted.sort)


def _load_rows(user: User, wanted: Wanted, *, newest: int | None = None) -> list[Video]:
    """Those of the page, and one more if there is a next."""
    everything = access.visible_videos(user, trashed=wanted.state == "bin")
    query = _narrowed(everything, wanted, newest=newest)
    if wanted.state == "stale":
        query = query.where(Video.id.in_(stale_videos()))
    elif wanted.state:  # else the order's own index is the way, which a condition would hide
        query = query.where(Video.state.in_(FILTERS[wanted.state]))
    return list(_ordered(query, wanted).limit(PAGE + 1))


def _sort_key(sort: str) -> Any:
    """What is compared first; the row's number decides between equals."""
    if sort == "title":
        return fn.LOWER(Video.title)
    # Word for word as in its index: a parameter would not be recognised.
    return fn.IFNULL(Video.duration_s, SQL("0.0")) if sort == "longest" else None


def _ordered(query: ModelSelect[Video], wanted: Wanted) -> ModelSelect[Video]:
    at = _read_cursor(wanted.after, wanted.sort)
    if wanted.sort in ("newest", "oldest"):
        down = wanted.sort == "newest"
        if at is not None:
            query = query.where(Video.id < at[1] if down else Video.id > at[1])
        return query.order_by(Video.id.desc() if down else Video.id)
    key = _sort_key(wanted.sort)
    down = wanted.sort == "longest"
    if at is not None:
        value, number = at
        further = key < value if down else key > value
        query = query.where(further | ((key == value) & (Video.id < number)))
    return query.order_by(key.desc() if down else key, Video.id.desc())


def _cursor(video: Video, sort: str) -> str:
    # SQLite's LOWER knows ASCII alone; the cursor must compare like it.
    title = "".join(ch.lower() if ch.isascii() else ch for ch in video.title)
    value: Any = {"title": title, "longest": video.duration_s or 0.0}.get(sort)
    packed = json.dumps([sort, value, video.id], ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _read_cursor(text: str, sort: str) -> tuple[Any, int] | None:
    """None for none, and for one that isn't ours: the list then starts at its beginning."""
    if not text or len(text) > 2000:
        return None
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        made_for, value, number = json.loads(packed)
    except (ValueError, TypeError):
        return None
    if made_for != sort or type(number) is not int:
        return None
    if sort == "title" and not isinstance(value, str):
        return None
    if sort == "longest" and not isinstance(value, int | float):
        return None
    return value, number
