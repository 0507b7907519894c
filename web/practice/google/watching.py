"""Addresses of videos, in YouTube's two shapes; the page itself is web/practice's own."""

from __future__ import annotations

from urllib.parse import quote

from litestar import get
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from appliance.access import Scope
from appliance.models import Role
from web.auth import needs

SEE = needs(Role.VIEWER, Scope.READ)


@get("/watch", opt=SEE, sync_to_thread=False, include_in_schema=False)
def watch(v: FromQuery[str] = "") -> Redirect:
    return _to_page(v)


@get("/shorts/{video_id:str}", opt=SEE, sync_to_thread=False, include_in_schema=False)
def watch_short(video_id: FromPath[str]) -> Redirect:
    return _to_page(video_id)


def _to_page(video_id: str) -> Redirect:
    return Redirect(f"/practice/of/youtube/{quote(video_id, safe='')}", status_code=303)
