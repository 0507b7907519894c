"""Looking at videos and changing them; playlists and comments. Source: platforms.md §1.4."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from litestar import Request, Response, delete, get, post, put
from litestar.datastructures import State

from web.practice.google.google import (
    OPT,
    Caller,
    Google,
    Refusal,
    body_of,
    google_of,
    misbehave,
    new_id,
    stamp,
)
from web.practice.google.resources import check_parts, check_snippet, check_status, shape

Raw = Request[Any, Any, State]
V3 = "/youtube/v3"


@get(f"{V3}/channels", opt=OPT, sync_to_thread=True, include_in_schema=False)
def list_channels(request: Raw) -> Response[Any]:
    google = google_of(request)

    def do(caller: Caller) -> dict[str, Any]:
        channel = google.ground.get("channel", caller.channel) or {}
        picture = {"default": {"url": f"{google.base}/no-picture"}}
        snippet = {"title": channel.get("title", ""), "thumbnails": picture}
        uploads = {"relatedPlaylists": {"uploads": f"UU{caller.channel[2:]}"}}
        item = {"id": caller.channel, "snippet": snippet, "contentDetails": uploads}
        return {"items": [_only(item, request)]}

    return google.answer(request, "channels.list", do)


@get(f"{V3}/videos", opt=OPT, sync_to_thread=True, include_in_schema=False)
def list_videos(request: Raw) -> Response[Any]:
    """Those of the caller's channel; of others nothing is told here."""
    google = google_of(request)
    google.grant(request)
    if (fault := google.ground.take_fault("videos.list", "blind")) is not None:
        google.note(request, "videos.list")
        return misbehave(fault)

    def do(caller: Caller) -> dict[str, Any]:
        parts = request.query_params.get("part", "").split(",")
        ids = request.query_params.get("id", "").split(",")
        if len(ids) > 50 or not ids[0]:
            raise Refusal("invalidFilters", "One to fifty ids.")
        found = [video for id in ids if (video := google.ground.get("video", id)) is not None]
        mine = [video for video in found if video["channel"] == caller.channel]
        return {"items": [shape(video, parts) for video in mine]}

    return google.answer(request, "videos.list", do)


@put(f"{V3}/videos", opt=OPT, status_code=200, include_in_schema=False)
async def update_video(request: Raw) -> Response[Any]:
    """Each named part is written anew, whole: what the body leaves out is lost."""
    google = google_of(request)
    raw = await google.body(request)

    def do(caller: Caller) -> dict[str, Any]:
        body = body_of(raw, request)
        parts = check_parts(request.query_params.get("part", ""), body)

        def change(video: dict[str, Any]) -> dict[str, Any] | None:
            if video["channel"] != caller.channel:
                return None
            video = dict(video)
            if "snippet" in parts:
                video["snippet"] = check_snippet(body["snippet"], update=True)
            if "status" in parts:
                was_public = video["was_public"]
                video["status"] = check_status(body["status"], was_public=was_public)
                public = video["status"]["privacyStatus"] == "public"
                if public and not video["locked"] and not was_public:
                    video["was_public"], video["published_at"] = True, stamp()
            return video

        changed = google.ground.change("video", str(body.get("id") or ""), change)
        if changed is None:
            raise Refusal("videoNotFound", "The video can't be found.")
        return shape(changed, parts)

    return await _answer(google, request, "videos.update", do, raw)


@delete(f"{V3}/videos", opt=OPT, sync_to_thread=True, status_code=200, include_in_schema=False)
def delete_video(request: Raw) -> Response[Any]:
    google = google_of(request)

    def do(caller: Caller) -> None:
        id = request.query_params.get("id", "")
        video = google.ground.get("video", id)
        if video is None or video["channel"] != caller.channel:
            raise Refusal("videoNotFound", "The video can't be found.")
        google.ground.remove("video", id)
        google.file(id).unlink(missing_ok=True)

    return google.answer(request, "videos.delete", do)


@get(f"{V3}/captions", opt=OPT, sync_to_thread=True, include_in_schema=False)
def list_captions(request: Raw) -> Response[Any]:
    return _list_things(request, "captions.list", "caption", "videoId")


@get(f"{V3}/playlists", opt=OPT, sync_to_thread=True, include_in_schema=False)
def list_playlists(request: Raw) -> Response[Any]:
    google = google_of(request)

    def do(caller: Caller) -> dict[str, Any]:
        mine = [p for p in google.ground.all("playlist") if p["channel"] == caller.channel]
        return {"items": [{"id": p["id"], "snippet": {"title": p["title"]}} for p in mine]}

    return google.answer(request, "playlists.list", do)


