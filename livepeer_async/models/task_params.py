"""Parameters of a task.

URLs may be signed, or contain the keys of an object store as userinfo
(`s3+https://key:secret@host/bucket`). Reprs show neither.
"""

from __future__ import annotations

from msgspec import field

from livepeer_async.models.asset_fields import CreatorId, Encryption, TranscodeProfile
from livepeer_async.models.model import Model
from livepeer_async.models.values import NftMetadataTemplateValue, PipelineStrategyValue
from livepeer_async.redaction import mask, mask_values, redact_url, redacted


@redacted(url=redact_url, headers=mask_values)
class CustomExport(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Export by one HTTP request.

    Attributes:
        url: destination.
        method: HTTP method; the server's default is PUT.
        headers: request headers. The repr shows only their names.

    Source: schema `export-task-params`, `custom`.
    """

    url: str | None = None
    method: str | None = None
    headers: dict[str, str] | None = None


@redacted(jwt=mask, api_key=mask, api_secret=mask)
class PinataCredentials(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Credentials of an account at Pinata: a token, or a key and its secret.

    Attributes:
        jwt: bearer token.
        api_key: key of the account.
        api_secret: secret of the key.

    Source: schema `ipfs-export-params`, `pinata`.
    """

    jwt: str | None = None
    api_key: str | None = None
    api_secret: str | None = None


class IpfsExport(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Export to IPFS.

    Attributes:
        nft_metadata_template: one of `NftMetadataTemplate`.
        nft_metadata: merged deeply into the default NFT metadata.
        pinata: your own account at Pinata.

    Source: schema `ipfs-export-params`, which includes `storage.ipfs.spec`.
    """

    nft_metadata_template: NftMetadataTemplateValue | None = None
    nft_metadata: dict[str, object] | None = None
    pinata: PinataCredentials | None = None


class ExportParams(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Parameters of an `export` task; one field is set.

    Attributes:
        custom: export by one HTTP request.
        ipfs: export to IPFS.

    Source: schema `export-task-params`.
    """

    custom: CustomExport | None = None
    ipfs: IpfsExport | None = None


class ExportDataParams(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Parameters of an `export-data` task.

    Attributes:
        content: free-form data to write to IPFS.
        ipfs: export options.
        type: content type, such as `text/plain`.
        id: ID of the content.

    Source: schema `task`, `params.exportData`.
    """

    content: dict[str, object] | None = None
    ipfs: IpfsExport | None = None
    type: str | None = None
    id: str | None = None


@redacted(url=redact_url)
class UploadParams(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Parameters of an `upload` task.

    Attributes:
        url: URL of the content.
        encryption: key of an encrypted file.
        c2pa: whether to sign the output with C2PA.
        profiles: renditions to make.
        target_segment_size_secs: seconds of an output segment.
        thumbnails: whether to make thumbnails.

    Source: schema `task`, `params.upload`; `thumbnails` as sent by Livepeer Studio of September
    2025.
    """

    url: str | None = None
    encryption: Encryption | None = None
    c2pa: bool | None = None
    profiles: tuple[TranscodeProfile, ...] | None = None
    target_segment_size_secs: float | None = None
    thumbnails: bool | None = None


@redacted(url=redact_url)
class TranscodeLocation(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Input or output storage of a `transcode-file` task, also an object store.

    Source: schema `task`, `params.transcode-file.input` and `storage`.
    """

    url: str | None = None


class OutputPath(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Path below the output storage, such as `/samplevideo/hls`.

    Source: schema `task`, `params.transcode-file.outputs.hls`.
    """

    path: str | None = None


class TranscodeOutputs(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Paths of the HLS and MP4 outputs of a `transcode-file` task.

    Source: schema `task`, `params.transcode-file.outputs`.
    """

    hls: OutputPath | None = None
    mp4: OutputPath | None = None


class TranscodeFileParams(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Parameters of a `transcode-file` task.

    Attributes:
        input: location of the content.
        storage: location of the outputs.
        outputs: outputs to make.
        profiles: renditions to make.
        target_segment_size_secs: seconds of an output segment.
        creator_id: as sent in the request, so it may be a plain string.
        c2pa: whether to sign the output with C2PA.

    Source: schema `task`, `params.transcode-file`.
    """

    input: TranscodeLocation | None = None
    storage: TranscodeLocation | None = None
    outputs: TranscodeOutputs | None = None
    profiles: tuple[TranscodeProfile, ...] | None = None
    target_segment_size_secs: float | None = None
    creator_id: CreatorId | str | None = None
    c2pa: bool | None = None


class ClipStrategy(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Time range to clip.

    Attributes:
        start_time: milliseconds since 1970.
        end_time: milliseconds since 1970.
        playback_id: playback ID of the stream or recording.

    Source: schemas `task`, `params.clip.clipStrategy`, and `clip-payload`.
    """

    start_time: int | None = None
    end_time: int | None = None
    playback_id: str | None = None


@redacted(url=redact_url)
class ClipParams(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Parameters of a `clip` task.

    Attributes:
        url: URL to clip.
        clip_strategy: time range.
        catalyst_pipeline_strategy: one of `PipelineStrategy`; for administrators.
        session_id: session to clip.
        input_id: asset or stream to clip.

    Source: schema `task`, `params.clip`.
    """

    url: str | None = None
    clip_strategy: ClipStrategy | None = None
    catalyst_pipeline_strategy: PipelineStrategyValue | None = None
    session_id: str | None = None
    input_id: str | None = None


class TaskParams(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Parameters of a task; the task's type says which field is set.

    Source: schema `task`, `params`.
    """

    upload: UploadParams | None = None
    export: ExportParams | None = None
    export_data: ExportDataParams | None = None
    transcode_file: TranscodeFileParams | None = field(default=None, name="transcode-file")
    clip: ClipParams | None = None
