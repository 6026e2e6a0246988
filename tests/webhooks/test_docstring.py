"""The application in the package's docstring receives the events of the sandbox."""

import re

import pytest

from livepeer_async import webhooks
from livepeer_async.sandbox import Sandbox
from support.clock import until
from support.sandbox import client_for, make_bytes
from support.webhooks import serve_app

pytestmark = pytest.mark.anyio
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", webhooks.__doc__, re.DOTALL)


async def test_example_prints_the_ready_asset(capsys):
    pytest.importorskip("fastapi", reason="not installed with the lowest versions")
    namespace = {}
    exec(EXAMPLE, namespace)
    async with (
        Sandbox(waiting_seconds=0.0, processing_seconds=0.0) as sandbox,
        client_for(sandbox) as livepeer,
        serve_app(namespace["app"]) as origin,
    ):
        sandbox.add_webhook(f"{origin}/webhook", secret="the shared secret")
        sandbox.add_webhook(f"{origin}/webhook", secret="another", events=["asset.ready"])
        asset = await livepeer.upload(make_bytes(1000), "a")
        printed = ""

        def is_printed():
            nonlocal printed
            printed += capsys.readouterr().out
            return printed

        await until(is_printed)
        await until(lambda: {it.status for it in sandbox.deliveries} == {204, 400})
        assert printed == f"{asset.playback_id}\n"
