"""From the press to the public, and 500 posts in one minute: ``python -m benchmarks.publish``.

Against the stand-ins of the platforms, over the box's own HTTP API: web process and delivery worker
are those of a box, in practice mode. *Staged*: brought there ahead of its time, then "Post now".
*Ready*: the rendition is there. *Not ready*: the time from the rendition to the public. Then a
crowd of scheduled posts that come due within one minute (benchmarks/publish_crowd.py).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import sessions, tokens, users
from appliance.access import Scope
from appliance.clock import now
from appliance.models import (
    Account,
    Method,
    Post,
    PostTarget,
    Rendition,
    Role,
    Source,
    User,
    Video,
    Visibility,
)
from appliance.states import RenditionState, TargetState, VideoState
from benchmarks.box import box, process, read, wait_for
from benchmarks.publish_crowd import Share, rush, shares_of
from benchmarks.starvation import free_port
from storage.layout import Layout
from tasks.ffmpeg import find_ffmpeg
from tasks.publish import settling

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings import Settings

GOAL_STAGED_S = 2.0
WEB = ["appliance.cli", "web"]
PLATFORMS = ("facebook", "instagram", "youtube", "practice")


class Visitor:
    """A person of the team: their token for the API, their session for pages."""

    def __init__(self, port: int, settings: Settings) -> None:
        self.port = port
        self.user: User = read(lambda: users.add_user("o@example.org", role=Role.OWNER, name="O"))
        made = read(lambda: tokens.create(self.user, name="benchmark", scopes=list(Scope)))
        self.token = made[1]
        self.cookie = read(
            lambda: sessions.start(self.user, address="::1", agent="b", settings=settings)
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        told = answer.read()
        connection.close()
        if answer.status >= 400:
            raise SystemExit(f"{method} {path} answered {answer.status}: {told.decode()}")
        return json.loads(told) if told else None

    def page(self, path: str) -> float:
        """How long it takes, in milliseconds."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        began_s = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": f"session={self.cookie}"})
        answer = connection.getresponse()
        answer.read()
        took_ms = (time.perf_counter() - began_s) * 1000
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"GET {path} answered {answer.status}; nothing was measured.")
        return took_ms


class Shelf:
    """Videos with a social rendition, all of the same two seconds of film."""

    def __init__(self, settings: Settings, folder: Path, owner: User) -> None:
        self.settings, self.owner = settings, owner
        self.layout = Layout(settings.data)
        self.film = folder / "film.mp4"
        source = "testsrc2=s=360x640:r=30:d=4"
        command = [str(find_ffmpeg(settings)), "-loglevel", "error", "-nostdin", "-y"]
        command += ["-f", "lavfi", "-i", source, "-f", "lavfi", "-i", "sine=d=4:r=48000"]
        command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "60", "-bf", "0"]
        command += ["-c:a", "aac", "-shortest", "-movflags", "+faststart", str(self.film)]
        subprocess.run(command, check=True)

    def add(self, *, ready: bool = True) -> Video:
        def write() -> Video:
            video = Video.create(
                title="Film",
                filename="film.mp4",
                source=Source.CLI,
                visibility=Visibility.TEAM,
                owner=self.owner,
                state=VideoState.READY if ready else VideoState.PROCESSING,
            )
            rendition = Rendition.create(
                video=video, profile="social", recipe="1", state=RenditionState.PENDING
            )
            if ready:
                self.finish(rendition)
            return video

        made: Video = read(write)
        return made

    def finish(self, rendition: Rendition) -> None:
        """As if it had just been encoded. Wants a connection."""
        place = self.layout.rendition(rendition.video.public_id, "social")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.film, place)
        Rendition.update(
            state=RenditionState.READY,
            size_bytes=place.stat().st_size,
            method=Method.REMUX,
            ready_at=now(),
        ).where(Rendition.id == rendition.id).execute()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each way and platform")
    parser.add_argument("--crowd", type=int, default=500, help="posts due within one minute")
    parser.add_argument(
        "--crowd-at",
        choices=["platforms", "practice"],
        default="platforms",
        help="those with allowances, or the one that has none",
    )
    parser.add_argument(
        "--beyond", type=int, default=3, help="more posts than fit, for each of those platforms"
    )
    options = parser.parse_args()
    port = free_port()
    os.environ["APPLIANCE_LOG_LEVEL"] = "error"
    os.environ["APPLIANCE_LISTEN"] = f"127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        box("delivery") as (settings, _),
        process([sys.executable, "-m", *WEB], settings),
    ):
        wait_for(lambda: _answers(port), seconds=60)
        visitor = Visitor(port, settings)
        shelf = Shelf(settings, Path(folder), visitor.user)
        accounts = open_accounts(visitor)
        for platform in PLATFORMS if options.rounds else ():
            measure(visitor, shelf, platform, accounts[platform], options.rounds)
        if options.crowd_at == "practice":
            shares = [Share("practice", accounts["practice"], options.crowd, {})]
        else:
            shares = shares_of(accounts, options.crowd, options.beyond)
        rush(visitor, settings, shelf.add(), shares)


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except OSError:
        return False


