"""Attestation: a signed statement about a video, part of its playback info.

All fields are optional, because a video with an incomplete attestation can still be played. Check
that they are present before you verify the signature.
"""

from livepeer_async.models.model import Model
from livepeer_async.models.storage import StorageStatus
from livepeer_async.models.values import SignatureTypeValue


class AttestationDomain(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """EIP-712 domain of an attestation: name `Verifiable Video`, version `1`.

    Source: schema `attestation`, `domain`.
    """

    name: str | None = None
    version: str | None = None


class AttestationRole(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A party to an attestation.

    Attributes:
        role: such as `creator`.
        address: address of the account.

    Source: schema `attestation`, `message.attestations`.
    """

    role: str | None = None
    address: str | None = None


class AttestationMessage(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The signed message.

    Attributes:
        video: content that the statement is about.
        attestations: the parties.
        signer: address of the signing account.
        timestamp: milliseconds since 1970.

    Source: schema `attestation`, `message`.
    """

    video: str | None = None
    attestations: tuple[AttestationRole, ...] | None = None
    signer: str | None = None
    timestamp: int | None = None


class AttestationIpfs(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Copy of an attestation on IPFS.

    Attributes:
        cid: content ID.
        url: URL with the scheme `ipfs`.
        gateway_url: URL at an HTTP gateway.
        updated_at: milliseconds since 1970 of the export task's last change.

    Source: schema `attestation`, `storage.ipfs`, which includes `ipfs-file-info`.
    """

    cid: str | None = None
    url: str | None = None
    gateway_url: str | None = None
    updated_at: int | None = None


class AttestationStorage(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Storage of an attestation: its copy on IPFS and the status of the export.

    Source: schema `attestation`, `storage`.
    """

    ipfs: AttestationIpfs | None = None
    status: StorageStatus | None = None


class Attestation(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A signed statement about a video.

    Attributes:
        id: ID of the attestation.
        primary_type: `VideoAttestation`.
        domain: EIP-712 domain.
        message: the signed message.
        signature: the signature.
        created_at: milliseconds since 1970.
        signature_type: one of `SignatureType`.
        storage: storage of the attestation.

    Source: schema `attestation`.
    """

    id: str | None = None
    primary_type: str | None = None
    domain: AttestationDomain | None = None
    message: AttestationMessage | None = None
    signature: str | None = None
    created_at: int | None = None
    signature_type: SignatureTypeValue | None = None
    storage: AttestationStorage | None = None
