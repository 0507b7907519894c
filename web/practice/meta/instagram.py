"""The Instagram part of the stand-in of Meta: its nodes and edges.

Source of shapes, limits and errors: platforms.md §3, which cites
developers.facebook.com/docs/instagram-platform. As there: a container is promised before anybody
has looked at the video; texts are fixed with it; one container becomes at most one Reel.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from web.practice.cut_off import CutOff
from web.practice.ground import new_number
from web.practice.meta.instagram_fetch import InstagramFetcher
from web.practice.meta.instagram_store import (
    COMMENT,
    CONTAINER,
    FETCH,
    MEDIA,
    MOST_CONTAINERS,
    MOST_POSTS,
    Containers,
    as_of_now,
    graph_time,
)
from web.practice.meta.meta import Edge, Edges, missing, pick
from web.practice.meta.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Response

    from web.practice.meta.meta import Call, Do, Meta

# Names of calls (for faults and notes) → in words.
ENDPOINTS = {
    "ig.create": "Instagram: make a container",
    "ig.bytes": "Instagram: take the bytes",
    "ig.fetch": "Instagram: fetch the video, work on it",
    "ig.container": "Instagram: look at a container",
    "ig.publish": "Instagram: publish a container",
    "ig.media": "Instagram: look at a Reel",
    "ig.list": "Instagram: list the Reels",
    "ig.limit": "Instagram: how many posts today",
    "ig.comments": "Instagram: list comments",
    "ig.comment": "Instagram: take a comment",
    "ig.insights": "Instagram: count views",
}
MAX_CAPTION, MAX_HASHTAGS, MAX_MENTIONS, MAX_COLLABORATORS = 2200, 30, 20, 3


class Instagram:
    """``app.state.meta.instagram``; one of the parts of `Meta`."""

    def __init__(self, meta: Meta) -> None:
        self.containers = Containers(meta.ground, meta.files)
        self.fetcher = InstagramFetcher(meta.settings, self.containers, meta.listen)

    def begin(self) -> None:
        self.fetcher.start()

    def tidy(self) -> None:
        self.containers.tidy()

    def end(self) -> None:
        self.fetcher.stop()


def join(meta: Meta) -> None:
    """Make Instagram a part of ``meta``."""
    meta.instagram = Instagram(meta)
    meta.parts.append(meta.instagram)
    meta.endpoints |= ENDPOINTS
    meta.node_kinds += [CONTAINER, MEDIA]
    meta.file_kinds += [CONTAINER]


# Of an account


def _create(meta: Meta, call: Call, account: dict[str, Any]) -> dict[str, Any]:
    _check_account(meta, call, account["id"])
    _check_form(call.params)
    containers = meta.instagram.containers
    if containers.use_of(account["id"])[1] >= MOST_CONTAINERS:
        raise Refusal(9, 2207042, "Too many containers were made.")
    slow = meta.ground.take_fault(FETCH, "slow")
    seconds = float(slow.value or 5) if slow is not None else 0.0
    container = containers.create(account["id"], call.params, slow_s=seconds)
    if container["video_url"]:
        meta.instagram.fetcher.fetch_soon(container["id"])
        return {"id": container["id"]}
    version = meta.settings.graph_version
    uri = f"{meta.base}/ig-api-upload/{version}/{container['id']}"
    return {"id": container["id"], "uri": uri}


def _publish(meta: Meta, call: Call, account: dict[str, Any]) -> dict[str, Any] | Response[Any]:
    _check_account(meta, call, account["id"])
    containers = meta.instagram.containers
    found = containers.find(call.need("creation_id"))
    if (late := meta.ground.take_fault("ig.publish", "late")) is not None and found is not None:
        containers.publish_late(found["id"], float(late.value or 5))
        return CutOff()
    if found is not None and found["media"] and meta.ground.take_fault("ig.publish", "twice"):
        again = containers.publish_again(found["id"])
        return {"id": again["media"] if again else ""}
    gone = ("EXPIRED", "ERROR", "PUBLISHED")
    # UNVERIFIED what Instagram says of one that is published already.
    if found is None or found["account"] != account["id"] or found["status_code"] in gone:
        raise Refusal(24, 2207006, "The media can't be found.")
    if containers.use_of(account["id"])[0] >= MOST_POSTS:
        raise Refusal(9, 2207042, "The number of posts for today is reached.")
    published = containers.publish(found["id"])
    if published is None:
        raise Refusal(9007, 2207027, "The media is not ready for publishing.")
    return {"id": published["media"]}


def _list(meta: Meta, call: Call, account: dict[str, Any]) -> dict[str, Any]:
    _check_account(meta, call, account["id"])
    limit = call.params.get("limit", "25")
    most = min(int(limit), 100) if limit.isdecimal() else 25
    found = [c for c in meta.instagram.containers.published() if c["account"] == account["id"]]
    fields = call.params.get("fields", "")
    return {"data": [pick(_reel(meta, container), fields) for container in found[:most]]}


def _limit(meta: Meta, call: Call, account: dict[str, Any]) -> dict[str, Any]:
    _check_account(meta, call, account["id"])
    used = meta.instagram.containers.use_of(account["id"])[0]
    config = {"quota_total": MOST_POSTS, "quota_duration": 86400}
    shape = {"quota_usage": used, "config": config}
    return {"data": [pick(shape, call.params.get("fields", "quota_usage"), always=())]}


# Of a container


def _look_at_container(meta: Meta, call: Call, container: dict[str, Any]) -> dict[str, Any]:
    _check_account(meta, call, container["account"])
    container = as_of_now(container)
    if container["media"] and meta.ground.take_fault("ig.container", "blind") is not None:
        return {"id": container["id"], "status_code": "UNKNOWN"}
    whole = 0 < container["length"] <= container["received"]
    uploading = {
        "status": "complete" if whole else "in_progress",
        "bytes_transferred": container["received"],
    }
    shape = {
        "id": container["id"],
        "status_code": container["status_code"],
        "status": container["status"],
        "video_status": {"uploading_phase": uploading},
    }
    return pick(shape, call.params.get("fields", ""))


# Of a Reel


def _look_at_media(meta: Meta, call: Call, media: dict[str, Any]) -> dict[str, Any]:
    container = _container_of(meta, call, media)
    return pick(_reel(meta, container), call.params.get("fields", ""))


def _insights(meta: Meta, call: Call, media: dict[str, Any]) -> dict[str, Any]:
    _container_of(meta, call, media)
    if call.need("metric") != "views":
        raise Refusal(100, None, "(#100) metric[0] must be one of the following values: views")
    views = sum(int(digit) for digit in media["id"])  # some number, the same each time
    row = {"name": "views", "period": "lifetime", "values": [{"value": views}]}
    return {"data": [row]}


def _comments(meta: Meta, call: Call, media: dict[str, Any]) -> dict[str, Any]:
    _container_of(meta, call, media)
    fields = call.params.get("fields", "text")
    found = [c for c in meta.ground.all(COMMENT) if c["media"] == media["id"]]
    return {"data": [pick(comment, fields) for comment in reversed(found)]}


def _comment(meta: Meta, call: Call, media: dict[str, Any]) -> dict[str, Any]:
    _container_of(meta, call, media)
    comment = {"id": new_number(), "media": media["id"], "text": call.need("message")}
    meta.ground.put(COMMENT, comment["id"], comment)
    return {"id": comment["id"]}


def _edge(name: str, do: Do) -> Edge:
    """Whose token it may be is looked at here (`_check_account`): that of the linked Page."""
    return Edge(name, do, page=False)


EDGES: Edges = {
    ("POST", "ig_user", "media"): _edge("ig.create", _create),
    ("GET", "ig_user", "media"): _edge("ig.list", _list),
    ("POST", "ig_user", "media_publish"): _edge("ig.publish", _publish),
    ("GET", "ig_user", "content_publishing_limit"): _edge("ig.limit", _limit),
    ("GET", CONTAINER, ""): _edge("ig.container", _look_at_container),
    ("GET", MEDIA, ""): _edge("ig.media", _look_at_media),
    ("GET", MEDIA, "insights"): _edge("ig.insights", _insights),
    ("GET", MEDIA, "comments"): _edge("ig.comments", _comments),
    ("POST", MEDIA, "comments"): _edge("ig.comment", _comment),
}


def _check_account(meta: Meta, call: Call, account: str) -> None:
    """The token has to be that of the Page that the account is linked to."""
    page = meta.ground.get("page", call.caller.page) or {}
    if page.get("instagram") != account:
        raise Refusal(10, None, "(#10) Application does not have permission for this action")
    if "instagram_content_publish" not in call.caller.scopes:
        raise Refusal(10, None, "(#10) instagram_content_publish is missing")


def _container_of(meta: Meta, call: Call, media: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] | None = meta.instagram.containers.find(media["container"])
    if container is None or container["media"] != media["id"]:
        raise missing(media["id"])
    _check_account(meta, call, container["account"])
    return container


def _reel(meta: Meta, container: dict[str, Any]) -> dict[str, Any]:
    comments = [c for c in meta.ground.all(COMMENT) if c["media"] == container["media"]]
    return {
        "id": container["media"],
        "caption": container["caption"],
        "media_type": "VIDEO",
        "media_product_type": "REELS",
        "permalink": f"{meta.base}/reel/{container['media']}/",
        "timestamp": graph_time(container["published_at"]),
        "is_shared_to_feed": container["share_to_feed"] == "true",
        "like_count": int(container["media"]) % 7,
        "comments_count": len(comments),
    }


def _check_form(form: Mapping[str, str]) -> None:
    """Raises Refusal for what Instagram refuses at once."""
    if form.get("media_type") != "REELS":
        raise Refusal(100, 2207023, "The media type is unknown.")
    by_url, by_bytes = bool(form.get("video_url")), form.get("upload_type") == "resumable"
    if by_url == by_bytes:
        raise Refusal(100, None, "(#100) The parameter video_url is required.")
    words = form.get("caption", "").split()
    if len(form.get("caption", "").encode("utf-16-le")) // 2 > MAX_CAPTION:
        raise Refusal(36004, 2207010, "The caption is too long.")
    hashtags = sum(word.startswith("#") and len(word) > 1 for word in words)
    mentions = sum(word.startswith("@") and len(word) > 1 for word in words)
    if hashtags > MAX_HASHTAGS or mentions > MAX_MENTIONS:
        raise Refusal(100, 2207040, "Too many tags in the caption.")
    if form.get("share_to_feed", "true") not in ("true", "false"):
        raise Refusal(100, None, "(#100) Param share_to_feed must be a boolean.")
    if not form.get("thumb_offset", "0").isdecimal():
        raise Refusal(100, None, "(#100) Param thumb_offset must be an integer.")
    try:
        names = json.loads(form.get("collaborators", "[]"))
    except ValueError:
        names = None
    if not isinstance(names, list) or len(names) > MAX_COLLABORATORS:
        raise Refusal(100, None, "(#100) Param collaborators must be an array of at most 3.")
