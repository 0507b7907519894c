"""A box that can post: the real web process (in a thread), a delivery worker, a ready video."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from appliance import accounts, posts
from appliance.db import database
from appliance.models import (
    ALL,
    Account,
    Method,
    Post,
    PostTarget,
    Rendition,
    Role,
    Setting,
    User,
    Video,
)
from appliance.states import POST_ENDED, RenditionState, VideoState
from appliance.vault import open_vault
from storage.layout import Layout
from storage.public_links import PublicLinks
from tasks.publish import dispatch
from tasks.worker import Worker
from tests import media
from tests.factories import make_video
from tests.web.serving import Served, add_user, prepare, served, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.settings import Settings
    from web.practice.platform import Practice
    from web.practice.store import Media


def connected() -> Any:
    return database.connection_context() if database.is_closed() else nullcontext()


class Poster:
    """What the tests press and look at."""

    def __init__(self, running: Served) -> None:
        self.running = running
        self.url = running.url
        self.settings = running.settings
        self.layout = Layout(self.settings.data)
        self.user: User = add_user("poster@example.org", Role.OWNER)

    @property
    def practice(self) -> Practice:
        practice: Practice = self.running.app.state.practice
        return practice

    def fault(self, **faults: float) -> None:
        self.practice.set_faults(faults)

    def received(self, title: str | None = None) -> list[Media]:
        """What is public on the practice platform."""
        found = self.practice.store.published()
        return [media for media in found if title is None or media.title == title]

    def video(self, *, ready: bool = True, **columns: Any) -> Video:
        with connected():
            video = make_video(
                self.user, state=VideoState.READY if ready else VideoState.PROCESSING, **columns
            )
            rendition = Rendition.create(video=video, profile="social", recipe="1")
            if ready:
                self.make_ready(rendition)
        return video

    def make_ready(self, rendition: Rendition) -> None:
        """Put the file of a rendition in its place."""
        place = self.layout.rendition(rendition.video.public_id, "social")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(media.h264_aac(), place)
        Rendition.update(
            state=RenditionState.READY, size_bytes=place.stat().st_size, method=Method.REMUX
        ).where(Rendition.id == rendition.id).execute()

    def accounts(self, *platforms: str) -> list[Account]:
        with connected():
            return accounts.choose(platforms=platforms or ["practice"])

    def post(self, video: Video, *platforms: str, **arguments: Any) -> Post:
        with connected():
            return dispatch.create(
                self.settings, video, self.accounts(*platforms), author=self.user, **arguments
            )

    def look(self, post: Post) -> tuple[str, list[PostTarget]]:
        with connected():
            fresh = Post.get_by_id(post.id)
            return fresh.state.value, posts.latest_targets(fresh)

    def wait(self, post: Post, *states: str, seconds: float = 30) -> list[PostTarget]:
        """The targets, once the post is in one of ``states`` (by default: ended)."""
        wanted = states or tuple(POST_ENDED)

        def reached() -> list[PostTarget] | None:
            state, targets = self.look(post)
            return targets if state in wanted else None

        try:
            found: list[PostTarget] = wait_until(f"the post is {wanted}", reached, seconds=seconds)
        except AssertionError as exc:
            state, targets = self.look(post)
            said = [(t.state.value, t.stage, t.error, t.error_detail) for t in targets]
            raise AssertionError(f"{exc}; it is {state}: {said}") from exc
        return found

    def wait_target(self, post: Post, *states: str, seconds: float = 30) -> PostTarget:
        """The only target, once it is in one of ``states``."""

        def reached() -> PostTarget | None:
            (target,) = self.look(post)[1]
            return target if target.state in states else None

        found: PostTarget = wait_until(f"the target is {states}", reached, seconds=seconds)
        return found


@contextmanager
def posting(settings: Settings) -> Iterator[Poster]:
    """Everything but a worker."""
    prepare(settings)
    with served(settings) as running:
        yield Poster(running)


def link_to(box: Poster, file: Path | None = None, *, lifetime_s: float = 60) -> str:
    """A public link to a rendition, whose file may be another one."""
    video = box.video()
    if file is not None:
        box.layout.rendition(video.public_id, "social").write_bytes(file.read_bytes())
    with connected():
        links = PublicLinks(box.settings, box.running.app.state.vault)
        rendition = Rendition.get(Rendition.video == video)
        return links.issue(video, rendition, purpose="post", by=None, lifetime_s=lifetime_s)[1]


@contextmanager
def emptied(poster: Poster) -> Iterator[Poster]:
    """The same running box for the next test, without rows, files and posts of earlier ones."""
    with database.connection_context():
        for model in reversed(ALL):
            if model is not Setting:
                model.delete().execute()
        accounts.ensure_builtin(poster.settings, open_vault(poster.settings))
    poster.user = add_user("poster@example.org", Role.OWNER)
    poster.fault()
    for found in poster.practice.store.newest():
        poster.practice.store.delete(found.id)
    shutil.rmtree(poster.settings.data / "published", ignore_errors=True)
    yield poster


@contextmanager
def working(settings: Settings) -> Iterator[Worker]:
    """A delivery worker in threads of this process, ticker included."""
    from queue import SimpleQueue

    worker = Worker(settings, "delivery")
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(SimpleQueue())
