"""The practice platform across restarts of the web process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.tasks.publish.posting import link_to, posting
from tests.web.serving import served, wait_until
from web.practice import app
from web.practice.store import Store

if TYPE_CHECKING:
    import pytest

    from appliance.settings import Settings


def test_a_fetch_that_a_crash_cut_short_is_done_by_the_next_start(settings: Settings) -> None:
    # The public address is another one than the socket's: the fetcher takes the short way.
    public = settings.model_copy(update={"public_url": "https://video.example.org"})
    with posting(public) as poster:
        url = link_to(poster)
    assert url.startswith("https://video.example.org/public/")
    # What a kill between the answer and the fetch leaves: the row, and a piece of the file.
    store = Store(settings.data / "practice")
    media_id = store.create(video_url=url, title="Clip", caption="", slow_s=0)
    store.file(media_id).with_suffix(".part").write_bytes(b"half")

    def status() -> str | None:
        found = store.get(media_id)
        return None if found is None or found.status_code == "IN_PROGRESS" else found.status_code

    with served(public):
        assert wait_until("the fetch has ended", status) == "FINISHED"
    assert [path.name for path in store.files.iterdir()] == [f"{media_id}.mp4"]


def test_stand_ins_tidy_up_while_they_work(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "TIDY_EVERY_S", 0.01)
    with posting(settings) as poster:
        state = poster.running.app.state
        past = {"until": "2020-01-01T00:00:00+00:00"}
        state.google.ground.put("code", "old", past)
        state.meta.ground.put("code", "old", past)
        for ground in (state.google.ground, state.meta.ground):
            wait_until("it is let go", lambda ground=ground: ground.get("code", "old") is None)
