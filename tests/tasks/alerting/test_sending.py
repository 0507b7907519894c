"""Messages through Apprise to real services on loopback; addresses that nothing is sent to."""

from __future__ import annotations

import email
import logging
import socket
import subprocess
import sys
from email import policy
from pathlib import Path

import pytest

from appliance import alert_channels, jobs
from appliance.alert_channels import Channel
from appliance.errors import InvalidInput, NotFound
from appliance.models import AlertChannel, AuditEntry, Event, Job, JobRun
from appliance.settings import Settings, load_settings
from appliance.states import JobState
from appliance.vault import Vault, open_vault
from tasks.alerting import addresses, apart, child, sending, sweep
from tests.tasks.alerting.receivers import http_receiver, mail_receiver
from tests.tasks.doing import run_all

TOKEN = "tk_AgQdq7mVBoFD37zQVN29"


def test_a_webhook_gets_title_and_text() -> None:
    with http_receiver() as got:
        sending.send(f"json://127.0.0.1:{got.port}/hook", "Disk\nfull", "It is.\n\nDo that.")
    path, body = got.requests[0]
    assert (path, body["title"], body["message"]) == ("/hook", "Disk full", "It is.\n\nDo that.")


def test_ntfy_gets_its_message_with_the_token() -> None:
    with http_receiver() as got:
        sending.send(f"ntfy://{TOKEN}@127.0.0.1:{got.port}/box", "Disk full", "It is.")
    _, body = got.requests[0]
    assert (body["topic"], body["title"], body["message"]) == ("box", "Disk full", "It is.")


def test_a_mail_is_plain_text() -> None:
    with mail_receiver() as got:
        sending.send(
            f"mailto://127.0.0.1:{got.port}/?to=ada@example.org&from=box@example.org&mode=insecure",
            "Disk full",
            "It is.\n<b>Do that.</b>",
        )
    mail = email.message_from_string(got.mails[0], policy=policy.default)
    assert mail["to"] == "ada@example.org" and mail["subject"] == "Disk full"
    body = mail.get_body(("plain",))
    assert body is not None
    assert body.get_content_type() == "text/plain"
    assert "<b>Do that.</b>" in body.get_content()


def test_a_refusal_says_why_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with http_receiver() as got:
        got.status = 401
        with pytest.raises(sending.NotSent) as refused:
            sending.send(f"ntfy://{TOKEN}@127.0.0.1:{got.port}/box", "Title", "Body")
        port = got.port
    assert "401" in str(refused.value) or "nauthorized" in str(refused.value)
    with pytest.raises(sending.NotSent):
        sending.send(f"json://user:{TOKEN}@127.0.0.1:{port}/{TOKEN}", "Title", "Body")
    logged = [r.getMessage() for r in caplog.records if not r.name.startswith("urllib3")]
    assert TOKEN not in str(refused.value) + repr(logged)


def test_a_redirect_is_not_followed() -> None:
    with http_receiver() as there, http_receiver() as here:
        here.status, here.location = 302, f"http://127.0.0.1:{there.port}/latest/meta-data"
        with pytest.raises(sending.NotSent):
            sending.send(f"json://127.0.0.1:{here.port}/", "Title", "Body")
    assert (len(here.requests), there.requests) == (1, [])


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "metadata.google.internal",
    ],
)
def test_where_clouds_hand_out_credentials_nothing_is_sent(host: str) -> None:
    for address in (
        f"json://{host}/latest/meta-data",
        f"mailto://a:b@example.org?smtp={host}&to=a@example.org",
    ):
        # In this process, as it goes there.
        said = child.answer_to({"do": "check", "address": address})
        assert "provider" in said or "can't use" in said


