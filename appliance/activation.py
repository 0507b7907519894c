"""Carry out an activation: what appliance/releases.py decides, one phase after the other.

Backup, stop, migration, trial, switch, opening, check. Each phase is written down before it begins
and may be repeated; whatever fails, all of them are taken back. Requests wait meanwhile, none
fails: the socket stays, and the web process is held (appliance/services.py).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import releases, services
from appliance.clock import boottime_s, now
from appliance.errors import ApplianceError, Conflict
from appliance.release_health import Unwell, check_web, is_ready
from appliance.release_lock import alone, uninterrupted
from appliance.release_run import Asking
from appliance.releases import Phase, Under
from appliance.services import ALL, WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.releases import Facts, Journal, Prefix
    from appliance.services import Services

_WORDS = {
    Phase.STOPPING: "Stopping the box; requests wait",
    Phase.BACKING_UP: "Backing up the database",
    Phase.MIGRATING: "Bringing the database forward",
    Phase.TRYING: "Trying the release where nobody sees it",
    Phase.SWITCHING: "Switching to the release",
    Phase.OPENING: "Opening it to the public",
    Phase.CHECKING: "Checking all of it",
}


class ActivationFailed(ApplianceError):
    """A release was not taken, for a reason; what was before is in use."""

    code = "activation_failed"


class Activation:
    """``say``: told what is being done, one line at a time. ``deadline_s``: for each start."""

    def __init__(
        self,
        prefix: Prefix,
        box: Services,
        asking: Asking,
        *,
        say: Callable[[str], None],
        deadline_s: float = 60.0,
    ) -> None:
        self.prefix = prefix
        self.box = box
        self.asking = asking
        self.say = say
        self.deadline_s = deadline_s
        self.journal = releases.read_journal(prefix)
        self._holding = False

    def look(self, name: str, *, rehearse: bool = True) -> Facts:
        """What a release says of this box. Raises ReleaseFailed."""
        words = ("look", "--rehearse" if rehearse else "--no-rehearse")
        return releases.facts_from(self.asking.ask(self.prefix.release(name), *words))

    def activate(self, name: str) -> bool:
        """Take a release into use; False: it is, and all runs.

        Raises ActivationFailed when all was taken back; Conflict when nothing was begun.
        """
        with self._alone():
            self._settle()
            facts = self.look(name)
            self._refuse_bad(facts)
            done = self.prefix.active() == name and not facts.pending
            if done and all(map(self.box.is_running, ALL)):
                return False
            self._take(name, facts)
            return True

    def go_back(self, wanted: str | None, *, restore_backup: bool) -> tuple[str, bool]:
        """Take the release into use that was before, or ``wanted``; its name, and as above.

        ``restore_backup``: where it can't read today's database, the one from before the upgrade
        takes its place. Decided only when nobody else is at it and what was cut short is settled:
        until then another release may be in use, with another database. Raises as above.
        """
        with self._alone():
            self._settle()
            active = self.prefix.active()
            last = releases.before(list(self.journal.past), active)
            name = releases.pick_way_back(last, wanted, self.prefix.names())
            facts = self.look(name)
            if not facts.newer:
                self._refuse_bad(facts)
                if active == name and all(map(self.box.is_running, ALL)):
                    return name, False
                self._take(name, facts)
            else:
                self._take(name, facts, releases.pick_backup(last, name, facts, restore_backup))
            return name, True

    def _take(self, name: str, facts: Facts, restores: str | None = None) -> None:
        """``restores``: a backup that takes the database's place."""
        active = self.prefix.active()
        begun = Under(
            to=name,
            previous=active,
            began_at=_time(),
            changes_schema=bool(facts.pending) or restores is not None,
            restores=restores,
        )
        releases.lay_in_spare(self.prefix)
        self._write(releases.Journal(begun, self.journal.past))
        try:
            self._quieten("begin")
            self._go(facts)
        except (Exception, KeyboardInterrupt) as exc:
            reason = str(exc) or "It was interrupted."
            self._take_back_or_tell(reason)
            raise ActivationFailed(self._told(name, active, reason)) from exc
        finally:
            self._quieten("end")
        self._write(self.journal.ended("active", _time()))

    def recover(self) -> bool:
        """Take back or accept what a kill or a power cut has left; False: there was nothing."""
        with self._alone():
            found = self._settle()
            if found:
                self._quieten("end")
            return found

    # Forward

    def _go(self, facts: Facts) -> None:
        under = self._under()
        release = self.prefix.release(under.to)
        self._enter(Phase.STOPPING)
        self._hold()
        self.box.stop(*ALL)
        self._enter(Phase.BACKING_UP)
        # Only now: a backup of a running box would lack what comes after it.
        made = self.asking.ask(None, "back-up", under.to)["backup"]
        aside = Path(made).with_name(f"{Path(made).stem}-undone.db") if made else None
        self._enter(Phase.MIGRATING, backup=made, aside=str(aside) if aside else None)
        if under.restores is not None and aside is not None:
            replaced = aside.with_name(f"{aside.stem}-replaced.db")
            self.asking.ask(None, "restore", under.restores, str(replaced))
        self.asking.ask(release, "migrate")
        self._enter(Phase.TRYING)
        listen = self.box.begin_trial(release)
        try:
            check_web(listen, self.deadline_s)
        finally:
            self.box.end_trial()
        self._enter(Phase.SWITCHING)
        self.prefix.switch(under.to)
        began_s = boottime_s()
        inside = [name for name in WORKERS if name != "delivery"]
        self.box.start(*inside)
        self._await_pulse(release, inside, began_s)
        self._enter(Phase.OPENING)
        self._let_go()
        self.box.start(*ALL)
        self._enter(Phase.CHECKING)
        check_web(facts.listen, self.deadline_s)
        self._await_pulse(release, WORKERS, began_s)
        silent = [name for name in ALL if not self.box.is_running(name)]
        if silent:
            raise Unwell(f"These have ended: {services.describe(silent)}.")
        if not is_ready(facts.listen):
            # All processes are well, so it is something of the box's own: little space, say.
            self.say("Note: /health/ready is not content; `appliance doctor` says why.")

    def _await_pulse(self, release: Path, names: tuple[str, ...] | list[str], since: float) -> None:
        # One that waits: starting a program again and again would slow down what is to be heard.
        heard = self.asking.ask(
            release, "pulse", *names, f"--since={since}", f"--within={self.deadline_s}"
        )["heard"]
        if silent := [name for name in names if name not in heard]:
            raise Unwell(
                f"Nothing was heard of {services.describe(silent)} "
                f"within {self.deadline_s:.0f} seconds."
            )

    # Back

    def _settle(self) -> bool:
        """The journal is as it was left: by a kill, perhaps."""
        self.journal = releases.read_journal(self.prefix)
        under = self.journal.under
        if under is None:
            return False
        if releases.is_accepted(under):
            self.say(f"{under.to} was in use already when its activation was cut short.")
            self.box.end_trial()
            self._let_go()
            self._write(self.journal.ended("active", _time(), "The last check was cut short."))
            self.box.start(*ALL)
            return True
        self._take_back_or_tell(
            under.undoing or f"It was cut short ({_WORDS[under.phase].lower()})."
        )
        return True

    def _take_back_or_tell(self, reason: str) -> None:
        with uninterrupted():
            try:
                self._take_back(reason)
            except (ApplianceError, OSError) as exc:
                raise ActivationFailed(
                    f"{reason}\nIt could not be taken back: {exc}\nMend that, then run "
                    "`appliance release recover`: it goes on from here."
                ) from exc
            try:
                self._let_go()
                if self.prefix.active() is not None:
                    self.box.start(*ALL)
            except ApplianceError as exc:
                raise ActivationFailed(
                    f"{reason}\nIt was taken back, but the box could not be started: {exc}\nMend "
                    f"that, then activate {self.prefix.active()} again: it starts what stands."
                ) from exc

    def _take_back(self, reason: str) -> None:
        # Looked at before anything is stopped, and kept: this, too, may be cut short.
        delivering = self._under().delivering or self.box.is_running("delivery")
        self.say(f"Taking it back: {reason}")
        self._write(self.journal.moved(undoing=reason, delivering=delivering))
        under = self._under()
        undo = releases.undo_of(under)
        self.box.end_trial()
        self._hold()
        self.box.stop(*ALL)
        if undo.restore and under.backup and under.aside:
            self.asking.ask(None, "restore", under.backup, under.aside)
        if undo.switch:
            self.prefix.switch(under.previous)
        if undo.pause_posting and under.previous is not None:
            self.asking.ask(
                self.prefix.release(under.previous),
                "pause-posting",
                f"The upgrade to {under.to} was taken back after posts could go out: look at the "
                "platforms before you resume.",
            )
        # From here on nothing is put back any more: people may use it as soon as it is let go.
        self._write(self.journal.ended("rolled_back", _time(), reason))

    def _told(self, name: str, previous: str | None, reason: str) -> str:
        last = self.journal.past[-1] if self.journal.past else None
        back = f"{previous} is in use again" if previous else "Nothing is in use"
        kept = ""
        if last is not None and last.backup:
            kept = f", with the database as it was (backup: {last.backup})"
        return f"{name} was not taken. {back}{kept}. The reason: {reason}"

    # What both need

    def _quieten(self, when: str) -> None:
        """Alerts of a stop that is meant to be help nobody. That may fail, the upgrade goes on."""
        with suppress(ApplianceError):
            self.asking.ask(None, "quiet", when)

    def _hold(self) -> None:
        self._holding = True
        self.box.hold()

    def _let_go(self) -> None:
        self.box.let_go()
        self._holding = False

    def _under(self) -> Under:
        if self.journal.under is None:
            raise Conflict("No activation is under way.")
        return self.journal.under

    def _enter(self, phase: Phase, **changes: Any) -> None:
        self._write(self.journal.moved(phase=phase, **changes))
        self.say(f"{_WORDS[phase]} …")

    def _write(self, journal: Journal) -> None:
        releases.write_journal(self.prefix, journal)
        self.journal = journal
        if journal.under is None:
            self.prefix.spare.unlink(missing_ok=True)

    def _refuse_bad(self, facts: Facts) -> None:
        bad = [each for each in releases.judge(facts) if each.verdict == "bad"]
        if bad:
            sentences = [f"{each.check}: {each.found}. {each.mend}" for each in bad]
            raise Conflict("\n".join(["Nothing was changed.", *sentences]))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time. What a killed one has left running (a migration) holds the lock, too."""
        with alone(self.prefix.lock, self.say) as held:
            self.asking.held = held
            try:
                yield
            finally:
                self.asking.held = None
                if self._holding:
                    with suppress(ApplianceError):
                        self._let_go()


def _time() -> str:
    return now().isoformat(timespec="seconds")
