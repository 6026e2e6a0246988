"""Mapped exceptions of the HTTP library show no secret of the request."""

import json
from itertools import pairwise
from urllib.parse import quote

import pytest

from leaks.detector import LeakDetector, record_logs
from livepeer_async import errors
from livepeer_async.http.error_mapping import shows_secret
from livepeer_async.http.messages import Request
from livepeer_async.http.transport import Transport
from support.constants import LONG_TIMEOUTS
from support.libraries import LIBRARIES
from support.servers import exchange, respond_with, serve_raw

pytestmark = pytest.mark.anyio
KEY = "KEYs3cret-1f0e-4a7b-8f5e-b0c1d2e3f4a5"
# Characters that codings escape.
ODD = "ODDs3cret'\"\\%/+&<=~end"
COOKIE = "COOKIEs3cret-5a6b7c"
TOKEN = "TOKENs3cret+1/2="
NAME = "up12NAMEs3cret7d8e9f"
SECRETS = {"key": KEY, "odd": ODD, "cookie": COOKIE, "token": TOKEN, "upload": NAME[4:]}
HEADERS = {
    "Authorization": f"Bearer {KEY}",
    "X-Odd": ODD,
    "Cookie": f'a=1; session="{COOKIE}"; b=2',
}
CODINGS = {
    "plain": str,
    "percent": lambda it: quote(it, safe=""),
    "lower percent": lambda it: quote(it, safe="").replace("%2F", "%2f").replace("%3C", "%3c"),
    "path": quote,
    "all percent": lambda it: "".join(f"%{ord(c):02X}" for c in it),
    "json": lambda it: json.dumps(it)[1:-1],
    "json of javascript": lambda it: json.dumps(it)[1:-1].replace("/", "\\/"),
    "unicode escapes": lambda it: "".join(f"\\u{ord(c):04x}" for c in it),
    "hex escapes": lambda it: "".join(f"\\x{ord(c):02x}" for c in it),
    "repr": lambda it: repr(it)[1:-1],
    "repr of bytes": lambda it: repr(it.encode())[2:-1],
    "html": lambda it: it.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;"),
    "upper case": str.upper,
    "lower case": str.lower,
}
# Invalid responses that contain the secret.
PLACES = {
    "status": "HTTP/1.1 abc {}\r\n\r\n",
    "version": "HTTP/{} 200 OK\r\n\r\n",
    "no HTTP": "{}\r\n\r\n",
    "header without a colon": "HTTP/1.1 200 OK\r\nbad {}\r\n\r\n",
    "name of a header": "HTTP/1.1 200 OK\r\n{} x: y\r\n\r\n",
    "value of a header": "HTTP/1.1 200 OK\r\nX: {}\x00\r\n\r\n",
    "header after 103": "HTTP/1.1 103 Early Hints\r\nbad {}\r\n\r\n",
    "reason": "HTTP/1.1 200 {}\x00\r\n\r\n",
    "length": "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
    "lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: {}\r\n\r\n",
    "transfer coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: {}\r\n\r\n",
    "chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n",
    "end of a chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx{}\r\n",
    "trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad {}\r\n\r\n",
    "port of a redirect": "HTTP/1.1 302 Found\r\nLocation: http://h:{}/\r\n\r\n",
    "host of a redirect": "HTTP/1.1 302 Found\r\nLocation: http://[{}/\r\n\r\n",
}


async def fail(library, raw):
    """Send a request with secrets to a server with this response; return detector and error."""
    detector = LeakDetector()
    for name, secret in SECRETS.items():
        detector.add_secret(name, secret)
    async with (
        serve_raw(respond_with(raw.encode("latin-1"))) as (url, _),
        library.AsyncClient() as client,
    ):
        request = Request(
            method="GET",
            url=f"{url}/files/{NAME}/?token={quote(TOKEN, safe='')}",
            headers=HEADERS,
            hides_path=True,
        )
        async with Transport(http_client=client, timeouts=LONG_TIMEOUTS) as transport:
            with record_logs(detector):
                try:
                    await transport.send(request)
                except errors.LivepeerError as error:
                    detector.add_error(error)
                    return detector, error
    return detector, None


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("place", PLACES)
async def test_invalid_response_leaks_no_secret(place, library):
    everything = " ".join([*SECRETS.values(), f"Bearer {KEY}", HEADERS["Cookie"], f"/files/{NAME}"])
    detector, error = await fail(library, PLACES[place].format(everything))
    assert detector.find_leaks() == []
    # Some versions ignore an invalid redirect or trailer.
    if error is not None:
        assert type(error) is errors.ConnectionBroken, error