@get(f"{V3}/playlistItems", opt=OPT, sync_to_thread=True, include_in_schema=False)
def list_playlist_items(request: Raw) -> Response[Any]:
    """Also of the list of all uploads, newest first."""
    google = google_of(request)

    def do(caller: Caller) -> dict[str, Any]:
        name = request.query_params.get("playlistId", "")
        if name == f"UU{caller.channel[2:]}":
            ids = [v["id"] for v in google.ground.all("video") if v["channel"] == caller.channel]
            ids.reverse()
        else:
            _playlist(google, name, caller)
            ids = [i["video"] for i in google.ground.all("item") if i["playlist"] == name]
        if (wanted := request.query_params.get("videoId")) is not None:
            ids = [id for id in ids if id == wanted]
        return {"items": [{"contentDetails": {"videoId": id}} for id in ids[:50]]}

    return google.answer(request, "playlistItems.list", do)


@post(f"{V3}/playlistItems", opt=OPT, status_code=200, include_in_schema=False)
async def insert_playlist_item(request: Raw) -> Response[Any]:
    """Takes the same video twice, as YouTube does."""
    google = google_of(request)
    raw = await google.body(request)

    def do(caller: Caller) -> dict[str, Any]:
        body = body_of(raw, request)
        check_parts(request.query_params.get("part", ""), body)
        snippet = body["snippet"]
        about = snippet.get("resourceId") or {}
        _playlist(google, snippet.get("playlistId", ""), caller)
        if about.get("kind") != "youtube#video" or not google.ground.get(
            "video", about.get("videoId", "")
        ):
            raise Refusal("videoNotFound", "The video can't be found.")
        id = new_id(40)
        item = {"id": id, "playlist": snippet["playlistId"], "video": about["videoId"]}
        google.ground.put("item", id, item)
        return {"id": id}

    return await _answer(google, request, "playlistItems.insert", do, raw)


@get(f"{V3}/commentThreads", opt=OPT, sync_to_thread=True, include_in_schema=False)
def list_comments(request: Raw) -> Response[Any]:
    return _list_things(request, "commentThreads.list", "comment", "videoId")


@post(f"{V3}/commentThreads", opt=OPT, status_code=200, include_in_schema=False)
async def insert_comment(request: Raw) -> Response[Any]:
    google = google_of(request)
    raw = await google.body(request)

    def do(caller: Caller) -> dict[str, Any]:
        body = body_of(raw, request)
        check_parts(request.query_params.get("part", ""), body)
        snippet = body["snippet"]
        text = snippet["topLevelComment"]["snippet"]["textOriginal"]
        if google.ground.get("video", snippet.get("videoId", "")) is None:
            raise Refusal("videoNotFound", "The video can't be found.")
        id = new_id(26)
        top = {
            "id": id,
            "snippet": {"textOriginal": text, "authorChannelId": {"value": caller.channel}},
        }
        comment = {"id": id, "snippet": {"videoId": snippet["videoId"], "topLevelComment": top}}
        google.ground.put("comment", id, comment)
        return comment

    return await _answer(google, request, "commentThreads.insert", do, raw)


async def _answer(
    google: Google, request: Raw, endpoint: str, do: Any, raw: bytes
) -> Response[Any]:
    def work() -> Response[Any]:
        try:
            body = body_of(raw, request)
        except Refusal:
            body = {}
        return google.answer(request, endpoint, do, body=body)

    return await anyio.to_thread.run_sync(work)


def _list_things(request: Raw, endpoint: str, kind: str, of: str) -> Response[Any]:
    google = google_of(request)

    def do(caller: Caller) -> dict[str, Any]:
        wanted = request.query_params.get(of)
        found = google.ground.all(kind)
        items = [{"id": t["id"], "snippet": t["snippet"]} for t in found]
        return {"items": [item for item in items if item["snippet"][of] == wanted]}

    return google.answer(request, endpoint, do)


def _playlist(google: Google, name: str, caller: Caller) -> None:
    found = google.ground.get("playlist", name)
    if found is None or found["channel"] != caller.channel:
        raise Refusal("playlistNotFound", "The playlist can't be found.")


def _only(item: dict[str, Any], request: Raw) -> dict[str, Any]:
    parts = {*request.query_params.get("part", "").split(","), "id"}
    return {name: value for name, value in item.items() if name in parts}
