"""What we ship for nginx and Caddy streams, and `doctor --url` finds what others do wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.cli.outside import examine, flow
from appliance.db import database
from appliance.doctor import Verdict
from appliance.models import Rendition, Upload, Video
from appliance.settings import Settings
from appliance.states import RenditionState, UploadState
from storage.layout import Layout
from tests.end_to_end.box import ROOT, free_port
from tests.proxying import (
    CADDYFILE,
    caddy,
    caddy_version,
    make_certificate,
    nginx,
    shipped_nginx,
)
from tests.seeding import seed
from tests.web.serving import add_token, add_user, prepare, served, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.doctor import Finding
    from tests.web.serving import Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        data=tmp_path_factory.mktemp("box") / "data",
        listen="127.0.0.1:0",
        disk_reserve="10 MiB",  # type: ignore[arg-type]  # pydantic reads the unit
    )


@pytest.fixture(scope="module")
def box(settings: Settings) -> Iterator[Served]:
    prepare(settings)
    seed(settings, further=1)
    with served(settings) as running:
        yield running


@pytest.fixture(scope="module")
def token(box: Served) -> str:
    return add_token(add_user())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback nothing takes so long as between continents."""
    monkeypatch.setattr(flow, "_PAUSES_S", (0.4, 0.8))
    monkeypatch.setattr(flow, "_HEARD_S", 2.0)


def backend(box: Served) -> str:
    return box.url.removeprefix("http://")


def look(url: str, token: str | None, **options: Any) -> dict[str, Finding]:
    return {each.check: each for each in examine(url, token, **options)}


def bad(findings: dict[str, Finding]) -> set[str]:
    # The box under test can't know the proxy's address, and TLS has tests of its own.
    known = {"Public address"}
    return {name for name, each in findings.items() if each.verdict is Verdict.BAD} - known


def left_behind(box: Served) -> list[str]:
    """Names of uploads that the look has begun and that are still open."""
    with database.connection_context():
        rows = Upload.select().where(Upload.state == UploadState.RECEIVING)
        return [row.filename for row in rows if "doctor" in row.filename]


def test_a_box_without_a_proxy_is_found_good(box: Served, token: str) -> None:
    found = look(box.url, token)
    assert {name: each.found for name, each in found.items() if each.mend} == {}
    assert len(found) == 14
    assert left_behind(box) == []


def test_the_shipped_nginx_is_found_good(box: Served, token: str, tmp_path: Path) -> None:
    port = free_port()
    with nginx(shipped_nginx(backend(box), port, None), tmp_path, port) as url:
        found = look(url, token)
    assert bad(found) == set()
    assert found["Uploads flow"].verdict is found["Ranges"].verdict is Verdict.GOOD
    assert left_behind(box) == []


def test_the_shipped_caddy_is_found_good(box: Served, token: str, tmp_path: Path) -> None:
    with caddy(backend(box), tmp_path) as url:
        found = look(url, token)
    assert bad(found) == set()
    assert found["Uploads flow"].verdict is found["Ranges"].verdict is Verdict.GOOD
    assert left_behind(box) == []


