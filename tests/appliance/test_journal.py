"""Events for systemd's journal, as journald would read them from its socket."""

from __future__ import annotations

import array
import logging
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.journal import Journal, encode, is_read_by_journal
from appliance.logs import JournalHandler, LineFormatter, about, priority_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def decode(event: bytes) -> dict[str, str]:
    """As systemd.io/JOURNAL_NATIVE_PROTOCOL says; each name once."""
    fields: dict[str, str] = {}
    while event:
        line, _, event = event.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(event[:8], "little")
            value, event = event[8 : 8 + size], event[9 + size :]
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
    return fields


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "journal"))
        line.settimeout(10)
        yield line


@pytest.fixture
def log(journald: socket.socket) -> Iterator[logging.Logger]:
    journal = Journal(journald.getsockname())
    handler = JournalHandler(journal, "appliance-test")
    handler.setFormatter(LineFormatter(with_time=False))
    logger = logging.Logger("tasks.x")
    logger.addHandler(handler)
    yield logger
    journal.close()


def heard(journald: socket.socket) -> dict[str, str]:
    event, ancillary, _, _ = journald.recvmsg(1 << 16, socket.CMSG_SPACE(4))
    if ancillary:
        handles = array.array("i")
        handles.frombytes(ancillary[0][2])
        with open(handles[0], "rb") as file:
            file.seek(0)
            event = file.read()
            with pytest.raises(PermissionError):  # sealed: nobody changes it under journald's eyes
                os.truncate(file.fileno(), 0)
    return decode(event)


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), st.text()))
def test_no_text_begins_a_field_of_its_own(fields: dict[str, str]) -> None:
    kept = {k: v.encode("utf-8", "backslashreplace").decode() for k, v in fields.items()}
    assert decode(encode(fields)) == kept


@pytest.mark.parametrize("name", ["", "_PID", "job_id", "A=B", "A\nB", "A" * 65])
def test_names_that_the_journal_would_refuse_are_mistakes(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a field"):
        encode({name: "x"})


def test_an_event_has_its_line_its_priority_and_what_it_is_about(
    log: logging.Logger, journald: socket.socket
) -> None:
    with about(job_id="j1", video_id=None):
        with about(video_id="v1"):
            log.warning("title=%s", "a\nPRIORITY=0\nJOB_ID=forged")
        log.info("on")
    log.debug("off")
    first, second, third = heard(journald), heard(journald), heard(journald)
    assert first["MESSAGE"] == "warning tasks.x title=a\\nPRIORITY=0\\nJOB_ID=forged"
    assert (first["PRIORITY"], first["JOB_ID"], first["VIDEO_ID"]) == ("4", "j1", "v1")
    assert (first["SYSLOG_IDENTIFIER"], first["LOGGER"]) == ("appliance-test", "tasks.x")
    assert second["JOB_ID"] == "j1" and "VIDEO_ID" not in second
    assert "JOB_ID" not in third and third["PRIORITY"] == "7"


def test_a_traceback_is_one_event_whose_lines_forge_nothing(
    log: logging.Logger, journald: socket.socket
) -> None:
    try:
        raise ValueError("x\nPRIORITY=0")
    except ValueError:
        log.exception("it broke")
    event = heard(journald)
    first, *more = event["MESSAGE"].splitlines()
    assert first == "error tasks.x it broke"
    assert more[-2:] == ["    ValueError: x", "    PRIORITY=0"]
    assert all(line.startswith("    ") for line in more) and event["PRIORITY"] == "3"


def test_what_is_too_large_for_a_datagram_goes_as_a_sealed_file(
    log: logging.Logger, journald: socket.socket
) -> None:
    text = "x" * 1_000_000
    log.info("%s", text)
    assert heard(journald)["MESSAGE"] == f"info tasks.x {text}"


def test_without_journald_the_line_goes_where_systemd_reads_it(
    log: logging.Logger,
    journald: socket.socket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "journal").unlink()
    log.info("it goes on")
    assert capsys.readouterr().err == "info tasks.x it goes on\n"
    with pytest.raises(OSError):
        Journal(str(tmp_path / "journal"))


def test_another_thread_knows_nothing_of_what_this_one_is_about(
    log: logging.Logger, journald: socket.socket
) -> None:
    with about(request_id="r1"):
        other = threading.Thread(target=log.info, args=("elsewhere",))
        other.start()
        other.join()
    assert "REQUEST_ID" not in heard(journald)


def test_only_the_very_stream_that_systemd_connected_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "err").open("w") as stream, (tmp_path / "other").open("w") as other:
        about_it = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{about_it.st_dev}:{about_it.st_ino}")
        assert is_read_by_journal(stream)
        assert not is_read_by_journal(other)
    assert not is_read_by_journal(stream)  # closed
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not is_read_by_journal(sys.stderr)


@pytest.mark.parametrize(
    ("level", "number"), [(50, 2), (45, 3), (40, 3), (30, 4), (25, 6), (20, 6), (10, 7), (0, 7)]
)
def test_levels_are_the_priorities_of_syslog(level: int, number: int) -> None:
    assert priority_of(level) == number
