"""Who holds a link gets one file, until it ends; nobody can tell why it doesn't lead anywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance import videos
from appliance.clock import now
from appliance.models import PublicLink, Rendition, User, Video
from appliance.settings import Settings
from appliance.states import RenditionState
from appliance.vault import Vault, open_vault
from storage.public_links import PublicLinks
from tests.factories import make_user, make_video


@pytest.fixture
def user(db: None) -> User:
    return make_user()


@pytest.fixture
def video(user: User) -> Video:
    return make_video(user)


@pytest.fixture
def rendition(video: Video) -> Rendition:
    return Rendition.create(video=video, profile="social", recipe="1", state=RenditionState.READY)


@pytest.fixture
def links(settings: Settings, db: None) -> PublicLinks:
    return PublicLinks(settings, open_vault(settings))


def issue(
    links: PublicLinks, rendition: Rendition, lifetime_s: float = 60
) -> tuple[PublicLink, str]:
    link, url = links.issue(
        rendition.video, rendition, purpose="post", by=None, lifetime_s=lifetime_s
    )
    return link, token_of(url)


def token_of(url: str) -> str:
    return url.split("/")[-2]


def test_an_issued_link_leads_to_the_rendition(
    links: PublicLinks, rendition: Rendition, settings: Settings
) -> None:
    link, url = links.issue(rendition.video, rendition, purpose="post", by=None, lifetime_s=60)
    assert url.startswith(f"{settings.base_url}/public/")
    assert url.endswith(f"/{rendition.video.public_id}.mp4")
    found = links.resolve(token_of(url))
    assert found is not None
    assert found.path == links.layout.rendition(rendition.video.public_id, "social")
    assert found.content_type == "video/mp4"
    assert PublicLink.get_by_id(link.id).last_used_at is not None


def test_links_begin_with_the_address_of_the_content_network(
    links: PublicLinks, rendition: Rendition, settings: Settings
) -> None:
    settings = settings.model_copy(update={"media_url": "https://media.example.org"})
    elsewhere = PublicLinks(settings, open_vault(settings))
    _, url = elsewhere.issue(rendition.video, rendition, purpose="post", by=None, lifetime_s=60)
    assert url.startswith("https://media.example.org/public/")
    assert links.resolve(token_of(url)) is not None
    assert settings.base_url != settings.media_url


def test_the_token_is_stored_hashed(links: PublicLinks, rendition: Rendition) -> None:
    link, token = issue(links, rendition)
    assert token not in str(PublicLink.get_by_id(link.id).__data__)


def test_an_original_is_served_by_what_was_found_in_it(links: PublicLinks, video: Video) -> None:
    Video.update(
        facts={"format": "matroska,webm", "video": {"codec": "h264"}, "audio": None}
    ).execute()
    _, url = links.issue(Video.get_by_id(video.id), None, purpose="share", by=None, lifetime_s=60)
    found = links.resolve(token_of(url))
    assert found is not None
    assert found.content_type == "video/x-matroska"
    assert url.endswith(".mkv")


def test_what_nobody_looked_into_is_only_bytes(links: PublicLinks, video: Video) -> None:
    _, url = links.issue(video, None, purpose="share", by=None, lifetime_s=60)
    found = links.resolve(token_of(url))
    assert found is not None
    assert found.content_type == "application/octet-stream"


def test_revoked_and_expired_links_lead_nowhere(links: PublicLinks, rendition: Rendition) -> None:
    link, token = issue(links, rendition)
    links.revoke(link)
    assert links.resolve(token) is None
    _, old = issue(links, rendition, lifetime_s=-1)
    assert links.resolve(old) is None


@pytest.mark.parametrize("token", ["", "x", "A" * 32, "../../appliance.db", "é" * 32])
def test_what_was_never_issued_leads_nowhere(links: PublicLinks, token: str) -> None:
    assert links.resolve(token) is None


def test_a_signed_link_writes_nothing_and_stays_the_same(
    links: PublicLinks, rendition: Rendition
) -> None:
    url = links.signed_url(rendition.video, rendition)
    assert url == links.signed_url(rendition.video, rendition) or now().minute == 0
    assert PublicLink.select().count() == 0
    assert links.resolve(token_of(url)) is not None


def test_a_signed_link_lives_for_an_hour_at_least(links: PublicLinks, rendition: Rendition) -> None:
    expires_s = int(token_of(links.signed_url(rendition.video, rendition)).split(".")[1], 16)
    assert 3600 <= expires_s - now().timestamp() <= 7200


def test_a_signed_link_ends(links: PublicLinks, rendition: Rendition) -> None:
    past = now() - timedelta(seconds=1)
    url = links.signed_url(rendition.video, rendition, expires=past)
    assert links.resolve(token_of(url)) is None


def test_a_signed_link_can_not_be_changed(links: PublicLinks, rendition: Rendition) -> None:
    rendition_id, expires, mac = token_of(links.signed_url(rendition.video, rendition)).split(".")
    later = f"{int(expires, 16) + 1:x}"
    assert links.resolve(f"{rendition_id}.{later}.{mac}") is None
    assert links.resolve(f"{rendition_id}.{expires}.{'A' * 32}") is None
    other = Rendition.create(
        video=rendition.video, profile="preview", recipe="1", state=RenditionState.READY
    )
    assert links.resolve(f"{other.public_id}.{expires}.{mac}") is None


def test_another_key_did_not_sign_it(
    links: PublicLinks, rendition: Rendition, settings: Settings
) -> None:
    foreign = PublicLinks(settings, Vault(b"x" * 32))
    assert links.resolve(token_of(foreign.signed_url(rendition.video, rendition))) is None


def test_raising_the_generation_ends_all_signed_links(
    links: PublicLinks, rendition: Rendition
) -> None:
    token = token_of(links.signed_url(rendition.video, rendition))
    Video.update(link_generation=Video.link_generation + 1).execute()
    assert links.resolve(token) is None


def test_deleting_the_video_ends_all_links(
    links: PublicLinks, rendition: Rendition, user: User
) -> None:
    signed = token_of(links.signed_url(rendition.video, rendition))
    _, issued = issue(links, rendition)
    videos.trash(rendition.video, actor=user)
    assert links.resolve(signed) is None
    assert links.resolve(issued) is None


def test_a_rendition_that_is_made_anew_is_not_served(
    links: PublicLinks, rendition: Rendition
) -> None:
    _, token = issue(links, rendition)
    Rendition.update(state=RenditionState.PENDING).execute()
    assert links.resolve(token) is None
