"""What somebody has to see to now and then: backups, sign-ins, the certificate, alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from appliance import accounts, alert_channels, backup_runs, certificates
from appliance.clock import now
from appliance.db import database
from appliance.doctor import Finding, finding
from appliance.models import Alert
from appliance.states import AccountState, AlertState
from storage.backups.verify import say
from tasks.alerting import certificate, troubles

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.models import BackupRun
    from appliance.settings import Settings


def check_certificate(settings: Settings) -> Finding:
    check, why = "Certificate", "When it ends, no browser and no platform opens this box."
    if not settings.https:
        return finding(check, why, "none: the box isn't reached over https")
    # Read here and now; where that can't be, what the unit that may has read.
    found = certificate.look(settings)
    with database.connection_context():
        if found is not None and not found.error:
            certificates.keep(found)
        else:
            found = certificates.latest() or found
    at = now()
    left = found.left(at) if found is not None else None
    if found is None or left is None:
        mend = (
            "Run `journalctl -u caddy -n 100`. If others open the page, only this machine's own "
            "network can't."
        )
        reason = f" ({found.error})" if found is not None else ""
        return finding(check, why, f"it can't be read from here{reason}", note=mend)
    said = f"of {found.issuer or 'an unnamed authority'}, for {certificates.describe(left)} more"
    if trouble := found.trouble(at):
        mend = (
            "Run `journalctl -u caddy -n 100`, and `systemctl reload caddy` after mending what it "
            "says: ports 80 and 443 must be open, and the name must lead here."
        )
        return finding(check, why, trouble, bad=mend)
    if found.distrust:
        mend = "Nothing, if it is of an authority of your own; platforms won't fetch from here."
        return finding(check, why, f"{said}; not trusted ({found.distrust})", note=mend)
    return finding(check, why, said)


def check_backups(settings: Settings) -> Finding:
    check, why = "Backups", "The disk will fail one day."
    with database.connection_context():
        found = backup_runs.latest(backup_runs.newest())
        expected = troubles.expected_since()
    if found.backup_failed is not None:
        mend = "Mend that, then run `appliance backup create`."
        return finding(check, why, f"the last failed: {found.backup_failed.error}", bad=mend)
    if found.verify_failed is not None:
        mend = "Run `appliance backup create`, then `appliance backup verify`."
        return finding(check, why, f"damaged: {found.verify_failed.error}", bad=mend)
    if backup_runs.is_late(found, expected_since=expected, at=now()):
        mend = "Run `appliance backup create`, and `systemctl list-timers 'appliance*'`."
        return finding(check, why, f"late: the last is {_age(_end(found.backup))}", bad=mend)
    if found.backup is None:
        mend = "Run `appliance backup create`, and let a timer do it each day."
        return finding(check, why, "there is none", note=mend)
    said = f"the last is {_age(_end(found.backup))}"
    if problems := found.backup.info.get("problems"):
        mend = "Put these files back from an older backup, then run `appliance backup create`."
        return finding(check, why, f"{said}, of a box with damage: {say(problems)}", bad=mend)
    if _on_same_disk(settings):
        mend = "Set APPLIANCE_BACKUP_FOLDER to a folder on another disk."
        return finding(check, why, f"{said}, on the disk that it is a copy of", note=mend)
    return finding(check, why, said)


def check_drill(settings: Settings) -> Finding:
    check, why = "Restore drill", "A backup that can't be restored is none."
    with database.connection_context():
        found = backup_runs.latest(backup_runs.newest())
    if found.drill_failed is not None:
        mend = "Run `appliance backup create`, then `appliance backup drill`."
        return finding(check, why, f"the last failed: {found.drill_failed.error}", bad=mend)
    end = _end(found.drill)
    if end is None or now() - end > backup_runs.DRILL_LATE_AFTER:
        mend = "Run `appliance backup drill`."
        return finding(check, why, f"the last was {_age(end)}" if end else "never", note=mend)
    return finding(check, why, f"the last was {_age(end)}, and went well")


def _end(run: BackupRun | None) -> datetime | None:
    return run.finished_at if run is not None else None


def _age(when: datetime | None) -> str:
    if when is None:
        return "never made"
    hours = max(0.0, (now() - when) / timedelta(hours=1))
    return f"{hours:.0f} hours old" if hours < 48 else f"{hours / 24:.0f} days old"


def _on_same_disk(settings: Settings) -> bool:
    try:
        return settings.backups.stat().st_dev == settings.data.stat().st_dev
    except OSError:
        return False


def check_alerts(settings: Settings) -> Finding:
    check, why = "Alerts", "Somebody has to hear of it when something goes wrong."
    with database.connection_context():
        channels = [c for c in alert_channels.channels(settings) if c.enabled]
        open_now = [row.title for row in Alert.select().where(Alert.state == AlertState.OPEN)]
    if not channels:
        mend = "Run `appliance alerts add`, or add a channel in Settings → Alerts."
        return finding(check, why, "nobody is told: there is no channel", note=mend)
    broken = [channel for channel in channels if channel.error]
    if broken:
        mend = f"Mend that, then run `appliance alerts test {broken[0].id}`."
        words = f"“{broken[0].name}” could not be reached: {broken[0].error}"
        return finding(check, why, words, bad=mend)
    said = "1 channel" if len(channels) == 1 else f"{len(channels)} channels"
    if open_now:
        mend = "Run `appliance alerts list`: each says what to do."
        return finding(check, why, f"{said}; open: {'; '.join(open_now[:3])}", note=mend)
    return finding(check, why, f"{said}, nothing open")


def check_accounts(settings: Settings) -> Finding:
    check, why = "Accounts", "Posts to an account that isn't signed in wait, and fail in the end."
    with database.connection_context():
        rows = accounts.connected()
        lost = [f"“{row.name}”" for row in rows if row.state is AccountState.RECONNECT]
    if lost:
        mend = "Open Settings → Accounts and press Reconnect."
        return finding(check, why, f"to connect again: {', '.join(lost)}", bad=mend)
    return finding(check, why, f"{len(rows)} are connected")


CHECKS = (
    check_certificate,
    check_backups,
    check_drill,
    check_alerts,
    check_accounts,
)
