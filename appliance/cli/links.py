"""`appliance link`: guest links, by which people without an account send videos."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import print_facts, print_json, print_table
from appliance.cli.remote import remote
from appliance.clock import now
from appliance.text import describe_size

if TYPE_CHECKING:
    from appliance.cli.remote import Box

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(k|M|G|T)?i?B?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Size(click.ParamType[int]):
    """Bytes, as people write them: 2GB, 500 MB, 1.5 GiB."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail("Write a size such as 2GB or 500MB.", param, ctx)
        base = 1024 if "i" in str(value).lower() else 1000
        return int(float(match[1]) * base ** _POWERS[(match[2] or "").lower()])


@click.group()
def link() -> None:
    """Make, list and end guest links."""


@link.command()
@click.argument("title")
@click.option("--note", default="", help="What guests read besides the title.")
@click.option("--tag", default="", help="Put on each video that comes by the link.")
@click.option("--private", is_flag=True, help="What arrives is seen by you and the admins alone.")
@click.option("--password-stdin", is_flag=True, help="Guests give the first line of stdin.")
@click.option("--expires-days", type=click.IntRange(1, 3650), help="Default: it doesn't end.")
@click.option("--max-files", type=click.IntRange(1, 10_000), help="Of all guests together.")
@click.option("--max-size", type=Size(), help="Of each file, such as 2GB.")
@remote
def create(
    title: str,
    note: str,
    tag: str,
    private: bool,
    password_stdin: bool,
    expires_days: int | None,
    max_files: int | None,
    max_size: int | None,
    box: Box,
    as_json: bool,
) -> None:
    """Make a guest link, and print its address. TITLE: "Send us your clip"."""
    ends = None if expires_days is None else now() + timedelta(days=expires_days)
    made = box.post(
        "/api/v1/guest-links",
        {
            "title": title,
            "note": note,
            "tag": tag,
            "visibility": "private" if private else "team",
            "password": _read_password() if password_stdin else None,
            "max_files": max_files,
            "max_file_bytes": max_size,
            "expires_at": ends.isoformat() if ends else None,
        },
    )
    if as_json:
        print_json(made)
    else:
        click.echo(made["url"])


@link.command(name="list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100))
@remote
def list_links(limit: int, box: Box, as_json: bool) -> None:
    """List the newest guest links: yours, and for admins everybody's."""
    found = box.get("/api/v1/guest-links", limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            item["link_id"],
            item["title"],
            item["state"],
            f"{item['files_used']} of {item['max_files'] or 'any'}",
            (item["expires_at"] or "")[:16].replace("T", " "),
            (item["created_by"] or {}).get("name"),
            item["url"],
        )
        for item in found["items"]
    ]
    headings = ("Id", "Title", "State", "Files", "Ends (UTC)", "Made by", "Address")
    print_table(headings, rows, none="There are no guest links.")


@link.command()
@click.argument("link_id")
@remote
def show(link_id: str, box: Box, as_json: bool) -> None:
    """Show all about one guest link."""
    found = box.get(f"/api/v1/guest-links/{link_id}")
    if as_json:
        print_json(found)
        return
    most = found["max_file_bytes"]
    print_facts(
        {
            "Id": found["link_id"],
            "Title": found["title"],
            "Note": found["note"],
            "State": found["state"],
            "Address": found["url"],
            "Password": "yes" if found["has_password"] else "no",
            "Files": f"{found['files_used']} of {found['max_files'] or 'any'}",
            "Largest file": describe_size(most) if most else None,
            "Tag": found["tag"],
            "Seen by": found["visibility"],
            "Made by": (found["created_by"] or {}).get("name"),
            "Made": found["created_at"],
            "Ends": found["expires_at"],
            "Last used": found["last_used_at"],
        }
    )


@link.command()
@click.argument("link_id")
@remote
def revoke(link_id: str, box: Box, as_json: bool) -> None:
    """End a guest link at once and for good; what is being sent by it is cut off."""
    box.delete(f"/api/v1/guest-links/{link_id}")
    if as_json:
        print_json({"link_id": link_id, "revoked": True})
    else:
        click.echo("The link is ended.")


def _read_password() -> str:
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError("There is no password on stdin: pipe one line into the command.")
    return line
