"""All commands, in the order of docs/cli.md: loaded when one is asked for that isn't a service."""

from __future__ import annotations

from appliance.cli import cli
from appliance.cli.accounts import accounts
from appliance.cli.alerts import alerts
from appliance.cli.backup import backup
from appliance.cli.demo import demo
from appliance.cli.diagnostics import diagnostics
from appliance.cli.doctor import doctor
from appliance.cli.jobs import jobs
from appliance.cli.links import link
from appliance.cli.people import token, user
from appliance.cli.post_history import posts
from appliance.cli.posts import post
from appliance.cli.processes import migrate, up, web, worker
from appliance.cli.profiles import profiles
from appliance.cli.readiness import readiness
from appliance.cli.reference import reference
from appliance.cli.release import release
from appliance.cli.remaking import night, remake
from appliance.cli.schedule import schedule
from appliance.cli.settings_file import settings
from appliance.cli.storage import storage
from appliance.cli.upload import upload
from appliance.cli.uploads import uploads
from appliance.cli.videos import videos

COMMANDS = (
    up, web, worker, migrate, release, doctor, diagnostics, alerts, user, token, upload, uploads,
    link, videos, post, posts, schedule, readiness, jobs, profiles, night, accounts, settings,
    storage, backup, demo, reference,
)  # fmt: skip
cli.commands = {str(command.name): command for command in COMMANDS}
videos.add_command(remake)
