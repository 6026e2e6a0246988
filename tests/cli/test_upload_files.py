"""What `upload` refuses, and the command that it names instead."""

import pytest


@pytest.fixture
def here(folder, monkeypatch):
    """A folder with videos in `shows`, as the working directory."""
    monkeypatch.chdir(folder.parent)
    return folder.parent


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("https://x.example/talk.mp4", "livepeer-async assets import https://x.example/talk.mp4"),
        ("https://x.example/talk.mp4?sig=hush", "use livepeer-async assets import URL"),
        ("ipfs://Qm1", "use livepeer-async assets import ipfs://Qm1"),
        ("s3://bucket/a.mp4", "aws s3 cp s3://bucket/a.mp4 - | livepeer-async upload -"),
        ("file:///videos/a%20b.mp4", "use livepeer-async upload '/videos/a b.mp4'"),
        ("ftp://x.example/a.mp4", "download it, and upload the file"),
        ("shows/*.mp4", "use livepeer-async ingest 'shows/*.mp4'"),
        ("shows/**/*.mp4", "use livepeer-async ingest 'shows/**/*.mp4'"),
        ("*.mov", "matches no video"),
        ("missing/*.mp4", "matches no video"),
        ("www.x.example/watch?v=1", "matches no video"),
        ("shows", "use livepeer-async ingest shows"),
        ("videos.csv", "use livepeer-async ingest videos.csv"),
        ("videos.TSV", "is a manifest"),
        ("my videos.jsonl", "use livepeer-async ingest 'my videos.jsonl'"),
        ("videos.ndjson", "is a manifest"),
        ("my table.xlsx", "save it as CSV, and use livepeer-async ingest 'my table.csv'"),
        ("videos.zip", "is an archive, not a video"),
        ("shows/notes.txt", "is a text, not a video"),
        ("", "a FILE is empty"),
    ],
)
def test_mistaken_file_names_the_command_that_is_meant(argument, message, here, run_here):
    (here / "videos.csv").write_text("path\nshows/a.mp4\n")
    done = run_here("upload", "shows/a.mp4", argument, LIVEPEER_API_KEY="k")
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()
    assert "hush" not in done.stderr.decode()


@pytest.mark.parametrize("name", ["what?.mp4", "a[1].mp4", "http:x.mp4", "video"])
def test_odd_name_of_a_file_is_uploaded(name, here, sandbox, run_here):
    (here / "shows" / "a.mp4").rename(here / name)
    done = run_here("upload", name, "--no-wait", "--no-journal", sandbox=sandbox)
    assert done.returncode == 0
    assert [asset.name for asset in sandbox.assets] == [name]


def test_file_that_looks_like_an_option_is_explained(here, run_here):
    (here / "-x.mp4").touch()
    done = run_here("upload", "-x.mp4")
    assert done.returncode == 2
    assert "use ./-x.mp4 for the file" in done.stderr.decode()
