"""The stand-in of Google as a part of the web process."""

from __future__ import annotations

from litestar import Router

from web.practice.google import oauth, uploads, videos, watching
from web.practice.google.google import Refusal, refused


def google_router() -> Router:
    """Everything below ``/practice/google``; paths as Google's own."""
    return Router(
        "/google",
        route_handlers=[
            oauth.ask_for_consent,
            oauth.give_token,
            oauth.revoke_token,
            uploads.begin_upload,
            uploads.take_bytes,
            uploads.set_thumbnail,
            uploads.insert_captions,
            videos.list_channels,
            videos.list_videos,
            videos.update_video,
            videos.delete_video,
            videos.list_captions,
            videos.list_playlists,
            videos.list_playlist_items,
            videos.insert_playlist_item,
            videos.list_comments,
            videos.insert_comment,
            watching.watch,
            watching.watch_short,
        ],
        exception_handlers={Refusal: refused},
    )
