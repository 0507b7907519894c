"""A store with one thing in every state, for pictures of the pages and for browser tests."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from appliance import events, guest_links, videos
from appliance.clock import boot_id, boottime_s, now
from appliance.db import database
from appliance.guest_links import Terms
from appliance.job_log import Ending
from appliance.models import (
    Account,
    Attempt,
    Damage,
    Heartbeat,
    Job,
    JobDay,
    JobRun,
    JobSample,
    Method,
    Post,
    PostTarget,
    Rendition,
    Role,
    Setting,
    Slot,
    Source,
    Upload,
    User,
    Video,
    Visibility,
)
from appliance.states import (
    AccountState,
    ApprovalState,
    JobState,
    PostState,
    RenditionState,
    TargetState,
    VideoState,
)
from appliance.vault import open_vault
from storage.layout import Layout
from tasks.profiles import PROFILES
from tests import media
from tests.tasks.test_plan import FITS

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings

SKIES = [
    ((255, 190, 140), (90, 110, 170)),
    ((140, 200, 235), (40, 90, 150)),
    ((250, 225, 190), (190, 120, 110)),
    ((170, 215, 195), (50, 100, 110)),
    ((210, 200, 240), (80, 70, 130)),
    ((245, 235, 210), (110, 140, 90)),
]
# As long as titles may be, and no place to break it at.
UNBROKEN = ("holiday_by_the_sea_final_version_" * 8)[:255]
LOG = """[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55d0] moov atom not found
[in#0 @ 0x55d1] Error opening input: Invalid data found when processing input
Error opening input file original."""


@dataclass
class Seeded:
    """Public ids by what they show."""

    owner: User
    viewer: User
    videos: dict[str, str] = field(default_factory=dict)
    posts: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    guest_pages: dict[str, str] = field(default_factory=dict)
    """Paths of the pages behind the links."""


def seed(settings: Settings, *, further: int = 20) -> Seeded:
    """Fill a migrated store. ``further``: ready videos besides those with something to show."""
    layout = Layout(settings.data)
    layout.make_folders()
    with database.connection_context():
        owner = _user("ada@example.org", "Ada Lovelace", Role.OWNER)
        grace = _user("grace@example.org", "Grace Hopper", Role.EDITOR)
        viewer = _user("theo@example.org", "Theo", Role.VIEWER)
        made = Seeded(owner, viewer)
        for process in ("web", "worker-media", "worker-quick", "worker-delivery"):
            Heartbeat.create(
                process=process,
                pid=1,
                boot_id=boot_id(),
                beat_boottime_s=boottime_s() + 3600,
                info={"cores": 8.0, "memory_mib": 12_000} if process == "worker-media" else {},
            )
        for number in range(further):
            _ready(layout, grace, f"Workshop, part {further - number}", number, hours=80 - number)
        _old(layout, made, owner)
        _ended(layout, made, owner, grace)
        _under_way(layout, made, owner, grace)
        _history()
        _guests(settings, layout, made, owner, grace)
        _storage(made)
    return made


def _storage(made: Seeded) -> None:
    """Files that are not as they should be, and what the last look found."""
    lost = Video.get(Video.public_id == made.videos["private"])
    Damage.create(video=lost, name="original", problem="missing")
    mending = Video.get(Video.public_id == made.videos["rtl"])
    Damage.create(video=mending, name="social", problem="size", mending=True)
    looked = {
        "at": (now() - timedelta(hours=5)).isoformat(),
        "other_files": 24,
        "other_bytes": 3_200_000,
        "orphans": 2,
        "orphans_bytes": 81_000_000,
    }
    Setting.create(name="storage_looked", value=looked)
    reading = {
        "started_at": (now() - timedelta(hours=1)).isoformat(),
        "last": 7,
        "files": 14,
        "bytes": 410_000,
        "of_bytes": 1_000_000,
        "wrong": 0,
    }
    Setting.create(name="storage_verified", value=reading)


def _user(email: str, name: str, role: Role) -> User:
    return User.create(email=email, name=name, role=role, time_zone="Europe/Berlin")


def _video(owner: User, title: str, state: VideoState, *, minutes: float, **columns: Any) -> Video:
    video = Video.create(
        owner=owner,
        title=title,
        filename=columns.pop("filename", "IMG_4021.mov"),
        source=columns.pop("source", Source.BROWSER),
        state=state,
        created_at=now() - timedelta(minutes=minutes),
        **columns,
    )
    events.record(
        "video.created",
        f"video:{video.public_id}",
        video=video,
        actor_id=owner.id,
        video_id=video.public_id,
    )
    return video


PLAIN: dict[str, Any] = FITS.to_dict()
MADE = {
    "probe": {
        **PLAIN,
        "format": "mov,mp4,m4a,3gp,3g2,mj2",
        "video": {
            **PLAIN["video"],
            "codec": "h264",
            "pix_fmt": "yuv420p",
            "shown_width": 1920,
            "shown_height": 1080,
        },
        "audio": {**PLAIN["audio"], "codec": "aac"},
        "duration_s": 200.0,
    },
    "seconds": 200.0,
}


# Of an original that browsers play as it is, and of one that they don't.
FACTS: dict[str, Any] = {
    **PLAIN,
    "video": {
        **PLAIN["video"],
        "codec": "hevc",
        "width": 3840,
        "height": 2160,
        "shown_width": 3840,
        "shown_height": 2160,
    },
}

SMALL = {
    "probe": {
        **MADE["probe"],
        "video": {**PLAIN["video"], "codec": "h264", "shown_width": 640, "shown_height": 360},
    },
    "seconds": 1.4,
}


def _here(minutes: float) -> dict[str, Any]:
    """Columns of a video whose file has been looked at."""
    return {
        "facts": FACTS,
        "duration_s": 734.2,
        "width": 3840,
        "height": 2160,
        "size_bytes": 482_113_920,
        "received_at": now() - timedelta(minutes=minutes),
        "poster_version": 1,
    }


def _ready(
    layout: Layout,
    owner: User,
    title: str,
    number: int,
    *,
    hours: float,
    seconds: float = 2,
    **columns: Any,
) -> Video:
    video = _video(
        owner,
        title,
        VideoState.READY,
        minutes=hours * 60,
        ready_at=now() - timedelta(hours=hours - 0.2),
        **{**_here(hours * 60), "duration_s": 95.0 + 61 * number, **columns},
    )
    _draw_poster(layout.poster(video.public_id), number)
    clip = media.h264_aac(seconds)
    shutil.copy(clip, layout.rendition(video.public_id, "social"))
    shutil.copy(clip, layout.original(video.public_id))
    Rendition.create(
        video=video,
        profile="social",
        recipe="1",
        state=RenditionState.READY,
        method=Method.TRANSCODE,
        facts=MADE,
        size_bytes=96_400_000,
        ready_at=video.ready_at,
        sha256="0" * 64,
    )
    events.record("video.ready", f"video:{video.public_id}", video=video, video_id=video.public_id)
    return video


BOARD = {"columns": 4, "rows": 3, "count": 12, "width": 160, "height": 90, "every_s": 1.0}
WAVE = {"peaks_per_s": 10, "loudness_lufs": -16.4, "true_peak_dbtp": -1.2}


def _versions(layout: Layout, video: Video) -> None:
    """All that may be made of a video, in every state that a version may be in."""
    social = Rendition.get(Rendition.video == video, Rendition.profile == "social")
    Rendition.update(
        facts={
            **MADE,
            "seconds": 5.7,
            "speed": 2.1,
            "encoder": "x264 (processor)",
            "reasons": [
                "the frame rate varies (Facebook Reels, Instagram Reels)",
                "25.1 Mbit/s are too many (Instagram Reels)",
            ],
        },
        recipe="0",
    ).where(Rendition.id == social.id).execute()
    plans: list[tuple[str, dict[str, Any]]] = [
        ("preview", {"method": Method.TRANSCODE, "facts": {**SMALL, "ahead": True}}),
        ("instagram", {"method": Method.LEAVE, "facts": {**MADE, "reused": True}}),
        ("storyboard", {"facts": BOARD}),
        ("waveform", {"facts": WAVE}),
        ("audio", {"method": Method.REMUX, "facts": {"seconds": 0.4}}),
    ]
    for profile, columns in plans:
        Rendition.create(
            video=video,
            profile=profile,
            recipe=PROFILES[profile].recipe if profile in PROFILES else "1",
            state=RenditionState.READY,
            size_bytes=1_900_000,
            ready_at=video.ready_at,
            sha256=f"{len(profile)}" * 64,
            **columns,
        )
    for name in ("preview", "instagram"):
        shutil.copy(media.h264_aac(12), layout.rendition(video.public_id, name))
    _draw_storyboard(layout.rendition(video.public_id, "storyboard"))
    peaks = [round(50 + 45 * math.sin(n / 3) * math.sin(n / 17)) for n in range(120)]
    layout.rendition(video.public_id, "waveform").write_text(
        json.dumps({"version": 1, "peaks_per_s": 10, "peaks": peaks})
    )
    Rendition.create(
        video=video,
        profile="vertical",
        state=RenditionState.FAILED,
        error="The disk is full. Free some space, then press Retry.",
        error_detail="ENOSPC",
    )
    reel = Rendition.create(video=video, profile="reel", state=RenditionState.PROCESSING, wanted=50)
    _job(
        "encode",
        JobState.RUNNING,
        video,
        rendition=reel,
        stage="Encoding",
        progress=0.31,
        eta_s=95.0,
        started_s=40,
    )
    for profile in ("social", "preview", "social"):
        videos.tell(video, "rendition.ready", profile=profile)


def _draw_storyboard(path: Path) -> None:
    board = Image.new("RGB", (BOARD["columns"] * 160, BOARD["rows"] * 90))  # type: ignore[arg-type]  # whole numbers
    for n in range(12):
        tile = path.with_name(f"tile-{n}.webp")
        _draw_poster(tile, n)
        with Image.open(tile) as picture:
            board.paste(picture.resize((160, 90)), (n % 4 * 160, n // 4 * 90))
        tile.unlink()
    board.save(path, "WEBP", quality=80)


def _draw_poster(path: Path, number: int) -> None:
    """Hills under a sky: something that a picture may be, without a file in the repository."""
    path.parent.mkdir(parents=True, exist_ok=True)
    top, ground = SKIES[number % len(SKIES)]
    width, height = 640, 360
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    for y in range(height):
        share = y / height
        mixed = tuple(round(a + (b - a) * share * 0.6) for a, b in zip(top, ground, strict=True))
        draw.line([(0, y), (width, y)], fill=mixed)
    sun = (120 + 67 * number % 400, 90 + 23 * number % 60)
    draw.ellipse([sun[0] - 34, sun[1] - 34, sun[0] + 34, sun[1] + 34], fill=(255, 246, 225))
    for layer in range(3):
        base = 190 + 55 * layer
        shade = tuple(max(0, round(c * (0.85 - 0.25 * layer))) for c in ground)
        hill = [(0, height)]
        for step in range(0, width + 1, 40):
            swing = ((step // 40 * 37 + number * 53 + layer * 29) % 60) - 30
            hill.append((step, base + swing))
        draw.polygon([*hill, (width, height)], fill=shade)
    picture.save(path, "WEBP", quality=80)


def _old(layout: Layout, made: Seeded, owner: User) -> None:
    trashed = _ready(layout, owner, "Rehearsal, first try", 3, hours=70)
    Video.update(
        state=VideoState.TRASHED, state_before_trash="ready", deleted_at=now() - timedelta(hours=3)
    ).where(Video.id == trashed.id).execute()
    made.videos["trashed"] = trashed.public_id


def _ended(layout: Layout, made: Seeded, owner: User, grace: User) -> None:
    long = _ready(
        layout,
        grace,
        "The long walk from the harbour to the lighthouse and back again, with all the stops we "
        "made, the people we met, and a storm at the very end that nobody had expected",
        5,
        hours=9,
        duration_s=5025.0,
    )
    made.videos["long"] = long.public_id
    unbroken = _ready(layout, grace, UNBROKEN, 1, hours=6, filename=f"{UNBROKEN[:251]}.mov")
    made.videos["unbroken"] = unbroken.public_id
    made.jobs["unbroken"] = _job(
        "encode",
        JobState.FAILED,
        unbroken,
        attempts=3,
        error=f"The encoder could not open {UNBROKEN}.mov.",
        error_code="encoder_crashed",
        detail=LOG,
        started_s=6 * 3600,
        took_s=4,
    )
    arabic = _ready(layout, grace, "جولة في السوق القديم", 2, hours=8)
    made.videos["rtl"] = arabic.public_id
    private = _ready(layout, owner, "Salary talk (draft)", 4, hours=7, visibility="private")
    made.videos["private"] = private.public_id
    failed = _video(
        grace,
        "Budget 2026",
        VideoState.FAILED,
        minutes=190,
        filename="budget.mp4",
        size_bytes=18_400,
        received_at=now() - timedelta(minutes=190),
        error="This file could not be read as video: it has no picture in it. Upload another copy.",
        error_detail=LOG,
    )
    made.videos["failed"] = failed.public_id
    made.jobs["failed"] = _job(
        "probe",
        JobState.FAILED,
        failed,
        attempts=1,
        error=failed.error,
        error_code="no_picture",
        detail=LOG,
        started_s=190 * 60,
        took_s=0.8,
    )
    partly = _ready(layout, grace, "Bread, step by step", 0, hours=2.5)
    Rendition.update(
        state=RenditionState.FAILED,
        error="The disk is full. Free some space, then press Retry.",
        error_detail="ENOSPC",
    ).where(Rendition.video == partly).execute()
    made.videos["partly"] = partly.public_id
    ready = _ready(
        layout,
        owner,
        "Harbour at dawn",
        1,
        hours=1.2,
        description="The fishing boats come in at five.\n\nFilmed with a phone, from the pier.",
        duration_s=12.0,
        seconds=12,
        facts=PLAIN,
        width=1920,
        height=1080,
        size_bytes=14_200_000,
    )
    made.videos["ready"] = ready.public_id
    _versions(layout, ready)
    _job("encode", JobState.COMPLETED, ready, started_s=70 * 60, took_s=200)
    _job("poster", JobState.COMPLETED, ready, started_s=71 * 60, took_s=0.9)
    made.jobs["cancelled"] = _job("encode", JobState.CANCELLED, partly, started_s=4000, took_s=31)
    _posts(made, owner, ready, grace, partly, unbroken)


def _posts(
    made: Seeded, owner: User, ready: Video, grace: User, other: Video, unbroken: Video
) -> None:
    practice, folder = (
        Account.get_or_create(platform=platform, remote_id=platform, defaults={"name": name})[0]
        for platform, name in (("practice", "Practice channel"), ("folder", "Folder on this box"))
    )
    lost = Account.create(
        platform="practice", remote_id="other", name="Second channel", state=AccountState.RECONNECT
    )
    channel, page, reels = (
        Account.create(platform=platform, name=name, remote_id=name, practice=practice)
        for platform, name, practice in (
            ("youtube", "Harbour Museum", True),
            ("facebook", "Harbour Museum and Boatyard", False),
            ("instagram", "harbour.museum", False),
        )
    )
    w = TargetState
    plans: list[tuple[str, PostState, Video, User, list[tuple[Account, TargetState, str]]]] = [
        ("completed", PostState.COMPLETED, ready, owner, [
            (practice, w.PUBLISHED, ""), (folder, w.PUBLISHED, "")]),
        ("partial", PostState.PARTIAL, ready, grace, [
            (practice, w.PUBLISHED, ""),
            (folder, w.FAILED, "The folder is full. Free some space, then press Retry.")]),
        ("failed", PostState.FAILED, other, grace, [
            (lost, w.FAILED, "Second channel no longer accepts our sign-in. Connect it again; "
             "the post is kept.")]),
        ("needs_person", PostState.FAILED, ready, owner, [
            (practice, w.NEEDS_PERSON, "The answer was lost, and the platform can't say whether "
             "the video is there. Look at the channel.")]),
        ("unbroken", PostState.FAILED, unbroken, grace, [
            (practice, w.FAILED, f"The platform refused “{UNBROKEN}”.")]),
        ("cancelled", PostState.CANCELLED, other, owner, [(practice, w.CANCELLED, "")]),
        ("scheduled", PostState.SCHEDULED, ready, owner, [(practice, w.WAITING, "")]),
        ("pending", PostState.PENDING, ready, owner, [(practice, w.WAITING, "")]),
        ("processing", PostState.PROCESSING, ready, owner, [
            (practice, w.PUBLISHING, ""), (folder, w.PUBLISHED, "")]),
        ("everywhere", PostState.PROCESSING, ready, owner, [
            (channel, w.PUBLISHED, ""), (page, w.FAILED, "Facebook found the video too short "
             "for a Reel: it takes 3 to 90 seconds. Choose another version, then press Retry."),
            (reels, w.STAGING, "")]),
    ]  # fmt: skip
    for number, (name, state, video, author, targets) in enumerate(plans):
        post = Post.create(
            video=video,
            author=author,
            state=state,
            title=video.title,
            description="The fishing boats come in at five.",
            created_at=now() - timedelta(minutes=60 - 6 * number),
            publish_at=now() + timedelta(days=1) if state is PostState.SCHEDULED else None,
        )
        for account, target_state, error in targets:
            published = target_state is w.PUBLISHED
            PostTarget.create(
                post=post,
                account=account,
                state=target_state,
                error=error or None,
                stage="The platform fetches the video" if target_state is w.PUBLISHING else "",
                error_detail='{"error": {"code": 190, "message": "Session has expired"}}'
                if error
                else None,
                url="/practice/watch/1" if published and account is practice else None,
                published_at=now() if published else None,
            )
        made.posts[name] = post.public_id
    _tried(made, channel, page)
    _planned(made, ready, practice, folder, grace)


def _planned(made: Seeded, video: Video, practice: Account, folder: Account, author: User) -> None:
    """Posts of all kinds on the schedule, and free slots."""
    tomorrow = now().replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    asked = ApprovalState.REQUESTED
    for name, at, columns, accounts in [
        ("near", tomorrow, {"state": PostState.SCHEDULED}, [practice, folder]),
        ("too_near", tomorrow + timedelta(minutes=5), {"state": PostState.SCHEDULED}, [practice]),
        ("late", now() - timedelta(hours=6), {"state": PostState.PENDING,
         "late_since": now() - timedelta(hours=6)}, [practice]),
        ("asked", tomorrow + timedelta(days=1), {"state": PostState.DRAFT, "approval": asked},
         [practice]),
        ("asked_late", now() - timedelta(hours=1), {"state": PostState.DRAFT, "approval": asked},
         [folder]),
        ("refused", None, {"state": PostState.DRAFT, "approval": ApprovalState.REFUSED,
         "approval_note": "The logo at the end is last year's."}, [practice]),
        ("draft", None, {"state": PostState.DRAFT}, []),
    ]:  # fmt: skip
        post = Post.create(
            video=video,
            author=author,
            title=video.title,
            publish_at=at,
            time_zone="Europe/Berlin",
            **columns,
        )
        for account in accounts:
            PostTarget.create(post=post, account=account)
        made.posts[name] = post.public_id
    for weekday, clock in ((0, "09:00"), (4, "18:00")):
        Slot.create(weekday=weekday, time=clock, time_zone="Europe/Berlin", created_by=author)


def _tried(made: Seeded, channel: Account, page: Account) -> None:
    """What was tried for a post, and what became of it."""
    post = Post.get(Post.public_id == made.posts["everywhere"])
    out = PostTarget.get(PostTarget.post == post, PostTarget.account == channel)
    PostTarget.update(
        remote_id="dQw4_-9WgXc",
        url="https://www.youtube.com/shorts/dQw4_-9WgXc",
        numbers={"views": 1204, "likes": 96, "comments": 1},
        numbers_at=now() - timedelta(minutes=20),
        edited_at=now() - timedelta(minutes=3),
        rendition=Rendition.get(Rendition.video == post.video, Rendition.profile == "social"),
    ).where(PostTarget.id == out.id).execute()
    refused = PostTarget.get(PostTarget.post == post, PostTarget.account == page)
    began = now() - timedelta(minutes=9)
    for target, step, outcome, error in (
        (out, "stage", "staged", ""),
        (out, "go_live", "done", ""),
        (refused, "stage", "retry", "Facebook asks for a pause."),
        (refused, "stage", "failed", refused.error or ""),
    ):
        Attempt.create(
            target=target,
            step=step,
            outcome=outcome,
            error=error or None,
            detail='HTTP 400: {"error": {"code": 100, "message": "(#100) Video too short"}}'
            if error
            else None,
            started_at=began,
            ended_at=began + timedelta(seconds=1.2),
        )
        began += timedelta(seconds=40)


def _under_way(layout: Layout, made: Seeded, owner: User, grace: User) -> None:
    retrying = _video(grace, "Market stalls", VideoState.PROCESSING, minutes=22, **_here(21))
    _draw_poster(layout.poster(retrying.public_id), 2)
    made.videos["retrying"] = retrying.public_id
    made.jobs["retrying"] = _job(
        "encode",
        JobState.QUEUED,
        retrying,
        attempts=1,
        run_after=now() + timedelta(minutes=2),
        error="It stood still for 60 s, at “Encoding”, 42 %, and was ended.",
        error_code="stalled",
        started_s=600,
    )
    processing = _video(
        grace, "Autumn in the old town", VideoState.PROCESSING, minutes=14, **_here(12)
    )
    _draw_poster(layout.poster(processing.public_id), 4)
    Rendition.create(
        video=processing,
        profile="social",
        recipe="1",
        state=RenditionState.PROCESSING,
        wanted=50,
    )
    made.videos["processing"] = processing.public_id
    made.jobs["running"] = _job(
        "encode",
        JobState.RUNNING,
        processing,
        stage="Encoding",
        progress=0.42,
        eta_s=187.0,
        work=1e10,
        rendition=Rendition.get(Rendition.video == processing),
        started_s=135,
    )
    waiting = _video(
        owner,
        "Interview with the baker",
        VideoState.RECEIVED,
        minutes=4,
        size_bytes=1_204_000_000,
        received_at=now() - timedelta(minutes=1),
    )
    made.videos["received"] = waiting.public_id
    made.jobs["queued"] = _job("probe", JobState.QUEUED, waiting)
    made.jobs["space"] = _job(
        "remux",
        JobState.QUEUED,
        waiting,
        stage="Waiting for space",
        run_after=now() + timedelta(minutes=1, hours=1),
    )
    made.jobs["night"] = _job("encode", JobState.QUEUED, waiting, only_at_night=True)
    made.jobs["next"] = _job("preview", JobState.QUEUED, processing)
    uploading = _video(
        owner, "Drone over the bay", VideoState.UPLOADING, minutes=2, size_bytes=2_000_000
    )
    upload = Upload.create(
        token_hash="x",
        owner=owner,
        video=uploading,
        source=Source.BROWSER,
        length=2_000_000,
        filename="DJI_0042.MP4",
        durable_offset=1_220_000,
        settled_offset=1_220_000,
        touched_boot_s=boottime_s(),
        boot_id=boot_id(),
        expires_at=now() + timedelta(days=1),
    )
    with layout.upload(upload.public_id).open("wb") as file:
        file.truncate(1_220_000)
    made.videos["uploading"] = uploading.public_id
    videos.tell(uploading, "video.uploading")


def _guests(settings: Settings, layout: Layout, made: Seeded, owner: User, grace: User) -> None:
    vault = open_vault(settings)
    note = (
        "We cut a film of the evening and need your best minute.\n\nHold the phone sideways, and "
        "don't shorten anything: we do that."
    )
    week = now() + timedelta(days=6, hours=3)
    plans = {
        "open": (
            owner,
            Terms("Send us your clip of the party", note, "party", expires_at=week),
            "",
        ),
        "password": (
            grace,
            Terms(
                "Workshop: your recording",
                visibility=Visibility.PRIVATE,
                max_files=12,
                max_file_bytes=2 * 10**9,
            ),
            "open sesame",
        ),
        "full": (owner, Terms("One video of the harbour", max_files=1), ""),
        "unbroken": (grace, Terms(UNBROKEN[:150], UNBROKEN, UNBROKEN[:40]), ""),
        "ended": (owner, Terms("Rehearsal"), ""),
    }
    rows = {}
    for name, (maker, terms, password) in plans.items():
        link = rows[name] = guest_links.create(maker, vault, terms, password=password)
        made.links[name] = link.public_id
        address = guest_links.address(link, settings, vault) or ""
        made.guest_pages[name] = address.removeprefix(settings.base_url)
    guest_links.revoke(rows["ended"], actor=owner)
    sent = [
        ("guest", "open", "Anna", "Fireworks", "party"),
        ("guest_unbroken", "full", UNBROKEN[:80], "Ferry", UNBROKEN[:40]),
    ]
    for number, (name, link_name, who, title, tag) in enumerate(sent):
        video = _ready(
            layout,
            owner,
            title,
            number + 2,
            hours=0.6 - number / 10,
            source=Source.GUEST,
            guest_name=who,
            guest_link_id=rows[link_name].id,
        )
        videos.edit(video, actor=owner, tag_names=[tag, "summer 2026", "by phone"])
        made.videos[name] = video.public_id


def _job(
    kind: str,
    state: JobState,
    video: Video,
    *,
    started_s: float | None = None,
    took_s: float | None = None,
    **columns: Any,
) -> str:
    queue = {"encode": "media", "publish": "delivery"}.get(kind, "quick")
    began = now() - timedelta(seconds=started_s) if started_s is not None else None
    job = Job.create(
        kind=kind, queue=queue, key=f"{kind}:{video.public_id}:{state}", video=video, state=state,
        created_at=(began or now()) - timedelta(seconds=2),
        started_at=began,
        finished_at=began + timedelta(seconds=took_s) if began and took_s is not None else None,
        **({"lease_owner": "x", "lease_until": boottime_s() + 1e6, "lease_boot": boot_id()}
           if state is JobState.RUNNING else {}),
        **columns,
    )  # fmt: skip
    if began is not None:
        _run(job, began, job.finished_at, _ENDINGS.get(state, Ending.RETRIED))
    return str(job.public_id)


_ENDINGS = {
    JobState.RUNNING: None,
    JobState.COMPLETED: Ending.COMPLETED,
    JobState.FAILED: Ending.FAILED,
    JobState.CANCELLED: Ending.CANCELLED,
}


def _run(job: Job, began: datetime, end: datetime | None, ending: Ending | None) -> None:
    """One try of it."""
    if ending is not None and end is None:
        end = began + timedelta(seconds=75)
    JobRun.create(
        job=job,
        fence=job.fence,
        worker=f"{job.queue}:4711:1:1",
        started_at=began,
        ended_at=end,
        outcome=ending or "",
        stage="Encoding" if job.kind == "encode" else "Reading the file",
        progress=0.42,
        error=job.error,
        error_code=job.error_code,
        detail=job.detail,
    )


def _history() -> None:
    """What the box has done before: numbers, and how long such work takes here."""
    for days, kind, completed, failed, seconds in (
        (0, "probe", 7, 1, 9.1),
        (0, "encode", 3, 0, 1130.0),
        (2, "encode", 11, 2, 4720.0),
        (2, "poster", 13, 0, 15.2),
        (11, "publish", 9, 1, 88.0),
    ):
        day = (now() - timedelta(days=days)).date().isoformat()
        JobDay.create(day=day, kind=kind, completed=completed, failed=failed, seconds=seconds)
    for seconds in (180.0, 210.0, 260.0, 330.0, 240.0):
        JobSample.create(kind="encode", profile="social", work=1e10, seconds=seconds)
        JobSample.create(kind="probe", work=1e9, seconds=seconds / 100)
