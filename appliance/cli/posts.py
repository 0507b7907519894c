"""`appliance post` and `appliance accounts`: where videos go."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from appliance import local_time
from appliance.cli.frame import print_json, print_table
from appliance.cli.remote import Unreachable, remote
from appliance.cli.waiting import until, work_bar
from appliance.errors import InvalidInput
from appliance.ids import new_id
from appliance.text import clean_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.cli.remote import Box

_ASK_AGAIN_S = (0.5, 2.0)
# Of a post, and of its way to one account: nothing more happens by itself, or not before its time.
_AT_REST = ("completed", "partial", "failed", "cancelled", "scheduled", "draft")
_AT_REST_THERE = ("published", "failed", "cancelled", "needs_person")


@click.command()
@click.argument("video_id", metavar="VIDEO")
@click.option(
    "--to",
    "wanted",
    metavar="ACCOUNT",
    multiple=True,
    required=True,
    help="An account's id or name, or a platform for all its accounts; once for each.",
)
@click.option("--title", help="Default: the video's.")
@click.option("--description", help="Default: the video's.")
@click.option("--comment", metavar="TEXT", help="The first comment under it, where we can put one.")
@click.option(
    "--template", metavar="NAME", help="Texts and options to begin with; those given here win."
)
@click.option(
    "--option",
    "options",
    metavar="NAME=VALUE",
    multiple=True,
    help="Such as privacy=private or version=vertical. For one account: ACCOUNT:NAME=VALUE.",
)
@click.option(
    "--title-for", metavar="ACCOUNT=TEXT", multiple=True, help="Another title for one account."
)
@click.option(
    "--text-for", metavar="ACCOUNT=TEXT", multiple=True, help="Another text for one account."
)
@click.option("--draft", is_flag=True, help="Keep it as a draft; nothing is sent.")
@click.option("--at", metavar="TIME", help='Later: "2026-12-24 18:00", or with a zone "…+01:00".')
@click.option("--zone", metavar="NAME", help="Whose clocks --at means; default: this machine's.")
@click.option("--slot", is_flag=True, help="At the next free slot of the schedule.")
@click.option("--hold", is_flag=True, help="Let platforms that can keep it until its time.")
@click.option(
    "--again",
    is_flag=True,
    help="Also when it is on its way there already, or was posted within 24 hours.",
)
@click.option("--wait", is_flag=True, help="Until it is posted, has failed, or waits for somebody.")
@remote
def post(
    video_id: str,
    wanted: Sequence[str],
    title: str | None,
    description: str | None,
    comment: str | None,
    template: str | None,
    options: Sequence[str],
    title_for: Sequence[str],
    text_for: Sequence[str],
    draft: bool,
    at: str | None,
    zone: str | None,
    slot: bool,
    hold: bool,
    again: bool,
    wait: bool,
    box: Box,
    as_json: bool,
) -> int:
    """Post VIDEO to accounts; one that isn't ready yet goes out when it is.

    Texts may hold links to the same post elsewhere: "{youtube_url}" is filled in when it is there.
    """
    items = box.get("/api/v1/accounts")["items"]
    body: dict[str, Any] = {
        "video_id": video_id,
        "accounts": choose(items, wanted),
        "title": title,
        "description": description,
        "template": template,
        "options": parse_options([o for o in options if not _is_for_one(o)]),
        "overrides": _for_single_accounts(items, options, title_for, text_for),
        "draft": draft or None,
        "hold_there": hold or None,
        "again": again or None,
        "time_zone": zone,
    }
    if at is not None and slot:
        raise click.UsageError("Give --at or --slot, not both.")
    if comment is not None:
        body["options"] = {**body["options"], "first_comment": comment}
    if at is not None:
        body["publish_at"] = parse_time(at, zone)
    if slot:
        free = box.get("/api/v1/slots/next", accounts=body["accounts"])
        body["publish_at"] = free["publish_at"]
    created = send(box, {name: value for name, value in body.items() if value not in (None, {})})
    made = wait_for_post(box, created["post_id"]) if wait else created
    if as_json:
        print_json(made)
    elif wait:
        print_results(made, items)
    else:
        click.echo(f"{made['post_id']}  {made['status']}")
        if made.get("warning"):
            click.echo(made["warning"], err=True)
    asks = wait and any(result["state"] == "needs_person" for result in made["results"])
    if asks and not as_json:
        click.echo(
            f"Look at the platform, then run `appliance posts settle {made['post_id']}`.", err=True
        )
    return 1 if asks or made["status"] in ("failed", "partial") else 0


@click.group()
def accounts() -> None:
    """The channels, pages and folders that videos are posted to."""


@accounts.command(name="list")
@remote
def list_accounts(box: Box, as_json: bool) -> None:
    """List connected accounts."""
    found = box.get("/api/v1/accounts")
    if as_json:
        print_json(found)
        return
    print_table(
        ("Id", "Platform", "Name", "State"),
        [(item["id"], item["platform"], item["name"], item["state"]) for item in found["items"]],
        none="No account is connected.",
    )


def choose(items: Sequence[Any], wanted: Sequence[str]) -> list[str]:
    """The ids of the accounts that were meant, each once. Raises InvalidInput."""
    chosen: dict[str, None] = {}
    for word in wanted:
        found = [
            item["id"]
            for item in items
            if word == item["id"] or word.casefold() in (item["platform"], item["name"].casefold())
        ]
        if not found:
            there = ", ".join(f"“{clean_line(item['name'])}”" for item in items) or "none"
            raise InvalidInput(f"There is no account or platform “{word}”. Accounts: {there}.")
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def parse_options(pairs: Sequence[str]) -> dict[str, str]:
    """ "privacy=private" → name and value. Raises UsageError."""
    return dict(_split(pair, "--option", "NAME=VALUE") for pair in pairs)


def _split(pair: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals or not name.strip():
        raise click.UsageError(f"{option}: write {form}, not “{pair}”.")
    return name.strip(), value.strip()


def _is_for_one(pair: str) -> bool:
    return ":" in pair.partition("=")[0]


def _for_single_accounts(
    items: Sequence[Any], options: Sequence[str], titles: Sequence[str], texts: Sequence[str]
) -> dict[str, Any]:
    """What the API calls overrides: account id → title, description, options."""
    found: dict[str, dict[str, Any]] = {}

    def of(word: str) -> list[dict[str, Any]]:
        return [found.setdefault(id, {}) for id in choose(items, [word])]

    for field, option, pairs in (
        ("title", "--title-for", titles),
        ("description", "--text-for", texts),
    ):
        for pair in pairs:
            word, text = _split(pair, option, "ACCOUNT=TEXT")
            for changes in of(word):
                changes[field] = text
    for pair in filter(_is_for_one, options):
        whole, value = _split(pair, "--option", "ACCOUNT:NAME=VALUE")
        word, _colon, name = whole.rpartition(":")
        for changes in of(word):
            changes.setdefault("options", {})[name] = value
    return found


def read_time(text: str) -> datetime:
    """With a zone or without. Raises UsageError."""
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        raise click.UsageError(
            f'--at: write the time as "2026-12-24 18:00", not “{text}”.'
        ) from exc


def parse_time(text: str, zone: str | None = None) -> str:
    """RFC 3339. Without a zone of its own it is what the clocks of ``zone`` show, or this
    machine's. Raises UsageError, and InvalidInput for a time that they skip."""
    at = read_time(text)
    if at.tzinfo is None and zone is not None:
        return local_time.moment_of(at, zone).isoformat()
    moment = at.astimezone()
    if at.tzinfo is None and moment.replace(tzinfo=None) != at:
        later = (at + timedelta(hours=1)).astimezone()
        raise InvalidInput(
            f"The clocks here are put forward and never show {at:%H:%M} on that day. Take "
            f"{later:%H:%M}, or name other clocks with --zone.",
            code="time_skipped",
        )
    return moment.isoformat()


