"""Proxies from environment variables, and the choice of one for a URL.

httpx would read the variables too, but it raises its own errors for bad values, quotes passwords in
them, and sends requests for this machine to a proxy. Clients are therefore made with
`trust_env=False` and the proxy that is chosen here. Valid values mean what they mean to httpx.
"""

from __future__ import annotations

import base64
import ipaddress
import logging
import os
import re
import socket
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from msgspec import Struct

from livepeer_async.errors import ConfigurationError
from livepeer_async.redaction import redacted

_log = logging.getLogger("livepeer_async.http.proxies")

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_WANTED = "wanted scheme://user:password@host:port, special characters percent-encoded"
_HOST_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")
_LOOPBACK_NETWORK = 127
_UNSPECIFIED = bytes(4)
# Shorter ones would be taken out of all words that they are a part of.
_SHORTEST_SECRET = 4


@redacted("variable", "url")
class Proxy(Struct, frozen=True, kw_only=True):
    """A proxy server.

    Attributes:
        variable: the environment variable that names it.
        scheme: http, https, socks5 or socks5h.
        host: name or address, without brackets.
        port: where it listens.
        username: "" for none.
        password: "" for none.
    """

    variable: str
    scheme: str
    host: str
    port: int
    username: str = ""
    password: str = ""

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without user and password."""
        return f"{self.scheme}://{self.place}"

    @property
    def auth(self) -> tuple[str, str] | None:
        """User and password, `None` if there are none."""
        return (self.username, self.password) if self.username or self.password else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What the proxy is sent as credentials, and may quote."""
        if self.auth is None:
            return ()
        token = base64.b64encode(":".join(self.auth).encode()).decode()
        secret = self.password or self.username
        return (token, secret) if len(secret) >= _SHORTEST_SECRET else (token,)


