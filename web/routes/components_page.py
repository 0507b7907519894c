"""All components in every state, to look at while working on them; development only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.response import Template

from appliance.clock import now
from appliance.errors import NotFound
from appliance.models import Role
from appliance.states import VideoState
from web import progress, words
from web.auth import needs, principal
from web.progress import Progress
from web.rows import Sender, VideoCard


@get("/_ui", opt=needs(Role.VIEWER), sync_to_thread=False, include_in_schema=False)
def components(request: Request[Any, Any, State]) -> Template:
    principal(request)
    if not request.app.state.settings.development:
        raise NotFound("There is nothing at this address. It may have been moved or deleted.")
    return Template("ui/page.html", context={"badges": words.all_badges(), "cards": _cards()})


def _cards() -> list[VideoCard]:
    """One card in each state; none of them exists."""
    return [
        _card("a", "Harbour at dawn", VideoState.UPLOADING, Progress(0.61, "61 %")),
        _card("b", "Interview", VideoState.RECEIVED, Progress(None, "3rd in line")),
        _card(
            "c", "Autumn market", VideoState.PROCESSING, Progress(0.42, "42 %, about 3 min left")
        ),
        _card("d", "Bread, step by step", VideoState.READY, None),
        _card("e", "Notes", VideoState.FAILED, None, problem="This file is no video."),
        _card("f", "A very long title that wraps and wraps " * 4, VideoState.READY, None),
    ]


def _card(
    id: str, title: str, state: VideoState, part: Progress | None, *, problem: str = ""
) -> VideoCard:
    return VideoCard(
        id=f"sample-{id}",
        title=title,
        state=state,
        badge=progress.badge(state, part),
        progress=part,
        poster="",
        duration_s=734.0 if state is VideoState.READY else None,
        created_at=now() - timedelta(minutes=5),
        deleted_at=None,
        owner="Ada",
        sender=Sender("Anna", "", "Send us your clip") if id == "d" else None,
        tags=["party", "summer 2026"] if id == "d" else [],
        private=False,
        outlook="No re-encoding needed." if state is VideoState.UPLOADING else "",
        problem=problem,
        remedy="upload" if problem else "",
        may_change=True,
        may_delete=True,
    )