@pytest.mark.parametrize(
    "address",
    ["", "nothing", "bogus://x", "syslog://", "file:///etc/passwd", "json://a b"],
)
def test_what_is_no_address_is_refused_when_it_is_saved(address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        addresses.check(address)
    assert refused.value.field == "address"


@pytest.mark.parametrize(
    "address",
    [
        "workflows://example.org:443/643b0f09c4f8412b/MjU2?template=/var/lib/appliance/secret.key",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3d?template=http://169.254.169.254/role",
        "tgram://123456789:abcdefg_hijklmnop/12315544/?templ%61te=/etc/passwd",
        "fcm://project/DEVICE?mode=oauth2&keyfile=/etc/passwd",
        "vapid://ada@example.org/ada@example.org?subfile=/etc/passwd",
        "mailto://a:b@example.org?pgppub=/etc/passwd",
    ],
    ids=lambda address: address.partition(":")[0],
)
def test_no_address_has_the_box_read_something_else_for_it(address: str) -> None:
    for do in ("check", "send"):
        said = child.answer_to({"do": do, "address": address, "title": "", "body": "x"})
        assert "may not name a file" in said


@pytest.mark.parametrize(
    ("address", "said", "left"),
    [
        (f"tgram://123456789:{TOKEN}/1", f"at /bot123456789:{TOKEN}/send", "at /bot…:…/send"),
        (f"slack://{TOKEN}/A1BRTD4JD/x", f"{TOKEN} was refused", "… was refused"),
        ("ntfys://nobody-guesses", "no topic nobody-guesses", "no topic …"),
        (f"json://me:{TOKEN}@near:80/hook", f"{TOKEN} near:80 /hook", "… near:80 /…"),
        (f"json://{TOKEN}@mail.example.org/", f"{TOKEN} mail.example.org", "… mail.example.org"),
        (f"json://[::1]:80/{TOKEN}", f"[::1]:80 {TOKEN}", "[::1]:80 …"),
    ],
    ids=lambda text: text[:10],
)
def test_a_reason_keeps_the_host_and_no_token_in_its_place(
    address: str, said: str, left: str
) -> None:
    assert addresses.without_secrets(said, address) == left


def test_a_name_that_leads_there_is_refused_before_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: [entry])
    wish = {"address": "json://innocent.example/", "title": "Title", "body": "Body"}
    assert child.answer_to({"do": "check", **wish}) == ""
    assert "provider" in child.answer_to({"do": "send", **wish})


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", set()),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", set()),
        ("ntfys://a-topic-nobody-guesses", set()),
        ("ntfys://NTFY.sh./a-topic", {"ntfy.sh"}),
        ("mailto://a:b@example.org?smtp=mail.near", {"example.org", "mail.near"}),
    ],
    ids=lambda value: value[:8] if isinstance(value, str) else "",
)
def test_a_token_in_the_place_of_the_host_is_never_looked_up(address: str, hosts: set[str]) -> None:
    assert addresses.hosts_of(child.open_address(address)) == hosts


_QUIET = """
import sys
from tasks.alerting import addresses, sending
address = sys.stdin.read()
addresses.check(address)
sending.send(address, "Title", "Body")
assert "apprise" not in sys.modules
"""


def test_apprise_is_never_in_the_process_that_asks_nor_the_address_in_sight() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"json://{TOKEN}@127.0.0.1:{server.getsockname()[1]}/"
        asking = subprocess.Popen([sys.executable, "-c", _QUIET], stdin=subprocess.PIPE)
        assert asking.stdin is not None
        asking.stdin.write(address.encode())
        asking.stdin.close()
        server.settimeout(60)
        with server.accept()[0] as answered:
            # The message is on its way: what can be seen of who sends it?
            children = Path(f"/proc/{asking.pid}/task/{asking.pid}/children").read_text().split()
            seen = b"".join(
                Path(f"/proc/{pid}/{name}").read_bytes()
                for pid in (str(asking.pid), *children)
                for name in ("cmdline", "environ")
            )
            answered.recv(65_536)
            answered.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert asking.wait(timeout=60) == 0
    assert len(children) == 1 and b"tasks.alerting.child" in seen
    assert TOKEN.encode() not in seen


