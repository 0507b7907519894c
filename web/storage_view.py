"""What the Storage page and its API say, in one shape for both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance import access
from appliance.models import Video
from appliance.retention import Originals, Policy, policy_of
from storage import usage
from tasks import retention, tidy
from web import words
from web.words import _

if TYPE_CHECKING:
    from appliance.models import User
    from appliance.settings import Settings
    from storage.layout import Layout

BIGGEST = 10
SORTS = ("all", "original", "versions")
PART_NAMES = {
    "original": "Originals",
    "posters": "Posters",
    "bin": "Bin",
    "uploads": "Uploads under way",
    "work": "Work in progress",
    "database": "Database",
    "backups": "Backups",
}
PROBLEMS = {
    "missing": "is missing from the disk",
    "size": "has another size than it should",
    "content": "has changed on the disk",
}


@dataclass(frozen=True)
class PartShape:
    """``name`` is stable; ``label`` is for people. ``count``: files."""

    name: str
    label: str
    count: int
    size_bytes: int


@dataclass(frozen=True)
class PolicyShape:
    """``count`` and ``size_bytes``: what it would remove at this moment; ``spared``: originals that
    are old enough and stay, because something may need them."""

    kind: str
    after_days: int
    count: int
    size_bytes: int
    spared: int


@dataclass(frozen=True)
class DamagedShape:
    """``file``: "original", or the profile of a version. ``problem``: missing, size or content."""

    video_id: str
    title: str
    file: str
    problem: str
    sentence: str
    mending: bool
    found_at: datetime


@dataclass(frozen=True)
class BigVideo:
    video_id: str
    title: str
    original_bytes: int
    versions_bytes: int

    @property
    def all_bytes(self) -> int:
        return self.original_bytes + self.versions_bytes


@dataclass(frozen=True)
class VerifyShape:
    """``finished_at`` null while it goes on; ``wrong``: files that are not what they were."""

    started_at: datetime
    finished_at: datetime | None
    files: int
    bytes: int
    of_bytes: int
    wrong: int


@dataclass(frozen=True)
class StorageShape:
    """All in bytes. ``owed_bytes``: what open uploads still have to bring; ``coming_bytes``: what
    jobs in line will leave, about; ``budget_bytes`` null: no limit but the disk's."""

    total_bytes: int
    free_bytes: int
    reserve_bytes: int
    budget_bytes: int | None
    videos_bytes: int
    owed_bytes: int
    coming_bytes: int
    free_for_uploads_bytes: int
    nearly_full: bool
    parts: list[PartShape]
    orphans: int
    orphans_bytes: int
    policy: PolicyShape
    policy_fixed: bool
    policies: list[PolicyShape]
    trash_days: float
    damaged: list[DamagedShape]
    looked_at: datetime | None
    verified: VerifyShape | None
    biggest: list[BigVideo]


def load(
    user: User,
    settings: Settings,
    layout: Layout,
    *,
    after_days: int | None = None,
    sort: str = "all",
    whole: bool = True,
) -> StorageShape:
    """``after_days``: for which the policies are counted; None: as chosen. ``whole``: with what
    takes a look at each video, the policies and the biggest. Wants a connection."""
    stock = usage.take_stock(settings, layout)
    chosen = policy_of(settings)
    days = chosen.policy.after_days if after_days is None else after_days
    counted = {policy.kind: policy for policy in count_all(days)} if whole else {}
    holds = counted.get(chosen.policy.kind) if chosen.policy.after_days == days else None
    if not whole:
        holds = PolicyShape(chosen.policy.kind.value, chosen.policy.after_days, 0, 0, 0)
    return StorageShape(
        total_bytes=stock.total_bytes,
        free_bytes=stock.room.free,
        reserve_bytes=stock.room.reserve,
        budget_bytes=stock.room.budget,
        videos_bytes=stock.videos_bytes,
        owed_bytes=stock.room.owed,
        coming_bytes=stock.room.coming,
        free_for_uploads_bytes=max(0, stock.room.for_uploads),
        nearly_full=stock.nearly_full,
        parts=[_part(part) for part in stock.parts],
        orphans=stock.orphans.files,
        orphans_bytes=stock.orphans.size_bytes,
        policy=holds or count(chosen.policy),
        policy_fixed=chosen.fixed,
        policies=list(counted.values()),
        trash_days=settings.trash_days,
        damaged=damaged(user),
        looked_at=stock.looked_at,
        verified=_verified(),
        biggest=biggest(user, sort) if whole else [],
    )


def biggest(user: User, sort: str) -> list[BigVideo]:
    by = sort if sort in SORTS else "all"
    return [
        BigVideo(video.public_id, video.title, original, versions)
        for video, original, versions in usage.biggest(access.visible_videos(user), BIGGEST, by=by)
    ]


def count_all(after_days: int) -> list[PolicyShape]:
    """What each policy would remove at this moment, for so many days."""
    return [count(Policy(kind, after_days)) for kind in Originals]


def _part(part: usage.Part) -> PartShape:
    label = PART_NAMES.get(part.name) or words.profile_name(part.name)
    return PartShape(part.name, _(label), part.count, part.size_bytes)


def count(policy: Policy) -> PolicyShape:
    freed = retention.would_free(policy)
    return PolicyShape(
        policy.kind.value, policy.after_days, freed.count, freed.size_bytes, freed.spared
    )


def damaged(user: User, video: Video | None = None) -> list[DamagedShape]:
    """Of all videos that ``user`` may see, the bin included; or of one."""
    places = [access.visible_videos(user), access.visible_videos(user, trashed=True)]
    if video is not None:
        places = [place.where(Video.id == video.id) for place in places]
    return [
        DamagedShape(
            row.video_id,
            row.title,
            row.name,
            row.problem,
            damage_sentence(row.name, row.problem, mending=row.mending),
            row.mending,
            row.found_at,
        )
        for place in places
        for row in usage.damaged_files(place)
    ]


def damage_sentence(name: str, problem: str, *, mending: bool) -> str:
    """What is wrong with a file, and what follows."""
    is_original = name == "original"
    what = (
        _("The original")
        if is_original
        else _("The version “{name}”", name=words.profile_name(name))
    )
    wrong = _(PROBLEMS[problem])
    if mending:
        return _("{what} {wrong}. It is being made anew.", what=what, wrong=wrong)
    if is_original:
        return _(
            "{what} {wrong}. The versions that were made of it still work. Put the file back from "
            "a backup, or upload the video again.",
            what=what,
            wrong=wrong,
        )
    if problem == "missing":
        return _(
            "{what} {wrong}, and there is no original to make it of. Put the file back from a "
            "backup, or upload the video again.",
            what=what,
            wrong=wrong,
        )
    return _(
        "{what} {wrong}, and there is no original to make it of. It stays as it is, and may have "
        "faults. Put the file back from a backup, or upload the video again.",
        what=what,
        wrong=wrong,
    )


def _verified() -> VerifyShape | None:
    found: dict[str, Any] = tidy.verified()
    if not found.get("started_at"):
        return None
    finished = found.get("finished_at")
    return VerifyShape(
        started_at=datetime.fromisoformat(found["started_at"]),
        finished_at=datetime.fromisoformat(finished) if finished else None,
        files=found["files"],
        bytes=found["bytes"],
        of_bytes=found["of_bytes"],
        wrong=found["wrong"],
    )
