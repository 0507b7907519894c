"""The page on which a screen is recorded; all of it happens in the browser."""

from __future__ import annotations

from litestar import get
from litestar.response import Template

from appliance.models import Role
from web.auth import needs


@get("/record", opt=needs(Role.EDITOR), sync_to_thread=False, include_in_schema=False)
def record() -> Template:
    return Template("record/page.html")