SPOILED = {
    "collects requests": (
        ("proxy_request_buffering off;", ""), {"Uploads flow"}, "proxy_request_buffering off",
    ),
    "limits bodies": (
        ("client_max_body_size 0;", "client_max_body_size 100m;"),
        {"Large files"}, "client_max_body_size 0",
    ),
    "collects answers": (
        (
            "proxy_buffering off;",
            "proxy_ignore_headers X-Accel-Buffering; gzip on; gzip_types text/event-stream;"
            "gzip_min_length 0; gzip_proxied any;",
        ),
        {"Live pages"}, "proxy_buffering off",
    ),
    "hides a header": (
        ("proxy_redirect off;", "proxy_hide_header Upload-Expires;"),
        {"Headers of answers"}, "proxy_hide_header",
    ),
    "strips the version": (
        ("proxy_redirect off;", 'proxy_set_header Tus-Resumable "";'),
        {"Headers of requests"}, "proxy_set_header",
    ),
    "strips the override": (
        ("proxy_redirect off;", 'proxy_set_header X-HTTP-Method-Override "";'),
        {"Headers of requests"}, "proxy_set_header",
    ),
    "has room for short heads of answers": (
        ("proxy_buffer_size 16k;", "proxy_buffer_size 4k;"),
        {"Headers of requests"}, "proxy_buffer_size 16k",
    ),
    "rewrites Location": (
        ("proxy_redirect off;", "proxy_redirect /files/ http://inside:8000/files/;"),
        {"Upload addresses"}, "proxy_redirect off",
    ),
    "has error pages of its own": (
        ("proxy_redirect off;", "proxy_intercept_errors on; error_page 409 /409.html;"),
        {"Errors"}, "proxy_intercept_errors off",
    ),
    "forbids a method": (
        ("proxy_redirect off;", "limit_except GET HEAD POST PATCH OPTIONS DELETE { deny all; }"),
        {"Methods"}, "limit_except",
    ),
    "drops ranges": (
        ("proxy_redirect off;", 'proxy_set_header Range "";'), {"Ranges"}, "Range",
    ),
    "takes the token": (
        ("proxy_redirect off;", 'proxy_set_header Authorization "";'), {"Token"}, "Authorization",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_what_nginx_does_wrong_is_found_with_what_mends_it(
    box: Served, token: str, tmp_path: Path, name: str
) -> None:
    (good, spoiled), wanted, mend = SPOILED[name]
    port = free_port()
    site = shipped_nginx(backend(box), port, None)
    assert good in site
    with nginx(site.replace(good, spoiled), tmp_path, port) as url:
        found = look(url, token)
    wrong = bad(found)
    # What is wrong may show elsewhere, too; where it belongs it must.
    assert wanted <= wrong
    if name not in ("strips the version", "forbids a method"):
        assert wrong == wanted
    assert mend in found[next(iter(wanted))].mend
    assert left_behind(box) == []


def test_nginx_as_it_comes_is_found_wanting(box: Served, token: str, tmp_path: Path) -> None:
    port = free_port()
    site = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {box.url}; }} }}"
    with nginx(site, tmp_path, port) as url:
        found = look(url, token)
    assert {"Uploads flow", "Large files"} <= bad(found)
    assert left_behind(box) == []


@pytest.mark.parametrize(
    ("line", "wanted"), [("BUFFERS", "Uploads flow"), ("header_up -Range", "Ranges")]
)
def test_what_caddy_does_wrong_is_found_with_what_mends_it(
    box: Served, token: str, tmp_path: Path, line: str, wanted: str
) -> None:
    if line == "BUFFERS":
        line = "buffer_requests" if caddy_version() < (2, 6, 3) else "request_buffers 8MB"
    text = CADDYFILE.read_text().replace("\t\tflush_interval -1\n", f"\t\t{line}\n")
    assert line in text
    with caddy(backend(box), tmp_path, text=text) as url:
        found = look(url, token)
    assert bad(found) == {wanted}
    assert found[wanted].mend.startswith("Caddy: ")
    assert line.split()[0] in found[wanted].mend


@pytest.mark.parametrize(
    ("good", "spoiled", "wanted"),
    [
        ("client_body_timeout 10m;", "client_body_timeout 1s;", "Long uploads"),
        ("proxy_redirect off;", "proxy_redirect off;", None),
    ],
    ids=["short", "shipped"],
)
def test_long_requests_are_tried_when_asked_for(
    box: Served, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    good: str, spoiled: str, wanted: str | None,
) -> None:  # fmt: skip
    monkeypatch.setattr(flow, "LONG_S", 3.0)
    monkeypatch.setattr(flow, "_STEP_S", 1.5)
    monkeypatch.setattr(flow, "_SENT_BYTES", 8 * 1024**2)
    port = free_port()
    site = shipped_nginx(backend(box), port, None)
    assert good in site
    with nginx(site.replace(good, spoiled), tmp_path, port) as url:
        found = look(url, token, long=True)
    # On a busy machine a second is short for other requests, too.
    assert wanted in bad(found) if wanted else not bad(found)
    assert "Large files, sent" in found


