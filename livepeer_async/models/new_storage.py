"""Where else an asset shall be kept, as a request says it."""

from msgspec import UNSET, Struct, UnsetType

from .storage import IpfsSpec


class NewIpfs(Struct, frozen=True, kw_only=True, rename="camel"):
    """Ask for an export to IPFS.

    Attributes:
        spec: What is exported beside the file. UNSET leaves it to the server; None is sent as
            null, which the API takes too.

    Source: Livepeer Studio OpenAPI, schema `new-asset-payload`, `storage.ipfs`.
    """

    spec: IpfsSpec | UnsetType | None = UNSET


class NewStorage(Struct, frozen=True, kw_only=True, rename="camel"):
    """Ask for storage beside Livepeer's own.

    Attributes:
        ipfs: True exports with the defaults, `NewIpfs` says how. False or None means not on
            IPFS; the server refuses both for an asset that is there already. UNSET says nothing.

    Source: Livepeer Studio OpenAPI, schema `new-asset-payload`, `storage`.
    """

    ipfs: NewIpfs | bool | UnsetType | None = UNSET