def send(box: Box, body: Any) -> Any:
    """Make a post. When the answer is lost, the same key makes asking again no second post."""
    key = new_id()
    for pause_s in _ASK_AGAIN_S:
        try:
            return box.post("/api/v1/posts", body, Idempotency_Key=key)
        except Unreachable:
            time.sleep(pause_s)
    return box.post("/api/v1/posts", body, Idempotency_Key=key)


def is_at_rest(post: Any) -> bool:
    """Pure: whether nothing more happens to a post by itself, or not before its time."""
    states = [result["state"] for result in post["results"]]
    return post["status"] in _AT_REST or all(state in _AT_REST_THERE for state in states)


def wait_for_post(box: Box, post_id: str) -> Any:
    """The post when it is at rest."""
    found: Any = {}
    with work_bar() as bar:
        task = bar.add_task("Posting", total=None)

        def look() -> bool:
            nonlocal found
            found = box.get(f"/api/v1/posts/{post_id}")
            stages = {result["stage"] for result in found["results"] if result["stage"]}
            bar.update(task, description=", ".join(sorted(stages)) or "Posting")
            return is_at_rest(found)

        until(look)
    return found


def print_results(made: Any, items: Sequence[Any]) -> None:
    """``items``: the accounts, for their names."""
    names = {item["id"]: item["name"] for item in items}
    click.echo(f"{made['post_id']}  {made['status']}")
    print_table(
        ("Account", "State", "Link", "Error"),
        [
            (names.get(result["account"]), result["state"], result["url"], result["error"])
            for result in made["results"]
        ],
        none="It has no accounts.",
    )
