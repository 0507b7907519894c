"""`appliance posts`: what was posted, and what can still be done about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import OneByDefault, print_facts, print_json, print_table
from appliance.cli.remote import Unreachable, check, remote
from appliance.errors import InvalidInput

if TYPE_CHECKING:
    from appliance.cli.remote import Box

_account = click.option(
    "--account", metavar="ACCOUNT", help="Only this account of the post: its id, name or platform."
)


@click.group(cls=OneByDefault, default="list")
def posts() -> None:
    """Look at posts, retry, change, cancel and remove them. Alone it lists them."""


@posts.command(name="list")
@click.option("--status", help="Only those in this state, such as failed or scheduled.")
@click.option("--result", help="Only those of which an account is in this state.")
@click.option("--platform", help="Only those to this platform.")
@click.option("--account", metavar="ID", help="Only those to this account.")
@click.option("--author", metavar="ID", help="Only those of this person.")
@click.option("--video", "video_id", metavar="VIDEO", help="Only those of this video.")
@click.option("--since", metavar="TIME", help='Not before; with a zone, "2026-12-24T18:00+01:00".')
@click.option("--until", metavar="TIME", help="Before.")
@click.option("--words", "q", help="In the title, the text or the video's title.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100))
@remote
def list_posts(box: Box, as_json: bool, **filters: Any) -> None:
    """List the newest posts."""
    found = box.get("/api/v1/posts", **filters)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            post["post_id"],
            post["status"],
            post["publish_at"] or post["created_at"],
            ", ".join(f"{r['account_name']}: {r['state']}" for r in post["results"]),
            post["title"],
        )
        for post in found["items"]
    ]
    print_table(
        ("Id", "Status", "Time", "Accounts", "Title"), rows, none="There are no such posts."
    )


@posts.command()
@click.argument("post_id", metavar="POST")
@click.option("--attempts", is_flag=True, help="With all that was tried, and the raw answers.")
@remote
def show(post_id: str, attempts: bool, box: Box, as_json: bool) -> None:
    """Show all about one post, with the result of each account."""
    found = box.get(f"/api/v1/posts/{post_id}")
    tried = box.get(f"/api/v1/posts/{post_id}/attempts")["items"] if attempts else None
    if as_json:
        print_json(found if tried is None else {**found, "attempts": tried})
        return
    results = found.pop("results")
    print_facts({name.replace("_", " ").capitalize(): value for name, value in found.items()})
    click.echo()
    _print_results(results)
    if tried is not None:
        click.echo()
        columns = ("started_at", "account_name", "step", "outcome", "error", "detail")
        print_table(
            ("Started", "Account", "Step", "Outcome", "Error", "Answer"),
            [[attempt[name] for name in columns] for attempt in tried],
            none="Nothing was tried yet.",
        )


@posts.command()
@click.argument("post_id", metavar="POST")
@_account
@click.option("--again", is_flag=True, help="Also when another post of the same is on its way.")
@remote
def retry(post_id: str, account: str | None, again: bool, box: Box, as_json: bool) -> None:
    """Send what failed again, and only that."""
    body = {"again": again}
    if account is None:
        _show(box.post(f"/api/v1/posts/{post_id}/retry", body), as_json)
        return
    for result in _results_of(box, post_id, account):
        _show(box.post(_url(post_id, result, "retry"), body), as_json)


@posts.command()
@click.argument("post_id", metavar="POST")
@_account
@click.option("--title", help="Another title.")
@click.option("--description", help="Another text.")
@remote
def edit(
    post_id: str,
    account: str | None,
    title: str | None,
    description: str | None,
    box: Box,
    as_json: bool,
) -> None:
    """Change title or text: on the platform where that is allowed, or before it goes out."""
    given = {"title": title, "description": description}
    texts = {name: text for name, text in given.items() if text is not None}
    if not texts:
        raise click.UsageError("Give --title or --description.")
    for result in _results_of(box, post_id, account):
        _show(box.post(_url(post_id, result, "edit"), texts), as_json)


@posts.command()
@click.argument("post_id", metavar="POST")
@remote
def cancel(post_id: str, box: Box, as_json: bool) -> None:
    """Call back what hasn't gone out."""
    _show(box.post(f"/api/v1/posts/{post_id}/cancel"), as_json)