class Exemption(Struct, frozen=True, kw_only=True):
    """An entry of NO_PROXY.

    Attributes:
        scheme: of the URLs that it covers; "" for all.
        host: that it covers; "" for all.
        is_host_covered: whether the host itself is covered.
        are_subdomains_covered: whether the names below the host are covered.
        port: that a URL must name; `None` for any.
    """

    scheme: str = ""
    host: str = ""
    is_host_covered: bool = True
    are_subdomains_covered: bool = False
    port: int | None = None

    def covers(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether requests for this place go to no proxy."""
        if self.scheme not in {"", scheme} or self.port not in {None, port}:
            return False
        is_host = self.is_host_covered and host == self.host
        is_below = self.are_subdomains_covered and host.endswith(f".{self.host}")
        return not self.host or is_host or is_below


class Proxies(Struct, frozen=True):
    """The proxies of an environment.

    Attributes:
        by_scheme: the proxy for URLs with this scheme; under "all" for those without an own one.
        exemptions: places that no proxy is asked for.
    """

    by_scheme: dict[str, Proxy] = {}
    exemptions: tuple[Exemption, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The credentials of all proxies."""
        return tuple(it for proxy in self.by_scheme.values() for it in proxy.secrets)

    def find(self, url: str) -> Proxy | None:
        """Choose the proxy for a URL; `None` for a direct connection.

        Loopback addresses are never asked for through a proxy, where they mean another machine.
        """
        try:
            parts = urlsplit(url)
            host, port = _normalized(parts.hostname or ""), parts.port
        except ValueError:
            return None
        # As httpx has it: the port of the scheme is as good as none.
        port = None if port == _DEFAULT_PORTS.get(parts.scheme) else port
        if is_loopback(host) or any(it.covers(parts.scheme, host, port) for it in self.exemptions):
            return None
        return self.by_scheme.get(parts.scheme) or self.by_scheme.get("all")


def read_proxies() -> Proxies:
    """Read HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in upper or lower case.

    Entries of NO_PROXY that can't be read are logged and skipped.

    Raises:
        ConfigurationError: one names a proxy that can't be used.
    """
    # On Windows and macOS these are the settings of the system where there are no variables.
    values = {scheme: value.strip() for scheme, value in getproxies().items()}
    entries = [entry.strip() for entry in values.get("no", "").split(",")]
    if "*" in entries:
        return Proxies()
    proxies = {
        scheme: _read_proxy(_variable_of(scheme), values[scheme])
        for scheme in ("http", "https", "all")
        if values.get(scheme)
    }
    return Proxies(proxies, _read_exemptions(entries))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own: localhost, 127.0.0.0/8 or ::1 in any notation.

    So are 0.0.0.0 and ::, which servers print that listen on all addresses.
    """
    host = host.lower().removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        # 127.1, 0x7f.0.0.1 and 2130706433 as well, which resolvers take.
        packed = socket.inet_aton(host)
        return packed[0] == _LOOPBACK_NETWORK or packed == _UNSPECIFIED
    except (OSError, ValueError):
        pass
    try:
        found = ipaddress.IPv6Address(host)
    except ValueError:
        return False
    address = found.ipv4_mapped or found
    return address.is_loopback or address.is_unspecified


def unusable(variable: str, reason: str) -> ConfigurationError:
    """Say that a variable names no proxy that can be used; its value is a secret."""
    return ConfigurationError(
        f"{variable} names a proxy that can't be used: {reason}",
        advice=f"correct or unset {variable}",
    )


def _variable_of(scheme: str) -> str:
    """Name the variable that `getproxies` took, which prefers those in lower case."""
    lower = f"{scheme}_proxy"
    names = [name for name, value in os.environ.items() if name.lower() == lower and value]
    if lower in names:
        return lower
    return names[-1] if names else "the proxy configuration of the system"


def _read_proxy(variable: str, value: str) -> Proxy:
    """Read a proxy's URL.

    Raises:
        ConfigurationError: it can't be read; the message holds no part of it.
    """
    scheme, mark, rest = value.partition("://")
    if not mark:
        scheme, rest = "http", value
    scheme = scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise unusable(variable, f"its scheme is none of {', '.join(_DEFAULT_PORTS)}")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(authority) :]:
        raise unusable(variable, f"a '/', '?' or '#' stands before an '@'; {_WANTED}")
    userinfo, _, place = authority.rpartition("@")
    username, _, password = userinfo.partition(":")
    if not authority.isprintable() or " " in place:
        raise unusable(
            variable, f"it holds control characters or bytes that aren't UTF-8; {_WANTED}"
        )
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise unusable(variable, f"its host or port can't be read; {_WANTED}") from None
    if not is_host(host) or port == 0:
        raise unusable(variable, f"it has no host and port that exist; {_WANTED}")
    return Proxy(
        variable=variable,
        scheme=scheme,
        host=host,
        port=port or _DEFAULT_PORTS[scheme],
        username=unquote(username),
        password=unquote(password),
    )


def is_host(host: str) -> bool:
    """Whether a host can be looked up at all; longer names raise where the socket is made."""
    try:
        if host.isascii():
            host.encode("idna")
    except UnicodeError:
        return False
    return bool(host)


def _read_exemptions(entries: list[str]) -> tuple[Exemption, ...]:
    # A proxy's URL that was put here by mistake may hold a comma in its password.
    is_shown = not any("@" in entry for entry in entries)
    found: list[Exemption] = []
    for number, entry in enumerate(entries, 1):
        exemption = _read_exemption(entry) if entry else None
        if exemption is not None:
            found.append(exemption)
        elif entry:
            shown = f" ({entry!r})" if is_shown else ""
            _log.warning(
                "NO_PROXY: entry %d%s is skipped; wanted a host name, a domain or an IP address, "
                "with or without a port",
                number,
                shown,
            )
    return tuple(found)


def _read_exemption(entry: str) -> Exemption | None:
    scheme, mark, place = entry.lower().rpartition("://")
    if mark and not scheme:
        return None
    try:
        return _exemption_of_network(place) or _exemption_of_place(scheme, place)
    except ValueError:
        return None


def _exemption_of_network(place: str) -> Exemption | None:
    """Read an IP address; a network of several addresses can't be told from a host and a path.

    Raises:
        ValueError: it is a network.
    """
    try:
        network = ipaddress.ip_network(place, strict=False)
    except ValueError:
        return None
    if network.num_addresses > 1:
        raise ValueError(place)
    return Exemption(host=str(network.network_address))


def _exemption_of_place(scheme: str, place: str) -> Exemption | None:
    """Read a host, a domain, or a pattern with a scheme, each with or without a port.

    Raises:
        ValueError: its host or port can't be read.
    """
    parts = urlsplit(f"//{place}")
    host = parts.hostname or ""
    is_pattern = bool(scheme)
    scheme = "" if scheme == "all" else scheme
    if is_pattern and host in {"", "*"}:
        return Exemption(scheme=scheme, port=parts.port)
    name = host.removeprefix("*") if is_pattern else host
    is_below = name.startswith(".")
    name = _normalized(name.removeprefix("."))
    if not _HOST_NAME.fullmatch(name) and not _is_address(name):
        return None
    is_exact = name == host and (is_pattern or name == "localhost" or _is_address(name))
    return Exemption(
        scheme=scheme,
        host=name,
        is_host_covered=not is_below,
        are_subdomains_covered=not is_exact,
        port=parts.port,
    )


def _normalized(host: str) -> str:
    """Write an IP address in its usual form, and a name in ASCII.

    Raises:
        ValueError: it isn't a name that can be looked up.
    """
    if _is_address(host):
        return str(ipaddress.ip_address(host))
    return host.lower() if host.isascii() else host.encode("idna").decode()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
