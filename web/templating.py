"""The templates' surroundings: what they can call besides what a page hands them.

Globals: ``_(text, **values)``, ``asset(name)``, ``csrf_token()``, ``viewer()`` (who looks, or
none), ``limits()`` (the settings that pages state before somebody runs into them), ``setting``.
Filters: ``size``, ``duration``, ``percent``, ``ago``, ``time_tag``, and the others of
web/words.py by their names. Undefined names fail, so that a typo isn't an empty place on a page.
"""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, pass_context
from jinja2.environment import TemplateModule
from jinja2.runtime import Context
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template.config import TemplateConfig
from markupsafe import Markup, escape

from appliance import __version__, night
from appliance.clock import now
from web import form_token, words
from web.auth import principal_or_none
from web.rows import Viewer

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.settings import Settings

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
STATIC = HERE / "static"
MANIFEST = STATIC / "manifest.json"
_TYPED = re.compile(r"`([^`]+)`")


def template_config(settings: Settings) -> TemplateConfig[JinjaTemplateEngine]:
    engine = JinjaTemplateEngine.from_environment(make_environment(settings))
    engine.engine.globals["csrf_token"] = form_token.of_this_request  # not Litestar's
    return TemplateConfig(instance=engine)


class _Template(Template):
    """Finds its macros at once: no template here has globals of its own, and looking whether one
    has, for each import of each card, takes a tenth of the time of a page."""

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        return super()._get_default_module()


class _Environment(Environment):
    template_class = _Template


def make_environment(settings: Settings) -> Environment:
    environment = _Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=settings.development,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        _=words._,
        asset=asset if settings.development else cache(asset),  # what is built stays
        viewer=_viewer,
        live_from=_live_from,
        limits=lambda: settings,
        night_start=lambda: (
            "" if night.is_open(settings, now()) else night.describe_start(settings)
        ),
        development=settings.development,
        version=__version__,
        words=words,
        badge_of=words.badge,
        nav="",
        search_words="",
    )
    environment.filters.update(
        size=words.size,
        duration=words.duration,
        spoken_duration=words.spoken_duration,
        percent=words.percent,
        time_left=words.time_left,
        took=words.took,
        joined=words.joined,
        ago=lambda when: words.ago(when, now()),
        leaves_bin=lambda deleted: words.until(deleted, settings.trash_days, now()),
        time_tag=_time_tag,
        full_time=_full_time,
        clock_time=_clock_time,
        machine_time=words.machine_time,
        with_code=_with_code,
    )
    return environment


def _with_code(sentence: str) -> Markup:
    """What stands in backticks is something to type: ``<code>``."""
    return Markup(_TYPED.sub(r"<code>\1</code>", str(escape(sentence))))


def asset(name: str) -> str:
    """Where a built file is served: "main.css" → "/static/main-1A2B.css".

    Raises LookupError when it was never built.
    """
    stamp = MANIFEST.stat().st_mtime_ns if MANIFEST.exists() else 0
    built = _manifest(stamp)
    if name not in built:
        raise LookupError(f"{name} is not in {MANIFEST}. Build the assets: ./dev build.")
    return f"/static/{built[name]}"


@lru_cache(maxsize=1)
def _manifest(stamp: int) -> dict[str, str]:
    """Read again when the file's time changes (``./dev up`` after an edit)."""
    return json.loads(MANIFEST.read_text(encoding="utf-8")) if stamp else {}


@pass_context
def _viewer(context: Context) -> Viewer | None:
    request = context.get("request")
    found = principal_or_none(request) if request is not None else None
    return Viewer.of(found.user) if found else None


@pass_context
def _live_from(context: Context) -> int:
    """The last event that the page may have seen: its stream goes on from there."""
    return int(context["request"].scope.get("live_from", 0))


def _zone(context: Context) -> str:
    viewer = _viewer(context)
    return viewer.time_zone if viewer else "UTC"


@pass_context
def _full_time(context: Context, when: datetime) -> str:
    return words.full_time(when, _zone(context))


@pass_context
def _clock_time(context: Context, when: datetime) -> str:
    return words.clock_time(when, _zone(context), now())


@pass_context
def _time_tag(context: Context, when: datetime | None) -> Markup:
    """``<time>``: relative to read, whole on hover, exact for machines; "" for None."""
    if when is None:
        return Markup("")
    exact, whole = escape(words.machine_time(when)), escape(words.full_time(when, _zone(context)))
    ago = escape(words.ago(when, now()))
    # Put together as text: Markup's own format takes a millisecond for the cards of a page.
    return Markup(f'<time datetime="{exact}" title="{whole}">{ago}</time>')
