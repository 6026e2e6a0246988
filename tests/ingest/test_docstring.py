"""The example of the package's docstring runs, and deprecated names work."""

import re
import sys

import anyio
import pytest

from livepeer_async import ingest
from livepeer_async.ingest import BadRow, Row, RowDeferred, RowState
from livepeer_async.sandbox import Sandbox

(EXAMPLE,) = re.findall(r"```python\n(.*?)```", ingest.__doc__, re.DOTALL)


@pytest.mark.anyio
async def test_example_runs(tmp_path, monkeypatch):
    (tmp_path / "shows").mkdir()
    (tmp_path / "shows" / "one.mp4").write_bytes(b"a video")
    async with Sandbox(waiting_seconds=0.0, processing_seconds=0.0) as sandbox:
        monkeypatch.setenv("LIVEPEER_API_KEY", sandbox.api_key)
        monkeypatch.setenv("LIVEPEER_BASE_URL", sandbox.base_url)
        command = [sys.executable, "-W", "error", "-c", EXAMPLE]
        done = await anyio.run_process(command, cwd=tmp_path, check=False)
        (asset,) = sandbox.assets
    assert done.returncode == 0, done.stderr.decode()
    key = tmp_path / "shows" / "one.mp4"
    assert done.stdout.decode() == f"{key} ready {asset.playback_id} None\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (lambda: ingest.RowPutOff, RowDeferred),
        (lambda: Row(source="a.mp4", is_url=False, key="k", manifest="m", line=2).place, "m:2"),
        (lambda: BadRow("m:2", "bad").place, "m:2"),
        (lambda: BadRow("m:2", "bad").sentence, "bad"),
    ],
)
def test_deprecated_name_warns(old, new):
    with pytest.warns(DeprecationWarning, match="was renamed to"):
        assert old() == new


def test_arrived_is_an_alias_of_uploaded():
    assert RowState.ARRIVED is RowState.UPLOADED
    assert RowState.UPLOADED == "arrived"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'RowGone'"):
        _ = ingest.RowGone
