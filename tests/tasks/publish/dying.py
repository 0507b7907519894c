"""A delivery worker that kills itself at a chosen moment; run as a program by test_kill_points.

Reads cases as JSON lines, ``{"fault": {...}, "kill_at": n}``, on standard input. For each it makes
a post, runs its job in a child that dies by SIGKILL at the n-th point (before and after each
remote call, each commit), then runs it again in a child that lives. The point of the death is
chosen from outside; nothing of the code under test is replaced, calls are only counted.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from appliance import accounts, jobs, posts
from appliance.db import database, open_database
from appliance.models import Job, Post, User, Video
from appliance.settings import Settings
from appliance.states import JOB_ENDED, POST_ENDED
from tasks import runner, ticker
from tasks.context import Context
from tasks.publish import dispatch
from tests.mortality import die, said_by_child

seen = 0


def count_points(kill_at: int | None) -> None:
    """Die at the point with this number (from 1 on)."""

    def around(owner: Any, name: str) -> None:
        inner = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            point()
            answer = inner(*args, **kwargs)
            point()
            return answer

        setattr(owner, name, counted)

    def point() -> None:
        global seen
        seen += 1
        if seen == kill_at:
            die()

    around(httpx.Client, "request")
    around(Context, "record")
    around(jobs, "complete")


def in_child(kill_at: int | None, settings: Settings, post_id: int) -> int | None:
    """Work until the post has ended; the number of points, None when it died."""

    def counted_work() -> int:
        count_points(kill_at)
        open_database(settings.database_path)
        work(settings, post_id)
        return seen

    return said_by_child(counted_work)


def work(settings: Settings, post_id: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with database.connection_context():
            ticker.take_back_expired()
            dispatch.sweep()
            if Post.get_by_id(post_id).state in POST_ENDED and not (
                Job.select().where(Job.post == post_id, Job.state.not_in(list(JOB_ENDED))).exists()
            ):
                return
        if not runner.run_due("delivery", f"dying-{os.getpid()}", settings, threading.Event()):
            time.sleep(0.02)  # for a lease to run out, a wait to be over


def main() -> None:
    data, listen, video_id, user_id = sys.argv[1:]
    settings = Settings(data=Path(data), listen=listen, lease_s=0.4)
    open_database(settings.database_path)
    for line in sys.stdin:
        case = json.loads(line)
        title = f"case {case['number']}"
        with database.connection_context():
            post = dispatch.create(
                settings,
                Video.get_by_id(int(video_id)),
                accounts.choose(platforms=case["platforms"]),
                author=User.get_by_id(int(user_id)),
                title=title,
                again=True,
            )
        points = in_child(case["kill_at"], settings, post.id)
        if points is None:
            in_child(None, settings, post.id)
        with database.connection_context():
            states = [str(target.state) for target in posts.latest_targets(post)]
            kinds = [str(job.state) for job in Job.select().where(Job.post == post)]
        answer = {"title": title, "points": points, "states": states, "jobs": kinds}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
