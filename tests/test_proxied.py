"""Requests that go through a proxy of the environment, and those for this machine, that don't."""

import base64
import logging
import traceback
from contextlib import asynccontextmanager

import pytest

from answering import OK, PATIENT, QUICK, cut, hang, saying, serving
from listening import listening
from livepeer_async import AsyncLivepeer, RetryPolicy, errors
from livepeer_async.http.messages import Request
from livepeer_async.http.proxies import is_loopback, read_proxies
from livepeer_async.http.transport import Transport
from livepeer_async.tus import ServerLimits, TusClient
from studio import studio

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("bare")]
PASSWORD = "s3cret-password"
AUTH = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
# Nothing listens there.
NOWHERE = "127.0.0.1:9"
HASTY = RetryPolicy(attempts=0)


@asynccontextmanager
async def proxied(bare, answer, *names):
    """Let variables name a proxy that answers so; give its port and the requests that it got."""
    async with serving(answer) as (url, heads):
        for name in names:
            bare.setenv(name, url.replace("//", f"//user:{PASSWORD}@"))
        yield url.removeprefix("http://"), heads


async def ask(url):
    async with Transport(timeouts=PATIENT) as transport:
        return await transport.send(Request(method="GET", url=url))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
async def test_request_goes_through_the_proxy_with_its_credentials(name, bare):
    async with proxied(bare, saying(OK), name) as (_, heads):
        assert (await ask("http://host.example/x")).body == b"ok"
    assert heads[0].startswith(b"GET http://host.example/x HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {AUTH}".encode() in heads[0]


async def test_excepted_host_is_asked_directly(bare):
    bare.setenv("NO_PROXY", "fe80::/10,[::1,no-such-host.invalid")
    async with proxied(bare, saying(OK), "HTTP_PROXY") as (_, heads):
        with pytest.raises(errors.ConnectFailed) as caught:
            await ask("http://no-such-host.invalid/x")
    assert heads == []
    assert "proxy" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost", "localhost.", "a.localhost", "127.0.0.1", "127.255.1.2"),
        *("127.1", "2130706433", "0x7f.0.0.1", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"),
        *("::FFFF:7f00:1", "::1%lo", "0.0.0.0", "0", "::", "::ffff:0.0.0.0"),
    ],
)
def test_loopback_is_never_asked_through_a_proxy(host, bare):
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        bare.setenv(name, "http://proxy.example:8080")
    proxies = read_proxies()
    assert is_loopback(host)
    place = f"[{host}]" if ":" in host else host
    for url in (f"http://{place}/x", f"HTTPS://user:pw@{place}:8443/x", f"http://{place}"):
        assert proxies.find(url) is None


@pytest.mark.parametrize(
    "host",
    [
        *("host.example", "localhost.example", "notlocalhost", "128.0.0.1", "0.0.0.1", "::2"),
        *("::ffff:1.2.3.4", ""),
    ],
)
def test_another_host_is_no_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
async def test_upload_to_this_machine_needs_no_proxy(name, bare):
    bare.setenv(name, f"http://{NOWHERE}")
    async with studio() as (_, livepeer):
        asset = await livepeer.upload(b"ftyp" * 1000, "talk")
        assert asset.status.phase == "ready"


async def test_import_from_this_machine_needs_no_proxy(bare):
    bare.setenv("ALL_PROXY", f"http://{NOWHERE}")
    async with serving(saying(OK)) as (url, heads), studio() as (_, livepeer):
        ticket = await livepeer.assets.upload_from_url(f"{url}/clip.mp4", "talk")
        assert (await livepeer.assets.wait(ticket.asset.id)).status.phase == "ready"
        async with livepeer.downloader.open(f"{url}/clip.mp4") as download:
            assert b"".join([piece async for piece in download.blocks]) == b"ok"
    assert len(heads) == 2


