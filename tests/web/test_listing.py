"""The library's list: filters, order and pages, from what the address says."""

from __future__ import annotations

import pytest

from appliance.db import database
from appliance.models import Role, Video
from appliance.states import VideoState
from tests.factories import make_user, make_video
from web import listing
from web.listing import Wanted


def wanted(**changes: str) -> Wanted:
    said = {"words": "", "state": "", "sort": "", "view": "", "after": "", **changes}
    return Wanted.of(**said)


def all_pages(user: object, want: Wanted) -> list[str]:
    """The titles of all pages, walked as somebody who presses "Show more" would."""
    titles: list[str] = []
    after = ""
    for _ in range(20):
        page, after = listing.load_page(user, wanted(sort=want.sort, words=want.words, after=after))  # type: ignore[arg-type]
        titles += [video.title for video in page]
        if not after:
            return titles
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("sort", listing.SORTS)
def test_pages_have_each_video_once_and_in_order(db: None, sort: str) -> None:
    user = make_user()
    for number in range(60):
        # Equal titles and lengths in plenty, and letters that SQLite's LOWER doesn't know.
        make_video(user, title=f"{'ÄaBb'[number % 4]} {number % 7}", duration_s=float(number % 5))
    titles = all_pages(user, wanted(sort=sort))
    assert len(titles) == 60
    assert sorted(titles) == sorted(v.title for v in Video.select())
    if sort == "newest":
        assert titles == [v.title for v in Video.select().order_by(Video.id.desc())]


def test_filters_count_what_they_show(db: None) -> None:
    user = make_user()
    make_video(user, state=VideoState.UPLOADING)
    make_video(user, state=VideoState.PROCESSING)
    make_video(user, state=VideoState.READY)
    make_video(user, state=VideoState.FAILED)
    make_video(user, state=VideoState.TRASHED)
    tabs = {tab.label: tab.count for tab in listing.load_tabs(user, wanted())}
    assert tabs == {"All": 4, "Processing": 2, "Ready": 1, "Failed": 1}
    for name, count in {"": 4, "processing": 2, "ready": 1, "failed": 1, "bin": 1}.items():
        assert len(listing.load_page(user, wanted(state=name))[0]) == count


def test_search_finds_words_from_their_beginning_in_any_case(db: None) -> None:
    user = make_user()
    make_video(user, title="Harbour at dawn")
    make_video(user, title="Über den Dächern")
    found = {
        words: [v.title for v in listing.load_page(user, wanted(words=words))[0]]
        for words in ["harb", "DAWN harbour", "uber", "arbour", '"harbour" OR dawn', "*"]
    }
    assert found["harb"] == ["Harbour at dawn"]
    assert found["DAWN harbour"] == ["Harbour at dawn"]
    assert found["uber"] == ["Über den Dächern"]
    assert found["arbour"] == []
    # The language of the index isn't spoken: these are words like others.
    assert found['"harbour" OR dawn'] == []


def test_others_private_videos_are_in_no_list_and_no_count(db: None) -> None:
    owner = make_user("a@example.org")
    other = make_user("b@example.org")
    admin = make_user("c@example.org", Role.ADMIN)
    make_video(owner, visibility="private")
    assert listing.load_page(other, wanted())[0] == []
    assert listing.load_tabs(other, wanted())[0].count == 0
    assert len(listing.load_page(admin, wanted())[0]) == 1


@pytest.mark.parametrize("after", ["x", "!!!", "e30", "WzEsMiwzXQ", "A" * 5000, "bnVsbA"])
@pytest.mark.parametrize("sort", listing.SORTS)
def test_cursor_that_is_not_ours_starts_at_the_beginning(db: None, after: str, sort: str) -> None:
    user = make_user()
    make_video(user)
    assert len(listing.load_page(user, wanted(sort=sort, after=after))[0]) == 1


def test_address_holds_only_what_was_chosen() -> None:
    assert wanted().url() == "/"
    assert wanted(words="a b", state="failed").url() == "/?q=a+b&show=failed"
    assert wanted(state="nonsense", sort="nonsense").url() == "/"
    assert wanted(words="x", after="abc").url(sort="title") == "/?q=x&sort=title"


@pytest.mark.parametrize("sort", listing.SORTS)
def test_no_order_sorts_the_whole_library(db: None, sort: str) -> None:
    """With 100,000 videos that took a quarter of a second; an index has them in order."""
    asked: list[str] = []
    execute = database.obj.execute_sql

    def listen(sql: str, params: object = None, **options: object) -> object:
        asked.append(sql)
        return execute(sql, params, **options)

    user = make_user()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database.obj, "execute_sql", listen)
        listing.load_page(user, wanted(sort=sort))
    (sql,) = (each for each in asked if 'FROM "video"' in each)
    steps = database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", [1] * sql.count("?")).fetchall()
    assert not [step for *_, step in steps if "TEMP B-TREE" in step]


def test_counting_ends_where_nobody_counts_further(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user()
    for _ in range(5):
        make_video(user, state=VideoState.READY, title="harbour")
    monkeypatch.setattr(listing, "COUNTED", 3)
    monkeypatch.setattr(listing, "FOUND", 4)
    for words, most in (("", 3), ("harb", 4)):
        tabs = {t.label: (t.count, t.more) for t in listing.load_tabs(user, wanted(words=words))}
        assert tabs == {
            "All": (most, True),
            "Processing": (0, False),
            "Ready": (most, True),
            "Failed": (0, False),
        }


def test_a_search_beyond_the_latest_finds_all(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest are looked at first; what somebody may see can lie far behind them."""
    monkeypatch.setattr(listing, "LATEST", 3)
    monkeypatch.setattr(listing, "FOUND", 4)
    owner, other = make_user("a@example.org"), make_user("b@example.org")
    mine = [make_video(other, title=f"harbour {n}").title for n in range(60)]
    for n in range(10):
        make_video(owner, title=f"harbour of others {n}", visibility="private")
    found = all_pages(other, wanted(words="harb"))
    assert found == mine[::-1]
    tabs = {
        tab.label: (tab.count, tab.more) for tab in listing.load_tabs(other, wanted(words="harb"))
    }
    assert tabs["All"] == (4, True)
