"""All routes × all kinds of askers: one table, held to the running app.

A route that isn't in the table fails, and so does a line of the table without its route.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest

from appliance import users
from appliance.access import Scope
from appliance.db import database
from appliance.models import Role, User
from appliance.settings import Settings
from tests.web.serving import (
    Served,
    add_user,
    browser,
    form_token,
    prepare,
    script,
    served,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Methods, path, the least role, and the scope that lets an API token in ("-": none does).
# "public": anybody. "own": the guard lets anybody in, the route asks for a capability of its own.
TABLE = """
GET           /                                                     viewer  -
GET           /_tabs                                                viewer  -
GET           /_ui                                                  viewer  -
GET           /api/v1/accounts                                      viewer  read
POST          /api/v1/accounts/practice                             admin   admin
DELETE,PATCH  /api/v1/accounts/{account_id}                         admin   admin
POST          /api/v1/accounts/{account_id}/check                   admin   admin
POST          /api/v1/accounts/{account_id}/reconnect               admin   admin
GET           /api/v1/alerts                                        admin   admin
GET,POST      /api/v1/alerts/channels                               admin   admin
DELETE,PATCH  /api/v1/alerts/channels/{channel_id}                  admin   admin
POST          /api/v1/alerts/channels/{channel_id}/test             admin   admin
GET,POST      /api/v1/backups                                       admin   admin
POST          /api/v1/backups/drill                                 admin   admin
DELETE        /api/v1/backups/old-data                              admin   admin
PATCH         /api/v1/backups/policy                                admin   admin
POST          /api/v1/backups/recovery-key                          admin   admin
DELETE,GET    /api/v1/backups/{name}                                admin   admin
POST          /api/v1/backups/{name}/verify                         admin   admin
GET           /api/v1/events                                        viewer  read
GET,POST      /api/v1/guest-links                                   editor  upload
DELETE,GET,PATCH /api/v1/guest-links/{link_id}                      editor  upload
GET           /api/v1/jobs                                          viewer  read
GET           /api/v1/jobs/stats                                    viewer  read
GET           /api/v1/jobs/{job_id}                                 viewer  read
POST          /api/v1/jobs/cancel-waiting                           editor  write
POST          /api/v1/jobs/retry-failed                             editor  write
POST          /api/v1/jobs/{job_id}/cancel                          editor  write
POST          /api/v1/jobs/{job_id}/retry                           editor  write
GET           /api/v1/night                                         viewer  read
PUT           /api/v1/night                                         admin   admin
DELETE        /api/v1/bin                                           editor  write
DELETE        /api/v1/bin/{video_id}                                editor  write
GET           /api/v1/openapi.json                                  public
GET           /api/v1/openapi.json/openapi.json                     public
GET           /api/v1/openapi.json/{path}                           public
GET           /api/v1/post-templates                                viewer  read
POST          /api/v1/post-templates                                editor  post
DELETE,PUT    /api/v1/post-templates/{template_id}                  editor  post
GET           /api/v1/post-templates/{template_id}                  viewer  read
GET           /api/v1/posting                                       viewer  read
PUT           /api/v1/posting                                       admin   admin
GET           /api/v1/posting/numbers                               viewer  read
PUT           /api/v1/posting/numbers                               admin   admin
GET           /api/v1/posts                                         viewer  read
POST          /api/v1/posts                                         editor  post
GET           /api/v1/posts/history.csv                             viewer  read
GET           /api/v1/posts/{post_id}                               viewer  read
GET           /api/v1/posts/{post_id}/attempts                      viewer  read
POST          /api/v1/posts/{post_id}/cancel                        editor  post
POST          /api/v1/posts/{post_id}/retry                         editor  post
POST          /api/v1/posts/{post_id}/submit                        editor  post
POST          /api/v1/posts/{post_id}/targets/{target_id}/edit      editor  post
POST          /api/v1/posts/{post_id}/targets/{target_id}/remove    editor  post
POST          /api/v1/posts/{post_id}/targets/{target_id}/retry     editor  post
POST          /api/v1/posts/{post_id}/targets/{target_id}/settle    editor  post
GET           /api/v1/profiles                                      viewer  read
PATCH         /api/v1/profiles                                      admin   admin
DELETE,POST   /api/v1/renditions/remake                             editor  write
PATCH         /api/v1/posts/{post_id}                               editor  post
POST          /api/v1/posts/{post_id}/approve                       admin   post
POST          /api/v1/posts/{post_id}/refuse                        admin   post
POST          /api/v1/posts/{post_id}/reschedule                    editor  post
POST          /api/v1/posts/{post_id}/withdraw                      editor  post
GET           /api/v1/schedule                                      viewer  read
GET           /api/v1/schedule/rules                                viewer  read
PATCH         /api/v1/schedule/rules                                admin   admin
GET           /api/v1/slots                                         viewer  read
POST          /api/v1/slots                                         editor  post
GET           /api/v1/slots/next                                    viewer  read
DELETE        /api/v1/slots/{slot_id}                               editor  post
GET           /api/v1/storage                                       viewer  read
PATCH         /api/v1/storage/policy                                admin   admin
DELETE        /api/v1/storage/set-aside                             admin   admin
POST          /api/v1/storage/sweep                                 admin   admin
POST          /api/v1/storage/verify                                admin   admin
GET           /api/v1/system                                        admin   admin
POST          /api/v1/system/check                                  admin   admin
GET           /api/v1/system/diagnostics                            admin   admin
GET           /api/v1/uploads                                       editor  read
POST          /api/v1/uploads                                       editor  upload
DELETE        /api/v1/uploads/{upload_id}                           editor  write
GET           /api/v1/uploads/limits                                editor  upload
GET           /api/v1/videos                                        viewer  read
GET           /api/v1/videos/{video_id}                             viewer  read
DELETE,PATCH  /api/v1/videos/{video_id}                             editor  write
POST          /api/v1/videos/{video_id}/covers                      editor  post
GET           /api/v1/videos/{video_id}/covers/{cover_id}           viewer  read
PUT           /api/v1/videos/{video_id}/poster                      editor  write
GET,POST      /api/v1/videos/{video_id}/readiness                   viewer  read
GET           /api/v1/videos/{video_id}/renditions                  viewer  read
DELETE,POST   /api/v1/videos/{video_id}/renditions/{profile}        editor  write
POST          /api/v1/videos/{video_id}/restore                     editor  write
POST          /api/v1/videos/{video_id}/retry                       editor  write
GET           /api/v1/videos/{video_id}/status                      viewer  read
POST          /api/v1/videos/{video_id}/upload/complete             editor  upload
GET,POST      /bin/empty                                            editor  -
GET,POST      /bin/{video_id}/remove                                editor  -
POST          /connect/{platform}                                   admin   -
GET           /connect/{provider}/callback                          admin   -
GET,POST      /connections/{connection_id}                          admin   -
GET           /data-deletion                                        public
*             /files                                                own
GET,POST      /guest-links                                          editor  -
GET,POST      /guest-links/{link_id}                                editor  -
POST          /guest-links/{link_id}/revoke                         editor  -
GET           /health/live                                          public
GET           /health/ready                                         public
GET,POST      /invite/{token}                                       public
GET           /jobs                                                 viewer  -
GET           /jobs/_summary                                        viewer  -
GET,POST      /jobs/cancel-waiting                                  editor  -
POST          /jobs/retry-failed                                    editor  -
GET           /jobs/{job_id}                                        viewer  -
GET           /jobs/{job_id}/_row                                   viewer  -
POST          /jobs/{job_id}/cancel                                 editor  -
POST          /jobs/{job_id}/retry                                  editor  -
POST          /library/batch                                        editor  -
GET,HEAD      /media/{video_id}/storyboard.vtt                      viewer  read
GET,HEAD      /media/{video_id}/{name}                              viewer  read
GET           /metrics                                              admin   admin
GET           /people                                               admin   -
POST          /people/invites                                       admin   -
POST          /people/invites/{invite_id}/withdraw                  admin   -
POST          /people/{user_id}/deactivate                          admin   -
POST          /people/{user_id}/quota                               admin   -
POST          /people/{user_id}/reactivate                          admin   -
POST          /people/{user_id}/reset-link                          admin   -
POST          /people/{user_id}/role                                admin   -
GET,POST      /post-templates                                       editor  -
GET,POST      /post-templates/{template_id}                         editor  -
POST          /post-templates/{template_id}/delete                  editor  -
GET           /posts                                                viewer  -
GET           /posts/{post_id}                                      viewer  -
GET           /posts/{post_id}/_row                                 viewer  -
POST          /posts/{post_id}/cancel                               editor  -
POST          /posts/{post_id}/retry                                editor  -
GET,POST      /posts/{post_id}/targets/{target_id}/edit             editor  -
GET,POST      /posts/{post_id}/targets/{target_id}/remove           editor  -
POST          /posts/{post_id}/targets/{target_id}/retry            editor  -
POST          /posts/{post_id}/targets/{target_id}/settle           editor  -
GET           /practice                                             viewer  read
GET,PUT       /practice/api/v1/faults                               own
GET,POST      /practice/api/v1/media                                own
DELETE,GET    /practice/api/v1/media/{media_id}                     own
POST          /practice/api/v1/media_publish                        own
POST          /practice/faults                                      admin   -
GET           /practice/google/o/oauth2/v2/auth                     admin   -
POST          /practice/google/revoke                               own
GET           /practice/google/shorts/{video_id}                    viewer  read
POST          /practice/google/token                                own
POST          /practice/google/upload/youtube/v3/captions           own
POST          /practice/google/upload/youtube/v3/thumbnails/set     own
POST,PUT      /practice/google/upload/youtube/v3/videos             own
GET           /practice/google/youtube/v3/captions                  own
GET           /practice/google/youtube/v3/channels                  own
GET,POST      /practice/google/youtube/v3/commentThreads            own
GET,POST      /practice/google/youtube/v3/playlistItems             own
GET           /practice/google/youtube/v3/playlists                 own
DELETE,GET,PUT /practice/google/youtube/v3/videos                   own
GET           /practice/google/watch                                viewer  read
POST          /practice/meta/ig-api-upload/{version}/{id}             own
GET           /practice/meta/reel/{id}                                viewer  -
POST          /practice/meta/video-upload/{version}/{video_id}        own
GET           /practice/meta/watch/{id}                               viewer  -
GET           /practice/meta/{version}/debug_token                    own
GET           /practice/meta/{version}/dialog/oauth                   admin   -
GET           /practice/meta/{version}/oauth/access_token             own
DELETE,GET,POST /practice/meta/{version}/{node_id}                    own
DELETE,GET,POST /practice/meta/{version}/{node_id}/{edge_name}        own
GET           /practice/of/{platform}                               viewer  read
POST          /practice/of/{platform}/faults                        admin   -
GET           /practice/of/{platform}/{remote_id}                   viewer  read
POST          /practice/of/{platform}/{remote_id}/remove            editor  -
GET,HEAD      /practice/of/{platform}/{remote_id}/video.mp4         viewer  read
GET           /practice/v/{post_id}                                 viewer  read
POST          /practice/v/{post_id}/remove                          editor  -
GET,HEAD      /practice/v/{post_id}/video.mp4                       viewer  read
GET           /privacy                                              public
GET,HEAD      /public/{token}/{name}                                public
GET,POST      /reset/{token}                                        public
GET           /record                                               editor  -
GET           /robots.txt                                           public
GET           /schedule                                             viewer  -
GET           /schedule/new                                         editor  -
GET           /schedule/{post_id}/_echo                             editor  -
POST          /schedule/{post_id}/approve                           admin   -
GET,POST      /schedule/{post_id}/move                              editor  -
POST          /schedule/{post_id}/now                               editor  -
GET,POST      /schedule/{post_id}/refuse                            admin   -
POST          /schedule/{post_id}/submit                            editor  -
POST          /schedule/{post_id}/withdraw                          editor  -
GET           /send/{token}                                         public
POST          /send/{token}                                         own
GET           /send/{token}/_sent                                   public
POST          /send/{token}/file/{form_key}                         own
POST          /send/{token}/leave                                   own
POST          /send/{token}/uploads                                 own
GET           /send/{token}/uploads/{video_id}                      own
GET           /settings                                             viewer  -
GET           /settings/accounts                                    viewer  -
POST          /settings/accounts/numbers                            admin   -
POST          /settings/accounts/pause                              admin   -
POST          /settings/accounts/practice                           admin   -
GET           /settings/accounts/{account_id}                       viewer  -
POST          /settings/accounts/{account_id}/check                 admin   -
GET,POST      /settings/accounts/{account_id}/disconnect            admin   -
POST          /settings/accounts/{account_id}/stage-ahead           admin   -
GET,POST      /settings/alerts                                      admin   -
GET,POST      /settings/alerts/{channel_id}                         admin   -
POST          /settings/alerts/{channel_id}/remove                  admin   -
POST          /settings/alerts/{channel_id}/switch                  admin   -
POST          /settings/alerts/{channel_id}/test                    admin   -
POST          /settings/password                                    viewer  -
POST          /settings/profile                                     viewer  -
GET           /settings/schedule                                    viewer  -
POST          /settings/schedule/rules                              admin   -
POST          /settings/schedule/slots                              editor  -
POST          /settings/schedule/slots/{slot_id}/remove             editor  -
POST          /settings/sessions/revoke-others                      viewer  -
POST          /settings/sessions/{session_id}/revoke                viewer  -
GET,POST      /settings/set-up/{provider}                           admin   -
POST          /settings/set-up/{provider}/check                     admin   -
POST          /settings/set-up/{provider}/forget                    admin   -
GET           /settings/system                                      admin   -
POST          /settings/system/check                                admin   -
GET           /settings/system/diagnostics                          admin   -
GET,POST      /settings/tokens                                      viewer  -
POST          /settings/tokens/{token_id}/revoke                    viewer  -
GET           /settings/video                                       admin   -
POST          /settings/video/night                                 admin   -
POST          /settings/video/profiles/{name}                       admin   -
POST          /settings/video/remake                                admin   -
GET,POST      /settings/backups                                     admin   -
POST          /settings/backups/drill                               admin   -
GET,POST      /settings/backups/key                                 admin   -
GET,POST      /settings/backups/old-data                            admin   -
POST          /settings/backups/policy                              admin   -
GET,POST      /settings/backups/{name}/remove                       admin   -
POST          /settings/backups/{name}/verify                       admin   -
GET,POST      /setup/{token}                                        public
GET,POST      /setup/{token}/restore                                public
GET           /setup/{token}/restore/_state                         public
GET,POST      /sign-in                                              public
GET,HEAD      /static/{file_path}                                   public
GET           /storage                                              viewer  -
GET           /storage/_biggest                                     viewer  -
GET           /storage/_policies                                    viewer  -
POST          /storage/policy                                       admin   -
GET,POST      /storage/set-aside                                    admin   -
POST          /storage/sweep                                        admin   -
POST          /storage/verify                                       admin   -
GET           /upload                                               editor  -
POST          /upload/{capability}                                  own
GET           /uploads                                              editor  -
GET           /uploads/_list                                        editor  -
GET,POST      /uploads/{upload_id}/cancel                           editor  -
GET           /videos/{video_id}                                    viewer  -
GET           /videos/{video_id}/_card                              viewer  -
POST          /videos/{video_id}/delete                             editor  -
POST          /videos/{video_id}/edit                               editor  -
POST          /videos/{video_id}/keep-original                      editor  -
GET,POST      /videos/{video_id}/post                               editor  -
POST          /videos/{video_id}/post/change                        editor  -
POST          /videos/{video_id}/post/check                         editor  -
GET,POST      /videos/{video_id}/poster                             editor  -
POST          /videos/{video_id}/renditions/{profile}               editor  -
POST          /videos/{video_id}/renditions/{profile}/delete        editor  -
POST          /videos/{video_id}/restore                            editor  -
POST          /videos/{video_id}/retry                              editor  -
POST          /sign-out                                             viewer  -
"""

RANK = {"viewer": 0, "editor": 1, "admin": 2, "owner": 3}


class Line(NamedTuple):
    method: str
    path: str
    role: str
    scope: str


def lines() -> list[Line]:
    table = []
    for text in TABLE.strip().splitlines():
        methods, path, role, *scope = text.split()
        table += [Line(method, path, role, *(scope or ["-"])) for method in methods.split(",")]
    return table


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = Settings(
        data=tmp_path_factory.mktemp("box") / "data",
        listen="127.0.0.1:0",
        disk_reserve="10 MiB",  # type: ignore[arg-type]  # pydantic reads units
        development=True,
    )
    prepare(settings)
    with served(settings) as running:
        for role in Role:
            add_user(f"{role}@example.org", role)
        yield running


def test_table_has_all_routes_and_no_others(box: Served) -> None:
    found = set()
    for route in box.app.routes:
        methods = getattr(route, "route_handler_map", {"*": (route, None)})
        for method, (handler, _) in methods.items():
            if getattr(handler, "handler_name", "") != "options_handler":  # Litestar's own
                found.add((str(method), route.path_format))
    listed = {(line.method, line.path) for line in lines()}
    assert found - listed == set(), "routes without a line in the table"
    assert listed - found == set(), "lines of the table without a route"


def ask(client: httpx.Client, line: Line) -> httpx.Response:
    """Without a body and with ids of nothing: who is let in learns that something is missing."""
    path = line.path
    for name in ("session_id", "file_path"):
        path = path.replace(f"{{{name}}}", "999999")
    while "{" in path:
        path = path[: path.index("{")] + "x" * 26 + path[path.index("}") + 1 :]
    headers = {}
    if line.method not in ("GET", "HEAD") and "Authorization" not in client.headers:
        headers["X-CSRF-Token"] = form_token(client)
    method = "POST" if line.method == "*" else line.method
    with client.stream(method, path, headers=headers) as answer:  # one of them never ends
        return answer


def is_refused(answer: httpx.Response) -> bool:
    to_sign_in = answer.headers.get("location", "").startswith("/sign-in")
    signed_out = "session=" in answer.headers.get("set-cookie", "")
    return answer.status_code in (401, 403) or (to_sign_in and not signed_out)


def check(client: httpx.Client, *, rank: int, scopes: set[str] | None) -> None:
    """``rank`` -1: nobody. ``scopes`` None: a session."""
    wrong = []
    for line in lines():
        answer = ask(client, line)
        if line.role == "own":
            is_right = scopes is not None or rank >= 0 or answer.status_code >= 400
        elif line.role == "public":
            is_right = not is_refused(answer)
        else:
            allowed = rank >= RANK[line.role] and (scopes is None or line.scope in scopes)
            is_right = is_refused(answer) is not allowed
        if not is_right or answer.status_code >= 500 and line.path != "/health/ready":
            wrong.append(f"{line.method} {line.path}: {answer.status_code}")
    assert not wrong


def test_nobody(box: Served) -> None:
    with browser(box.url) as client:
        check(client, rank=-1, scopes=None)


@pytest.mark.parametrize("role", Role, ids=str)
def test_role(box: Served, role: Role) -> None:
    user = _user(role)
    with browser(box.url, user) as client:
        check(client, rank=RANK[role], scopes=None)


@pytest.mark.parametrize("scope", Scope, ids=str)
def test_token(box: Served, scope: Scope) -> None:
    with script(box.url, _user(Role.OWNER), [scope]) as client:
        check(client, rank=RANK["owner"], scopes={scope.value})


def test_token_of_a_viewer_can_do_no_more_than_the_viewer(box: Served) -> None:
    with script(box.url, _user(Role.VIEWER)) as client:
        check(client, rank=RANK["viewer"], scopes=set(Scope) - {Scope.ADMIN})


def test_token_in_a_cookie_or_the_address_is_nothing(box: Served) -> None:
    with script(box.url, _user(Role.OWNER)) as client:
        token = client.headers["Authorization"].removeprefix("Bearer ")
    for request in (
        {"cookies": {"session": token}},
        {"params": {"token": token, "access_token": token}},
        {"headers": {"Authorization": f"Basic {token}"}},
    ):
        with httpx.Client(base_url=box.url, **request) as client:
            assert client.get("/api/v1/videos").status_code == 401


def test_session_as_a_bearer_token_is_nothing(box: Served) -> None:
    with browser(box.url, _user(Role.OWNER)) as client:
        session = client.cookies["session"]
    with httpx.Client(base_url=box.url) as client:
        headers = {"Authorization": f"Bearer {session}"}
        assert client.get("/api/v1/videos", headers=headers).status_code == 401


def _user(role: Role) -> User:
    with database.connection_context():
        return users.by_email(f"{role}@example.org")
