"""The parameters of a task.

The URLs here may be signed, or hold the keys of an object store as userinfo
(`s3+https://key:secret@host/bucket`); reprs show neither.
"""

from __future__ import annotations

from msgspec import Struct, field

from livepeer_async.models.asset_fields import CreatorId, Encryption, TranscodeProfile
from livepeer_async.redaction import mask, mask_values, redact_url, redacted


@redacted(url=redact_url, headers=mask_values)
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


@redacted(jwt=mask, api_key=mask, api_secret=mask)
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


@redacted(url=redact_url)
class UploadParams(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the parameters of an `upload` task.

    Attributes:
        url: Where the content lies.
        encryption: Key of an encrypted file.
        c2pa: Sign the output with C2PA.
        profiles: The renditions to make.
        target_segment_size_secs: Seconds an output segment should last.
        thumbnails: Make thumbnails too.

    Source: Livepeer Studio OpenAPI, schema `task`, `params.upload`; `thumbnails` as sent by
    Livepeer Studio of September 2025.
    """

    url: str | None = None
    encryption: Encryption | None = None
    c2pa: bool | None = None
    profiles: tuple[TranscodeProfile, ...] | None = None
    target_segment_size_secs: float | None = None
    thumbnails: bool | None = None


@redacted(url=redact_url)
class TranscodeLocation(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Locate the input or the output of a `transcode-file` task.

    Attributes:
        url: Also of an object store, `s3+https://key:secret@host/bucket`.

    Source: Livepeer Studio OpenAPI, schema `task`, `params.transcode-file.input` and `storage`.
    """

    url: str | None = None


class OutputPath(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Name the path of one output below the storage of a `transcode-file` task.

    Attributes:
        path: Such as `/samplevideo/hls`.

    Source: Livepeer Studio OpenAPI, schema `task`, `params.transcode-file.outputs.hls`.
    """

    path: str | None = None


class TranscodeOutputs(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Name the outputs of a `transcode-file` task.

    Attributes:
        hls: Where the HLS output goes.
        mp4: Where the MP4 output goes.

    Source: Livepeer Studio OpenAPI, schema `task`, `params.transcode-file.outputs`.
    """

    hls: OutputPath | None = None
    mp4: OutputPath | None = None


class TranscodeFileParams(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the parameters of a `transcode-file` task.

    Attributes:
        input: Where the content lies.
        storage: Where the outputs go.
        outputs: What is made.
        profiles: The renditions to make.
        target_segment_size_secs: Seconds an output segment should last.
        creator_id: As it was sent, so a plain string too.
        c2pa: Sign the output with C2PA.

    Source: Livepeer Studio OpenAPI, schema `task`, `params.transcode-file`.
    """

    input: TranscodeLocation | None = None
    storage: TranscodeLocation | None = None
    outputs: TranscodeOutputs | None = None
    profiles: tuple[TranscodeProfile, ...] | None = None
    target_segment_size_secs: float | None = None
    creator_id: CreatorId | str | None = None
    c2pa: bool | None = None


class ClipStrategy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Say which piece is clipped.

    Attributes:
        start_time: Milliseconds since 1970.
        end_time: Milliseconds since 1970.
        playback_id: Playback ID of the stream or recording.

    Source: Livepeer Studio OpenAPI, schemas `task`, `params.clip.clipStrategy`, and
    `clip-payload`.
    """

    start_time: int | None = None
    end_time: int | None = None
    playback_id: str | None = None


@redacted(url=redact_url)
class ClipParams(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the parameters of a `clip` task.

    Attributes:
        url: What is clipped.
        clip_strategy: Which piece of it.
        catalyst_pipeline_strategy: One of `PipelineStrategy`; for administrators.
        session_id: Session that is clipped.
        input_id: Asset or stream that is clipped.

    Source: Livepeer Studio OpenAPI, schema `task`, `params.clip`.
    """

    url: str | None = None
    clip_strategy: ClipStrategy | None = None
    catalyst_pipeline_strategy: str | None = None
    session_id: str | None = None
    input_id: str | None = None


class TaskParams(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the parameters of a task; the field that is there goes with the type of the task.

    Attributes:
        upload: Of an `upload` task.
        export: Of an `export` task.
        export_data: Of an `export-data` task.
        transcode_file: Of a `transcode-file` task.
        clip: Of a `clip` task.

    Source: Livepeer Studio OpenAPI, schema `task`, `params`.
    """

    upload: UploadParams | None = None
    export: ExportParams | None = None
    export_data: ExportDataParams | None = None
    transcode_file: TranscodeFileParams | None = field(default=None, name="transcode-file")
    clip: ClipParams | None = None
