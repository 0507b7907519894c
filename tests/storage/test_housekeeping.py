"""What is open, and ending it from elsewhere than its sender."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance import guest_links
from appliance.clock import now
from appliance.errors import Conflict, NotFound, TooLarge
from appliance.models import AuditEntry, GuestLink, Role, Source, Upload, User, Video, VideoTag
from appliance.states import UploadState, VideoState
from appliance.vault import Vault
from storage import uploads
from storage.uploads import Created, NewUpload, Store, UploadGone
from storage.uploads.ending import NO_USER
from tests.factories import make_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings import Settings
    from storage.layout import Layout

LENGTH = 100_000


@pytest.fixture
def store(settings: Settings, layout: Layout, db: None) -> Store:
    return Store(settings, layout)


@pytest.fixture
def user(db: None) -> User:
    return make_user()


def create(store: Store, user: User, **more: object) -> Created:
    values: dict[str, object] = {"length": LENGTH, "filename": "clip.mp4", "source": Source.BROWSER}
    return store.create(user, NewUpload(**{**values, **more}))  # type: ignore[arg-type]  # whatever the test says


def put(store: Store, created: Created, size: int) -> None:
    held = store.open(created.upload_id, created.token)
    assert held.handle is not None
    store.layout.upload(created.upload_id).write_bytes(bytes(size))
    held.offset = size
    store.settle(held)
    held.close()


def test_open_uploads_are_listed_for_those_who_may_see_them(store: Store, user: User) -> None:
    admin = make_user("admin@example.org", Role.ADMIN, name="Ada")
    created = create(store, user, title="Mine", protocol="tus")
    put(store, created, 30_000)
    theirs = create(store, admin, length=None, guest_name="Gus ", guest_link_id=7)
    finished = create(store, user, length=10)
    put(store, finished, 10)
    mine = uploads.open_uploads(user)
    assert [row.upload_id for row in mine] == [created.upload_id]
    row = mine[0]
    assert (row.title, row.owner, row.protocol) == ("Mine", user.email, "tus")
    assert (row.offset, row.length, row.sending) == (30_000, LENGTH, True)
    all_of_them = uploads.open_uploads(admin)
    assert [row.upload_id for row in all_of_them] == [theirs.upload_id, created.upload_id]
    guest = all_of_them[0]
    assert (guest.owner, guest.guest_name, guest.length) == ("Ada", "Gus", None)
    assert (guest.offset, guest.sending) == (0, False)
    Upload.update(boot_id="another start").execute()
    assert not any(row.sending for row in uploads.open_uploads(admin))


def test_what_a_sender_says_is_kept_with_the_video(store: Store, user: User) -> None:
    create(
        store,
        user,
        guest_name="Gus",
        guest_link_id=7,
        tags=("Summer",),
        sent_sha256="ab" * 32,
        index_moved=True,
    )
    video, row = Video.get(), Upload.get()
    assert (video.guest_name, video.guest_link_id, video.index_moved) == ("Gus", 7, True)
    assert video.sent_sha256 == row.sent_sha256 == "ab" * 32
    assert row.guest_link_id == 7
    assert [tag.name for tag in VideoTag.select()] == ["summer"]


def test_a_further_check_undoes_the_creation(store: Store, user: User) -> None:
    def refuse() -> None:
        raise TooLarge("The link takes no more files.")

    with pytest.raises(TooLarge, match="no more files"):
        create(store, user, also_check=refuse)
    assert Upload.select().count() == Video.select().count() == 0
    assert list(store.layout.uploads.iterdir()) == []


def test_cancelling_ends_an_upload_that_somebody_holds(store: Store, user: User) -> None:
    admin = make_user("admin@example.org", Role.ADMIN)
    created = create(store, user)
    held = store.open(created.upload_id, created.token)
    held.offset = 10
    uploads.cancel(store.settings, created.upload_id, admin)
    assert list(store.layout.uploads.iterdir()) == []
    assert Video.select().count() == 0
    with pytest.raises(UploadGone, match="An admin has cancelled"):
        store.acknowledge(held)
    held.close()
    with pytest.raises(UploadGone, match="An admin has cancelled"):
        store.open(created.upload_id, created.token)
    assert [entry.action for entry in AuditEntry.select()] == ["upload.cancel"]
    with pytest.raises(Conflict, match="ended already"):
        uploads.cancel(store.settings, created.upload_id, admin)


def test_a_cancelled_upload_is_not_finished_by_its_last_byte(store: Store, user: User) -> None:
    created = create(store, user, length=10)
    held = store.open(created.upload_id, created.token)
    store.layout.upload(created.upload_id).write_bytes(bytes(10))
    held.offset = 10
    uploads.cancel(store.settings, created.upload_id, user)
    with pytest.raises(UploadGone, match="This upload was cancelled"):
        store.finish(held)
    held.close()
    assert Video.select().count() == 0
    assert Upload.get().state is UploadState.TERMINATED
    assert list(store.layout.media.iterdir()) == []


def test_others_can_not_cancel_and_nothing_finished_is_cancelled(store: Store, user: User) -> None:
    created = create(store, user, length=10)
    with pytest.raises(NotFound):
        uploads.cancel(store.settings, created.upload_id, make_user("other@example.org"))
    with pytest.raises(NotFound):
        uploads.cancel(store.settings, "0" * 26, None)
    put(store, created, 10)
    with pytest.raises(Conflict):
        uploads.cancel(store.settings, created.upload_id, None)
    assert Video.get().state is VideoState.RECEIVED


def test_stopping_with_a_reason_keeps_the_video(store: Store, user: User) -> None:
    create(store, user)
    sentence = "This is no video."
    assert uploads.stop(store.settings, Upload.get(), UploadState.FAILED, sentence)
    assert not uploads.stop(store.settings, Upload.get(), UploadState.FAILED, sentence)
    video = Video.get()
    assert (video.state, video.error) == (VideoState.FAILED, sentence)


def test_those_that_have_ended_are_found(store: Store, user: User) -> None:
    going_on, cancelled, trashed = (create(store, user) for _ in range(3))
    partial = create(store, user)
    Upload.update(video=None).where(Upload.public_id == partial.upload_id).execute()
    uploads.cancel(store.settings, cancelled.upload_id, user)
    Video.update(state=VideoState.TRASHED, deleted_at=now()).where(
        Video.public_id == trashed.video_id
    ).execute()
    asked = [each.upload_id for each in (going_on, cancelled, trashed, partial)]
    assert uploads.find_ended(asked) == {cancelled.upload_id, trashed.upload_id}


def guest_link(maker: User) -> GuestLink:
    return guest_links.create(maker, Vault(b"0" * 32), guest_links.Terms(title="Send us your clip"))


def deactivate(user: User) -> None:
    User.update(deactivated_at=now()).where(User.id == user.id).execute()


def demote(user: User) -> None:
    User.update(role=Role.VIEWER).where(User.id == user.id).execute()


@pytest.mark.parametrize(
    ("lose", "by_link", "sentence"),
    [
        (deactivate, False, NO_USER),
        (deactivate, True, guest_links.CUT_OFF),
        (demote, True, guest_links.CUT_OFF),
    ],
    ids=["a user", "a link's maker", "a link's maker who only watches"],
)
def test_those_who_lose_the_right_to_send_are_cut_off(
    store: Store,
    user: User,
    lose: Callable[[User], None],
    by_link: bool,
    sentence: str,
) -> None:
    """Both by the web process, which looks from time to time, and at the last byte."""
    other = make_user("other@example.org")
    link_id = guest_link(user).id if by_link else None
    sending, ending = (create(store, user, guest_link_id=link_id) for _ in range(2))
    others = [create(store, other), create(store, other, guest_link_id=guest_link(other).id)]
    asked = [each.upload_id for each in (sending, *others)]
    held = store.open(ending.upload_id, ending.token)
    store.layout.upload(ending.upload_id).write_bytes(bytes(LENGTH))
    held.offset = LENGTH
    uploads.end_cut_off(store.settings, asked)
    assert uploads.find_ended(asked) == set()
    lose(user)
    uploads.end_cut_off(store.settings, asked)
    assert uploads.find_ended(asked) == {sending.upload_id}
    with pytest.raises(UploadGone, match=sentence):
        store.settle(held)
    held.close()
    assert Video.select().count() == len(others)
    for each in (sending, ending):
        row = Upload.get(Upload.public_id == each.upload_id)
        assert (row.state, row.error) == (UploadState.TERMINATED, sentence)
