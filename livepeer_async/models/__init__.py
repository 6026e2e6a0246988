"""The Structs of the Livepeer Studio API: what is sent, and what comes back.

Fields are the API's names in snake_case; on the wire they are camelCase. Answers decode
tolerantly with `msgspec.json.Decoder(Asset, strict=False)`: lax mode takes `1234567.0` where an
integer is wanted, which JavaScript may write. In a request UNSET isn't sent and None is null.
"""

from .asset import Asset, AssetHash, AssetSource, AssetStatus
from .asset_patch import AssetPatch
from .attestation import (
    Attestation,
    AttestationDomain,
    AttestationIpfs,
    AttestationMessage,
    AttestationRole,
    AttestationStorage,
)
from .creator import CreatorId
from .encryption import Encryption
from .export_params import (
    CustomExport,
    ExportDataParams,
    ExportParams,
    IpfsExport,
    PinataCredentials,
)
from .new_asset import NewAsset, NewAssetFromUrl
from .new_storage import NewIpfs, NewStorage
from .playback import DvrPlayback, PlaybackInfo, PlaybackMeta, PlaybackSource
from .policy import PlaybackPolicy
from .problem import ErrorBody, Violation
from .profile import TranscodeProfile
from .storage import AssetIpfs, AssetStorage, IpfsFileInfo, IpfsSpec, StorageStatus, StorageTasks
from .task import Task, TaskStatus
from .task_output import (
    AssetSpec,
    ExportDataOutput,
    ExportOutput,
    IpfsDataOutput,
    IpfsExportOutput,
    TaskOutput,
    UploadOutput,
)
from .task_params import (
    ClipParams,
    ClipStrategy,
    OutputPath,
    TaskParams,
    TranscodeFileParams,
    TranscodeLocation,
    TranscodeOutputs,
    UploadParams,
)
from .ticket import ImportTicket, TaskRef, UploadTicket
from .video_spec import Track, VideoSpec
from .vocabulary import (
    AssetPhase,
    AssetType,
    CreatorType,
    Encoder,
    H264Profile,
    NftMetadataTemplate,
    PipelineStrategy,
    PlaybackSourceType,
    PlaybackType,
    PolicyType,
    SignatureType,
    SourceType,
    StoragePhase,
    TaskPhase,
    TaskType,
    TrackType,
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
    "SignatureType",
    "SourceType",
    "StoragePhase",
    "StorageStatus",
    "StorageTasks",
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
]
