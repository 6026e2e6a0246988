"""Certificates and key logs from environment variables."""

import ssl

import certifi
import pytest

from livepeer_async import errors
from livepeer_async.http.certificates import load_tls
from livepeer_async.http.messages import Request
from livepeer_async.http.transport import Transport
from support.constants import LONG_TIMEOUTS
from support.servers import OK, exchange, respond_with

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("clean_env")]


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("SSL_CERT_FILE", lambda it: it / "missing"),
        ("SSL_CERT_FILE", lambda it: it),
        ("SSL_CERT_FILE", lambda it: write(it / "empty", "")),
        ("SSL_CERT_FILE", lambda it: write(it / "text", "no certificate")),
        (
            "SSL_CERT_FILE",
            lambda it: write(
                it / "broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
            ),
        ),
        ("SSL_CERT_DIR", lambda it: it / "missing"),
        ("SSL_CERT_DIR", lambda it: write(it / "file", "")),
        ("SSL_CERT_DIR", lambda it: f"{it / 'one'}:{it / 'two'}"),
        ("SSLKEYLOGFILE", lambda it: it / "missing" / "keys"),
        ("SSLKEYLOGFILE", lambda it: it),
        ("SSLKEYLOGFILE", lambda it: write(it / "file", "") / "keys"),
    ],
)
def test_invalid_path_is_reported_with_its_variable(name, make, clean_env, tmp_path):
    path = make(tmp_path)
    clean_env.setenv(name, str(path))
    with pytest.raises(errors.ConfigurationError, match=name) as caught:
        Transport(timeouts=LONG_TIMEOUTS)
    assert repr(str(path)) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", certifi.where()),
        ("SSL_CERT_FILE", ""),
        ("SSL_CERT_DIR", "{}:/nowhere"),
        ("SSL_CERT_DIR", ""),
        ("SSLKEYLOGFILE", "{}/keys"),
        ("SSLKEYLOGFILE", ""),
        ("NETRC", "/nowhere"),
    ],
)
async def test_valid_path_is_accepted(name, value, clean_env, tmp_path):
    clean_env.setenv(name, value.format(tmp_path))
    response, _ = await exchange(respond_with(OK))
    assert response.body == b"ok"


def test_certificate_file_has_precedence_over_directory(clean_env):
    clean_env.setenv("SSL_CERT_FILE", certifi.where())
    clean_env.setenv("SSL_CERT_DIR", "/nowhere")
    Transport(timeouts=LONG_TIMEOUTS)


def test_missing_default_certificates_are_an_error():
    def create():
        raise FileNotFoundError(2, "No such file or directory", "cacert.pem")

    with pytest.raises(errors.ConfigurationError, match="certificates"):
        load_tls(create)


def test_context_of_the_library_is_returned():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert load_tls(lambda: context) is context


async def test_certificates_are_loaded_when_they_are_first_needed(clean_env):
    clean_env.setenv("SSL_CERT_FILE", "/nowhere")
    transport = Transport(timeouts=LONG_TIMEOUTS, uses_tls=False)
    async with transport:
        with pytest.raises(errors.ConfigurationError, match="SSL_CERT_FILE"):
            await transport.send(Request(method="GET", url="https://127.0.0.1:9/"))
        with pytest.raises(errors.ConnectFailed):
            await transport.send(Request(method="GET", url="http://127.0.0.1:9/"))
