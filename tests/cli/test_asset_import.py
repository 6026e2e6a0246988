import json

import pytest

from support.clock import wait_until
from support.command_line import documents, lines_of


@pytest.fixture
def url(sandbox, upload_clip, run_here):
    """The URL of a video that the sandbox can fetch."""
    (asset_id,) = upload_clip(sandbox, "first")
    wait_until(lambda: sandbox.assets[0].phase == "ready")
    done = run_here("assets", "get", asset_id, "--json", sandbox=sandbox)
    return json.loads(done.stdout)["downloadUrl"]


def test_import_waits_until_the_asset_is_ready(sandbox, url, run_here):
    arguments = ["--creator-id", "user-1", "--json"]
    done = run_here("assets", "import", f"{url}?sig=hush", *arguments, sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    (document,) = documents(lines_of(done.stdout))
    assert (document["name"], document["status"]["phase"]) == ("download.mp4", "ready")
    assert document["creatorId"]["value"] == "user-1"
    assert "hush" not in done.stderr.decode()


def test_import_need_not_wait(sandbox, url, run_here):
    done = run_here("assets", "import", url, "--name", "New", "--no-wait", sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("New\n")


def test_failed_import_does_not_stop_others(sandbox, url, run_here):
    missing = url.replace("/video/", "/missing/")
    done = run_here("assets", "import", missing, url, "--json", sandbox=sandbox)
    assert done.returncode == 1
    assert len(documents(lines_of(done.stdout))) == 1
    error = done.stderr.decode()
    assert f"Error: {missing}: asset " in error
    assert "file download failed; check that the URL can be fetched; to process it again" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["talk.mp4"], "use livepeer-async upload for files"),
        (["s3://bucket/a.mp4"], "wanted http, https, ipfs or ar"),
        (["https://a.example/x", "https://a.example/y", "--name", "n"], "needs a single URL"),
    ],
)
def test_import_refuses_what_cannot_work(arguments, message, run_here):
    done = run_here("assets", "import", *arguments, LIVEPEER_API_KEY="k")
    assert done.returncode == 2
    assert message in done.stderr.decode()
