"""The exceptions of the caller's own code stay causes of errors, with causes of their own."""

import traceback

import pytest

from livepeer_async import NewAsset, errors
from livepeer_async.sandbox import Answer, Fault, On
from livepeer_async.tus import TusClient
from livepeer_async.uploads.options import UploadOptions
from support.sandbox import PART, make_bytes, sandbox_and_client
from support.streams import stream

pytestmark = pytest.mark.anyio
BLOCK = make_bytes(PART)


class CameraError(Exception):
    pass


def fail():
    raise OSError("the cable")


def fail_with_cause():
    try:
        fail()
    except OSError as error:
        raise CameraError("no picture") from error


def fail_with_context():
    try:
        fail()
    except OSError:
        raise CameraError("no picture")  # noqa: B904 - its context is what is tested


async def broken(error_number, fail=fail_with_cause):
    for number in range(4):
        if number == error_number:
            fail()
        yield BLOCK


def assert_names_camera(error):
    assert isinstance(error, errors.SourceNotReadable)
    assert isinstance(error.__cause__, CameraError)
    shown = "".join(traceback.format_exception(error))
    assert "CameraError: no picture" in shown
    assert "OSError: the cable" in shown


@pytest.mark.parametrize("fail", [fail_with_cause, fail_with_context])
@pytest.mark.parametrize("length", [None, 4 * PART])
@pytest.mark.parametrize("at", [0, 1, 3])
async def test_cause_of_a_broken_stream_is_kept(fail, length, at):
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(errors.SourceNotReadable) as raised:
            await livepeer.upload(broken(at, fail), "clip", length=length)
        assert_names_camera(raised.value)
        async with livepeer.upload_many([stream(BLOCK)]) as results:
            assert [result.error async for result in results] == [None]


async def test_cause_is_kept_in_results_and_blocks():
    async with sandbox_and_client() as (_, livepeer):
        async with livepeer.upload_many([broken(1)]) as results:
            (result,) = [result async for result in results]
        assert_names_camera(result.error)
        with pytest.raises(errors.SourceNotReadable) as raised:
            async with livepeer.begin_upload(broken(3), "clip", length=4 * PART):
                pass
        assert_names_camera(raised.value)


async def test_error_of_the_iterable_keeps_its_context():
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(CameraError) as raised:
            async with livepeer.upload_many(broken(0, fail_with_context)) as results:
                assert [result async for result in results] == []
        assert isinstance(raised.value.__context__, OSError)
        assert not raised.value.__suppress_context__


async def test_local_variables_of_the_caller_stay():
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(errors.SourceNotReadable) as raised:
            await livepeer.upload(broken(2), "clip", length=4 * PART)
        shown = traceback.TracebackException.from_exception(
            raised.value.__cause__, capture_locals=True
        )
        assert "error_number = 2" in "".join(shown.format())


async def test_tus_client_hides_its_arguments():
    token = "s3cret-upload-id-0123456789"
    async with TusClient(headers={"Authorization": f"Bearer {token}"}) as tus:
        with pytest.raises(errors.LivepeerError) as raised:
            await tus.upload(
                b"x", upload_url=f"http://127.0.0.1:9/files/{token}?t={token}", length=7
            )
    assert not shows(raised.value, token)


def shows(error, secret):
    """Whether a local variable in a traceback contains a secret, apart from the test's own."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [frame for frame in frames if frame.f_code.co_filename != __file__]
    assert own
    return any(secret in repr(frame.f_locals) for frame in own)


def garbage():
    return Fault(On(path="/asset/upload/url"), Answer(201, b"nope"))


URL = "https://origin.example/a.mp4?signature=s3cret-0123456789"


@pytest.mark.parametrize(
    "call",
    [
        lambda livepeer: livepeer.assets.upload_from_url(URL, "a.mp4"),
        lambda livepeer: livepeer.assets.upload_from_url(URL, {"name": 1}),
        lambda livepeer: livepeer.assets.request_upload({"name": "a", "encryption": {"x": URL}}),
        lambda livepeer: livepeer.assets.update("an-id", {"creator_id": URL}),
    ],
)
async def test_calls_hide_their_arguments(call):
    async with sandbox_and_client(garbage()) as (_, livepeer):
        with pytest.raises(errors.LivepeerError) as raised:
            await call(livepeer)
        assert not shows(raised.value, URL)


async def test_failed_import_hides_its_url():
    async with sandbox_and_client(garbage()) as (_, livepeer):
        options = UploadOptions()
        result = await livepeer.uploads.import_url(URL, NewAsset("a"), options)
    assert isinstance(result.error, errors.DecodeError)
    assert not shows(result.error, URL)
