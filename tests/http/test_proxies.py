"""Proxies from environment variables, and which requests use them."""

import logging
import traceback
import urllib.request

import httpx
import pytest

from livepeer_async import AsyncLivepeer, errors
from livepeer_async.http.proxies import read_proxies
from livepeer_async.http.transport import Transport
from livepeer_async.tus import TusClient
from support.constants import LONG_TIMEOUTS
from support.servers import OK, exchange, respond_with

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("clean_env")]
PASSWORD = "s3cret"
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
INVALID = [
    f"http://user:{PASSWORD}#x@proxy.example:80",
    f"http://user:{PASSWORD}/x@proxy.example:80",
    f"http://user:{PASSWORD}?x@proxy.example:80",
    f"http://user:x@y#{PASSWORD}@proxy.example:80",
    f"http://user:12345#{PASSWORD}@proxy.example:80",
    f"http://user:{PASSWORD}",
    f"user:{PASSWORD}",
    f"//user:{PASSWORD}@proxy.example",
    f"ftp://user:{PASSWORD}@proxy.example",
    f"{PASSWORD}:{PASSWORD}://user@proxy.example",
    f"http://user:{PASSWORD}@",
    f"http://user:{PASSWORD}@:8080",
    f"http://user:{PASSWORD}@proxy.example:99999",
    f"http://user:{PASSWORD}@proxy.example:0",
    f"http://user:{PASSWORD}@proxy.example:-1",
    f"http://user:{PASSWORD}@proxy.example:80a",
    f"http://user:{PASSWORD}@[::1",
    f"http://user:{PASSWORD}@999.0.0.1",
    f"http://user:{PASSWORD}@{'a' * 64}.example",
    f"http://user:{PASSWORD}@proxy..example",
    f"http://user:{PASSWORD}@proxy example",
    f"http://user:{PASSWORD}\x7f@proxy.example",
    f"http://user:{PASSWORD}\udcff@proxy.example",
    f"http://user:{PASSWORD}@proxy\udcff.example",
    f"http://user:{PASSWORD}@pro\u2100xy.example",
    f"socks5://user:{PASSWORD}@proxy.example:1080",
    "socks4://proxy.example",
    "http://",
    "://",
    "http:///path",
    "nonsense://proxy.example",
]


def format_error(error):
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)


