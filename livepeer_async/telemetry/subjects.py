"""Subject of telemetry: the upload that the current task runs.

A task inherits it from the task that starts it, like all context variables.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from livepeer_async.redaction import redact, show_source

_SUBJECT: ContextVar[Subject | None] = ContextVar("_SUBJECT", default=None)


class Subject:
    """One upload, as log records and spans describe it.

    Args:
        source: name of the source.
        key: the key of the upload; `None` without one. It is shown without the query of a URL.

    Attributes:
        asset_id: ID of its asset; `None` before it has one. A restart changes it.
        tracer: creates its spans; `None` if the application doesn't use OpenTelemetry.
    """

    __slots__ = ("_key", "_source", "asset_id", "tracer")

    def __init__(self, source: str, key: str | None = None) -> None:
        # Redacted when they are shown: most uploads log nothing.
        self._source = source
        self._key = key
        self.asset_id: str | None = None
        self.tracer: Any = None

    @property
    def source(self) -> str:
        """The name of the source, without secrets."""
        return redact(show_source(self._source))

    @property
    def key(self) -> str | None:
        """The key, without secrets."""
        return redact(show_source(self._key)) if self._key else None

    @property
    def facts(self) -> dict[str, str | None]:
        """The attributes of all log records about it."""
        return {"asset_id": self.asset_id, "key": self.key, "source": self.source}

    def describe(self, *, without_asset: bool = False) -> str:
        """Return its asset and key for a message; without either, the name of its source."""
        asset = f"asset {self.asset_id}" if self.asset_id and not without_asset else ""
        key = f"key {self.key!r}" if self._key else ""
        shown = ", ".join(filter(None, [asset, key]))
        return shown or ("" if without_asset else f"source {self.source!r}")


def current_subject() -> Subject | None:
    """Return the upload that the current task runs."""
    return _SUBJECT.get()


@contextmanager
def run_subject(subject: Subject | None) -> Generator[None, None, None]:
    """Describe this upload in the block; `None` for work that several uploads share."""
    token = _SUBJECT.set(subject)
    try:
        yield
    finally:
        _SUBJECT.reset(token)
