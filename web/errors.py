"""Errors of all kinds → what the asker reads: a page, a fragment for htmx, a problem document.

Below ``web`` an error is a class with a sentence (appliance/errors.py); here it gets its status.
What nobody foresaw is logged with the request's id and told as "something went wrong here" with
that id; its own words never leave the box.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import peewee
from litestar import Response
from litestar.exceptions import (
    HTTPException,
    InternalServerException,
    SerializationException,
    ValidationException,
)
from litestar.response import Redirect, Template

from appliance.errors import (
    ApplianceError,
    Conflict,
    Forbidden,
    InvalidInput,
    JobFailed,
    NotFound,
    SettingsError,
    StorageFull,
    TooBusy,
    TooLarge,
    TooManyAttempts,
    Unauthenticated,
)
from appliance.guest_links import LinkClosed
from storage.ballast import is_full_for

if TYPE_CHECKING:
    from litestar import Request

log = logging.getLogger("appliance.web")

PROBLEM = "application/problem+json"

# The nearest class wins, so the order doesn't matter.
STATUS: dict[type[ApplianceError], int] = {
    ApplianceError: 400,
    SettingsError: 500,
    InvalidInput: 422,
    NotFound: 404,
    LinkClosed: 410,
    Forbidden: 403,
    Unauthenticated: 401,
    TooManyAttempts: 429,
    TooBusy: 503,
    Conflict: 409,
    TooLarge: 413,
    StorageFull: 507,
    JobFailed: 409,
}

# What is said where the error itself has no sentence for a person.
SENTENCES: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request could not be understood."),
    404: ("not_found", "There is nothing at this address. It may have been moved or deleted."),
    405: ("method_not_allowed", "This address can't be used in this way."),
    413: ("too_large", "This is larger than this address takes."),
    415: ("unsupported_media_type", "This address doesn't take this type of content."),
    500: ("internal", "Something went wrong here, and it has been noted. Try again in a moment."),
    503: ("unavailable", "The box is busy or starting. Try again in a moment."),
}

HEADINGS: dict[int, str] = {
    403: "You may not do this",
    404: "Not found",
    405: "Not possible here",
    409: "Not possible at the moment",
    410: "This link is closed",
    413: "Too large",
    422: "Something needs a correction",
    429: "Too many tries",
    500: "Something went wrong",
    503: "Back in a moment",
    507: "The disk is full",
}

# Nobody opens these in a browser. A monitor whose token has ended would follow the way to the
# sign-in page, find it there, and call the box well.
_FOR_SCRIPTS = ("/api", "/files", "/practice/api", "/metrics", "/health")

# Of a guest's page: where it is, and what its script asks.
_GUESTS = re.compile(r"(/send/[^/]+)(/uploads\b)?")
_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")
_MISSING_FIELD = re.compile(r"missing required field `([^`]*)`")


# Who writes may meet the end of the disk: files, our database, those of the stand-ins.
_OF_DISK = (OSError, sqlite3.OperationalError, peewee.OperationalError)


@dataclass(frozen=True)
class Answer:
    """An error, ready to be told. ``members``: what only its problem document says besides."""

    status: int
    code: str
    sentence: str
    field: str | None = None
    errors: list[dict[str, str]] = dataclass_field(default_factory=list)
    members: dict[str, Any] = dataclass_field(default_factory=dict)
    headers: dict[str, str] = dataclass_field(default_factory=dict)


def describe(error: Exception) -> Answer:
    """What to say about ``error``; says nothing of what the program itself did wrong."""
    if isinstance(error, ApplianceError):
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        headers = {}
        if isinstance(error, TooManyAttempts | TooBusy):
            headers["Retry-After"] = str(error.retry_after_s)
        if isinstance(error, Unauthenticated):
            headers["WWW-Authenticate"] = "Bearer"
        return Answer(
            status,
            error.code,
            error.message,
            getattr(error, "field", None),
            headers=headers,
            members=getattr(error, "members", {}),
        )
    if isinstance(error, ValidationException):
        return _describe_validation(error)
    if isinstance(error.__cause__, SerializationException):
        return Answer(400, "bad_json", "The body of the request is no JSON.")
    if isinstance(error, HTTPException) and error.status_code < 500:
        code, sentence = SENTENCES.get(error.status_code, SENTENCES[400])
        return Answer(error.status_code, code, sentence, headers=dict(error.headers or {}))
    if isinstance(error, _OF_DISK) and is_full_for(error):
        full = "The disk is full, so nothing could be saved. Free some space, then try again."
        return Answer(507, StorageFull.code, full)
    if isinstance(error, peewee.OperationalError) and (
        "locked" in str(error) or "unable to open" in str(error)
    ):
        return Answer(503, *SENTENCES[503], headers={"Retry-After": "5"})
    return Answer(500, *SENTENCES[500])


def _is_cut(error: Exception) -> bool:
    """Whether a request just ended in its middle: nobody's fault, and nobody reads the answer."""
    return isinstance(error, InternalServerException) and "disconnected" in error.detail


def _is_foreseen(error: Exception, answer: Answer) -> bool:
    """Whether the sentence says it all: a full disk or a busy box is no fault of the program."""
    return isinstance(error, ApplianceError) or answer.status == 507