@pytest.mark.parametrize("coding", CODINGS)
async def test_secret_is_redacted_in_every_coding(coding):
    encoded = {name: CODINGS[coding](secret) for name, secret in SECRETS.items()}
    detector, error = await fail(LIBRARIES[0], PLACES["status"].format(" ".join(encoded.values())))
    for name, text in encoded.items():
        detector.add_secret(f"{coding} of {name}", text)
        detector.add_secret(f"repr of {coding} of {name}", repr(text)[1:-1])
        detector.add_secret(f"repr of repr of {coding} of {name}", repr(repr(text))[2:-2])
    assert detector.find_leaks() == []
    assert "***" in str(error)


async def test_unknown_token_is_redacted():
    handler = respond_with(b"HTTP/1.1 abc token=s3cret bearer s3cret eyJzM2NyZXQi\r\n\r\n")
    with pytest.raises(errors.ConnectionBroken, match="illegal status line") as caught:
        await exchange(handler)
    detector = LeakDetector()
    detector.add_secret("a token", "s3cret")
    detector.add_secret("a JSON web token", "eyJz")
    detector.add_error(caught.value)
    assert detector.find_leaks() == []


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cret#x@h.example/x",
        "http://user:s3cret?x@h.example/x",
        "http://user:s3cret/x@h.example/x",
        "http://user:s3cret@h.example:abc/x",
        "ftp://user:s3cret@h.example/x",
    ],
)
async def test_invalid_url_shows_no_password(url):
    detector = LeakDetector()
    detector.add_secret("a password", "s3cret")
    async with Transport(timeouts=LONG_TIMEOUTS) as transport:
        with pytest.raises(errors.ConfigurationError) as caught:
            await transport.send(Request(method="GET", url=url))
    detector.add_error(caught.value)
    assert detector.find_leaks() == []


def chained(*links):
    """Chain exceptions by their causes; return the last."""
    for cause, error in pairwise(links):
        error.__cause__ = cause
    return links[-1]


def with_note(error, note):
    error.add_note(note)
    return error


@pytest.mark.parametrize(
    "link",
    [
        ValueError(KEY),
        OSError(5, KEY),
        TypeError(KEY.encode(), 7),
        with_note(TypeError("x"), f"see {KEY}"),
        ExceptionGroup("several", [ValueError("x"), chained(KeyError(KEY), ValueError("x"))]),
    ],
)
def test_secret_is_found_anywhere_in_the_chain(link):
    error = chained(link, RuntimeError("y"), ValueError("z"))
    assert shows_secret(error, lambda text: text.replace(KEY, "***"))


def test_chain_without_a_secret_shows_none():
    loop = KeyError("x")
    loop.__context__ = loop
    error = chained(loop, ExceptionGroup("several", [OSError(5, "y")]), RuntimeError("z"))
    assert not shows_secret(error, lambda text: text.replace(KEY, "***"))


@pytest.mark.parametrize("library", LIBRARIES)
async def test_exception_that_shows_a_secret_is_no_cause(library):
    class SecretReadError(library.ReadError):
        def __str__(self):
            return KEY

    def fail(_):
        raise SecretReadError(KEY)

    client = library.AsyncClient(transport=library.MockTransport(fail))
    async with client, Transport(http_client=client, timeouts=LONG_TIMEOUTS) as transport:
        with pytest.raises(errors.ConnectionBroken) as caught:
            request = Request(method="GET", url="http://h.example/x", headers=HEADERS)
            await transport.send(request)
    detector = LeakDetector()
    detector.add_secret("the key", KEY)
    detector.add_error(caught.value)
    assert detector.find_leaks() == []
