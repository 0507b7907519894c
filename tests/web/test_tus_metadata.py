"""tus 1.0.0, "Upload-Metadata"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.models import Source, Upload, Video, Visibility
from tests.web.serving import browser
from tests.web.tus_client import TUS, encoded, head, made, patch

if TYPE_CHECKING:
    import httpx

    from appliance.models import User
    from storage.layout import Layout
    from tests.web.serving import Served


@pytest.mark.parametrize(
    "raw",
    [
        b"filename dGVzdC5tcDQ=,is_confidential,empty ,filetype dmlkZW8vbXA0",
        b"key",
        b"key ,other",
        b"no-utf-8 //79/A==",
        b"zeros AAAAAA==",
        b"newline YQ0KU2V0LUNvb2tpZTogeD15",
        b"Capital YQ==,capital Yg==",
        b"odd!#$%&'*+-.^_`|~;=?/\\\"()<>@[]{}: YQ==",
        b"sch\xc3\xb6n YQ==",
        b"latin\xe9\xa0",
        b"filename dGVzdC5tcDQ=, filetype dmlkZW8vbXA0",
        b"a" * 4000,
        b"long " + b"YWFh" * 2000,
    ],
    ids=lambda raw: raw[:20].decode("latin-1"),
)
def test_it_comes_back_byte_for_byte(sender: httpx.Client, raw: bytes) -> None:
    """HEAD MUST include the value as specified by the Client during the creation."""
    headers = [(k.encode(), v.encode()) for k, v in TUS.items()]
    answer = sender.post(
        "/files", headers=[*headers, (b"Upload-Length", b"5"), (b"Upload-Metadata", raw)]
    )
    assert answer.status_code == 201, answer.text
    for _ in range(2):
        looked = head(sender, answer.headers["Location"])
        assert [v for k, v in looked.headers.raw if k.lower() == b"upload-metadata"] == [raw]
        patch(sender, answer.headers["Location"], 0, b"abcde")  # also when it is complete


def test_without_any_none_is_said(sender: httpx.Client) -> None:
    for location in (made(sender, 5), made(sender, 5, Upload_Metadata="")):  # tuspy sends that
        assert "Upload-Metadata" not in head(sender, location).headers


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\boot.ini",
        "nul\0byte.mp4",
        "x" * 5000,
        "\u202egpj.mp4",
        '"><script>alert(1)</script>.mp4',
        "-rf.mp4",
        "line\nbreak.mp4",
    ],
    ids=lambda name: name[:12].encode("unicode_escape").decode(),
)
def test_names_are_only_text(sender: httpx.Client, box: Layout, name: str) -> None:
    """Servers SHOULD carefully validate metadata values or sanitize them."""
    location = made(sender, 3, Upload_Metadata=f"filename {encoded(name)}")
    assert patch(sender, location, 0, b"abc").status_code == 204
    (video,) = Video.select()
    for forbidden in ("/", "\\", "\0", "\n", "\u202e"):
        assert forbidden not in video.filename
    assert 0 < len(video.filename.encode()) <= 255
    files = {path.name for path in box.media.rglob("*") if path.is_file()}
    assert files == {"original"}


# The keys that mean something here (docs/api.md)


def test_what_is_known_of_the_video(sender: httpx.Client) -> None:
    keys = {
        "filename": "clip.mov",
        "filetype": "video/quicktime",
        "title": "Our clip",
        "visibility": "private",
        "sha256": "AB" * 32,
        "indexmoved": "1",
    }
    made(sender, 5, Upload_Metadata=",".join(f"{k} {encoded(v)}" for k, v in keys.items()))
    video, upload = Video.get(), Upload.get()
    assert (video.filename, video.title) == ("clip.mov", "Our clip")
    assert video.visibility is Visibility.PRIVATE
    assert (video.sent_sha256, upload.sent_sha256) == ("ab" * 32, "ab" * 32)
    assert video.index_moved
    assert upload.content_type == "video/quicktime"


@pytest.mark.parametrize(
    ("word", "of_a_script", "of_a_page"),
    [
        ("cli", Source.CLI, Source.BROWSER),
        ("recording", Source.API, Source.RECORDING),
        ("nonsense", Source.API, Source.BROWSER),
    ],
)
def test_where_it_comes_from_is_no_ones_choice_alone(
    sender: httpx.Client,
    one_server: Served,
    owner: User,
    word: str,
    of_a_script: Source,
    of_a_page: Source,
) -> None:
    said = f"source {encoded(word)}"
    made(sender, 5, Upload_Metadata=said)
    assert Video.get().source is of_a_script
    with browser(one_server.url, owner) as page:
        made(page, 5, Upload_Metadata=said)
    assert Video.select().order_by(Video.id.desc()).get().source is of_a_page


@pytest.mark.parametrize(
    ("key", "value"), [("visibility", "everybody"), ("indexmoved", "0"), ("indexmoved", "yes")]
)
def test_words_without_a_meaning_are_kept_but_do_nothing(
    sender: httpx.Client, one_server: Served, key: str, value: str
) -> None:
    made(sender, 5, Upload_Metadata=f"{key} {encoded(value)}")
    video = Video.get()
    assert not video.index_moved
    assert video.visibility == one_server.settings.default_visibility


@pytest.mark.parametrize("value", ["", "ab", "g" * 64, "a" * 63, "a" * 65])
def test_a_sha256_that_is_none_is_refused(sender: httpx.Client, value: str) -> None:
    headers = {**TUS, "Upload-Length": "5", "Upload-Metadata": f"sha256 {encoded(value)}".strip()}
    answer = sender.post("/files", headers=headers)
    assert (answer.status_code, "64 hexadecimal digits" in answer.text) == (400, True)
    assert Upload.select().count() == 0
