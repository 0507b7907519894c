"""Addresses of single files for those who can't sign in: platforms' fetchers, and guests.

Two kinds, both unguessable, expiring and revocable:

- *Issued* (for a post): a row holds the hash of a random token; revoking ends that link alone.
- *Signed* (``social_ready_url``, covers of posts): rendition, expiry and the video's link
  generation under our key, so that reading a list of videos writes nothing; raising the generation
  ends them all.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.ids import PATTERN as ID
from appliance.ids import new_token
from appliance.models import PublicLink, Rendition, Video
from appliance.states import RenditionState, VideoState
from storage.layout import Layout
from storage.media_types import RENDITION_FILES, original_type
from storage.uploads.rows import hash_token

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import User
    from appliance.settings import Settings
    from appliance.vault import Vault

PREFIX = "/public"

_ISSUED = re.compile(r"[A-Za-z0-9_-]{32}")
# In place of the id of a cover: the video's own poster.
POSTER = "poster"
_COVER = re.compile(
    rf"({ID.pattern})\.({ID.pattern}|{POSTER})\.([0-9a-f]{{1,10}})\.([A-Za-z0-9_-]{{32}})"
)
_SIGNED = re.compile(rf"({ID.pattern})\.([0-9a-f]{{1,10}})\.([A-Za-z0-9_-]{{32}})")
_MAC_BYTES = 24
# How exactly the last use is known; a player asks for many ranges a second.
_USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class PublicFile:
    """What a link leads to, and until when."""

    path: Path
    content_type: str
    expires_at: datetime


class PublicLinks:
    """Wants an open database connection."""

    def __init__(self, settings: Settings, vault: Vault) -> None:
        self.base_url = settings.links_url
        self.layout = Layout(settings.data)
        self._key = vault.derive("public link")

    def issue(
        self,
        video: Video,
        rendition: Rendition | None,
        *,
        purpose: str,
        by: User | None,
        lifetime_s: float,
    ) -> tuple[PublicLink, str]:
        """A new link and its absolute address, which is kept nowhere. None: the original."""
        token = new_token()
        link = PublicLink.create(
            token_hash=hash_token(token),
            video=video,
            rendition=rendition,
            purpose=purpose,
            created_by=by,
            expires_at=now() + timedelta(seconds=lifetime_s),
        )
        ending = (
            original_type(video)[1]
            if rendition is None
            else RENDITION_FILES[rendition.profile].ending
        )
        return link, self._address(token, video, ending)

    def signed_url(
        self, video: Video, rendition: Rendition, *, expires: datetime | None = None
    ) -> str:
        """The same address for everybody who asks; nothing is written.

        Without ``expires`` it lives for one to two hours: until the end of the next full hour,
        so that it changes rarely enough to be cached.
        """
        if expires is None:
            hour = now().replace(minute=0, second=0, microsecond=0)
            expires = hour + timedelta(hours=2)
        expires_s = int(expires.timestamp())
        mac = self._mac(rendition.public_id, expires_s, video.link_generation)
        ending = RENDITION_FILES[rendition.profile].ending
        return self._address(f"{rendition.public_id}.{expires_s:x}.{mac}", video, ending)

    def cover_url(self, video: Video, cover_id: str, *, expires: datetime) -> str:
        """Where a platform fetches the cover of a post, or the video's ``POSTER``; nothing is
        written."""
        expires_s = int(expires.timestamp())
        mac = self._mac(f"{video.public_id}.{cover_id}", expires_s, video.link_generation)
        token = f"{video.public_id}.{cover_id}.{expires_s:x}.{mac}"
        return self._address(token, video, "jpg")

    def revoke(self, link: PublicLink) -> None:
        """From now on it leads nowhere. Harmless when repeated."""
        PublicLink.update(revoked_at=now()).where(
            PublicLink.id == link.id, PublicLink.revoked_at.is_null()
        ).execute()

    def resolve(self, token: str) -> PublicFile | None:
        """Where a token leads; None when it is unknown, expired or revoked, or its file is not
        to be had: nobody can tell which."""
        if _ISSUED.fullmatch(token):
            return self._resolve_issued(token)
        if signed := _SIGNED.fullmatch(token):
            return self._resolve_signed(signed[1], int(signed[2], 16), signed[3])
        if cover := _COVER.fullmatch(token):
            return self._resolve_cover(cover[1], cover[2], int(cover[3], 16), cover[4])
        return None

    def _resolve_issued(self, token: str) -> PublicFile | None:
        link = PublicLink.get_or_none(PublicLink.token_hash == hash_token(token))
        moment = now()
        if link is None or link.revoked_at is not None or link.expires_at <= moment:
            return None
        found = self._file(link.video, link.rendition, link.expires_at)
        if found and (link.last_used_at is None or moment - link.last_used_at > _USE_NOTED_EVERY):
            PublicLink.update(last_used_at=moment).where(PublicLink.id == link.id).execute()
        return found

    def _resolve_signed(self, rendition_id: str, expires_s: int, mac: str) -> PublicFile | None:
        rendition = Rendition.get_or_none(Rendition.public_id == rendition_id)
        generation = rendition.video.link_generation if rendition is not None else 0
        expected = self._mac(rendition_id, expires_s, generation)
        if not hmac.compare_digest(mac, expected) or rendition is None:
            return None
        expires_at = datetime.fromtimestamp(expires_s, UTC)
        if expires_at <= now():
            return None
        return self._file(rendition.video, rendition, expires_at)

    def _resolve_cover(
        self, video_id: str, cover_id: str, expires_s: int, mac: str
    ) -> PublicFile | None:
        video = Video.get_or_none(Video.public_id == video_id)
        generation = video.link_generation if video is not None else 0
        expected = self._mac(f"{video_id}.{cover_id}", expires_s, generation)
        if not hmac.compare_digest(mac, expected) or video is None:
            return None
        expires_at = datetime.fromtimestamp(expires_s, UTC)
        if expires_at <= now() or video.state is VideoState.TRASHED:
            return None
        layout = self.layout
        path = (
            layout.poster_jpeg(video_id) if cover_id == POSTER else layout.cover(video_id, cover_id)
        )
        return PublicFile(path, "image/jpeg", expires_at)

    def _file(
        self, video: Video, rendition: Rendition | None, expires_at: datetime
    ) -> PublicFile | None:
        if video.state is VideoState.TRASHED:
            return None
        if rendition is None:
            if video.original_removed_at is not None:
                return None
            original = self.layout.original(video.public_id)
            return PublicFile(original, original_type(video)[0], expires_at)
        if rendition.state is not RenditionState.READY:
            return None
        path = self.layout.rendition(video.public_id, rendition.profile)
        return PublicFile(path, RENDITION_FILES[rendition.profile].media_type, expires_at)

    def _mac(self, name: str, expires_s: int, generation: int) -> str:
        text = f"{name}.{expires_s}.{generation}"
        digest = hmac.digest(self._key, text.encode(), "sha256")[:_MAC_BYTES]
        return base64.urlsafe_b64encode(digest).decode()

    def _address(self, token: str, video: Video, ending: str) -> str:
        return f"{self.base_url}{PREFIX}/{token}/{video.public_id}.{ending}"
