"""The stand-in of Meta, put together: which edges there are, and the way to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import anyio.to_thread
from litestar import HttpMethod, Request, Response, Router, get, route
from litestar.datastructures import State, UploadFile
from litestar.params import FromPath
from litestar.response import Redirect

from appliance.models import Role
from web.auth import needs
from web.practice.meta import instagram, instagram_bytes, oauth, rupload, uploads, videos
from web.practice.meta.meta import MAX_FORM_BYTES, OPT, VERSION, Call, Edges, Meta, meta_of
from web.practice.meta.people import look_up
from web.practice.meta.refusal import Refusal, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.settings import Settings
    from web.practice.meta.meta import AnyRequest

EDGES: Edges = {**oauth.EDGES, **uploads.EDGES, **videos.EDGES, **instagram.EDGES}
SEE = needs(Role.VIEWER)
_METHODS = [HttpMethod.GET, HttpMethod.POST, HttpMethod.DELETE]


def make_meta(settings: Settings, listen: str) -> Meta:
    meta = Meta(settings, listen)
    instagram.join(meta)
    return meta


def meta_router() -> Router:
    """Everything below ``/practice/meta``."""
    return Router(
        "/meta",
        route_handlers=[
            oauth.ask_for_consent,
            oauth.give_token,
            oauth.debug_token,
            rupload.take_bytes,
            instagram_bytes.take_bytes,
            show_reel,
            show_video,
            node,
            edge,
        ],
    )


@get("/reel/{id:str}", opt=SEE, sync_to_thread=True, include_in_schema=False)
def show_reel(request: Request[Any, Any, State], id: FromPath[str]) -> Redirect:
    """Where a link to a Reel leads, of Facebook or of Instagram."""
    ours = meta_of(request).ground.get("video", id) is not None
    return Redirect(f"/practice/of/{'facebook' if ours else 'instagram'}/{id}", status_code=302)


@get("/watch/{id:str}", opt=SEE, sync_to_thread=True, include_in_schema=False)
def show_video(request: Request[Any, Any, State], id: FromPath[str]) -> Redirect:
    return Redirect(f"/practice/of/facebook/{id}", status_code=302)


@route(
    "/{version:str}/{node_id:str}",
    http_method=_METHODS,
    opt=OPT,
    status_code=200,
    include_in_schema=False,
    request_max_body_size=MAX_FORM_BYTES,
)
async def node(
    request: Request[Any, Any, State], version: FromPath[str], node_id: FromPath[str]
) -> Response[Any]:
    return await _dispatch(request, version, node_id, "")


@route(
    "/{version:str}/{node_id:str}/{edge_name:str}",
    http_method=_METHODS,
    opt=OPT,
    status_code=200,
    include_in_schema=False,
    request_max_body_size=MAX_FORM_BYTES,
)
async def edge(
    request: Request[Any, Any, State],
    version: FromPath[str],
    node_id: FromPath[str],
    edge_name: FromPath[str],
) -> Response[Any]:
    return await _dispatch(request, version, node_id, edge_name)


async def _dispatch(
    request: AnyRequest, version: str, node_id: str, edge_name: str
) -> Response[Any]:
    # Nobody's bodies are read.
    caller = await anyio.to_thread.run_sync(
        look_up, meta_of(request).ground, oauth.token_of(request)
    )
    if caller is None:
        return refuse(oauth.invalid_token())
    params, files = await _body(request)
    return await anyio.to_thread.run_sync(
        _answer, request, version, node_id, edge_name, Call(request.method, params, caller, files)
    )


async def _body(request: AnyRequest) -> tuple[dict[str, str], dict[str, tuple[str, bytes]]]:
    """Parameters of address and form together, and the files of a multipart body. JSON is no
    form: it is left aside, as parameters that aren't there."""
    params = {name: str(value) for name, value in request.query_params.items()}
    files: dict[str, tuple[str, bytes]] = {}
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind == "application/x-www-form-urlencoded":
        raw = await request.body()
        params |= dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
    elif kind == "multipart/form-data":
        for name, value in (await request.form()).items():
            if isinstance(value, UploadFile):
                files[name] = (value.filename, await value.read())
            else:
                params[name] = str(value)
    return params, files


def _answer(
    request: AnyRequest,
    version: str,
    node_id: str,
    edge_name: str,
    call: Call,
) -> Response[Any]:
    meta = meta_of(request)
    if not VERSION.fullmatch(version):
        return refuse(Refusal(2500, None, f"Unknown path components: /{version[:40]}"))
    caller = call.caller
    try:
        kind, found = meta.find(node_id, caller)
    except Refusal as exc:
        return refuse(exc)
    known = EDGES.get((call.method, kind, edge_name))
    if known is None:
        return refuse(Refusal(100, None, f"(#100) Tried accessing nonexisting field ({edge_name})"))
    if known.page and caller.page not in (found["id"], found.get("page")):
        return refuse(Refusal(200, None, "(#200) A Page access token is required"))

    def do(cut: int | None) -> dict[str, Any] | Response[Any]:
        return known.do(meta, replace(call, cut=cut), found)

    name = known.called(call)
    return meta.answer(request, name, do, form=_noted(call.params), files=sorted(call.files))


def _noted(params: Mapping[str, str]) -> dict[str, str]:
    """What tests look at; never a token."""
    return {name: value[:200] for name, value in params.items() if "token" not in name}
