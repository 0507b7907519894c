"""The schedule over HTTP: its pages without script, its API, its settings."""

from __future__ import annotations

import re
import threading
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from appliance import accounts, late_posts, schedule_rules, slots, users
from appliance.clock import now
from appliance.db import database
from appliance.models import Account, Post, PostTarget, Role, Visibility
from appliance.settings import Settings
from appliance.states import ApprovalState, PostState
from tasks.publish.clashes import allowances_of
from tests.tasks.publish.posting import Poster, connected, emptied, posting
from tests.web.serving import add_user, browser, form_token, script, send_form
from web.calendar_days import span_of
from web.schedule_rows import Clocks, load_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from appliance.models import User

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poster]:
    settings = Settings(
        data=tmp_path_factory.mktemp("box") / "data", team_time_zone="America/New_York"
    )
    with posting(settings) as poster:
        yield poster


@pytest.fixture
def box(module_box: Poster) -> Iterator[Poster]:
    with emptied(module_box) as poster:
        with connected():
            schedule_rules.keep(approval="nobody", apart_minutes=15, actor=None)
            late_posts.keep(when_late="ask", after_s=3600.0, actor=None)
            poster.user = users.edit_profile(poster.user, time_zone="Europe/Berlin")
        yield poster


@pytest.fixture
def page(box: Poster) -> Iterator[httpx.Client]:
    with browser(box.url, box.user) as client:
        yield client


@pytest.fixture
def api(box: Poster) -> Iterator[httpx.Client]:
    with script(box.url, box.user) as client:
        yield client


def skipped_night() -> date:
    """The next night in which the clocks of Berlin are put forward, at least a month away."""
    day = (now() + timedelta(days=30)).date()
    while True:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=BERLIN)
        if (noon.utcoffset() or timedelta()) > (
            (noon - timedelta(days=1)).utcoffset() or noon.dst()
        ):
            return day
        day += timedelta(days=1)


def tomorrow_at(hour: int) -> datetime:
    day = (now().astimezone(BERLIN) + timedelta(days=1)).date()
    return datetime(day.year, day.month, day.day, hour, tzinfo=BERLIN)


def planned(box: Poster, when: datetime | None, title: str = "Summer", **more: Any) -> Post:
    return box.post(box.video(title=title), publish_at=when, title=title, **more)


def at(post: Post) -> datetime | None:
    with connected():
        found: datetime | None = Post.get_by_id(post.id).publish_at
        return found


def move(client: httpx.Client, post: Post, **fields: str) -> httpx.Response:
    """As the script of the page asks."""
    headers = {"Accept": "application/json", "X-CSRF-Token": form_token(client)}
    return client.post(f"/schedule/{post.public_id}/move", data=fields, headers=headers)


@pytest.mark.parametrize("view", ["month", "week", "list"])
def test_each_view_shows_a_post_with_the_clocks_of_both(
    box: Poster, page: httpx.Client, view: str
) -> None:
    when = tomorrow_at(18)
    planned(box, when)
    shown = page.get("/schedule", params={"view": view, "on": when.date().isoformat()})
    assert shown.status_code == 200
    assert "Summer" in shown.text
    assert "18:00" in shown.text
    assert f"{when.astimezone(ZoneInfo('America/New_York')):%H:%M}" in shown.text
    team = page.get(
        "/schedule", params={"view": view, "on": when.date().isoformat(), "clocks": "team"}
    )
    assert "(America/New_York); yours (Europe/Berlin)" in team.text


def test_days_that_are_none_and_views_that_are_none_show_today(page: httpx.Client) -> None:
    today = now().astimezone(BERLIN)
    for query in ("?on=gestern", "?view=year", "?on=9999-12-31", "?on=0001-01-01"):
        assert page.get(f"/schedule{query}").status_code == 200
    assert f"{today:%B} {today.year}" in page.get("/schedule?on=soon").text


def test_a_private_video_is_on_nobody_elses_schedule(box: Poster) -> None:
    with connected():
        post = planned(box, tomorrow_at(18), "Secret")
        post.video.visibility = Visibility.PRIVATE
        post.video.save()
    with browser(box.url, add_user("theo@example.org", Role.EDITOR)) as other:
        assert "Secret" not in other.get("/schedule?view=list").text
        assert move(other, post, by="day:1").status_code == 404


