"""`--method direct` of `upload` and `ingest`."""

import json
import os

import pytest

from livepeer_async.cli.sample_video import read_clip
from livepeer_async.sandbox import CutConnection, Fault, On
from support.constants import MIB


def put_statuses(sandbox):
    return [r.status for r in sandbox.requests if r.method == "PUT"]


def test_upload_sends_one_put(open_sandbox, clip, run_here):
    with open_sandbox(faults=[Fault(On(method="PUT", nth=1), CutConnection())]) as sandbox:
        arguments = ["upload", clip, "--method", "direct", "--json", "--no-journal"]
        done = run_here(*arguments, sandbox=sandbox)
        assert done.returncode == 0, done.stderr
        line = json.loads(done.stdout)
        assert (line["phase"], line["size"], line["attempts"]) == ("ready", len(read_clip()), 1)
        assert put_statuses(sandbox) == [None, 200]
        assert not any("/tus" in request.path for request in sandbox.requests)


def test_ingest_sends_a_put_for_each_file(sandbox, folder, run_here, tmp_path):
    arguments = ["ingest", folder, "--method", "direct", "--no-report"]
    done = run_here(*arguments, sandbox=sandbox, XDG_STATE_HOME=str(tmp_path / "state"))
    assert done.returncode == 0, done.stderr
    assert put_statuses(sandbox) == 4 * [200]
    again = run_here(*arguments, sandbox=sandbox, XDG_STATE_HOME=str(tmp_path / "state"))
    assert again.returncode == 0
    assert put_statuses(sandbox) == 4 * [200]


def test_long_file_is_refused_with_the_option_to_change(sandbox, tmp_path, run_here):
    path = tmp_path / "long.mp4"
    path.touch()
    os.truncate(path, 2000 * MIB)
    done = run_here("upload", path, "--method", "direct", "--no-journal", sandbox=sandbox)
    assert done.returncode == 1
    message = " ".join(done.stderr.decode().split())
    assert "one PUT may take 300 s" in message
    assert "leave out --method direct" in message
    assert sandbox.assets == []


@pytest.mark.parametrize("command", ["upload", "ingest"])
def test_other_method_is_a_usage_error(command, clip, run_here):
    assert run_here(command, clip, "--method", "post").returncode == 2
