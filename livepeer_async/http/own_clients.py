"""Creates the HTTP clients of the transport's own pools."""

from __future__ import annotations

import select
import ssl
import sys
from collections.abc import Callable
from functools import cache, partial
from types import ModuleType
from typing import Any

from livepeer_async.http.certificates import load_tls
from livepeer_async.http.http11 import Http11Client
from livepeer_async.http.library_client import LibraryClient
from livepeer_async.http.proxies import Proxies, Proxy, proxy_error


def client_factory(
    httpx: ModuleType,
    proxies: Proxies,
    on_connect: Callable[[Any], None],
    *,
    keepalive: float,
    uses_tls: bool = True,
) -> Callable[[str], Any]:
    """Return a function that creates a client for an origin.

    A proxy needs a client of the library; so does Windows, whose event loop can't watch a socket.
    All clients, in all event loops, share the certificates, which take time to load.

    Args:
        httpx: the library.
        proxies: the environment's proxies.
        on_connect: called with the socket of each new connection.
        keepalive: seconds after which an idle connection is closed.
        uses_tls: whether to load the certificates now; else the first client that needs them does.

    Raises:
        ConfigurationError: the environment has an invalid proxy or certificate.
    """

    @cache
    def load_context() -> ssl.SSLContext:
        context = load_tls(httpx.create_ssl_context)
        context.set_alpn_protocols(["http/1.1"])
        return context

    # Without certificates, which no plain connection needs: it takes 50 ms less.
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if uses_tls:
        load_context()
    has_poll = sys.platform != "win32" and hasattr(select, "poll")
    created = {proxy: _create_proxy(httpx, proxy) for proxy in proxies.by_scheme.values()}

    def create_client(origin: str) -> Any:
        proxy = proxies.find(origin)
        if proxy is None and has_poll:
            return Http11Client(httpx, load_context, keepalive=keepalive, on_connect=on_connect)
        client = httpx.AsyncClient(
            verify=load_context() if origin.startswith("https:") else plain,
            proxy=created[proxy] if proxy else None,
            limits=httpx.Limits(keepalive_expiry=keepalive),
            follow_redirects=False,
            trust_env=False,
        )
        return LibraryClient(client, httpx, on_connect=on_connect)

    return create_client


def _create_proxy(httpx: ModuleType, proxy: Proxy) -> Any:
    """Create the library's proxy.

    Raises:
        ConfigurationError: the library can't use it.
    """
    context = None
    if proxy.scheme == "https":
        # httpcore would create the same context for each connection.
        context = load_tls(partial(httpx.create_ssl_context, trust_env=False))
        context.load_default_certs()
    try:
        created = httpx.Proxy(proxy.url, auth=proxy.auth, ssl_context=context)
        httpx.AsyncHTTPTransport(proxy=created, verify=False)
    except ImportError as error:
        raise proxy_error(proxy.variable, "SOCKS needs the package httpx[socks]") from error
    except (ValueError, httpx.InvalidURL):
        pass  # raised below, without its cause, which quotes the URL
    else:
        return created
    raise proxy_error(proxy.variable, "httpx can't parse it")
