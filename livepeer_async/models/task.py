"""A task, as the server describes it: the work behind an asset."""

from typing import Any

from msgspec import Struct

from livepeer_async.messages import redact

from .redaction import format_repr, shown_fields
from .task_output import TaskOutput
from .task_params import TaskParams


class TaskStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Tell how far a task has come.

    Attributes:
        phase: One of `TaskPhase`. Required: a status that names no phase says nothing that a
            caller could wait for.
        updated_at: Milliseconds since 1970.
        progress: 0 to 1. It may fall, unlike an asset's.
        error_message: Why the last attempt failed. Alone it is no failure: a task that will be
            tried again has it in the phase `waiting`.
        retries: Number of attempts that failed.
        step: What the task is at; write-only in the schema.

    Source: Livepeer Studio OpenAPI, schema `task`, `status`.
    """

    phase: str
    updated_at: int | None = None
    progress: float | None = None
    error_message: str | None = None
    retries: int | None = None
    step: str | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """List the fields, the message without what it may quote: a signed URL, for instance."""
        return shown_fields(self, error_message=redact)

    def __repr__(self) -> str:
        """Show the Struct, the message without secrets."""
        return format_repr(self)


class Task(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describe a task.

    Attributes:
        id: The only field without which a task is of no use, hence the only required one.
        type: One of `TaskType`.
        created_at: Milliseconds since 1970.
        scheduled_at: Milliseconds since 1970 at which it was queued, such as at the end of the
            upload.
        input_asset_id: Asset that it reads.
        output_asset_id: Asset that it makes.
        project_id: Project that owns it.
        requester_id: Who asked for it, as a hash.
        params: What it was told to do.
        status: How far it has come. See `phase` for a short way to it.
        output: What it made.
        user_id: Owner.

    Source: Livepeer Studio OpenAPI, schema `task`; `user_id` as sent by Livepeer Studio of
    September 2025.
    """

    id: str
    type: str | None = None
    created_at: int | None = None
    scheduled_at: int | None = None
    input_asset_id: str | None = None
    output_asset_id: str | None = None
    project_id: str | None = None
    requester_id: str | None = None
    params: TaskParams | None = None
    status: TaskStatus | None = None
    output: TaskOutput | None = None
    user_id: str | None = None

    @property
    def phase(self) -> str | None:
        """Give the phase, one of `TaskPhase`; None where the server sent no status."""
        return self.status.phase if self.status else None
