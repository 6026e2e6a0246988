"""A process that is killed at each call of its journal: the same call ends with one asset."""

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from livepeer_async.sandbox import Sandbox
from support import command_line
from support.constants import TIMEOUT
from support.sandbox import PART, SMALL_S3, make_bytes

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).with_name("killed_program.py")
VIDEO = make_bytes(3 * PART)
MAX_CALLS = 100


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("method", ["transact", "execute"])
def test_killed_call_leaves_nothing_unknown(postgres, tmp_path, method, moment):
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)

    def upload(number):
        arguments = (sandbox.api_key, sandbox.base_url, postgres.url, path, method, moment, number)
        return subprocess.run(
            [sys.executable, PROGRAM, *map(str, arguments)],
            env=command_line.environment(PYTHONPATH=":".join(sys.path)),
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )

    for number in itertools.count(1):
        assert number < MAX_CALLS
        with Sandbox(waiting_seconds=0.0, processing_seconds=0.0, **SMALL_S3) as sandbox:
            killed = upload(number)
            if killed.returncode == 0:
                break
            assert killed.returncode == -signal.SIGKILL, killed.stderr
            ended = upload(0)
            assert ended.returncode == 0, ended.stderr
            check(sandbox, **json.loads(ended.stdout))
        for table in ("claims", "owners"):
            assert postgres.execute(f"SELECT * FROM livepeer_async.{table}") == [], number
        postgres.execute("TRUNCATE livepeer_async.records, livepeer_async.doubts")
    # Opening, requesting, creating, sending and finishing an upload.
    assert number > 5


def check(sandbox, asset_id, left):
    """Check that there is one ready asset, and that all others are known leftovers."""
    assets = {asset.id: asset for asset in sandbox.assets if not asset.is_deleted}
    ready = assets.pop(asset_id)
    assert ready.phase == "ready"
    assert sandbox.stored(ready.playback_id).read_bytes() == VIDEO
    assert sorted(assets) == sorted(left)
    assert sandbox.violations == []
