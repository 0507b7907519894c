"""What Instagram holds for a target: the checkpoint, read and written in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self


class Way(StrEnum):
    """How the video gets there. Each is the next try after Instagram couldn't fetch."""

    URL = "url"
    BYTES = "bytes"
    BYTES_ALONE = "bytes_alone"  # and no address for the cover either

    @property
    def next(self) -> Way | None:
        ways = list(Way)
        after = ways.index(self) + 1
        return ways[after] if after < len(ways) else None


@dataclass(frozen=True)
class Held:
    """``container`` None: one was asked for, and its id never came. ``began_at``: before that
    call, so that its 24 hours end rather too early by our count. ``publishing_at``: before the
    last call that publishes; from then on it may be public. ``media``: it is, under this id.
    """

    container: str | None = None
    way: Way = Way.URL
    made: int = 0  # containers made for the same wish, of those that went wrong
    uri: str = ""  # where its bytes go, as Instagram named it
    sent: bool = False  # the bytes are there
    began_at: datetime | None = None
    fingerprint: str = ""  # of what the container has fixed
    publishing_at: datetime | None = None
    media: str | None = None

    @classmethod
    def of(cls, checkpoint: dict[str, Any]) -> Self:
        """What isn't known is left out: an older version may have written it."""
        known = {name: checkpoint[name] for name in cls.__dataclass_fields__ if name in checkpoint}
        for name in ("began_at", "publishing_at"):
            if known.get(name) is not None:
                known[name] = datetime.fromisoformat(known[name])
        if "way" in known:
            known["way"] = Way(known["way"])
        return cls(**known)

    def checkpoint(self) -> dict[str, Any]:
        columns = asdict(self)
        for name in ("began_at", "publishing_at"):
            if columns[name] is not None:
                columns[name] = columns[name].isoformat()
        return {**columns, "way": self.way.value}
