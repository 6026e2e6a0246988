"""Names of sources in errors."""

import io

import pytest

from livepeer_async import NewAsset
from livepeer_async.errors import SourceEmpty, SourceError, SourceNotReadable
from support.sandbox import sandbox_and_client

pytestmark = pytest.mark.anyio


async def broken():
    yield b"x"
    raise OSError("gone")


async def texts():
    yield "text"


NEW_ASSETS = ["cut.mp4", {"name": "cut.mp4"}, NewAsset("cut.mp4")]


@pytest.mark.parametrize("new_asset", NEW_ASSETS)
@pytest.mark.parametrize(
    ("make_source", "options", "kind"),
    [
        (lambda: b"", {}, SourceEmpty),
        (lambda: b"x", {"length": 0}, SourceEmpty),
        (lambda: io.BytesIO(b""), {}, SourceEmpty),
        (broken, {"length": 5}, SourceNotReadable),
        (broken, {}, SourceNotReadable),
        (texts, {"length": 5}, SourceNotReadable),
    ],
)
async def test_errors_have_the_name_that_was_given(new_asset, make_source, options, kind):
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(SourceError) as raised:
            await livepeer.upload(make_source(), new_asset, **options)
    assert type(raised.value) is kind
    assert str(raised.value).startswith("cut.mp4 ")
    assert raised.value.source == "cut.mp4"


async def test_file_keeps_its_own_name(tmp_path):
    path = tmp_path / "own.mp4"
    path.write_bytes(b"")
    async with sandbox_and_client() as (_, livepeer):
        with path.open("rb") as file:
            for source in (path, file):
                with pytest.raises(SourceEmpty, match=r"own\.mp4"):
                    await livepeer.upload(source, "cut.mp4")


class DownloadedFile(io.BytesIO):
    name = "https://user:s3cret@host.example/own.mp4?token=s3cret"


async def test_name_of_a_downloaded_file_has_no_query():
    async with sandbox_and_client() as (_, livepeer):
        asset = await livepeer.upload(DownloadedFile(b"video"))
    assert asset.name == "own.mp4"


@pytest.mark.parametrize("method", ["tus", "direct"])
async def test_url_that_is_passed_as_a_path_is_shown_without_secrets(method):
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(SourceNotReadable, match="https://host") as raised:
            await livepeer.upload(DownloadedFile.name, method=method)
    assert "s3cret" not in f"{raised.value} {vars(raised.value)}"
