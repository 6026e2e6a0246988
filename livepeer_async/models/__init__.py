"""Models: immutable msgspec Structs of the Livepeer Studio API.

Fields have the API's names in snake_case. Times are milliseconds since 1970 and sizes are bytes,
unless the attribute says otherwise. Reprs show no keys, and URLs without userinfo and query.

# Requests

    NewAsset            an asset whose content you upload
    NewAssetFromUrl     an asset whose content the server fetches
    AssetPatch          an update of an asset
    NewWebhook          a webhook, and WebhookPatch its update
    PlaybackPolicy, CreatorId, Encryption, NewStorage, TranscodeProfile    their fields

In a request, UNSET (of msgspec) isn't sent and None is sent as null:

    NewAsset("talk.mp4", playback_policy=PlaybackPolicy(type=PolicyType.JWT))
    AssetPatch(name="A talk")                    # changes the name only

Calls also take a mapping for a request or a field of it, with the API's names or these.

# Responses

    Asset               .id, .playback_id, .phase, .size, .hash, .status
    UploadTicket        the URLs for an upload, and its Asset
    ImportTicket        the Asset of a NewAssetFromUrl
    Task                the server's work on an asset: .phase, .params, .output
    PlaybackInfo        URLs for players: .meta.source
    Webhook             a subscription to events; Stream and StreamSession are in some events
    ErrorBody           the body of an error, and its Violations

The other Structs are fields of these.

Responses decode tolerantly:

- Unknown fields are ignored; absent and null fields are None. The server gives
  each asset a playback ID; an absent one is "".
- An unknown value of an enumeration stays a string. A member equals its string, so
  `asset.phase == AssetPhase.READY` works for both. A policy of unknown type is never public.
- Sizes, times and counts are `int`, even if the server writes `1234567.0`. To decode JSON yourself,
  use `msgspec.json.Decoder(Asset, strict=False)`, which accepts that.

Source: "schema" in a docstring is one of the Livepeer Studio OpenAPI document.
"""

# A constant of this name is true for type checkers.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from livepeer_async.models.asset import (
        Asset,
        AssetHash,
        AssetSource,
        AssetStatus,
        Track,
        VideoSpec,
    )
    from livepeer_async.models.asset_fields import (
        CreatorId,
        Encryption,
        PlaybackPolicy,
        TranscodeProfile,
    )
    from livepeer_async.models.attestation import (
        Attestation,
        AttestationDomain,
        AttestationIpfs,
        AttestationMessage,
        AttestationRole,
        AttestationStorage,
    )
    from livepeer_async.models.enums import (
        AssetPhase,
        AssetType,
        CreatorType,
        Encoder,
        EventName,
        H264Profile,
        NftMetadataTemplate,
        PipelineStrategy,
        PlaybackSourceType,
        PlaybackType,
        PolicyType,
        RecordingStatus,
        SignatureType,
        SourceType,
        StoragePhase,
        TaskPhase,
        TaskType,
        TrackType,
    )
    from livepeer_async.models.error_body import ErrorBody, Violation
    from livepeer_async.models.new_asset import (
        AssetPatch,
        ImportTicket,
        NewAsset,
        NewAssetFromUrl,
        NewIpfs,
        NewStorage,
        TaskRef,
        UploadTicket,
    )
    from livepeer_async.models.playback import (
        DvrPlayback,
        PlaybackInfo,
        PlaybackMeta,
        PlaybackSource,
    )
    from livepeer_async.models.storage import (
        AssetIpfs,
        AssetStorage,
        IpfsFileInfo,
        IpfsSpec,
        StorageStatus,
        StorageTasks,
    )
    from livepeer_async.models.stream import Stream, StreamSession
    from livepeer_async.models.task import (
        AssetSpec,
        ExportDataOutput,
        ExportOutput,
        IpfsDataOutput,
        IpfsExportOutput,
        Task,
        TaskOutput,
        TaskStatus,
        UploadOutput,
    )
    from livepeer_async.models.task_params import (
        ClipParams,
        ClipStrategy,
        CustomExport,
        ExportDataParams,
        ExportParams,
        IpfsExport,
        OutputPath,
        PinataCredentials,
        TaskParams,
        TranscodeFileParams,
        TranscodeLocation,
        TranscodeOutputs,
        UploadParams,
    )
    from livepeer_async.models.webhook import (
        NewWebhook,
        Webhook,
        WebhookFailure,
        WebhookPatch,
        WebhookStatus,
    )
else:

    def __getattr__(name: str) -> object:
        """Import all modules for the first name; the command line needs only the enumerations."""
        from importlib import import_module  # noqa: PLC0415 - for this function only

        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        for module in _MODULES:
            names = vars(import_module(f"{__name__}.{module}"))
            globals().update((it, names[it]) for it in __all__ if it in names)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


_MODULES = (
    "asset",
    "asset_fields",
    "attestation",
    "enums",
    "error_body",
    "new_asset",
    "playback",
    "storage",
    "stream",
    "task",
    "task_params",
    "webhook",
)
__all__ = [
    "Asset",
    "AssetHash",
    "AssetIpfs",
    "AssetPatch",
    "AssetPhase",
    "AssetSource",
    "AssetSpec",
    "AssetStatus",
    "AssetStorage",
    "AssetType",
    "Attestation",
    "AttestationDomain",
    "AttestationIpfs",
    "AttestationMessage",
    "AttestationRole",
    "AttestationStorage",
    "ClipParams",
    "ClipStrategy",
    "CreatorId",
    "CreatorType",
    "CustomExport",
    "DvrPlayback",
    "Encoder",
    "Encryption",
    "ErrorBody",
    "EventName",
    "ExportDataOutput",
    "ExportDataParams",
    "ExportOutput",
    "ExportParams",
    "H264Profile",
    "ImportTicket",
    "IpfsDataOutput",
    "IpfsExport",
    "IpfsExportOutput",
    "IpfsFileInfo",
    "IpfsSpec",
    "NewAsset",
    "NewAssetFromUrl",
    "NewIpfs",
    "NewStorage",
    "NewWebhook",
    "NftMetadataTemplate",
    "OutputPath",
    "PinataCredentials",
    "PipelineStrategy",
    "PlaybackInfo",
    "PlaybackMeta",
    "PlaybackPolicy",
    "PlaybackSource",
    "PlaybackSourceType",
    "PlaybackType",
    "PolicyType",
    "RecordingStatus",
    "SignatureType",
    "SourceType",
    "StoragePhase",
    "StorageStatus",
    "StorageTasks",
    "Stream",
    "StreamSession",
    "Task",
    "TaskOutput",
    "TaskParams",
    "TaskPhase",
    "TaskRef",
    "TaskStatus",
    "TaskType",
    "Track",
    "TrackType",
    "TranscodeFileParams",
    "TranscodeLocation",
    "TranscodeOutputs",
    "TranscodeProfile",
    "UploadOutput",
    "UploadParams",
    "UploadTicket",
    "VideoSpec",
    "Violation",
    "Webhook",
    "WebhookFailure",
    "WebhookPatch",
    "WebhookStatus",
]
