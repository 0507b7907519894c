"""Errors that people read.

::

    ApplianceError (code, message)
    ├── SettingsError       a setting is missing or wrong; the start stops
    ├── InvalidInput        what was sent can't be used; ``field`` names the culprit
    ├── NotFound            no such thing, or not yours to see: the two look alike
    ├── Forbidden           it is there and you may see it, but not do this
    ├── Unauthenticated     sign in first
    ├── TooManyAttempts     slow down; ``retry_after_s``
    ├── TooBusy             the box has no hand free; ``retry_after_s``
    ├── Conflict            the thing is not in a state that allows this
    │   └── InvalidTransition
    ├── TooLarge            over a limit of this box
    ├── StorageFull         no room on the disk
    └── JobFailed           a job can't go on; ``permanent`` says whether trying again makes sense

``str(error)`` is a sentence for the person at the screen: what happened and, where known, what
to do. ``code`` is a stable word for scripts. HTTP statuses are the business of ``web/errors.py``.
"""

from __future__ import annotations


class ApplianceError(Exception):
    """Base of all errors that are told to a person. ``code`` is stable, the message may change."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class SettingsError(ApplianceError):
    code = "bad_setting"


class InvalidInput(ApplianceError):
    """``field`` is the name of the form field or JSON key that the message is about, if one is."""

    code = "invalid_input"

    def __init__(self, message: str, *, field: str | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.field = field


class NotFound(ApplianceError):
    code = "not_found"


class Forbidden(ApplianceError):
    code = "forbidden"


class Unauthenticated(ApplianceError):
    code = "unauthenticated"


class TooManyAttempts(ApplianceError):
    code = "too_many_attempts"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooBusy(ApplianceError):
    code = "too_busy"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Conflict(ApplianceError):
    code = "conflict"


class InvalidTransition(Conflict):
    code = "invalid_transition"


class TooLarge(ApplianceError):
    code = "too_large"


class StorageFull(ApplianceError):
    code = "storage_full"


class JobFailed(ApplianceError):
    """Raised by the work of a job.

    ``permanent`` errors end the job at once (a file that is no video stays none); others are
    tried again by backoff, at most ``max_attempts`` times. ``detail`` is for the folded part of
    the screen: the end of ffmpeg's words, a platform's raw answer.
    """

    code = "job_failed"

    def __init__(
        self, message: str, *, permanent: bool, code: str | None = None, detail: str = ""
    ) -> None:
        super().__init__(message, code=code)
        self.permanent = permanent
        self.detail = detail
