"""What the server answers to a request for a new asset."""

from typing import Any

from msgspec import Struct

from .asset import Asset
from .redaction import format_repr, hide_query, shown_fields


class TaskRef(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Name the task that will make an asset.

    Attributes:
        id: What `GET /task/{id}` takes. Required: it is all there is.

    Source: Livepeer Studio OpenAPI, answer of `POST /asset/request-upload`, `task`.
    """

    id: str


class UploadTicket(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the right to upload the content of one asset.

    Both URLs carry a bearer token that doesn't expire before the upload has ended: who has one
    may upload. The repr shows them without it.

    Attributes:
        tus_endpoint: URL for the tus creation. Required: without it there is no upload.
        asset: The asset that was made, in the phase `uploading`. Required: without its ID nobody
            could wait for the upload or delete what it left behind.
        url: URL for one PUT of the whole file. It can't be resumed, so this library doesn't use
            it and lives without it.
        task: The task that will run once the upload has ended; the asset tells as much.

    Source: Livepeer Studio OpenAPI, answer of `POST /asset/request-upload`.
    """

    tus_endpoint: str
    asset: Asset
    url: str | None = None
    task: TaskRef | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """List the fields, URLs without their tokens."""
        return shown_fields(self, url=hide_query, tus_endpoint=hide_query)

    def __repr__(self) -> str:
        """Show the Struct, URLs without their tokens."""
        return format_repr(self)


class ImportTicket(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold what the server made of a request to fetch the content of an asset.

    Attributes:
        asset: The asset that was made. Required, as in `UploadTicket`.
        task: The task that fetches the content; the asset tells as much.

    Source: Livepeer Studio OpenAPI, answers 200 and 201 of `POST /asset/upload/url`.
    """

    asset: Asset
    task: TaskRef | None = None