def _describe_validation(error: ValidationException) -> Answer:
    found = error.extra if isinstance(error.extra, list) else []
    errors = [_field_error(str(item.get("key", "")), str(item["message"])) for item in found]
    if not errors:
        return Answer(400, *SENTENCES[400])
    first = errors[0]
    return Answer(422, InvalidInput.code, first["message"], first["field"] or None, errors)


def _field_error(key: str, message: str) -> dict[str, str]:
    """A sentence for what msgspec says about a field."""
    name = key.removeprefix("data.")
    if match := _UNKNOWN_FIELD.search(message):
        return {"field": match[1], "message": f"There is no field “{match[1][:60]}” here."}
    if match := _MISSING_FIELD.search(message):
        return {"field": match[1], "message": f"The field “{match[1]}” is missing."}
    if name == "data":
        if "Expected" not in message:
            return {"field": "", "message": "The request needs a JSON body."}
        return {"field": "", "message": f"The body can't be used: {_plain(message)}."}
    return {"field": name, "message": f"“{name}” can't be used: {_plain(message)}."}


def _plain(message: str) -> str:
    words = message.replace("`", "").replace(" | ", " or ").rstrip(".")
    return words[:1].lower() + words[1:].replace("nvalid enum value", "nknown value")


def to_response(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The answer to a request that failed, in the form that the asker reads."""
    answer = describe(error)
    request_id = str(request.scope.get("request_id", ""))
    if answer.status >= 500 and not _is_cut(error):
        if _is_foreseen(error, answer):
            log.warning("refused id=%s code=%s: %s", request_id, answer.code, answer.sentence)
        else:
            log.error("error id=%s", request_id, exc_info=error)
    if wants_problem(request):
        return _problem(request, answer, request_id)
    is_fragment = request.headers.get("hx-request") == "true"
    if answer.status == 401:
        return _to_sign_in(request, answer, is_fragment=is_fragment)
    context = {
        "status": answer.status,
        "heading": HEADINGS.get(answer.status, "This didn't work"),
        "sentence": answer.sentence,
        "code": answer.code,
        "request_id": request_id,
        "guest_page": guests[1] if (guests := _GUESTS.match(request.scope["path"])) else "",
    }
    name = "errors/_fragment.html" if is_fragment else "errors/page.html"
    return _rendered(request, answer, name, context)


async def answer_error(request: Request[Any, Any, Any], error: Exception) -> None:
    """Send the answer from outside of Litestar's own handling (a middleware around it)."""
    response = to_response(request, error).to_asgi_response(app=None, request=request)
    await response(request.scope, request.receive, request.send)


def below(path: str, prefix: str) -> bool:
    """Whether an address is ``prefix`` or under it; what only begins like it isn't."""
    return path == prefix or path.startswith(f"{prefix}/")


def wants_problem(request: Request[Any, Any, Any]) -> bool:
    """Scripts get problem documents, people pages."""
    path = request.scope["path"]
    if any(below(path, prefix) for prefix in _FOR_SCRIPTS):
        return True
    guests = _GUESTS.match(path)
    if guests is not None and guests[2]:
        return True
    accept = request.headers.get("accept", "")
    return "json" in accept and "text/html" not in accept


def problem_document(status: int, code: str, sentence: str) -> dict[str, Any]:
    """What every problem document says. Source: RFC 9457."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": sentence,
        "code": code,
    }


def _problem(request: Request[Any, Any, Any], answer: Answer, request_id: str) -> Response[Any]:
    """``instance`` is the id to quote, which also stands in the log."""
    document = problem_document(answer.status, answer.code, answer.sentence)
    document |= {"instance": f"urn:request:{request_id}", "request_id": request_id}
    document |= answer.members
    if answer.field:
        document["field"] = answer.field
    if answer.errors:
        document["errors"] = answer.errors
    return Response(document, status_code=answer.status, media_type=PROBLEM, headers=answer.headers)


def _to_sign_in(
    request: Request[Any, Any, Any], answer: Answer, *, is_fragment: bool
) -> Response[Any]:
    """To the sign-in page, and from there back to where the person wanted to go."""
    path = request.scope["path"]
    query = request.scope.get("query_string", b"").decode("latin-1")
    there = f"{path}?{query}" if query else path
    back = there if request.method == "GET" and not is_fragment and path != "/" else ""
    target = f"/sign-in?next={quote(back)}" if back else "/sign-in"
    if is_fragment:
        return Response(
            answer.sentence,
            status_code=401,
            media_type="text/html",
            headers={"HX-Redirect": target},
        )
    return Redirect(target, status_code=303)


def _rendered(
    request: Request[Any, Any, Any], answer: Answer, name: str, context: dict[str, Any]
) -> Response[Any]:
    template = Template(
        name,
        context=context,
        status_code=answer.status,
        headers=answer.headers,
        media_type="text/html",
    )
    try:
        body = request.app.template_engine.get_template(name).render(  # type: ignore[union-attr]  # create_app sets one
            **template.create_template_context(request)
        )
    except Exception:
        # An error page that fails must not hide the error that it tells of.
        log.exception("error page id=%s", context["request_id"])
        return Response(
            f"{context['heading']}. {answer.sentence} ({context['request_id']})\n",
            status_code=answer.status,
            media_type="text/plain",
            headers=answer.headers,
        )
    return Response(
        body,
        status_code=answer.status,
        media_type="text/html",
        headers=answer.headers,
    )