def test_caddy_that_counts_bytes_is_found_by_sending_them(
    box: Served, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "LONG_S", 0.1)
    monkeypatch.setattr(flow, "_STEP_S", 0.1)
    monkeypatch.setattr(flow, "_SENT_BYTES", 8 * 1024**2)
    text = CADDYFILE.read_text().replace(
        "\treverse_proxy", "\trequest_body {\n\t\tmax_size 4MB\n\t}\n\treverse_proxy"
    )
    with caddy(backend(box), tmp_path, text=text) as url:
        found = look(url, token, long=True)
    assert bad(found) == {"Large files, sent"}
    assert left_behind(box) == []


def test_without_a_token_it_looks_at_what_anybody_may(box: Served) -> None:
    found = look(box.url, None)
    assert set(found) == {"Reach", "TLS", "Clocks", "Token"}
    assert found["Token"].verdict is Verdict.NOTE


def test_a_wrong_token_is_told(box: Served) -> None:
    assert bad(look(box.url, "ma_wrong")) == {"Token"}


def test_nothing_there_is_told(tmp_path: Path) -> None:
    found = look(f"http://127.0.0.1:{free_port()}", None)
    assert bad(found) == set(found) == {"Reach"}


def test_something_else_there_is_told(tmp_path: Path) -> None:
    port = free_port()
    site = f'server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello"; }} }}'
    with nginx(site, tmp_path, port) as url:
        assert "no box answers" in look(url, None)["Reach"].found


def test_an_address_that_leads_on_is_told(box: Served, tmp_path: Path) -> None:
    port = free_port()
    target = "https://video.example.org$request_uri"
    site = f"server {{ listen 127.0.0.1:{port}; location / {{ return 308 {target}; }} }}"
    with nginx(site, tmp_path, port) as url:
        found = look(url, None)
    assert "https://video.example.org" in found["Reach"].mend


class _Yesterday(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"status": "alive"}'
        self.send_response_only(200)
        self.send_header("Date", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_clocks_that_disagree_are_told() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Yesterday) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            found = look(f"http://127.0.0.1:{server.server_port}", None)
        finally:
            server.shutdown()
            thread.join()
    assert bad(found) == {"Clocks"}


# The whole way: the command, https, and the box on a UNIX socket as docs/proxy.md says


def doctor(url: str, token: str, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("APPLIANCE_")}
    return subprocess.run(
        [sys.executable, "-m", "appliance.cli", "doctor", "--url", url, "--json"],
        env={**inherited, **environ, "APPLIANCE_TOKEN": token},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def answers(url: str) -> bool:
    return httpx.get(f"{url}/health/live", verify=False, timeout=5).status_code == 200


@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
def test_https_and_a_unix_socket(tmp_path: Path, proxy: str) -> None:
    certificate = make_certificate(tmp_path)
    path = tmp_path / "web.sock"
    port = free_port()
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")},
        "APPLIANCE_DATA": str(tmp_path / "data"),
        "APPLIANCE_LISTEN": f"unix:{path}",
        "APPLIANCE_DISK_RESERVE": "10 MiB",
    }

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "appliance.cli", *words]
        done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run("user", "add", "owner@example.org", "--role", "owner")
    token = run("token", "create", "owner@example.org", "--name", "tests")
    with ExitStack() as stack:
        if proxy == "nginx":
            site = shipped_nginx(f"unix:{path}", port, certificate)
            url = stack.enter_context(nginx(site, tmp_path / "proxy", port, https=True))
        else:
            url = stack.enter_context(
                caddy(f"unix/{path}", tmp_path / "proxy", certificate=certificate, port=port)
            )
        environ["APPLIANCE_PUBLIC_URL"] = url
        command = [sys.executable, "-m", "appliance.cli", "web"]
        web = subprocess.Popen(command, env=environ, cwd=ROOT)
        stack.callback(web.wait, timeout=20)
        stack.callback(web.terminate)
        wait_until("the box listens", path.exists)
        trusted = {"SSL_CERT_FILE": str(certificate.cert)}
        wait_until("it answers", lambda: answers(url))
        done = doctor(url, token, **trusted)
        report = json.loads(done.stdout)
        wrong = [each for each in report["findings"] if each["verdict"] == "bad"]
        assert (done.returncode, wrong, report["healthy"]) == (0, [], True)
        found = {each["check"]: each["found"] for each in report["findings"]}
        assert found["Public address"] == f"the box knows itself as {url}"
        assert "certificate is good" in found["TLS"]
        assert "certificate" in look(url, None)["Reach"].found  # here nobody vouches for it