def test_posts_are_moved_by_days_weeks_hours_and_back(box: Poster, page: httpx.Client) -> None:
    when = tomorrow_at(18)
    post = planned(box, when)
    answer = move(page, post, by="day:1").json()
    assert at(post) == (when + timedelta(days=1))
    assert "18:00 (Europe/Berlin)" in answer["said"]
    move(page, post, by="hour:1")
    assert at(post) == when + timedelta(days=1, hours=1)
    move(page, post, day=(when + timedelta(days=5)).date().isoformat())
    moved = at(post)
    assert moved is not None
    assert moved.astimezone(BERLIN).replace(tzinfo=None) == (
        when.replace(tzinfo=None) + timedelta(days=5, hours=1)
    )
    back = move(page, post, **answer["undo"])
    assert back.status_code == 200
    assert at(post) == when


def test_a_move_by_the_clocks_of_the_team_is_to_their_day(box: Poster, page: httpx.Client) -> None:
    when = tomorrow_at(3)  # in New York the evening before
    post = planned(box, when)
    day = when.date() + timedelta(days=3)
    move(page, post, day=day.isoformat(), clocks="team")
    moved = at(post)
    assert moved is not None
    assert moved.astimezone(ZoneInfo("America/New_York")).date() == day


def test_what_can_not_be_is_refused_with_the_reason(box: Poster, page: httpx.Client) -> None:
    when = tomorrow_at(18)
    post = planned(box, when)
    past = move(page, post, day=(now() - timedelta(days=2)).date().isoformat())
    assert (past.status_code, "passed" in past.json()["detail"]) == (422, True)
    assert move(page, post, day="someday").status_code == 422
    for by in ("year:1", "day:+-1", "day:", "day:4", "day:1\n", "day:١"):
        assert move(page, post, by=by).status_code == 422
    assert move(page, post, slot="next").json()["code"] == "no_slots"
    assert at(post) == when


def test_a_move_into_the_hour_that_clocks_skip_names_the_nearest(
    box: Poster, page: httpx.Client
) -> None:
    night = skipped_night()
    before = datetime(night.year, night.month, night.day, 2, 30, tzinfo=BERLIN) - timedelta(days=1)
    post = planned(box, before)
    refused = move(page, post, by="day:1")
    assert refused.status_code == 422
    assert "The nearest time is 03:00" in refused.json()["detail"]
    assert at(post) == before


def test_the_form_moves_without_script_and_shows_what_it_means(
    box: Poster, page: httpx.Client
) -> None:
    when = tomorrow_at(18)
    post = planned(box, when)
    form = page.get(f"/schedule/{post.public_id}/move?back=/schedule?view=week")
    assert f'value="{when:%Y-%m-%dT%H:%M}"' in form.text
    night = skipped_night()
    fields = {"when": "later", "time_zone": "Europe/Berlin", "back": "/schedule?view=week"}
    address = f"/schedule/{post.public_id}/move"
    refused = send_form(page, address, publish_at=f"{night}T02:30", **fields)
    assert refused.status_code == 422
    assert "never show 02:30" in refused.text
    later = when + timedelta(days=2)
    sent = send_form(page, address, publish_at=f"{later:%Y-%m-%dT%H:%M}", **fields)
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("/schedule?view=week&moved=")
    told = page.get(sent.headers["location"]).text
    assert "Undo" in told
    (was,) = re.findall(r'name="to" value="([^"]+)"', told)
    send_form(page, address, to=was, back="/schedule")
    assert at(post) == when


def test_the_way_back_leads_to_pages_of_ours_only(box: Poster, page: httpx.Client) -> None:
    post = planned(box, tomorrow_at(18))
    for back in ("https://evil.example", "//evil.example", "/schedule\\@evil", "/settings"):
        sent = send_form(page, f"/schedule/{post.public_id}/move", by="day:1", back=back)
        assert sent.headers["location"].startswith("/schedule?moved="), back


