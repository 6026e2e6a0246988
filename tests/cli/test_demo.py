import hashlib
from pathlib import Path

import pytest
from rich.cells import cell_len

from livepeer_async.cli.demo import ChecksumComparison, Content, Cut, find_cut
from livepeer_async.sandbox import SeenRequest
from support.command_line import Terminal, plain, run

CONTENT = Content(5, "ab")


def test_demo_recovers_verifies_and_cleans_up(tmp_path):
    done = run("demo", TMPDIR=str(tmp_path))
    printed = done.stdout.decode()
    assert done.returncode == 0
    assert printed.count("identical") == 5
    assert "4 of 4 identical in size and SHA-256" in printed
    assert "connections cut: 1, recovered: 1" in printed
    assert "clip-34MiB.mp4: connection lost at byte " in done.stderr.decode()
    assert "asked for the offset, resumed at byte 8,388,608" in done.stderr.decode()
    assert "clip-34MiB.mp4: continuing from 8.0 MiB" in done.stderr.decode()
    assert b"\x1b" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_quiet_demo_prints_only_its_results(tmp_path):
    done = run("demo", "-q", "--files", "1", "--storage", "file", TMPDIR=str(tmp_path))
    printed = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "embedded sandbox" not in printed
    assert "1 of 1 identical" in printed


@pytest.mark.slow
def test_demo_fits_a_narrow_terminal_and_keeps_files(tmp_path):
    options = ("--storage", "file", "--files", "1", "--keep")
    # The demo never leaves this machine.
    proxies = dict.fromkeys(("HTTP_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    terminal = Terminal("demo", *options, columns=60, TMPDIR=str(tmp_path), **proxies)
    assert terminal.finish() == 0
    lines = plain(terminal.screen).replace("\r", "\n").splitlines()
    assert max(map(cell_len, lines)) <= 60
    assert any("recovered: 1" in line for line in lines)
    (folder,) = tmp_path.iterdir()
    assert str(folder) in terminal.screen.replace("\r\n", "")
    digest = hashlib.sha256((folder / "clip-34MiB.mp4").read_bytes()).hexdigest()
    stored = [path for path in Path(folder, "stored").rglob("*") if path.is_file()]
    assert digest in {hashlib.sha256(path.read_bytes()).hexdigest() for path in stored}


@pytest.mark.parametrize(
    "other", [Content(4, "ab"), Content(5, "cd"), Content(None, "ab"), Content(5, None)]
)
def test_different_or_unknown_content_is_named(other):
    comparison = ChecksumComparison({"the file": CONTENT, "the store": other})
    assert not comparison.all_equal
    assert len(comparison.differences()) == 2
    assert not ChecksumComparison({"the file": other, "the store": CONTENT}).all_equal


def test_equal_contents_have_no_differences():
    comparison = ChecksumComparison({"the file": CONTENT, "the store": CONTENT})
    assert comparison.all_equal
    assert comparison.differences() == []


def seen(at, method, *, path="/files/1", offset=None, **facts):
    headers = {} if offset is None else {"upload-offset": str(offset)}
    request = SeenRequest(
        at=at, method=method, path=path, headers=headers, is_authorized=False, connection=1
    )
    for name, value in facts.items():
        setattr(request, name, value)
    return request


def test_no_cut_is_found_without_a_fault():
    assert find_cut([seen(1, "PATCH", offset=0, received=9, status=204, is_over=True)]) is None


def test_cut_is_followed_to_the_next_patch():
    cut = seen(1, "PATCH", offset=8, received=5, fault="CutConnection", is_over=True)
    requests = [cut, seen(2, "PATCH", path="/files/2", offset=3)]
    assert find_cut(requests) == Cut(13, is_acknowledged=False, resumed_at=None)
    requests += [
        seen(3, "HEAD", status=200),
        seen(4, "PATCH", offset=8),
        seen(5, "PATCH", offset=16),
    ]
    assert find_cut(requests) == Cut(13, is_acknowledged=True, resumed_at=8)
