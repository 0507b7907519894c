"""Rows of the box itself: what was backed up and tried, what an admin was told."""

from __future__ import annotations

from peewee import BooleanField, CharField, IntegerField, TextField

from appliance.clock import now
from appliance.db import JsonField, Row, StateField, TimeField
from appliance.ids import new_id
from appliance.states import AlertState, RunState


class BackupRun(Row):
    """One run of what keeps or checks backups; the backups themselves are known by their folder."""

    kind = CharField()  # create | verify | drill | prune | restore
    state = StateField(RunState, default=RunState.RUNNING)
    name = CharField(default="")  # the backup's, once it has one
    pid = IntegerField()
    boot_id = CharField()
    info = JsonField(default=dict)  # sizes and counts, for the page
    error = TextField(null=True)
    started_at = TimeField(default=now, index=True)
    finished_at = TimeField(null=True)


class Alert(Row):
    """Something that an admin must know; it stands as long as its cause does."""

    key = CharField(unique=True)  # "worker_silent:media", "account_reconnect:<id>" …
    kind = CharField(index=True)
    state = StateField(AlertState, default=AlertState.OPEN)
    title = TextField()
    text = TextField()
    first_at = TimeField(default=now)
    last_at = TimeField(default=now)
    cleared_at = TimeField(null=True)
    told_at = TimeField(null=True)


class AlertChannel(Row):
    """A way to reach an admin: an address in Apprise's words, encrypted, as it holds passwords."""

    public_id = CharField(unique=True, default=new_id)
    name = CharField()
    service = CharField()  # "mailtos", "ntfys": as much of the address as may be shown
    sealed = TextField()
    kinds = JsonField(default=list)  # [] = all
    enabled = BooleanField(default=True)
    error = TextField(null=True)  # why the last message did not go out
    sent_at = TimeField(null=True)
    created_at = TimeField(default=now)