def test_a_time_that_comes_twice_is_told_and_either_can_be_taken(
    box: Poster, page: httpx.Client
) -> None:
    post = planned(box, tomorrow_at(18))
    night = skipped_night()
    day = night + timedelta(days=30)
    while len({datetime(day.year, day.month, day.day, 2, 30, tzinfo=BERLIN, fold=n).utcoffset()
               for n in (0, 1)}) == 1:  # fmt: skip
        day += timedelta(days=1)
    while datetime(day.year, day.month, day.day, 12, tzinfo=BERLIN).dst():  # not the other change
        day += timedelta(days=1)
    typed = {"when": "later", "publish_at": f"{day}T02:30", "time_zone": "Europe/Berlin"}
    echo = page.get(f"/schedule/{post.public_id}/_echo", params=typed).text
    assert "twice" in echo
    assert "The first is taken (UTC+02:00)" in echo
    moved = []
    for second in ({}, {"second": "yes"}):
        send_form(page, f"/schedule/{post.public_id}/move", **typed, **second)
        moved.append(at(post))
    assert moved[1] is not None
    assert moved[0] is not None
    assert moved[1] - moved[0] == timedelta(hours=1)


def test_conflicts_are_shown_on_the_schedule_and_in_the_form(
    box: Poster, page: httpx.Client, api: httpx.Client
) -> None:
    when = tomorrow_at(18)
    planned(box, when, "First")
    second = planned(box, when + timedelta(minutes=5), "Second")
    assert page.get("/schedule?view=list").text.count(">Conflict<") == 2
    typed = {"when": "later", "publish_at": f"{when:%Y-%m-%dT%H:%M}", "time_zone": "Europe/Berlin"}
    echo = page.get(f"/schedule/{second.public_id}/_echo", params=typed).text
    assert "“First” goes to “Practice channel” at the same time." in echo
    items = api.get("/api/v1/schedule").json()["items"]
    assert [item["conflicts"] for item in items] == [
        ["“Second” goes to “Practice channel” 5 min later."],
        ["“First” goes to “Practice channel” 5 min earlier."],
    ]


def test_a_late_post_waits_with_two_choices(box: Poster, page: httpx.Client) -> None:
    one, two = planned(box, tomorrow_at(18), "One"), planned(box, tomorrow_at(19), "Two")
    missed = now() - timedelta(hours=5)
    with connected():
        Post.update(publish_at=missed, late_since=missed).execute()
    shown = page.get("/schedule").text
    assert "Late: 2" in shown
    assert "Choose another time" in page.get(f"/posts/{one.public_id}").text
    sent = send_form(page, f"/schedule/{one.public_id}/now", late="yes")
    assert sent.headers["location"] == f"/posts/{one.public_id}"
    assert 'name="late" value="yes"' in page.get(f"/schedule/{two.public_id}/move").text
    typed = f"{tomorrow_at(20):%Y-%m-%dT%H:%M}"
    send_form(
        page,
        f"/schedule/{two.public_id}/move",
        when="later",
        publish_at=typed,
        time_zone="Europe/Berlin",
        late="yes",
    )
    again = send_form(page, f"/schedule/{two.public_id}/now", late="yes")
    assert (again.status_code, "decided about this post already" in again.text) == (409, True)
    with connected():
        rows = {post.title: post for post in Post.select()}
    assert {title: row.late_since for title, row in rows.items()} == {"One": None, "Two": None}
    assert rows["One"].publish_at is None
    assert rows["Two"].state is PostState.SCHEDULED


def test_an_editor_asks_and_an_admin_decides(box: Poster, page: httpx.Client) -> None:
    with connected():
        schedule_rules.keep(approval="editors", actor=None)
        video = box.video(title="Film")
        (practice,) = accounts.choose(platforms=["practice"])
    with browser(box.url, add_user("ed@example.org", Role.EDITOR)) as editor:
        form = editor.get(f"/videos/{video.public_id}/post").text
        assert "has to approve it" in form
        when = tomorrow_at(18)
        send_form(
            editor,
            f"/videos/{video.public_id}/post",
            accounts=practice.public_id,
            title="Film",
            when="later",
            publish_at=f"{when:%Y-%m-%dT%H:%M}",
            time_zone="Europe/Berlin",
        )
        with connected():
            post = Post.get()
        assert (post.state, post.approval) == (PostState.DRAFT, ApprovalState.REQUESTED)
        assert send_form(editor, f"/schedule/{post.public_id}/approve").status_code == 403
    assert "Needs approval: 1" in page.get("/schedule").text
    empty = send_form(page, f"/schedule/{post.public_id}/refuse", note=" ")
    assert empty.status_code == 422
    send_form(page, f"/schedule/{post.public_id}/refuse", note="Old logo")
    assert "Old logo" in page.get(f"/posts/{post.public_id}").text
    send_form(page, f"/schedule/{post.public_id}/submit")  # an owner sends it: that is a yes
    with connected():
        assert Post.get().state is PostState.SCHEDULED


