"""`appliance storage`: what takes room, the policy for originals, looks at the files, the bin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import OneByDefault, print_facts, print_json, print_table
from appliance.cli.moving import move
from appliance.cli.remote import remote
from appliance.cli.waiting import wait_for_job
from appliance.errors import ApplianceError
from appliance.text import describe_size

if TYPE_CHECKING:
    from appliance.cli.remote import Box


@click.group(cls=OneByDefault, default="usage")
def storage() -> None:
    """See what takes room, and what becomes of originals. Alone it is `storage usage`."""


storage.add_command(move)


@storage.command()
@remote
def usage(box: Box, as_json: bool) -> None:
    """Show what takes room, and what is not as it should be."""
    found = box.get("/api/v1/storage")
    if as_json:
        print_json(found)
        return
    _print_room(found)
    click.echo()
    rows = [
        (part["label"], part["count"], describe_size(part["size_bytes"])) for part in found["parts"]
    ]
    rows.append(
        ("Files of no video, set aside", found["orphans"], describe_size(found["orphans_bytes"]))
    )
    print_table(("What", "Files", "Size"), rows, none="")
    click.echo()
    click.echo(f"Originals: {_describe(found['policy'])}")
    for file in found["damaged"]:
        click.secho(f"{file['title']}: {file['sentence']}", fg="red")


def _print_room(found: Any) -> None:
    budget, total = found["budget_bytes"], describe_size(found["total_bytes"])
    print_facts(
        {
            "Free": f"{describe_size(found['free_bytes'])} of {total}",
            "Kept free": describe_size(found["reserve_bytes"]),
            "Videos": None
            if budget is None
            else f"{describe_size(found['videos_bytes'])} of the {describe_size(budget)} that "
            "they may take",
            "Promised to uploads": describe_size(found["owed_bytes"])
            if found["owed_bytes"]
            else None,
            "To be made by jobs": f"about {describe_size(found['coming_bytes'])}"
            if found["coming_bytes"]
            else None,
            "For new uploads": describe_size(found["free_for_uploads_bytes"]),
        }
    )
    if found["nearly_full"]:
        click.secho(
            "The box is nearly full: delete videos, empty the bin, or let a policy remove "
            "originals.",
            fg="yellow",
        )


def _describe(policy: Any) -> str:
    days = policy["after_days"]
    if policy["kind"] == "keep":
        return "kept"
    what = "removed" if policy["kind"] == "delete" else "removed where the version is smaller"
    frees = f"{describe_size(policy['size_bytes'])} of {policy['count']} video(s) now"
    return f"{what}, {days} days after a video is ready: {frees}"


@storage.command()
@click.argument("kind", required=False, type=click.Choice(["keep", "delete", "smaller"]))
@click.option(
    "--after",
    "after_days",
    type=click.IntRange(1, 9999),
    help="Days after a video is ready. Without a policy: count for so many.",
)
@remote
def policy(kind: str | None, after_days: int | None, box: Box, as_json: bool) -> None:
    """Show what becomes of originals and what each choice would free, or choose.

    keep: they stay. delete: each goes. smaller: it goes where the version for posting is smaller
    and shows no less.
    """
    if kind is None:
        found = box.get("/api/v1/storage", after_days=after_days)
    else:
        wish: dict[str, Any] = {"kind": kind}
        if after_days is not None:
            wish["after_days"] = after_days
        elif kind != "keep":
            raise click.UsageError(f"{kind} wants --after DAYS.")
        found = box.patch("/api/v1/storage/policy", wish)
    if as_json:
        print_json(
            {name: found[name] for name in ("policy", "policy_fixed", "policies", "trash_days")}
        )
        return
    fixed = " (fixed by APPLIANCE_KEEP_ORIGINALS)" if found["policy_fixed"] else ""
    click.echo(f"Originals: {_describe(found['policy'])}{fixed}")
    rows = [
        (
            row["kind"],
            "–" if row["kind"] == "keep" else row["after_days"],
            row["count"],
            describe_size(row["size_bytes"]),
            row["spared"],
        )
        for row in found["policies"]
    ]
    print_table(("Policy", "Days", "Videos", "Would free now", "Spared"), rows, none="")


@storage.command()
@click.option("--dry-run", is_flag=True, help="Only say what the policy would remove.")
@remote
def sweep(dry_run: bool, box: Box, as_json: bool) -> None:
    """Apply the policy and look at all files now."""
    found = box.post("/api/v1/storage/sweep", {"dry_run": dry_run})
    if as_json:
        print_json(found)
        return
    if not dry_run:
        click.echo(f"Begun: {', '.join(found['jobs'])}. `appliance jobs show` says how far it is.")
        return
    rows = [
        (video["video_id"], video["title"], describe_size(video["original_bytes"]))
        for video in found["videos"]
    ]
    print_table(("Video", "Title", "Original"), rows, none="The policy would remove nothing now.")
    if found["count"]:
        click.echo(f"{describe_size(found['size_bytes'])} of {found['count']} video(s) in all.")


@storage.command()
@click.option("--wait", is_flag=True, help="Wait for its end, and fail when a file has changed.")
@remote
def verify(wait: bool, box: Box, as_json: bool) -> int:
    """Read all files and compare them with their digests; goes on where it was stopped.

    Whatever else waits goes first, so it may take days.
    """
    job_id = box.post("/api/v1/storage/verify")["jobs"][0]
    if not wait:
        if as_json:
            print_json({"job_id": job_id})
        else:
            click.echo(f"Begun: {job_id}.")
        return 0
    job = wait_for_job(box, job_id, "Reading")
    if job["state"] != "completed":
        raise ApplianceError(f"The reading ended early: {job['error'] or job['state']}.")
    found = box.get("/api/v1/storage")
    done = found["verified"]
    if as_json:
        print_json({**done, "damaged": found["damaged"]})
    else:
        click.echo(
            f"{done['files']} files, {describe_size(done['bytes'])}; {done['wrong']} had changed."
        )
        for file in found["damaged"]:
            click.echo(f"{file['title']}: {file['sentence']}")
    return 1 if done["wrong"] else 0


@storage.command(name="remove-set-aside")
@click.option("--yes", is_flag=True, help="Don't ask.")
@remote
def remove_set_aside(yes: bool, box: Box, as_json: bool) -> None:
    """Remove files of no video that were set aside, for good.

    After an older database was restored from a backup, these are the videos that came since.
    """
    if not yes:
        click.confirm("Remove all files that were set aside for good?", abort=True, err=True)
    gone = box.delete("/api/v1/storage/set-aside")
    if as_json:
        print_json(gone)
    else:
        click.echo(f"{gone['removed']} file(s) removed, {describe_size(gone['size_bytes'])}.")


@storage.command(name="empty-bin")
@click.option("--yes", is_flag=True, help="Don't ask.")
@remote
def empty_bin(yes: bool, box: Box, as_json: bool) -> None:
    """Remove what is in the bin for good: nothing brings it back."""
    if not yes:
        click.confirm("Remove all that is in the bin for good?", abort=True, err=True)
    removed = box.delete("/api/v1/bin")["removed"]
    if as_json:
        print_json({"removed": removed})
    else:
        click.echo(f"{removed} video(s) removed.")
