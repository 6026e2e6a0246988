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
    PinataCredentials,
    Task,
    TaskOutput,
    TaskParams,
    TranscodeFileParams,
    TranscodeLocation,
    UploadOutput,
    UploadParams,
    UploadTicket,
)
from livepeer_async.redaction import hide_query
from support.samples import decode, read_sample

SIGNED = "https://user:s3cret@host.example/path/file.mp4?token=s3cret#s3cret"
OBJECT_STORE = "s3+https://s3cret:s3cret@host.example/bucket"
ENCRYPTION = Encryption(encrypted_key="s3cret")
PINATA = PinataCredentials(jwt="s3cret", api_key="s3cret", api_secret="s3cret")
CUSTOM = CustomExport(url=SIGNED, method="PUT", headers={"Authorization": "s3cret"})
LOCATION = TranscodeLocation(url=OBJECT_STORE)
SECRETIVE = [
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
    ErrorBody(errors=("no token s3cret found",)),
    ErrorBody(errors=("no token Bearer s3cret\ns3cret found", "not found")),
]


@pytest.mark.parametrize("struct", SECRETIVE, ids=lambda struct: type(struct).__name__)
def test_secrets_are_shown_in_no_way(struct):
    # rich prints what `__rich_repr__` lists.
    for text in [repr(struct), str(struct), f"{struct}", repr(struct.__rich_repr__())]:
        assert "s3cret" not in text


@pytest.mark.parametrize("struct", SECRETIVE, ids=lambda struct: type(struct).__name__)
def test_secrets_are_still_there(struct):
    assert b"s3cret" in msgspec.json.encode(struct)


def test_token_of_a_recorded_ticket_is_not_shown():
    ticket = read_sample("request_upload_encryption.json")
    token = ticket.url.partition("?token=")[2]
    assert token in ticket.tus_endpoint
    assert token not in repr(ticket)
    assert "aGVsbG8=" not in repr(ticket)


def test_repr_shows_everything_else():
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


def test_repr_tells_an_absent_secret_from_a_hidden_one():
    assert repr(Encryption()) == "Encryption(encrypted_key=None)"
    assert repr(ENCRYPTION) == "Encryption(encrypted_key='***')"
    assert "encryption=UNSET" in repr(NewAssetFromUrl("a", url="ipfs://bafy1"))


def test_ids_are_no_secrets():
    asset = decode('{"id": "asset-1", "playbackId": "playback-1"}', Asset)
    assert "asset-1" in repr(asset)
    assert "playback-1" in repr(asset)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/path", "https://host/path"),
        ("https://host", "https://host"),
        ("https://host:8443/a%2Fb?x=1", "https://host:8443/a%2Fb"),
        ("https://host?x=1", "https://host"),
        ("http://[::1]:80/a?x", "http://[::1]:80/a"),
        ("ipfs://bafy1", "ipfs://bafy1"),
        ("https://a@b:c@host/a", "https://host/a"),
        ("https://host/a?mail=x@y", "https://host/a"),
        ("https://host/a\n?x", "https://host/a\n"),
    ],
)
def test_url_is_shown_without_userinfo_and_query(url, shown):
    assert hide_query(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cret",
        "mailto:s3cret@host",
        "https:/user:s3cret@host/",
        "https://user:s3cret",
        "s3+https://key:wJalr/s3cret@host/bucket",
        "s3+https://key:wJalr?s3cret@host/bucket",
        "https://[::1/s3cret",
    ],
)
def test_what_cannot_be_read_as_a_url_is_masked_as_a_whole(url):
    assert hide_query(url) == "***"