def test_a_draft_is_opened_written_on_and_sent(box: Poster, page: httpx.Client) -> None:
    with connected():
        video = box.video(title="Film")
        (practice,) = accounts.choose(platforms=["practice"])
    address = f"/videos/{video.public_id}/post"
    send_form(page, address, title="First words", when="now", draft="yes")
    with connected():
        post = Post.get()
    assert post.state is PostState.DRAFT
    assert "Drafts without a time: 1" in page.get("/schedule").text
    assert 'value="First words"' in page.get(f"{address}?draft={post.public_id}").text
    fields = {"draft_id": post.public_id, "title": "Last words", "when": "now"}
    send_form(page, address, accounts=practice.public_id, **fields, draft="yes")
    assert 'value="Last words"' in page.get(f"{address}?draft={post.public_id}").text
    send_form(page, address, accounts=practice.public_id, **fields)
    with connected():
        (sent,) = Post.select()
        assert (sent.state, sent.title) == (PostState.PENDING, "Last words")
    assert page.get(f"{address}?draft={post.public_id}").status_code == 409


def test_settings_keep_slots_and_rules(box: Poster, page: httpx.Client) -> None:
    added = send_form(
        page, "/settings/schedule/slots", weekday="work", time="18:00", time_zone="Europe/Berlin"
    )
    assert added.status_code == 303
    double = send_form(
        page, "/settings/schedule/slots", weekday="4", time="18:00", time_zone="Europe/Berlin"
    )
    assert double.status_code == 409
    assert "Friday 18:00" in double.text
    rules = {"approval": "editors", "when_late": "post", "after_min": "30", "apart_minutes": "5"}
    assert send_form(page, "/settings/schedule/rules", **rules).status_code == 303
    shown = page.get("/settings/schedule").text
    assert re.search(r'name="approval" value="editors" checked', shown)
    assert re.search(r'name="when_late" value="post" checked', shown)
    wrong = send_form(page, "/settings/schedule/rules", **{**rules, "after_min": "0"})
    assert (wrong.status_code, "one minute and seven days" in wrong.text) == (422, True)
    with connected():
        first, *_rest = slots.every()
    send_form(page, f"/settings/schedule/slots/{first.public_id}/remove")
    with connected():
        assert len(slots.every()) == 4


def test_the_form_takes_the_next_free_slot(box: Poster, page: httpx.Client) -> None:
    with connected():
        for weekday in range(7):
            slots.add(weekday, "12:00", "UTC", actor=None)
        first = slots.next_free_slot()
        video = box.video(title="Film")
        (practice,) = accounts.choose(platforms=["practice"])
    fields = {"accounts": practice.public_id, "title": "Film", "when": "slot", "again": "yes"}
    for _ in range(2):
        send_form(page, f"/videos/{video.public_id}/post", **fields)
    with connected():
        times = sorted(post.publish_at for post in Post.select())
    assert times == [first, first + timedelta(days=1)]


