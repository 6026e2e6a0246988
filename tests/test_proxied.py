"""Proxies of the environment, which loopback addresses bypass."""

import base64
import logging
import traceback
from contextlib import asynccontextmanager

import pytest

from livepeer_async import AsyncLivepeer, errors
from livepeer_async.http.messages import Request
from livepeer_async.http.proxies import is_loopback, read_proxies
from livepeer_async.http.transport import Transport
from livepeer_async.tus import ServerLimits, TusClient
from livepeer_async.uploads.options import UploadOptions
from support.constants import CLOSED_PORT, LONG_TIMEOUTS, NO_RETRIES, SHORT_TIMEOUTS
from support.sandbox import sandbox_and_client
from support.servers import OK, disconnect, hang, listen, respond_with, serve_raw

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("clean_env")]
PASSWORD = "s3cret-password"
AUTH = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
# No server listens on this port.


@asynccontextmanager
async def run_http_proxy(clean_env, respond, *names):
    """Run a proxy that these variables name; yield its address and the requests."""
    async with serve_raw(respond) as (url, heads):
        for name in names:
            clean_env.setenv(name, url.replace("//", f"//user:{PASSWORD}@"))
        yield url.removeprefix("http://"), heads


async def get(url):
    async with Transport(timeouts=LONG_TIMEOUTS) as transport:
        return await transport.send(Request(method="GET", url=url))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
async def test_request_goes_through_the_proxy_with_its_credentials(name, clean_env):
    async with run_http_proxy(clean_env, respond_with(OK), name) as (_, heads):
        assert (await get("http://host.example/x")).body == b"ok"
    assert heads[0].startswith(b"GET http://host.example/x HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {AUTH}".encode() in heads[0]


async def test_host_in_no_proxy_bypasses_the_proxy(clean_env):
    clean_env.setenv("NO_PROXY", "fe80::/10,[::1,no-such-host.invalid")
    async with run_http_proxy(clean_env, respond_with(OK), "HTTP_PROXY") as (_, heads):
        with pytest.raises(errors.ConnectFailed) as caught:
            await get("http://no-such-host.invalid/x")
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
def test_loopback_address_bypasses_the_proxy(host, clean_env):
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        clean_env.setenv(name, "http://proxy.example:8080")
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
def test_other_hosts_are_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
async def test_upload_to_loopback_bypasses_the_proxy(name, clean_env):
    clean_env.setenv(name, f"http://{CLOSED_PORT}")
    async with sandbox_and_client() as (_, livepeer):
        asset = await livepeer.upload(b"ftyp" * 1000, "talk")
        assert asset.status.phase == "ready"


async def test_import_from_loopback_bypasses_the_proxy(clean_env):
    clean_env.setenv("ALL_PROXY", f"http://{CLOSED_PORT}")
    async with serve_raw(respond_with(OK)) as (url, heads), sandbox_and_client() as (_, livepeer):
        ticket = await livepeer.assets.upload_from_url(f"{url}/clip.mp4", "talk")
        assert (await livepeer.assets.wait(ticket.asset.id)).status.phase == "ready"
        result = await livepeer.uploads.relay(f"{url}/clip.mp4", "relayed", UploadOptions())
        assert result.error is None
        assert result.length == len(b"ok")
    assert len(heads) == 2


async def test_environment_is_read_by_the_constructor(clean_env):
    async with (
        serve_raw(respond_with(OK)) as (one, _),
        serve_raw(respond_with(OK)) as (two, _),
        Transport(timeouts=LONG_TIMEOUTS) as transport,
    ):
        await transport.send(Request(method="GET", url=one))
        clean_env.setenv("ALL_PROXY", "http://proxy.example:99999")
        clean_env.setenv("SSL_CERT_FILE", "/dev/null/nowhere")
        clean_env.setenv("SSLKEYLOGFILE", "/dev/null/nowhere/keys")
        # Another origin gets a new client of the HTTP library.
        response = await transport.send(Request(method="GET", url=two))
    assert response.body == b"ok"


def assert_names_proxy(error, place, variable):
    assert f"the proxy {place} of {variable}" in str(error)
    shown = "".join(traceback.format_exception(error))
    assert PASSWORD not in shown
    assert AUTH not in shown


@pytest.mark.parametrize(
    ("url", "name"), [("http://host.example/x", "HTTP_PROXY"), ("https://h.example", "ALL_PROXY")]
)
async def test_failed_connection_names_its_proxy(url, name, clean_env):
    clean_env.setenv(name, f"http://user:{PASSWORD}@{CLOSED_PORT}")
    with pytest.raises(errors.ConnectFailed) as caught:
        await get(url)
    assert_names_proxy(caught.value, CLOSED_PORT, name)


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Who", f"502 {AUTH} {PASSWORD}", "302 x"])
async def test_proxy_that_refuses_to_connect_is_named(status, clean_env, caplog):
    caplog.set_level(logging.DEBUG)
    answer = respond_with(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
    async with run_http_proxy(clean_env, answer, "HTTPS_PROXY") as (place, heads):
        with pytest.raises(errors.ConnectFailed, match=status[:3]) as caught:
            await get("https://host.example/x")
    assert heads[0].startswith(b"CONNECT host.example:443 ")
    assert_names_proxy(caught.value, place, "HTTPS_PROXY")
    assert PASSWORD not in caplog.text
    assert AUTH not in caplog.text


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (disconnect, errors.ConnectionBroken),
        (respond_with(f"HTTP/1.1 abc {AUTH}\r\n\r\n".encode()), errors.ConnectionBroken),
        (hang, errors.TimedOut),
        # A TLS handshake whose response isn't TLS.
        (respond_with(b"HTTP/1.1 200 OK\r\n\r\nnonsense"), errors.ConnectFailed),
    ],
)
async def test_broken_proxy_is_named(answer, kind, clean_env):
    async with (
        run_http_proxy(clean_env, answer, "HTTPS_PROXY") as (place, _),
        Transport(timeouts=SHORT_TIMEOUTS) as transport,
    ):
        with pytest.raises(kind) as caught:
            await transport.send(Request(method="GET", url="https://host.example/x"))
    assert_names_proxy(caught.value, place, "HTTPS_PROXY")


