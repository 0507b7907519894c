"""What the API says of a video's readiness; kept stable, because scripts rely on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.publish import outlook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.models import Video
    from tasks.publish.outlook import Outlook


@dataclass(frozen=True)
class FixShape:
    """``name``: what to send to have it so: "version:vertical" is the option ``version`` with the
    value ``vertical``; "text:description:shorten" is a text that the post form mends."""

    name: str
    label: str


@dataclass(frozen=True)
class ReadinessFinding:
    level: str
    """ready (good to know), fixed (before it goes out), change (somebody has to)."""
    field: str
    code: str
    message: str
    fixes: list[FixShape]


@dataclass(frozen=True)
class AccountReadiness:
    account: str
    account_name: str
    platform: str
    status: str
    """ready, fixed, change: the worst of the findings."""
    version: str
    """The rendition that goes out; "" for the original, or none."""
    form: str
    """What it becomes there, where there is a choice: "a reel"."""
    versions: list[str]
    """What could go out instead, as the option ``version``."""
    findings: list[ReadinessFinding]


@dataclass(frozen=True)
class VideoReadiness:
    video_id: str
    status: str
    items: list[AccountReadiness]


def load_readiness(video: Video, found: Sequence[Outlook]) -> VideoReadiness:
    return VideoReadiness(
        video_id=video.public_id,
        status=outlook.worst(found),
        items=[_load(one) for one in found],
    )


def _load(one: Outlook) -> AccountReadiness:
    found = one.readiness
    return AccountReadiness(
        account=one.account.public_id,
        account_name=one.account.name,
        platform=one.account.platform,
        status=found.level,
        version=found.profile,
        form=found.form,
        versions=list(one.versions),
        findings=[
            ReadinessFinding(
                level=item.level,
                field=item.field,
                code=item.code,
                message=item.message,
                fixes=[FixShape(fix.name, fix.label) for fix in item.fixes],
            )
            for item in found.items
        ],
    )