def test_a_service_that_never_answers_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        wish = {"address": f"json://127.0.0.1:{server.getsockname()[1]}/", "title": "", "body": "x"}
        assert "within 3 seconds" in apart.ask({"do": "send", **wish}, 3)


# Channels


@pytest.fixture
def vault(settings: Settings, db: None) -> Vault:
    return open_vault(settings)


def add(vault: Vault, address: str, **more: object) -> AlertChannel:
    return alert_channels.add(vault, name="Team", address=address, actor=None, **more)  # type: ignore[arg-type]


def shown(settings: Settings, row: AlertChannel) -> Channel:
    return next(c for c in alert_channels.channels(settings) if c.id == row.public_id)


def test_an_address_goes_in_and_comes_out_to_who_sends_only(
    settings: Settings, vault: Vault
) -> None:
    row = add(vault, f"ntfy://{TOKEN}@127.0.0.1/box", kinds=["disk_low"])
    stored = AlertChannel.get_by_id(row.id)
    written = repr(stored.__data__) + repr([e.data for e in Event.select()])
    written += repr([e.detail for e in AuditEntry.select()])
    assert TOKEN not in written + repr(shown(settings, row))
    reached = alert_channels.reach(settings, vault, row.public_id)
    assert reached.address == f"ntfy://{TOKEN}@127.0.0.1/box" and TOKEN not in repr(reached)
    assert (shown(settings, row).service, shown(settings, row).kinds) == ("ntfy", ("disk_low",))
    with pytest.raises(InvalidInput):
        add(vault, "json://127.0.0.1/", kinds=["boredom"])


def test_the_test_message_goes_out_and_its_result_is_kept(settings: Settings, vault: Vault) -> None:
    with http_receiver() as got:
        row = add(vault, f"json://127.0.0.1:{got.port}/{TOKEN}")
        sweep.ask_for_test(row.public_id)
        run_all(settings)
        assert "This is a test" in got.requests[0][1]["title"]
        first = shown(settings, row)
        assert first.error == "" and first.sent_at is not None

        got.status = 500
        sweep.ask_for_test(row.public_id)
        alert = {"channel": row.public_id, "title": "Full", "body": "It is."}
        jobs.create("alert", "one", payload=alert)
        run_all(settings)
    failed = shown(settings, row)
    assert failed.error and failed.sent_at == first.sent_at
    *_, test, alert_job = Job.select().where(Job.kind == "alert").order_by(Job.id)
    assert (test.state, test.attempts) == (JobState.FAILED, 1)  # who has pressed is told
    # It is tried again: by now already, where the machine is slow.
    assert (alert_job.state, alert_job.attempts >= 1) == (JobState.QUEUED, True)
    told = [event.type for event in Event.select().where(Event.subject.startswith("alert_ch"))]
    assert told == ["alert_channel.added", "alert_channel.sent", "alert_channel.failed"] + [
        "alert_channel.failed"
    ]
    kept = repr([j.__data__ for j in Job.select()]) + repr([r.__data__ for r in JobRun.select()])
    assert TOKEN not in kept


def test_the_setting_gives_channels_that_nobody_can_remove(
    settings: Settings, vault: Vault
) -> None:
    with http_receiver() as got:
        urls = f"json://127.0.0.1:{got.port}/one\n json://127.0.0.1:{got.port}/two"
        told = settings.model_copy(
            update={"alert_urls": load_settings({}, alert_urls=urls).alert_urls}
        )
        assert [c.id for c in alert_channels.channels(told)] == ["settings-1", "settings-2"]
        sweep.ask_for_test("settings-2")
        run_all(told)
    assert [path for path, _ in got.requests] == ["/two"]
    with pytest.raises(NotFound):
        alert_channels.get("settings-1")


def test_a_message_to_a_channel_that_is_gone_ends_in_silence(
    settings: Settings, vault: Vault
) -> None:
    row = add(vault, "json://127.0.0.1:9/")
    sweep.ask_for_test(row.public_id)
    alert_channels.remove(row, actor=None)
    run_all(settings)
    assert Job.get().state is JobState.COMPLETED
