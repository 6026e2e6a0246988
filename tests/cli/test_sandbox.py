"""The command `sandbox`."""

import asyncio

import pytest

from livepeer_async import AsyncLivepeer
from support.clock import wait_until
from support.command_line import run


def read_exports(process, lines):
    """Return the printed lines, and the variables that they set."""
    printed = [process.stdout.readline().decode().strip() for _ in range(lines)]
    pairs = (line.removeprefix("export ").split("=", 1) for line in printed[-2:])
    return printed, dict(pairs)


def test_sandbox_has_the_key_and_sends_the_events(start, sandbox):
    url = f"{sandbox.origin}/hook"
    options = ("--api-key", "my-key", "--processing-seconds", 0, "--webhook", url)
    process = start("sandbox", *options, "--webhook-secret", "my secret")
    printed, exports = read_exports(process, 8)
    assert exports["LIVEPEER_API_KEY"] == "my-key"
    assert f"webhook   {url}, shared secret my secret" in printed
    livepeer = AsyncLivepeer("my-key", base_url=exports["LIVEPEER_BASE_URL"], speed=100)
    assert asyncio.run(livepeer.upload(b"bytes", "video")).size == 5
    # asset.created, task.spawned, and more; the other sandbox has no such route.
    wait_until(lambda: len([it for it in sandbox.requests if it.path == "/hook"]) >= 2)


def test_processing_takes_the_given_time(start):
    process = start("sandbox", "--processing-seconds", 3600)
    _, exports = read_exports(process, 7)
    livepeer = AsyncLivepeer(exports["LIVEPEER_API_KEY"], base_url=exports["LIVEPEER_BASE_URL"])
    assert asyncio.run(livepeer.upload(b"bytes", wait=False)).phase in ("waiting", "processing")


def test_sandbox_listens_on_the_given_address(start):
    process = start("sandbox", "--host", "::1")
    _, exports = read_exports(process, 7)
    assert exports["LIVEPEER_BASE_URL"].startswith("http://[::1]:")
    livepeer = AsyncLivepeer(exports["LIVEPEER_API_KEY"], base_url=exports["LIVEPEER_BASE_URL"])
    assert asyncio.run(livepeer.ping()) is None


def test_address_of_another_machine_is_refused():
    done = run("sandbox", "--host", "203.0.113.9")
    assert done.returncode == 1
    assert b"203.0.113.9 can't be used" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--webhook", "example.com/hook"], "isn't a URL; wanted http://HOST/PATH"),
        (["--webhook", "ftp://example.com"], "isn't a URL"),
        (["--api-key", ""], "the key is empty"),
        (["--api-key", "a b"], "the key is empty, or has spaces"),
        (["--processing-seconds", "-1"], "processing-seconds"),
    ],
)
def test_wrong_option_is_a_usage_error(arguments, message):
    done = run("sandbox", *arguments)
    assert done.returncode == 2
    assert message in done.stderr.decode()