async def test_every_client_names_the_proxy(clean_env, tmp_path):
    clean_env.setenv("ALL_PROXY", f"http://user:{PASSWORD}@{CLOSED_PORT}")
    options = {"retry": NO_RETRIES, "timeout": SHORT_TIMEOUTS}
    async with AsyncLivepeer("key", base_url="https://api.example/api", **options) as livepeer:
        with pytest.raises(errors.ConnectFailed) as caught:
            await livepeer.upload(b"ftyp", "talk")
        assert_names_proxy(caught.value, CLOSED_PORT, "ALL_PROXY")
        with pytest.raises(errors.SourceNotReadable) as caught:
            await livepeer.uploads.relay("http://host.example/a.mp4", "a", UploadOptions())
        assert_names_proxy(caught.value, CLOSED_PORT, "ALL_PROXY")
    async with TusClient(retry=NO_RETRIES, timeouts=SHORT_TIMEOUTS, limits=ServerLimits()) as tus:
        with pytest.raises(errors.RetriesExhausted) as caught:
            await tus.upload(b"ftyp", "https://host.example/files")
        assert_names_proxy(caught.value, CLOSED_PORT, "ALL_PROXY")


async def test_https_proxy_is_connected_with_tls(clean_env):
    hello = []

    async def record(reader, writer):
        hello.append(await reader.read(3))

    async with listen(record) as port:
        clean_env.setenv("ALL_PROXY", f"https://127.0.0.1:{port}")
        with pytest.raises(errors.ConnectFailed) as caught:
            await get("http://host.example/x")
    # A TLS handshake of version 1.x (RFC 8446, 5.1).
    assert hello[0] == b"\x16\x03\x01"
    assert_names_proxy(caught.value, f"127.0.0.1:{port}", "ALL_PROXY")