@pytest.mark.parametrize("value", INVALID)
@pytest.mark.parametrize("make", [lambda: AsyncLivepeer("key"), TusClient])
def test_invalid_proxy_is_an_error_without_password(value, make, clean_env):
    clean_env.setenv("HTTPS_PROXY", value)
    with pytest.raises(errors.ConfigurationError, match="HTTPS_PROXY") as caught:
        make()
    assert PASSWORD not in format_error(caught.value)
    assert "12345" not in format_error(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_invalid_proxy_is_reported_with_its_variable(name, clean_env):
    clean_env.setenv(name, "http://proxy.example:99999")
    with pytest.raises(errors.ConfigurationError) as caught:
        Transport(timeouts=LONG_TIMEOUTS)
    assert [it for it in NAMES if f" {it}" in f" {caught.value}"] == [name]


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_blank_proxy_is_no_proxy(value, clean_env):
    clean_env.setenv("HTTP_PROXY", value)
    assert read_proxies().find("http://host.example") is None


@pytest.mark.parametrize(
    ("value", "address", "auth"),
    [
        ("proxy.example", "proxy.example:80", None),
        ("proxy.example:8080", "proxy.example:8080", None),
        (" http://proxy.example:8080/ ", "proxy.example:8080", None),
        ("HTTP://Proxy.Example:8080/path", "proxy.example:8080", None),
        ("https://proxy.example", "proxy.example:443", None),
        ("http://[::1]:8080", "[::1]:8080", None),
        ("user:p%40ss@proxy.example", "proxy.example:80", ("user", "p@ss")),
        ("http://us@er:p@ss@proxy.example:", "proxy.example:80", ("us@er", "p@ss")),
        ("http://token@proxy.example", "proxy.example:80", ("token", "")),
        ("http://user:p%23:s%c3%a9@proxy.example", "proxy.example:80", ("user", "p#:sé")),
    ],
)
def test_valid_proxy_is_parsed_as_by_httpx(value, address, auth, clean_env):
    clean_env.setenv("ALL_PROXY", value)
    proxy = read_proxies().find("https://host.example")
    assert (proxy.address, proxy.auth) == (address, auth)
    value = value.strip()
    reference = httpx.Proxy(value if "://" in value else f"http://{value}")
    assert (httpx.URL(proxy.url).copy_with(raw_path=b"/"), proxy.auth) == (
        reference.url.copy_with(raw_path=b"/"),
        reference.auth,
    )


def test_repr_hides_the_password(clean_env):
    clean_env.setenv("ALL_PROXY", f"http://user:{PASSWORD}@proxy.example")
    proxies = read_proxies()
    assert PASSWORD not in f"{proxies!r}{proxies.find('http://host.example')!r}"


INVALID_EXEMPTIONS = [
    "fe80::/10",
    "[::1",
    "::1]",
    "*.example.com:abc",
    "10.0.0.0/8",
    "host.example:99999",
    "a b",
    "\udcff",
    "*.example.com",
    "*:80",
    "://",
    "http://[::1",
    "exa$mple",
    ".",
    "a..b",
]


@pytest.mark.parametrize("entry", INVALID_EXEMPTIONS)
def test_invalid_exemption_is_skipped(entry, clean_env, caplog):
    clean_env.setenv("ALL_PROXY", "http://proxy.example:8080")
    clean_env.setenv("NO_PROXY", f"one.example, {entry} ,,two.example")
    proxies = read_proxies()
    for host in ("one.example", "www.two.example"):
        assert proxies.find(f"https://{host}/x") is None
    assert proxies.find("https://three.example/x") is not None
    (record,) = [it for it in caplog.records if it.levelno == logging.WARNING]
    assert record.name.startswith("livepeer_async")
    assert "NO_PROXY" in record.getMessage()
    Transport(timeouts=LONG_TIMEOUTS)


def test_warning_shows_no_password(clean_env, caplog):
    clean_env.setenv("NO_PROXY", f"http://user:{PASSWORD},x:{PASSWORD}@proxy.example:abc")
    read_proxies()
    assert "NO_PROXY" in caplog.text
    assert PASSWORD not in caplog.text


def test_star_disables_all_proxies(clean_env):
    clean_env.setenv("HTTP_PROXY", "http://proxy.example:99999")
    clean_env.setenv("NO_PROXY", "example.com, *")
    assert read_proxies().find("http://host.example") is None


EXEMPTIONS = [
    "example.com",
    "Example.COM",
    ".example.com",
    "example.com:8080",
    "http://example.com",
    "https://*.example.com",
    "http://*example.com",
    "all://www.example.com",
    "http://",
    "10.0.0.1",
    "10.0.0.1:8080",
    "10.0.0.1/32",
    "2001:db8::1",
    "ample.com",
    "com",
    "localhost",
    "a_b-c.example",
    "example.com.",
]
URLS = [
    f"{scheme}://{host}{port}/x"
    for scheme in ("http", "https")
    for host in (
        *("example.com", "EXAMPLE.com", "www.example.com", "badexample.com", "com", "10.0.0.1"),
        *("[2001:db8::1]", "a_b-c.example", "other.example", "example.com."),
    )
    for port in ("", ":8080", ":80")
]


@pytest.mark.parametrize("entry", EXEMPTIONS)
def test_exemption_has_the_same_meaning_as_in_httpx(entry, clean_env):
    clean_env.setenv("HTTP_PROXY", "http://proxy.example:8080")
    clean_env.setenv("HTTPS_PROXY", "http://other-proxy.example:8080")
    clean_env.setenv("NO_PROXY", f"{entry},unrelated.example")
    proxies, reference = read_proxies(), httpx.AsyncClient()
    for url in URLS:
        # httpx has no public method for it.
        chosen = reference._transport_for_url(httpx.URL(url))  # noqa: SLF001
        origin = getattr(chosen._pool, "_proxy_url", None)  # noqa: SLF001
        expected = origin and origin.host
        proxy = proxies.find(url)
        assert (proxy and proxy.host.encode()) == expected, url


def test_exemption_may_be_non_ascii(clean_env):
    clean_env.setenv("ALL_PROXY", "http://proxy.example:8080")
    clean_env.setenv("NO_PROXY", "bücher.example")
    for host in ("BÜCHER.example", "xn--bcher-kva.example", "www.bücher.example"):
        assert read_proxies().find(f"https://{host}/x") is None


@pytest.mark.parametrize("entry", ["[2001:db8::1]", "[2001:DB8:0::1]:8080", "2001:db8::1/128"])
def test_exemption_may_be_an_ipv6_address(entry, clean_env):
    clean_env.setenv("ALL_PROXY", "http://proxy.example:8080")
    clean_env.setenv("NO_PROXY", entry)
    proxies = read_proxies()
    assert proxies.find("https://[2001:db8::1]:8080/x") is None
    assert proxies.find("https://[2001:db8::2]:8080/x") is not None


def test_cgi_script_ignores_http_proxy(clean_env):
    """Source: CVE-2016-1000110, as `urllib.request.getproxies` has it."""
    clean_env.setenv("REQUEST_METHOD", "GET")
    clean_env.setenv("HTTP_PROXY", "http://proxy.example")
    assert "http" not in urllib.request.getproxies()
    assert read_proxies().find("http://host.example") is None


async def test_given_client_ignores_proxy_variables(clean_env):
    async with httpx.AsyncClient() as client:
        clean_env.setenv("HTTP_PROXY", "http://proxy.example:99999")
        clean_env.setenv("SSL_CERT_FILE", "/dev/null/nowhere")
        response, _ = await exchange(respond_with(OK), http_client=client)
    assert response.body == b"ok"


async def test_environment_is_read_once(clean_env):
    async def change_environment(reader, writer):
        clean_env.setenv("ALL_PROXY", "http://proxy.example:99999")
        clean_env.setenv("SSL_CERT_FILE", "/dev/null/nowhere")
        clean_env.setenv("SSLKEYLOGFILE", "/dev/null/nowhere/keys")
        await respond_with(OK)(reader, writer)

    response, _ = await exchange(change_environment)
    assert response.body == b"ok"
