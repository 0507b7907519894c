"""Covers of posts: made of a moment or a picture of one's own, sent along, and forgotten."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from appliance.errors import InvalidInput, NotFound
from appliance.ids import new_id
from appliance.models import Account, Job, Post, PosterChoice, PostTarget
from appliance.states import JobState
from appliance.vault import open_vault
from storage import inspection
from storage.public_links import PublicLinks
from tasks.context import Context
from tasks.poster import choosing, covers
from tasks.publish import covers as sent
from tasks.publish.publisher import PostDraft
from tests.tasks.doing import again, bring_in, run_only
from tests.tasks.test_storyboard import COLOURS, changing, close

if TYPE_CHECKING:
    from appliance.models import Video
    from appliance.settings import Settings
    from storage.layout import Layout


@pytest.fixture
def video(db: None, settings: Settings) -> Video:
    """Three seconds, each of one colour; looked into, with a poster."""
    made = bring_in(settings, changing("covers.mp4"))
    assert run_only(settings, "poster").state is JobState.COMPLETED
    return again(made)


def context_of(settings: Settings) -> Context:
    return Context(Job.select().first(), settings, threading.Event())


def test_a_cover_is_the_picture_of_its_moment_and_the_poster_stays(
    video: Video, settings: Settings, layout: Layout
) -> None:
    poster = layout.poster(video.public_id).read_bytes()
    cover = covers.new_cover(video, at_s=2.5)
    assert covers.state_of(video, cover, layout).state == "making"
    assert run_only(settings, "cover").state is JobState.COMPLETED
    assert covers.state_of(video, cover, layout).state == "ready"
    with Image.open(layout.cover(video.public_id, cover)) as picture:
        assert picture.format == "JPEG"
        assert close(picture.convert("RGB").getpixel((80, 60)), COLOURS[2])  # type: ignore[arg-type]  # RGB
    assert layout.poster(video.public_id).read_bytes() == poster


def test_a_picture_of_ones_own_is_a_cover_and_a_broken_one_says_so(
    video: Video, settings: Settings, layout: Layout
) -> None:
    for broken in (False, True):
        brought = new_id()
        out = io.BytesIO()
        Image.new("RGB", (300, 400), (0, 90, 200)).save(out, "PNG")
        data = out.getvalue()[:60] if broken else out.getvalue()
        choosing.picture_path(layout, video, brought).write_bytes(data)
        cover = covers.new_cover(video, brought=brought)
        run_only(settings, "cover")
        state = covers.state_of(video, cover, layout)
        if broken:
            assert state.state == "failed"
            assert "could not be used" in state.error and "Choose another picture" in state.error
        else:
            with Image.open(layout.cover(video.public_id, cover)) as picture:
                assert (picture.format, picture.size) == ("JPEG", (300, 400))


def test_what_is_no_moment_and_no_cover_is_refused(video: Video, layout: Layout) -> None:
    with pytest.raises(InvalidInput, match="lasts"):
        covers.new_cover(video, at_s=99)
    with pytest.raises(InvalidInput, match="a moment, or"):
        covers.new_cover(video)
    for word in ("../social", new_id()):
        with pytest.raises(NotFound):
            covers.state_of(video, word, layout)


def test_the_chosen_cover_goes_out_and_else_the_poster_as_jpeg(
    video: Video, settings: Settings, layout: Layout
) -> None:
    context = context_of(settings)
    poster = sent.picture_of(video, PostDraft("", ""), context)
    assert poster is not None and poster.read_bytes()[:3] == b"\xff\xd8\xff"
    assert sent.address_of(video, PostDraft("", ""), context) is None
    cover = covers.new_cover(video, at_s=0.5)
    run_only(settings, "cover")
    draft = PostDraft("", "", {"cover": cover})
    assert sent.picture_of(video, draft, context) == layout.cover(video.public_id, cover)
    # One that is gone is no reason not to post.
    assert sent.picture_of(video, PostDraft("", "", {"cover": new_id()}), context) == poster
    # None of these files belongs to nobody.
    portion = inspection.look_through(layout, 0, 10)
    assert portion.strays == []
    assert portion.other_files == 3


def test_platforms_fetch_the_cover_by_an_address_that_ends(
    video: Video, settings: Settings, layout: Layout
) -> None:
    cover = covers.new_cover(video, at_s=0.5)
    run_only(settings, "cover")
    url = sent.address_of(video, PostDraft("", "", {"cover": cover}), context_of(settings))
    assert url is not None and url.endswith(".jpg")
    token = url.split("/")[-2]
    found = PublicLinks(settings, open_vault(settings)).resolve(token)
    assert found is not None
    assert (found.path, found.content_type) == (
        layout.cover(video.public_id, cover),
        "image/jpeg",
    )
    links = PublicLinks(settings, open_vault(settings))
    assert links.resolve(token[:-1] + ("a" if token[-1] != "a" else "b")) is None
    assert links.resolve(token.replace(cover, new_id())) is None
    video.link_generation += 1
    video.save(only=["link_generation"])
    assert links.resolve(token) is None


def test_a_poster_that_somebody_chose_is_the_cover_where_platforms_fetch_it(
    video: Video, settings: Settings, layout: Layout
) -> None:
    video.poster_choice = PosterChoice.MOMENT
    video.save(only=["poster_choice"])
    url = sent.address_of(video, PostDraft("", ""), context_of(settings))
    assert url is not None
    found = PublicLinks(settings, open_vault(settings)).resolve(url.split("/")[-2])
    assert found is not None and found.path == layout.poster_jpeg(video.public_id)
    assert found.path.read_bytes()[:3] == b"\xff\xd8\xff"
    moment = PostDraft("", "", {"cover_at_s": 1})
    assert sent.address_of(video, moment, context_of(settings)) is None


def test_covers_that_nobody_posted_are_forgotten_after_a_day(
    video: Video, settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, dropped = (covers.new_cover(video, at_s=at_s) for at_s in (0.5, 1.5))
    for _ in range(2):
        run_only(settings, "cover")
    account = Account.create(platform="youtube", name="Ours", remote_id="1")
    post = Post.create(video=video)
    PostTarget.create(post=post, account=account, overrides={"options": {"cover": kept}})
    assert covers.forget_unnamed(video, layout) == []
    monkeypatch.setattr("storage.orphans.FORGOTTEN_S", -1.0)
    assert covers.forget_unnamed(video, layout) == [layout.cover(video.public_id, dropped)]
    assert layout.cover(video.public_id, kept).exists()
