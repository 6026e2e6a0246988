"""Deprecated names of the public tus API."""

import anyio
import pytest

from livepeer_async import tus
from livepeer_async.http.retry import RetryPolicy
from tus.network import CONTENT, Network, source_of, upload_of
from tus.prepared import URL
from tus.servers import Answer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("old", "new"), [("Move", tus.Step), ("Vanished", tus.Gone)])
def test_class_has_a_deprecated_name(old, new):
    with pytest.warns(DeprecationWarning, match=f"livepeer_async.tus.{old} is deprecated; use "):
        assert getattr(tus, old) is new


def test_other_names_are_unknown():
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        tus.Nothing  # noqa: B018 - the access raises


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("next_move", "next_step"),
        ("nudge", "finalize"),
        ("setbacks", "failures"),
        ("why", "failure_reason"),
    ],
)
def test_member_of_upload_has_a_deprecated_name(old, new):
    upload = upload_of()
    with pytest.warns(DeprecationWarning, match=f"TusUpload.{old} is deprecated; use {new}"):
        assert getattr(upload, old) == getattr(upload, new)


def test_command_has_a_deprecated_name():
    with pytest.warns(DeprecationWarning, match="Command.NUDGE is deprecated; use FINALIZE"):
        assert tus.Command.NUDGE is tus.Command.FINALIZE
    assert "NUDGE" not in tus.Command.__members__


def test_reach_is_deprecated():
    with pytest.warns(DeprecationWarning, match="use max_offset="):
        upload = tus.TusUpload(length=9, upload_url=URL, reach=5)
    upload.next_step()
    upload.receive(tus.Response(status=200, headers={"upload-offset": "7"}))
    assert upload.state is tus.State.GONE


async def test_driver_has_deprecated_arguments():
    network, sent, retries, urls = Network(faults=[Answer(503)]), [], [], []

    async def created(url):
        await anyio.lowlevel.checkpoint()
        urls.append(url)

    upload, retry = upload_of(), RetryPolicy(first_delay=1.0)
    callbacks = {"on_sent": sent.append, "on_setback": retries.append, "on_created": created}
    with pytest.warns(DeprecationWarning, match="use callbacks= or clock= with "):
        driver = tus.Driver(
            upload, source_of(), network.send, retry=retry, sleep=network.sleep, **callbacks
        )
    await driver.run()
    assert (sent[-1], len(retries), urls) == (len(CONTENT), 1, [upload.upload_url])
    assert len(network.sleeps) == len(network.requests)
    with pytest.warns(DeprecationWarning, match="Driver.nudge is deprecated; use finalize"):
        await driver.nudge()


async def test_driver_rejects_unknown_arguments():
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        tus.Driver(upload_of(), source_of(), Network().send, nothing=1)
