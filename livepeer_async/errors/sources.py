"""Errors of the sources of bytes."""

from __future__ import annotations

from livepeer_async.errors.base import LivepeerError


class SourceError(LivepeerError):
    """The bytes of `source`, a path, a name or a URL without query, can't be used."""

    def __init__(self, message: str, *, source: str) -> None:
        super().__init__(message)
        self.source = source


class SourceNotReadable(SourceError):
    """The source is missing, isn't binary, can't be read, or is a directory (`is_directory`)."""

    def __init__(self, message: str, *, source: str, is_directory: bool = False) -> None:
        super().__init__(message, source=source)
        self.is_directory = is_directory


class SourceEmpty(SourceError):
    """The source has no bytes; Livepeer would accept it and store no object."""


class SourceTooLarge(SourceError):
    """The source has `length` bytes or more; the server or `max_length` allows at most `limit`."""

    def __init__(self, message: str, *, source: str, length: int, limit: int) -> None:
        super().__init__(message, source=source)
        self.length, self.limit = length, limit


class SourceTimedOut(SourceError, TimeoutError):
    """A stream yielded no byte within `source_timeout`, after `received` bytes."""

    def __init__(self, message: str, *, source: str, received: int) -> None:
        super().__init__(message, source=source)
        self.received = received


class FormInvalid(SourceError):
    """A form can't be passed through: malformed, without a file, or too large; `status` 400 or 413.

    `status` is that of a response to the visitor.
    """

    def __init__(self, message: str, *, source: str = "the form", status: int = 400) -> None:
        super().__init__(message, source=source)
        self.status = status


class SourceUnsupported(SourceError):
    """Livepeer's pipeline refuses `found` and accepts `wanted`; see `AsyncLivepeer.upload(probe=)`.

    `rules` are the names of the broken rules, `rule` is the first, and `command` is the ffmpeg
    command that converts the file, or "" if none does. Nothing was sent.
    """

    def __init__(
        self, *, source: str, rules: tuple[str, ...], found: str, wanted: str, command: str
    ) -> None:
        message = f"{source!r} has {found}, which Livepeer refuses; wanted {wanted}"
        super().__init__(message, source=source)
        self.rules, self.rule, self.command = rules, rules[0], command
        self.found, self.wanted = found, wanted
        self.advice = f"convert it: {command}" if command else "check that it is a whole video"


class SourceChanged(SourceError):
    """The source, or only its times (`is_touched`), changed since an upload; `asset_id` stays."""

    def __init__(self, message: str, *, source: str, asset_id: str | None = None) -> None:
        super().__init__(message, source=source)
        self.asset_id, self.is_touched = asset_id, False
        if asset_id is not None:
            self.advice = "use another key, or remove this one from the journal"


class SourceNotReplayable(SourceError):
    """A stream has to repeat bytes that are no longer in memory; pass a file or bytes instead."""
