"""The scheduler on the real ledger: room, order, lifts, the night, and many re-makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance import accounts, bell, jobs, night, scheduling
from appliance.capacity import MOST_MADE_WAY, MOST_OVERTAKEN, Machine
from appliance.clock import now
from appliance.errors import Forbidden, InvalidInput, NotFound
from appliance.job_log import Ending
from appliance.models import (
    Account,
    AuditEntry,
    Job,
    JobRun,
    Priority,
    Rendition,
    Role,
    Video,
    Visibility,
)
from appliance.states import JobState, RenditionState, VideoState
from appliance.vault import open_vault
from tasks import night_work, pipeline, profile_choices, remaking, renditions
from tasks.profiles import PREVIEW, SOCIAL
from tasks.publish import dispatch
from tests.factories import make_user, make_video
from tests.plans import looking_at_plans
from tests.tasks.doing import run_all
from tests.tasks.test_capacity import film

if TYPE_CHECKING:
    from appliance.settings import Settings
    from storage.layout import Layout

pytestmark = pytest.mark.usefixtures("db")

TWO = Machine(2.0, 4000)
EIGHT = Machine(8.0, 8000)


def queue(cores: float, priority: Priority = Priority.NORMAL, **columns: Any) -> Job:
    count = Job.select().count()
    return jobs.create(
        "encode", f"encode:{count}", priority=priority, cores=cores, memory_mib=300, **columns
    )


def claim(machine: Machine = TWO, *, by_night: bool = True) -> int | None:
    job = jobs.claim("media", "me", lease_s=60, machine=machine, night=by_night)
    return job.id if job else None


def held(number: int | None) -> Job:
    job: Job = Job.get_by_id(number)
    return job


# Room


def test_a_machine_of_two_cores_encodes_one_large_film_at_a_time() -> None:
    first, second = queue(4), queue(4)
    assert claim() == first.id
    assert claim() is None
    jobs.complete(held(first.id))
    assert claim() == second.id


def test_several_small_ones_run_at_a_time() -> None:
    queued = [queue(1).id for _ in range(3)]
    assert [claim(), claim(), claim()] == [*queued[:2], None]


def test_a_larger_machine_runs_more() -> None:
    queued = [queue(4).id for _ in range(3)]
    assert [claim(EIGHT), claim(EIGHT), claim(EIGHT)] == [*queued[:2], None]


def test_jobs_of_other_machines_take_no_room_here() -> None:
    first, second = queue(4), queue(4)
    assert claim() == first.id
    Job.update(lease_boot="another machine").where(Job.id == first.id).execute()
    assert claim() == second.id


def test_running_jobs_of_all_queues_count() -> None:
    queue(2)
    Job.create(
        kind="encode",
        queue="another",
        key="other",
        cores=1,
        state=JobState.RUNNING,
        lease_boot=jobs.boot_id(),
    )
    assert claim() is None


def test_what_is_short_never_waits_for_room() -> None:
    queue(4)
    assert claim() is not None
    probe = jobs.create("probe", "probe:1")
    found = jobs.claim("quick", "me", lease_s=60, machine=TWO)
    assert found is not None
    assert found.id == probe.id


def test_work_in_the_background_waits_until_new_files_are_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bells: list[str] = []
    background, wanted = queue(1, Priority.LOW), queue(1)
    probes = [jobs.create("probe", f"probe:{number}") for number in range(2)]
    later = jobs.create("probe", "probe:later", run_after=now() + timedelta(hours=1))
    monkeypatch.setattr(bell, "ring", lambda name, _: bells.append(name))
    assert claim() == wanted.id
    assert claim() is None
    assert jobs.claim("quick", "me", lease_s=60) == probes[0]
    assert "media" not in bells and claim() is None
    assert jobs.claim("quick", "me", lease_s=60) == probes[1]
    assert "media" in bells, "its worker is told that the line is empty"
    assert claim() == background.id
    assert held(later.id).state is JobState.QUEUED


def test_a_large_job_is_overtaken_only_so_often() -> None:
    running = queue(1)
    assert claim() == running.id
    large = queue(2)
    for _ in range(MOST_OVERTAKEN):
        small = queue(1)
        assert claim() == small.id
        jobs.complete(held(small.id))
    waiting = queue(1)
    assert claim() is None
    jobs.complete(held(running.id))
    assert claim() == large.id
    assert claim() is None
    jobs.complete(held(large.id))
    assert claim() == waiting.id


def test_a_claim_rings_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []
    queue(1)
    queue(1)
    monkeypatch.setattr(bell, "ring", lambda name, priority: rung.append(name))
    assert claim() is not None
    assert rung == ["media"]
    assert claim() is not None
    assert rung == ["media"]


# Making way


@pytest.fixture
def remade() -> Job:
    """A re-make that runs on all cores."""
    job = queue(4, Priority.LOW, payload={"remake": True})
    assert claim() == job.id
    return held(job.id)


def in_the_way(job: Job, machine: Machine = TWO) -> bool:
    return scheduling.should_make_way(job, machine, night=True)


def test_a_remake_makes_way_for_a_post_and_goes_on_after_it(remade: Job) -> None:
    assert not in_the_way(remade)
    wanted = queue(4, Priority.HIGH)
    assert in_the_way(remade)
    assert not in_the_way(remade, EIGHT)
    jobs.put_back(remade, ending=Ending.MADE_WAY)
    assert (held(remade.id).attempts, held(remade.id).crashes) == (0, 0)
    assert claim() == wanted.id
    assert not in_the_way(held(wanted.id))
    jobs.complete(held(wanted.id))
    assert claim() == remade.id


def test_two_small_ones_make_way_together_and_their_room_is_kept() -> None:
    machine = Machine(4.0, 4000)
    both = [queue(2, Priority.LOW, payload={"remake": True}) for _ in range(2)]
    assert [claim(machine), claim(machine)] == [job.id for job in both]
    first, second = (held(job.id) for job in both)
    wanted = queue(4, Priority.HIGH)
    assert in_the_way(first, machine)
    assert in_the_way(second, machine)
    jobs.put_back(first, ending=Ending.MADE_WAY)
    assert claim(machine) is None
    assert in_the_way(second, machine)
    jobs.put_back(second, ending=Ending.MADE_WAY)
    assert claim(machine) == wanted.id


def test_it_stays_when_half_is_done(remade: Job) -> None:
    queue(4, Priority.HIGH)
    jobs.report(remade, stage="Encoding", progress=0.49)
    assert in_the_way(remade)
    jobs.report(remade, stage="Encoding", progress=0.5)
    assert not in_the_way(remade)


def test_it_stays_when_it_has_made_way_often_enough(remade: Job) -> None:
    queue(4, Priority.HIGH)
    for _ in range(MOST_MADE_WAY):
        assert in_the_way(remade)
        JobRun.create(job=remade, fence=0, worker="", outcome=Ending.MADE_WAY.value)
    assert not in_the_way(remade)


def test_it_stays_when_somebody_wants_it_now(remade: Job) -> None:
    queue(4, Priority.HIGH)
    jobs.lift(remade, Priority.HIGH)
    assert not in_the_way(remade)


def test_it_stays_for_other_work_in_the_background(remade: Job) -> None:
    queue(4, Priority.NORMAL)
    assert not in_the_way(remade)


def test_what_is_not_due_yet_stops_nobody(remade: Job) -> None:
    queue(4, Priority.HIGH, run_after=now() + timedelta(hours=1))
    assert not in_the_way(remade)


# The night

BY_DAY = datetime(2026, 1, 10, 12, tzinfo=UTC)


def probed(**columns: Any) -> Video:
    """A video that has to be encoded, and has been looked at."""
    facts = film(1920, 1080, pix_fmt="yuv444p").to_dict()
    return make_video(state=VideoState.PROCESSING, facts=facts, sha256="0" * 64, **columns)


def eager(settings: Settings, **columns: Any) -> dict[str, Job]:
    """The jobs that follow the look at a new video, by profile."""
    video = probed(**columns)
    pipeline.start_eager(video, settings)
    made = Job.select().where(Job.video == video, Job.rendition.is_null(False))
    return {job.rendition.profile: job for job in made}


def test_only_at_night_is_for_encodes_that_nobody_waits_for(settings: Settings) -> None:
    night.keep_only(True)
    found = eager(settings)
    assert found[SOCIAL.name].only_at_night
    assert not found[PREVIEW.name].only_at_night
    video = found[SOCIAL.name].video
    assert video is not None
    renditions.want_rendition(video, SOCIAL.name, Priority.HIGH)
    lifted = held(found[SOCIAL.name].id)
    assert (lifted.only_at_night, lifted.priority) == (False, Priority.HIGH)


def test_what_was_wanted_before_the_look_does_not_wait_for_the_night(settings: Settings) -> None:
    night.keep_only(True)
    video = probed()
    Rendition.create(video=video, profile="social", wanted=int(Priority.NORMAL))
    pipeline.start_eager(video, settings)
    job = Job.get(Job.video == video, Job.kind == "encode")
    assert not job.only_at_night
    assert job.priority == Priority.NORMAL


def test_by_day_what_waits_for_the_night_is_neither_claimed_nor_rung_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = queue(1, only_at_night=True)
    rung: list[str] = []
    monkeypatch.setattr(bell, "ring", lambda name, priority: rung.append(name))
    assert claim(by_night=False) is None
    assert jobs.ring_due(night=False) == []
    assert rung == []
    other = queue(1)
    assert claim(by_night=False) == other.id
    assert jobs.ring_due(night=True) == ["media"]
    assert claim(by_night=True) == later.id


def test_the_wish_changes_what_waits_in_line(settings: Settings) -> None:
    owner = make_user(role=Role.ADMIN)
    found = eager(settings)
    by_hand = queue(1, Priority.LOW, payload={"remake": True}, only_at_night=True)
    assert night_work.save(True, owner) == 1
    assert held(found[SOCIAL.name].id).only_at_night
    assert not held(found[PREVIEW.name].id).only_at_night
    assert night_work.save(True, owner) == 0
    assert night_work.save(False, owner) == 1
    assert not held(found[SOCIAL.name].id).only_at_night
    assert held(by_hand.id).only_at_night
    actions = [entry.action for entry in AuditEntry.select()]
    assert actions == ["night.change", "night.change"]


def test_a_repack_that_becomes_an_encode_waits_for_the_night() -> None:
    night.keep_only(True)
    video = probed()
    rendition = renditions.row_for(video, SOCIAL)
    repack = renditions.make_job("remux", rendition, video, Priority.NORMAL)
    assert not repack.only_at_night
    pipeline.hand_to_encoder(repack, rendition)
    assert Job.get(Job.kind == "encode").only_at_night


# Posts lift


def test_a_post_lifts_the_look_at_its_video(settings: Settings) -> None:
    video = make_video(state=VideoState.RECEIVED)
    probe = jobs.create("probe", f"probe:{video.public_id}", video=video, priority=Priority.LOW)
    renditions.want_rendition(video, SOCIAL.name, Priority.HIGH)
    assert held(probe.id).priority == Priority.HIGH


@pytest.fixture
def practice(settings: Settings, layout: Layout) -> Account:
    accounts.ensure_builtin(settings, open_vault(settings))
    found: Account = Account.get(Account.platform == "practice")
    return found


def test_post_lifts_the_encode_out_of_the_night_and_to_the_front(
    settings: Settings, practice: Account
) -> None:
    night.keep_only(True)
    first, second = eager(settings)["social"], eager(settings)["social"]
    assert first.only_at_night
    assert second.only_at_night
    assert second.video is not None
    dispatch.create(settings, second.video, [practice], author=make_user())
    lifted = held(second.id)
    assert (lifted.only_at_night, lifted.priority) == (False, Priority.HIGH)
    Job.delete().where(Job.kind != "encode", Job.queue == "media").execute()
    assert claim(by_night=False) == second.id
    assert claim(EIGHT, by_night=False) is None


def test_a_post_for_later_takes_the_encode_out_of_the_night(
    settings: Settings, practice: Account
) -> None:
    night.keep_only(True)
    job = eager(settings)["social"]
    assert job.video is not None
    later = now() + timedelta(hours=2)
    dispatch.create(settings, job.video, [practice], author=make_user(), publish_at=later)
    assert not held(job.id).only_at_night


# Many re-makes


@pytest.fixture
def admin() -> Any:
    return make_user("admin@example.org", Role.ADMIN)


@pytest.fixture
def editor() -> Any:
    return make_user("editor@example.org", Role.EDITOR)


def made(owner: Any, recipe: str = "old", profile: str = "social", **columns: Any) -> Video:
    video = probed(owner=owner, **columns)
    Video.update(state=VideoState.READY).where(Video.id == video.id).execute()
    Rendition.create(video=video, profile=profile, recipe=recipe, state=RenditionState.READY)
    return Video.get_by_id(video.id)


def waiting() -> list[tuple[Any, ...]]:
    query = Job.select().where(Job.kind != "remake").order_by(Job.id)
    return [(job.video_id, job.priority, job.only_at_night, job.state) for job in query]


def test_all_that_is_stale_is_made_anew_and_the_old_stays_in_use(admin: Any) -> None:
    stale = made(admin)
    made(admin, recipe=SOCIAL.recipe)
    made(admin, state_before_trash=VideoState.READY)
    trashed = made(admin)
    Video.update(state=VideoState.TRASHED).where(Video.id == trashed.id).execute()
    removed = made(admin)
    Video.update(original_removed_at=now()).where(Video.id == removed.id).execute()
    assert remaking.remake_many(admin) == 2
    assert waiting()[0] == (stale.id, Priority.LOW, False, JobState.QUEUED)
    assert len(waiting()) == 2
    states = {row.state for row in Rendition.select()}
    assert states == {RenditionState.READY}
    assert remaking.remake_many(admin) == 2
    assert len(waiting()) == 2


def test_some_at_night_and_now_after_all(admin: Any) -> None:
    first, second = made(admin), made(admin)
    assert remaking.remake_many(admin, videos=[first.public_id], only_at_night=True) == 1
    assert waiting() == [(first.id, Priority.LOW, True, JobState.QUEUED)]
    assert remaking.remake_many(admin, videos=[first.public_id, second.public_id]) == 2
    assert [row[2] for row in waiting()] == [False, False]


def test_one_profile_alone(admin: Any) -> None:
    made(admin, profile="preview")
    made(admin)
    assert remaking.remake_many(admin, profile="preview") == 1
    with pytest.raises(InvalidInput, match="The profile is one of these: social"):
        remaking.remake_many(admin, profile="cinema")


def test_whose_videos(admin: Any, editor: Any) -> None:
    hers, theirs = made(editor), made(admin)
    hidden = made(admin, visibility=Visibility.PRIVATE)
    assert remaking.remake_many(editor) == 1
    assert [row[0] for row in waiting()] == [hers.id]
    assert remaking.remake_many(editor, videos=[theirs.public_id]) == 1
    with pytest.raises(NotFound):
        remaking.remake_many(editor, videos=[hidden.public_id])
    with pytest.raises(Forbidden):
        remaking.remake_many(make_user("viewer@example.org", Role.VIEWER))


def test_a_large_number_is_put_in_line_by_a_job(
    admin: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remaking, "AT_ONCE", 2)
    monkeypatch.setattr(remaking, "_PIECE", 2)
    for _ in range(5):
        made(admin)
    # By day nothing of it begins, whenever this test runs.
    assert remaking.remake_many(admin, only_at_night=True) == 5
    assert waiting() == []
    assert remaking.remake_many(admin, only_at_night=True) == 5
    assert Job.select().where(Job.kind == "remake").count() == 1
    by_day = settings.model_copy(update={"night_hours": a_window_that_is_closed()})
    run_all(by_day)
    assert len(waiting()) == 5
    assert remaking.cancel_remakes(admin) == 5
    run_all(by_day)
    assert {row[3] for row in waiting()} == {JobState.CANCELLED}
    assert {row.state for row in Rendition.select()} == {RenditionState.READY}


def a_window_that_is_closed() -> str:
    """Hours of the night that are half a day from now, in UTC."""
    hour = (now().hour + 12) % 24
    return f"{hour:02}:00-{(hour + 1) % 24:02}:00"


def test_a_cancel_takes_back_ones_own_and_nothing_else(admin: Any, editor: Any) -> None:
    hers, theirs = made(editor), made(admin)
    remaking.remake_many(admin)
    other = queue(1)
    assert remaking.cancel_remakes(editor) == 1
    assert Job.get(Job.video == hers).state is JobState.CANCELLED
    assert Job.get(Job.video == theirs).state is JobState.QUEUED
    assert held(other.id).state is JobState.QUEUED


def test_many_are_taken_out_by_a_job_and_later_ones_stay(
    admin: Any, editor: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remaking, "AT_ONCE", 2)
    monkeypatch.setattr(remaking, "_PIECE", 2)
    for _ in range(3):
        queue(1, Priority.LOW, video=made(admin), payload={"remake": True}, only_at_night=True)
        queue(1, video=made(admin), only_at_night=True)
    assert remaking.cancel_remakes(editor) == 0
    assert remaking.cancel_remakes(admin) == 3
    assert {job[3] for job in waiting()} == {JobState.QUEUED}
    later = queue(1, Priority.LOW, payload={"remake": True}, only_at_night=True)
    run_all(settings.model_copy(update={"night_hours": a_window_that_is_closed()}))
    ended = Job.select().where(Job.state == JobState.CANCELLED)
    assert [job.payload for job in ended] == [{"remake": True}] * 3
    assert held(later.id).state is JobState.QUEUED


def test_an_editor_takes_back_what_they_asked_for(
    admin: Any, editor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = [made(admin).public_id for _ in range(3)]
    assert remaking.remake_many(editor, videos=theirs[:1]) == 1
    assert remaking.remake_many(admin, videos=theirs[1:2]) == 1
    assert remaking.cancel_remakes(editor) == 1
    assert [row[3] for row in waiting()] == [JobState.CANCELLED, JobState.QUEUED]
    monkeypatch.setattr(remaking, "AT_ONCE", 1)
    assert remaking.remake_many(editor, videos=theirs) == 3
    assert remaking.cancel_remakes(editor) == 0
    assert Job.get(Job.kind == "remake").state is JobState.CANCELLED


def test_what_is_stale_is_found_without_reading_what_is_not(admin: Any) -> None:
    with looking_at_plans() as steps:
        assert remaking.remake_many(admin) == 0
        assert profile_choices.stale_counts() == {}
    of_versions = [step for step in steps if "rendition_" in step]
    assert of_versions
    assert all("rendition_profile_recipe_state" in step for step in of_versions)


def test_a_remake_needs_only_the_room_that_it_adds(admin: Any) -> None:
    first, second = made(admin), made(admin)
    fresh = renditions.remake(Rendition.get(Rendition.video == first), Priority.LOW).room_bytes
    assert fresh > 10_000
    Rendition.update(size_bytes=fresh - 1000).where(Rendition.video == second).execute()
    again = renditions.remake(Rendition.get(Rendition.video == second), Priority.LOW)
    assert again.room_bytes == 1000