def open_accounts(visitor: Visitor) -> dict[str, str]:
    """The id of one account for each stand-in."""
    wanted = set(PLATFORMS)
    visitor.call("POST", "/api/v1/accounts/practice", {})

    def found() -> dict[str, str]:
        rows = Account.select().order_by(Account.id.desc())
        return {row.platform: row.public_id for row in rows if row.platform in wanted}

    wait_for(lambda: set(read(found)) == wanted, seconds=60)
    read(lambda: Account.update(stage_ahead=True).execute())
    known: dict[str, str] = read(found)
    return known


def measure(visitor: Visitor, shelf: Shelf, platform: str, account: str, rounds: int) -> None:
    ways: dict[str, Callable[[Visitor, Shelf, str], float]] = {
        "staged": press_staged,
        "ready": press_ready,
        "not ready": press_early,
    }
    for name, press in ways.items():
        took = [press(visitor, shelf, account) for _ in range(rounds)]
        verdict = ""
        if name == "staged":
            said = "yes" if max(took) < GOAL_STAGED_S else "NO"
            verdict = f"under {GOAL_STAGED_S:.0f} s: {said}"
        print(
            f"{platform:10} {name:10} median {statistics.median(took):6.2f} s, "
            f"longest {max(took):6.2f} s  {verdict}",
            flush=True,
        )


def make_post(visitor: Visitor, video: Video, account: str, **more: Any) -> str:
    body = {"video_id": video.public_id, "accounts": [account], "title": "Film", **more}
    return str(visitor.call("POST", "/api/v1/posts", body)["post_id"])


def target_of(post: str) -> PostTarget:
    found: PostTarget = PostTarget.get(PostTarget.post == Post.get(Post.public_id == post))
    return found


def until(post: str, *states: TargetState) -> PostTarget:
    def look() -> PostTarget | None:
        target = target_of(post)
        if target.state is TargetState.FAILED:
            raise SystemExit(f"A post failed: {target.error} {target.error_detail}")
        return target if target.state in states else None

    found: PostTarget = wait_for(lambda: read(look), seconds=120)
    return found


def press_staged(visitor: Visitor, shelf: Shelf, account: str) -> float:
    tomorrow = (now() + timedelta(hours=5)).isoformat()
    post = make_post(visitor, shelf.add(), account, publish_at=tomorrow)
    until(post, TargetState.STAGED)
    pressed = now()
    visitor.call("POST", f"/api/v1/posts/{post}/reschedule", {"now": True})
    return _since(pressed, until(post, TargetState.PUBLISHED))


def press_ready(visitor: Visitor, shelf: Shelf, account: str) -> float:
    video, pressed = shelf.add(), now()
    return _since(pressed, until(make_post(visitor, video, account), TargetState.PUBLISHED))


def press_early(visitor: Visitor, shelf: Shelf, account: str) -> float:
    video = shelf.add(ready=False)
    post = make_post(visitor, video, account)
    until(post, TargetState.WAITING)

    def finish() -> None:
        rendition = Rendition.get(Rendition.video == video)
        shelf.finish(rendition)
        Video.update(state=VideoState.READY).where(Video.id == video.id).execute()
        settling.rendition_settled(Rendition.get_by_id(rendition.id))

    ready = now()
    read(finish)
    return _since(ready, until(post, TargetState.PUBLISHED))


def _since(moment: Any, target: PostTarget) -> float:
    assert target.published_at is not None
    return float((target.published_at - moment).total_seconds())


if __name__ == "__main__":
    main()