def test_the_api_plans_and_tells(box: Poster, api: httpx.Client) -> None:
    made = api.post("/api/v1/slots", json={"weekday": 4, "time": "18:00"})
    assert made.status_code == 201
    assert made.json()["time_zone"] == "America/New_York"
    assert api.post("/api/v1/slots", json={"weekday": 9, "time": "18:00"}).status_code == 422
    free = api.get("/api/v1/slots/next").json()["publish_at"]
    assert free == made.json()["next_at"]

    post = planned(box, tomorrow_at(18))
    address = f"/api/v1/posts/{post.public_id}/reschedule"
    to_slot = api.post(address, json={"slot": True}).json()
    assert to_slot["publish_at"] == free
    night = skipped_night()
    body = {"local_time": f"{night}T02:30", "time_zone": "Europe/Berlin"}
    skipped = api.post(address, json=body)
    assert (skipped.status_code, skipped.json()["code"]) == (422, "time_skipped")
    assert skipped.json()["field"] == "local_time"
    local = api.post(address, json={**body, "local_time": f"{night}T03:00"}).json()
    assert datetime.fromisoformat(local["publish_at"]) == datetime(
        night.year, night.month, night.day, 1, tzinfo=UTC
    )
    for wrong in ({}, {"slot": True, "now": True}, {"local_time": "2030-01-01T12:00+01:00"}):
        assert api.post(address, json=wrong).status_code == 422
    assert api.post(address, json={"publish_at": "2020-01-01T00:00:00Z"}).status_code == 422
    sent = api.post(address, json={"now": True}).json()
    assert (sent["status"], sent["publish_at"]) == ("pending", None)
    assert api.delete(f"/api/v1/slots/{made.json()['id']}").status_code == 204
    assert api.get("/api/v1/slots").json() == {"items": []}


@pytest.mark.parametrize(
    ("field", "moment"),
    [
        ("since", "9999-12-20T00:00:00Z"),
        ("since", "0001-01-01T00:00:00+14:00"),
        ("until", "9999-12-31T23:59:59-14:00"),
        ("until", "9999-12-31T23:59:59Z"),
    ],
)
def test_times_that_no_calendar_has_are_refused(api: httpx.Client, field: str, moment: str) -> None:
    refused = api.get("/api/v1/schedule", params={field: moment, "time_zone": "Europe/Berlin"})
    assert (refused.status_code, bool(refused.json()["detail"])) == (422, True)


def test_a_year_at_either_end_of_the_calendar_is_shown(api: httpx.Client) -> None:
    for since, until in (
        ("0001-01-01T00:00:00Z", "0001-01-08T00:00:00Z"),
        ("9999-12-20T00:00:00Z", "9999-12-31T23:59:59Z"),
    ):
        asked = {"since": since, "until": until, "time_zone": "America/New_York"}
        assert api.get("/api/v1/schedule", params=asked).status_code == 200


def test_a_yes_to_a_text_that_was_changed_meanwhile_is_refused(
    box: Poster, page: httpx.Client, api: httpx.Client
) -> None:
    with connected():
        schedule_rules.keep(approval="editors", actor=None)
    wanted = {"video_id": box.video(title="Film").public_id, "platforms": ["practice"]}
    with script(box.url, add_user("ed@example.org", Role.EDITOR)) as editor:
        here = editor.post("/api/v1/posts", json=wanted).json()["post_id"]
        address = f"/api/v1/posts/{here}"

        def read() -> list[str]:
            pages = [page.get(path).text for path in ("/schedule", f"/posts/{here}")]
            return [re.findall('name="as_of" value="([^"]+)"', text)[0] for text in pages]

        def is_refused(shown: str, as_of: str) -> bool:
            body = send_form(page, f"/schedule/{here}/approve", as_of=shown)
            said = api.post(f"{address}/approve", json={"as_of": as_of})
            assert (body.status_code, said.status_code) == (409, 409)
            assert "read it again" in body.text
            return bool(said.json()["code"] == "changed_meanwhile")

        target = editor.get(address).json()["results"][0]["target_id"]
        for change in (
            lambda: editor.patch(address, json={"title": "Another"}),
            lambda: editor.patch(address, json={"platforms": ["practice", "folder"]}),
            lambda: editor.post(f"{address}/targets/{target}/edit", json={"title": "Own"}),
            lambda: api.post(f"{address}/targets/{target}/edit", json={"title": "Owner's"}),
            lambda: editor.post(f"{address}/reschedule", json={"now": True}),
        ):
            (shown, shown_too), as_of = read(), api.get(address).json()["updated_at"]
            assert shown == shown_too
            assert change().status_code in (200, 202)
            if api.get(address).json()["approval"] != "requested":
                assert editor.post(f"{address}/submit").json()["approval"] == "requested"
            assert is_refused(shown, as_of)
            assert api.get(address).json()["status"] == "draft"
    assert api.post(f"{address}/approve", json={"as_of": "2030-01-01T00:00:00"}).status_code == 422
    assert send_form(page, f"/schedule/{here}/approve", as_of="x").status_code == 422
    assert send_form(page, f"/schedule/{here}/approve", as_of=read()[0]).status_code == 303
    assert api.get(address).json()["approval"] == "approved"