# Files that the proxy sends by itself


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def sending(
    request: pytest.FixtureRequest,
    box: Served,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    folder, media = tmp_path_factory.mktemp("proxy"), Layout(settings.data).media
    if request.param == "caddy":
        with caddy(backend(box), folder, media=media) as url:
            yield url
    else:
        port = free_port()
        text = shipped_nginx(backend(box), port, None, media=media)
        with nginx(text, folder, port) as url:
            yield url


@pytest.fixture(scope="module")
def film(box: Served, settings: Settings) -> tuple[str, bytes]:
    """Path and content of a rendition of over a megabyte."""
    with database.connection_context():
        row = Rendition.select().join(Video).where(Rendition.state == RenditionState.READY).get()
        video = row.video
    path = Layout(settings.data).rendition(video.public_id, row.profile)
    content = os.urandom(1 << 20) + b"the end"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return f"/media/{video.public_id}/{path.name}", content


def test_a_proxy_that_sends_files_sends_the_same(
    sending: str, box: Served, token: str, film: tuple[str, bytes]
) -> None:
    path, content = film
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as client:
        ours, theirs = (client.get(f"{url}{path}") for url in (box.url, sending))
        assert ours.content == theirs.content == content
        for name in ("content-type", "content-disposition", "cache-control", "accept-ranges"):
            assert theirs.headers[name] == ours.headers[name]
        for name in (
            "x-content-type-options", "content-security-policy", "cross-origin-resource-policy"
        ):  # fmt: skip
            assert theirs.headers.get_list(name) == ours.headers.get_list(name)
        assert "x-accel-redirect" not in theirs.headers

        part = client.get(f"{sending}{path}", headers={"Range": "bytes=-7"})
        assert (part.status_code, part.content) == (206, b"the end")
        known = {"If-None-Match": theirs.headers["etag"]}
        assert client.get(f"{sending}{path}", headers=known).status_code == 304
        head = client.head(f"{sending}{path}")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(content)


def test_it_was_the_proxy_that_sent(sending: str, token: str, film: tuple[str, bytes]) -> None:
    """It answers with the file's own time, which the box never says."""
    answer = httpx.get(f"{sending}{film[0]}", headers={"Authorization": f"Bearer {token}"})
    assert "last-modified" in answer.headers


def test_the_box_still_decides_who_gets_a_file(
    sending: str, token: str, film: tuple[str, bytes]
) -> None:
    path, content = film
    stranger = httpx.get(f"{sending}{path}")
    assert (stranger.status_code, stranger.headers["location"][:8]) == (303, "/sign-in")
    assert httpx.get(f"{sending}/public/{'x' * 32}/film.mp4").status_code == 404
    inside = path.removeprefix("/media/")
    for direct in (f"/.files/{inside}", "/.files/../appliance.db", "/.files/%2e%2e/appliance.db"):
        answer = httpx.get(f"{sending}{direct}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 404
        assert content[:100] not in answer.content


def test_who_only_claims_to_send_files_gets_nothing(
    box: Served, token: str, film: tuple[str, bytes]
) -> None:
    claim = {"Authorization": f"Bearer {token}", "X-Sendfile-Type": "X-Accel-Redirect"}
    answer = httpx.get(f"{box.url}{film[0]}", headers=claim)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-accel-redirect"] == f"/.files/{film[0].removeprefix('/media/')}"
    stranger = httpx.get(f"{box.url}{film[0]}", headers={**claim, "Authorization": ""})
    assert (stranger.status_code, "x-accel-redirect" in stranger.headers) == (303, False)