async def test_environment_is_read_when_the_client_is_made(bare):
    async with (
        serving(saying(OK)) as (one, _),
        serving(saying(OK)) as (two, _),
        Transport(timeouts=PATIENT) as transport,
    ):
        await transport.send(Request(method="GET", url=one))
        bare.setenv("ALL_PROXY", "http://proxy.example:99999")
        bare.setenv("SSL_CERT_FILE", "/dev/null/nowhere")
        bare.setenv("SSLKEYLOGFILE", "/dev/null/nowhere/keys")
        # For another origin a client of the library is made anew.
        response = await transport.send(Request(method="GET", url=two))
    assert response.body == b"ok"


def check_names(error, place, variable):
    assert f"the proxy {place} of {variable}" in str(error)
    shown = "".join(traceback.format_exception(error))
    assert PASSWORD not in shown
    assert AUTH not in shown


@pytest.mark.parametrize(
    ("url", "name"), [("http://host.example/x", "HTTP_PROXY"), ("https://h.example", "ALL_PROXY")]
)
async def test_failed_connection_names_its_proxy(url, name, bare):
    bare.setenv(name, f"http://user:{PASSWORD}@{NOWHERE}")
    with pytest.raises(errors.ConnectFailed) as caught:
        await ask(url)
    check_names(caught.value, NOWHERE, name)


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Who", f"502 {AUTH} {PASSWORD}", "302 x"])
async def test_proxy_that_refuses_to_connect_is_named(status, bare, caplog):
    caplog.set_level(logging.DEBUG)
    answer = saying(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
    async with proxied(bare, answer, "HTTPS_PROXY") as (place, heads):
        with pytest.raises(errors.ConnectFailed, match=status[:3]) as caught:
            await ask("https://host.example/x")
    assert heads[0].startswith(b"CONNECT host.example:443 ")
    check_names(caught.value, place, "HTTPS_PROXY")
    assert PASSWORD not in caplog.text
    assert AUTH not in caplog.text


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (cut, errors.ConnectionBroken),
        (saying(f"HTTP/1.1 abc {AUTH}\r\n\r\n".encode()), errors.ConnectionBroken),
        (hang, errors.TimedOut),
        # TLS is begun, and what answers it isn't TLS.
        (saying(b"HTTP/1.1 200 OK\r\n\r\nnonsense"), errors.ConnectFailed),
    ],
)
async def test_broken_proxy_is_named(answer, kind, bare):
    async with (
        proxied(bare, answer, "HTTPS_PROXY") as (place, _),
        Transport(timeouts=QUICK) as transport,
    ):
        with pytest.raises(kind) as caught:
            await transport.send(Request(method="GET", url="https://host.example/x"))
    check_names(caught.value, place, "HTTPS_PROXY")


async def test_every_client_names_the_proxy(bare, tmp_path):
    bare.setenv("ALL_PROXY", f"http://user:{PASSWORD}@{NOWHERE}")
    options = {"retry": HASTY, "timeout": QUICK}
    async with AsyncLivepeer("key", base_url="https://api.example/api", **options) as livepeer:
        with pytest.raises(errors.ConnectFailed) as caught:
            await livepeer.upload(b"ftyp", "talk")
        check_names(caught.value, NOWHERE, "ALL_PROXY")
        with pytest.raises(errors.SourceNotReadable) as caught:
            async with livepeer.downloader.open("http://host.example/clip.mp4"):
                pass
        check_names(caught.value, NOWHERE, "ALL_PROXY")
    async with TusClient(retry=HASTY, timeouts=QUICK, limits=ServerLimits()) as tus:
        with pytest.raises(errors.RetriesExhausted) as caught:
            await tus.upload(b"ftyp", "https://host.example/files")
        check_names(caught.value, NOWHERE, "ALL_PROXY")


async def test_https_proxy_is_spoken_to_in_tls(bare):
    hello = []

    async def note(reader, writer):
        hello.append(await reader.read(3))

    async with listening(note) as port:
        bare.setenv("ALL_PROXY", f"https://127.0.0.1:{port}")
        with pytest.raises(errors.ConnectFailed) as caught:
            await ask("http://host.example/x")
    # A TLS handshake of version 1.x (RFC 8446, 5.1).
    assert hello[0] == b"\x16\x03\x01"
    check_names(caught.value, f"127.0.0.1:{port}", "ALL_PROXY")
