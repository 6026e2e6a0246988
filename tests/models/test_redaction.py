import msgspec
import pytest

from livepeer_async.models import (
    Asset,
    AssetSource,
    ClipParams,
    CustomExport,
    Encryption,
    ErrorBody,
    ExportDataParams,
    ExportParams,
    IpfsExport,
    NewAsset,
    NewAssetFromUrl,
    NewWebhook,
    PinataCredentials,
    StreamSession,
    Task,
    TaskOutput,
    TaskParams,
    TranscodeFileParams,
    TranscodeLocation,
    UploadOutput,
    UploadParams,
    UploadTicket,
    Webhook,
    WebhookFailure,
    WebhookPatch,
    WebhookStatus,
)
from support.samples import decode, read_sample

SIGNED = "https://user:s3cret@host.example/path/file.mp4?token=s3cret#s3cret"
OBJECT_STORE = "s3+https://s3cret:s3cret@host.example/bucket"
ENCRYPTION = Encryption(encrypted_key="s3cret")
PINATA = PinataCredentials(jwt="s3cret", api_key="s3cret", api_secret="s3cret")
CUSTOM = CustomExport(url=SIGNED, method="PUT", headers={"Authorization": "s3cret"})
LOCATION = TranscodeLocation(url=OBJECT_STORE)
STRUCTS = [
    UploadTicket(url=SIGNED, tus_endpoint=SIGNED, asset=Asset(id="a")),
    ENCRYPTION,
    NewAsset("a", encryption=ENCRYPTION),
    NewAssetFromUrl("a", url=SIGNED, encryption=ENCRYPTION),
    AssetSource(type="url", url=SIGNED, gateway_url=SIGNED, encryption=ENCRYPTION),
    Asset(id="a", source=AssetSource(type="directUpload", encryption=ENCRYPTION)),
    PINATA,
    CUSTOM,
    ExportParams(custom=CUSTOM, ipfs=IpfsExport(pinata=PINATA)),
    ExportDataParams(ipfs=IpfsExport(pinata=PINATA)),
    UploadParams(url=SIGNED, encryption=ENCRYPTION),
    LOCATION,
    TranscodeFileParams(input=LOCATION, storage=LOCATION),
    ClipParams(url=SIGNED),
    UploadOutput(video_file_path=OBJECT_STORE, metadata_file_path=SIGNED),
    Task(
        id="t",
        params=TaskParams(upload=UploadParams(url=SIGNED), export=ExportParams(custom=CUSTOM)),
        output=TaskOutput(upload=UploadOutput(video_file_path=OBJECT_STORE)),
    ),
    Webhook(id="w", url=SIGNED, shared_secret="s3cret"),
    Webhook(id="w", status=WebhookStatus(last_failure=WebhookFailure(response="s3cret"))),
    NewWebhook(name="w", url=SIGNED, events=[], shared_secret="s3cret"),
    WebhookPatch(url=SIGNED, shared_secret="s3cret"),
    StreamSession(id="s", recording_url=SIGNED, mp4_url=SIGNED),
    ErrorBody(errors=("no token s3cret found",)),
    ErrorBody(errors=("no token Bearer s3cret\ns3cret found", "not found")),
]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: type(struct).__name__)
def test_repr_shows_no_secret(struct):
    # rich prints what `__rich_repr__` lists.
    for text in [repr(struct), str(struct), f"{struct}", repr(struct.__rich_repr__())]:
        assert "s3cret" not in text


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: type(struct).__name__)
def test_encoding_keeps_secrets(struct):
    assert b"s3cret" in msgspec.json.encode(struct)


def test_repr_of_recorded_ticket_has_no_token():
    ticket = read_sample("request_upload_encryption.json")
    token = ticket.url.partition("?token=")[2]
    assert token in ticket.tus_endpoint
    assert token not in repr(ticket)
    assert "aGVsbG8=" not in repr(ticket)


def test_repr_shows_other_fields():
    ticket = UploadTicket(url=SIGNED, tus_endpoint="https://host.example/tus", asset=Asset(id="a1"))
    assert repr(ticket).startswith(
        "UploadTicket(tus_endpoint='https://host.example/tus', asset=Asset(id='a1', "
    )
    assert "url='https://host.example/path/file.mp4', task=None" in repr(ticket)
    assert repr(CUSTOM) == (
        "CustomExport(url='https://host.example/path/file.mp4', method='PUT', "
        "headers={'Authorization': '***'})"
    )
    assert repr(LOCATION) == "TranscodeLocation(url='s3+https://host.example/bucket')"


def test_repr_shows_absent_secrets():
    assert repr(Encryption()) == "Encryption(encrypted_key=None)"
    assert repr(ENCRYPTION) == "Encryption(encrypted_key='***')"
    assert "encryption=UNSET" in repr(NewAssetFromUrl("a", url="ipfs://bafy1"))


def test_repr_shows_ids():
    asset = decode('{"id": "asset-1", "playbackId": "playback-1"}', Asset)
    assert "asset-1" in repr(asset)
    assert "playback-1" in repr(asset)
