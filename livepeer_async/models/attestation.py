"""A signed statement about a video, which comes with its playback info.

All of it is optional here: a video with half an attestation can still be played, and who checks
the signature needs every field and looks for it.
"""

from msgspec import Struct

from livepeer_async.models.storage import StorageStatus


class AttestationDomain(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the EIP-712 domain of an attestation.

    Attributes:
        name: `Verifiable Video`.
        version: `1`.

    Source: Livepeer Studio OpenAPI, schema `attestation`, `domain`.
    """

    name: str | None = None
    version: str | None = None


class AttestationRole(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Name one party to an attestation.

    Attributes:
        role: Such as `creator`.
        address: Address of the account.

    Source: Livepeer Studio OpenAPI, schema `attestation`, `message.attestations`.
    """

    role: str | None = None
    address: str | None = None


class AttestationMessage(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold what is signed.

    Attributes:
        video: Content that the statement is about.
        attestations: The parties.
        signer: Address of the account that signs.
        timestamp: Milliseconds since 1970.

    Source: Livepeer Studio OpenAPI, schema `attestation`, `message`.
    """

    video: str | None = None
    attestations: tuple[AttestationRole, ...] | None = None
    signer: str | None = None
    timestamp: int | None = None


class AttestationIpfs(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Locate the copy of an attestation on IPFS.

    Attributes:
        cid: Content ID.
        url: The same as a URL with the scheme `ipfs`.
        gateway_url: A URL of an HTTP gateway for it.
        updated_at: Milliseconds since 1970 at which the export task changed last.

    Source: Livepeer Studio OpenAPI, schema `attestation`, `storage.ipfs`, which takes in the
    properties of `ipfs-file-info`.
    """

    cid: str | None = None
    url: str | None = None
    gateway_url: str | None = None
    updated_at: int | None = None


class AttestationStorage(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold where an attestation is kept.

    Attributes:
        ipfs: The copy on IPFS.
        status: How far it has come.

    Source: Livepeer Studio OpenAPI, schema `attestation`, `storage`.
    """

    ipfs: AttestationIpfs | None = None
    status: StorageStatus | None = None


class Attestation(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold a signed statement about a video.

    Attributes:
        id: ID of the attestation.
        primary_type: `VideoAttestation`.
        domain: The EIP-712 domain.
        message: What is signed.
        signature: The signature.
        created_at: Milliseconds since 1970.
        signature_type: One of `SignatureType`.
        storage: Where it is kept.

    Source: Livepeer Studio OpenAPI, schema `attestation`.
    """

    id: str | None = None
    primary_type: str | None = None
    domain: AttestationDomain | None = None
    message: AttestationMessage | None = None
    signature: str | None = None
    created_at: int | None = None
    signature_type: str | None = None
    storage: AttestationStorage | None = None
