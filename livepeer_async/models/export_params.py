"""Where a task exports an asset to.

An export can hold credentials; the reprs don't show them.
"""

from typing import Any

from msgspec import Struct

from .redaction import format_repr, hide_all, hide_query, hide_values, shown_fields


class CustomExport(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Export by one HTTP request.

    Attributes:
        url: Where to; its query may be a signature.
        method: HTTP method; the server's default is PUT.
        headers: Headers of the request; their values may be credentials.

    Source: Livepeer Studio OpenAPI, schema `export-task-params`, `custom`.
    """

    url: str | None = None
    method: str | None = None
    headers: dict[str, str] | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """List the fields, the URL without its query and headers without their values."""
        return shown_fields(self, url=hide_query, headers=hide_values)

    def __repr__(self) -> str:
        """Show the Struct, the URL without its query and headers without their values."""
        return format_repr(self)


class PinataCredentials(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the right to write to an account at Pinata.

    Attributes:
        jwt: A bearer token, or else the two below.
        api_key: Key of the account.
        api_secret: Secret that belongs to the key.

    Source: Livepeer Studio OpenAPI, schema `ipfs-export-params`, `pinata`.
    """

    jwt: str | None = None
    api_key: str | None = None
    api_secret: str | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """List which fields are there, without their values."""
        return shown_fields(self, jwt=hide_all, api_key=hide_all, api_secret=hide_all)

    def __repr__(self) -> str:
        """Show which fields are there, without their values."""
        return format_repr(self)


class IpfsExport(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Export to IPFS.

    Attributes:
        nft_metadata_template: One of `NftMetadataTemplate`.
        nft_metadata: Merged deeply into the default NFT metadata.
        pinata: An account of the caller's own.

    Source: Livepeer Studio OpenAPI, schema `ipfs-export-params`, which takes in the properties of
    `storage.ipfs.spec`.
    """

    nft_metadata_template: str | None = None
    nft_metadata: dict[str, object] | None = None
    pinata: PinataCredentials | None = None


class ExportParams(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the parameters of an `export` task, of which one is there.

    Attributes:
        custom: Export by one HTTP request.
        ipfs: Export to IPFS.

    Source: Livepeer Studio OpenAPI, schema `export-task-params`.
    """

    custom: CustomExport | None = None
    ipfs: IpfsExport | None = None


class ExportDataParams(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the parameters of an `export-data` task.

    Attributes:
        content: What is written to IPFS, free in form.
        ipfs: How.
        type: Content type, such as `text/plain`.
        id: ID of the content.

    Source: Livepeer Studio OpenAPI, schema `task`, `params.exportData`.
    """

    content: dict[str, object] | None = None
    ipfs: IpfsExport | None = None
    type: str | None = None
    id: str | None = None