@posts.command()
@click.argument("post_id", metavar="POST")
@_account
@click.option("--there/--not-there", default=None, help="What you have seen on the platform.")
@remote
def settle(post_id: str, account: str | None, there: bool | None, box: Box, as_json: bool) -> None:
    """Say whether it is public where the platform can't tell; if it isn't, it is sent again."""
    if there is None:
        raise click.UsageError("Look at the platform, then give --there or --not-there.")
    asking = [r for r in _results_of(box, post_id, account) if r["state"] == "needs_person"]
    if not asking:
        raise InvalidInput("Nobody has to say whether it is there.")
    if len(asking) > 1:
        names = ", ".join(f"“{r['account_name']}”" for r in asking)
        raise InvalidInput(f"Say which one with --account: {names}.")
    _show(box.post(_url(post_id, asking[0], "settle"), {"there": there}), as_json)


@posts.command()
@click.argument("post_id", metavar="POST")
@_account
@click.option("--yes", is_flag=True, help="Don't ask.")
@remote
def delete(post_id: str, account: str | None, yes: bool, box: Box, as_json: bool) -> None:
    """Remove what is public from the platforms, for good. The post stays in the history."""
    public = [
        result
        for result in _results_of(box, post_id, account)
        if result["state"] == "published" and result["removed_at"] is None
    ]
    if not public:
        raise InvalidInput("Nothing of this post is public.")
    names = ", ".join(f"“{result['account_name']}”" for result in public)
    if not yes:
        click.confirm(f"Remove it from {names}, with its views and comments?", abort=True, err=True)
    for result in public:
        _show(box.post(_url(post_id, result, "remove")), as_json)


@posts.command()
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--show", help="scheduled, posting, posted, failed, draft or cancelled.")
@click.option("--platform", help="Only posts to this platform.")
@click.option("--since", metavar="DAY", help="From this day on, such as 2026-12-24.")
@click.option("--until", metavar="DAY", help="Up to this day.")
@click.option("--words", "q", help="In the title, the text or the video's title.")
@remote
def csv(box: Box, as_json: bool, output: Path | None, **filters: Any) -> None:
    """Write the history as CSV: a line for each account of a post. To the terminal, or to FILE."""
    if as_json:
        raise click.UsageError("CSV is no JSON; `appliance posts list --json` prints that.")
    text = _get_text(box, "/api/v1/posts/history.csv", filters)
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8", newline="")
    click.echo(f"{max(0, text.count(chr(10)) - 1)} lines are in {output}.", err=True)


def _get_text(box: Box, path: str, params: dict[str, Any]) -> str:
    import httpx

    kept = {name: value for name, value in params.items() if value is not None}
    try:
        answer = box.http.get(path, params=kept)
    except httpx.TransportError as exc:
        raise Unreachable(f"{box.url} can't be reached: {exc}.") from exc
    check(answer)
    return answer.text


def _results_of(box: Box, post_id: str, account: str | None) -> list[Any]:
    """The accounts of the post that were meant. Raises InvalidInput."""
    results: list[Any] = box.get(f"/api/v1/posts/{post_id}")["results"]
    if account is None:
        return results
    meant = [
        r
        for r in results
        if account in (r["account"], r["target_id"])
        or account.casefold() in (r["platform"], r["account_name"].casefold())
    ]
    if not meant:
        there = ", ".join(f"“{r['account_name']}”" for r in results) or "none"
        raise InvalidInput(f"This post has no account “{account}”. Accounts: {there}.")
    return meant


def _url(post_id: str, result: Any, what: str) -> str:
    return f"/api/v1/posts/{post_id}/targets/{result['target_id']}/{what}"


def _show(post: Any, as_json: bool) -> None:
    if as_json:
        print_json(post)
        return
    click.echo(f"{post['post_id']}  {post['status']}")
    _print_results(post["results"])


def _print_results(results: list[Any]) -> None:
    print_table(
        ("Account", "Platform", "State", "Link", "Error"),
        [(r["account_name"], r["platform"], r["state"], r["url"], r["error"]) for r in results],
        none="It has no accounts.",
    )