def test_the_api_approves_and_refuses(box: Poster, api: httpx.Client) -> None:
    changed = api.patch("/api/v1/schedule/rules", json={"approval": "editors", "late_after_s": 60})
    assert changed.json() == {
        "approval": "editors",
        "apart_minutes": 15,
        "when_late": "ask",
        "late_after_s": 60.0,
    }
    video = box.video(title="Film")
    wanted = {"video_id": video.public_id, "platforms": ["practice"]}
    with script(box.url, add_user("ed@example.org", Role.EDITOR)) as editor:
        taken = editor.post("/api/v1/posts", json=wanted).json()
        post_id = taken["post_id"]
        assert editor.post(f"/api/v1/posts/{post_id}/approve", json={}).status_code == 403
        shown = editor.get(f"/api/v1/posts/{post_id}").json()
        assert (shown["status"], shown["approval"]) == ("draft", "requested")
        assert len(editor.get("/api/v1/schedule").json()["needs_approval"]) == 1
        api.post(f"/api/v1/posts/{post_id}/refuse", json={"note": "Old logo"})
        written = editor.patch(f"/api/v1/posts/{post_id}", json={"title": "New logo"}).json()
        assert (written["title"], written["approval_note"]) == ("New logo", "Old logo")
        assert editor.post(f"/api/v1/posts/{post_id}/submit").json()["approval"] == "requested"
    said = api.post(f"/api/v1/posts/{post_id}/approve", json={"note": "Good"})
    assert (said.status_code, said.json()["status"]) == (202, "pending")
    assert api.post(f"/api/v1/posts/{post_id}/approve", json={}).status_code == 409
    assert api.patch(f"/api/v1/posts/{post_id}", json={"title": "x"}).status_code == 409


def test_the_schedule_asks_no_more_for_more_posts(box: Poster, page: httpx.Client) -> None:
    counts = []
    for number in (2, 30):
        with connected():
            video = box.video(title="Film")
            (practice,) = accounts.choose(platforms=["practice"])
            for n in range(number):
                post = Post.create(
                    video=video,
                    author=box.user,
                    title=f"Film {n}",
                    publish_at=tomorrow_at(10) + timedelta(hours=n),
                    state=PostState.SCHEDULED,
                )
                PostTarget.create(post=post, account=practice)
        counts.append(_queries(box.user))
    assert counts[0] == counts[1]


def _queries(user: User) -> int:
    made, here = 0, threading.get_ident()
    real = database.obj.execute_sql

    def counting(*arguments: Any, **more: Any) -> Any:
        nonlocal made
        made += threading.get_ident() == here  # the served app looks for events meanwhile
        return real(*arguments, **more)

    with connected():
        database.obj.execute_sql = counting
        try:
            load_span(user, span_of("month", tomorrow_at(10).date()), Clocks("UTC", "UTC"))
        finally:
            del database.obj.execute_sql
    return made


def test_an_allowance_that_would_be_exceeded_is_a_conflict(box: Poster, api: httpx.Client) -> None:
    """Thirty Reels a day, say the rules of Facebook Pages."""
    (reels, *_more) = allowances_of("facebook")
    with connected():
        video = box.video(title="Film")
        page = Account.create(platform="facebook", name="Page", remote_id="1")
        for n in range(reels.limit // reels.cost + 1):
            post = Post.create(
                video=video,
                title=f"Film {n}",
                publish_at=tomorrow_at(1) + timedelta(minutes=20 * n),
                state=PostState.SCHEDULED,
            )
            PostTarget.create(post=post, account=page)
    items = api.get("/api/v1/schedule").json()["items"]
    assert all("waits until there is room" in item["conflicts"][0] for item in items)
