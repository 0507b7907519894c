"""One target, and the way to talk to Instagram about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.clock import now
from tasks.publish.publishers.instagram.pace import PRACTICE, REAL, Pace

if TYPE_CHECKING:
    from datetime import datetime

    from tasks.publish.graph import Graph
    from tasks.publish.publisher import Target
    from tasks.publish.publishers.instagram.held import Held


@dataclass(frozen=True)
class Talk:
    target: Target
    graph: Graph

    @property
    def pace(self) -> Pace:
        return PRACTICE if self.target.practice else REAL

    def next_look(self, held: Held) -> datetime:
        at = now()
        return self.pace.next_look(held.publishing_at or held.began_at or at, at)
