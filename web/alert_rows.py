"""Alerts and their channels as the page and the API show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance import alert_channels, alerts
from appliance.alerts import KINDS
from appliance.models import Alert, Job
from appliance.states import AlertState, JobState
from web.words import Badge, _

if TYPE_CHECKING:
    from appliance.alert_channels import Channel
    from appliance.settings import Settings

HISTORY = 50


@dataclass(frozen=True)
class AlertShape:
    """``told_at``: when somebody was last told that it stands; null: nobody was.
    ``path``: the page where it is seen to."""

    key: str
    kind: str
    state: str
    title: str
    text: str
    why: str
    mend: str
    path: str
    first_at: datetime
    last_at: datetime
    cleared_at: datetime | None
    told_at: datetime | None


@dataclass(frozen=True)
class ChannelShape:
    """``service``: the first word of the address, all of it that is ever shown. ``kinds`` empty:
    all. ``fixed``: it stands in the settings of the box. ``error``: why the last message failed."""

    channel_id: str
    name: str
    service: str
    kinds: list[str]
    enabled: bool
    fixed: bool
    error: str | None
    sent_at: datetime | None


@dataclass(frozen=True)
class ChannelRow:
    """One channel of the page; ``testing``: a test message is on its way."""

    shape: ChannelShape
    badge: Badge
    testing: bool
    kinds: str


def alert_shape(row: Alert) -> AlertShape:
    kind = alerts.kind_of(row.key)
    over = row.state is AlertState.CLEARED
    return AlertShape(
        key=row.key,
        kind=row.kind,
        state=row.state.value,
        title=row.title,
        text=row.text,
        why=kind.why,
        mend=kind.mend,
        path=alerts.path_of(row.key),
        first_at=row.first_at,
        last_at=row.last_at,
        cleared_at=row.cleared_at if over else None,
        told_at=row.told_at,
    )


def load_alerts(state: AlertState | None = None) -> list[AlertShape]:
    """Those that stand first, then the newest. Wants a connection."""
    query = Alert.select().order_by(Alert.state.desc(), Alert.last_at.desc(), Alert.id.desc())
    if state is not None:
        query = query.where(Alert.state == state)
    return [alert_shape(row) for row in query.limit(HISTORY)]


def channel_shape(channel: Channel) -> ChannelShape:
    return ChannelShape(
        channel_id=channel.id,
        name=channel.name,
        service=channel.service,
        kinds=list(channel.kinds),
        enabled=channel.enabled,
        fixed=channel.fixed,
        error=channel.error or None,
        sent_at=channel.sent_at,
    )


def load_channels(settings: Settings) -> list[ChannelShape]:
    """Wants a connection."""
    return [channel_shape(channel) for channel in alert_channels.channels(settings)]


def load_rows(settings: Settings) -> list[ChannelRow]:
    """The same for the page."""
    under_way = Job.state.in_([JobState.QUEUED, JobState.RUNNING])
    rows: Any = Job.select(Job.key).where(Job.kind == "alert", under_way).tuples()
    testing = {key for (key,) in rows}
    return [
        ChannelRow(
            shape,
            _badge(shape, testing=f"alert:{shape.channel_id}:test" in testing),
            f"alert:{shape.channel_id}:test" in testing,
            ", ".join(_(KINDS[kind].label) for kind in shape.kinds if kind in KINDS),
        )
        for shape in load_channels(settings)
    ]


def _badge(shape: ChannelShape, *, testing: bool) -> Badge:
    if not shape.enabled:
        return Badge("off", "neutral", "pause", _("Off"))
    if testing and not shape.error:
        return Badge("sending", "info", "spinner", _("Sending"), spins=True)
    if shape.error:
        return Badge("failed", "bad", "alert", _("Not reached"))
    if shape.sent_at is None:
        return Badge("untried", "neutral", "clock", _("Not tried yet"))
    return Badge("works", "ok", "check", _("Works"))
