"""Proxies from environment variables, and the proxy for a URL.

httpx reads the variables too, but its errors for invalid values quote passwords, and it sends
requests for this machine to a proxy. Its clients are therefore created with `trust_env=False` and
the proxy that this module selects. Valid values have the same meaning as in httpx.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import socket
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from msgspec import Struct

from livepeer_async.deferred import deferred_pattern
from livepeer_async.errors import ConfigurationError
from livepeer_async.redaction import redacted
from livepeer_async.telemetry.events import PROXY_ENTRY_IGNORED, log_event

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_WANTED = "wanted scheme://user:password@host:port with special characters percent-encoded"
_HOST_NAME = deferred_pattern(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")
_LOOPBACK_NETWORK = 127
_UNSPECIFIED = bytes(4)
# Redacting shorter secrets would remove parts of ordinary words.
_MIN_SECRET_LENGTH = 4


@redacted("variable", "url")
class Proxy(Struct, frozen=True, kw_only=True):
    """A proxy server.

    Attributes:
        variable: the environment variable that defines it.
        scheme: http, https, socks5 or socks5h.
        host: host name, or IP address without brackets.
        port: port.
        username: empty for none.
        password: empty for none.
    """

    variable: str
    scheme: str
    host: str
    port: int
    username: str = ""
    password: str = ""

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without user and password."""
        return f"{self.scheme}://{self.address}"

    @property
    def auth(self) -> tuple[str, str] | None:
        """User and password, or `None` if there are none."""
        return (self.username, self.password) if self.username or self.password else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The credentials that are sent to the proxy, which its responses may quote."""
        if self.auth is None:
            return ()
        token = base64.b64encode(":".join(self.auth).encode()).decode()
        secret = self.password or self.username
        return (token, secret) if len(secret) >= _MIN_SECRET_LENGTH else (token,)


class Exemption(Struct, frozen=True, kw_only=True):
    """An entry of NO_PROXY.

    Attributes:
        scheme: scheme of the exempt URLs; empty for all.
        host: exempt host; empty for all.
        is_host_covered: whether the host itself is exempt.
        are_subdomains_covered: whether the host's subdomains are exempt.
        port: explicit port of the exempt URLs; `None` for any.
    """

    scheme: str = ""
    host: str = ""
    is_host_covered: bool = True
    are_subdomains_covered: bool = False
    port: int | None = None

    def covers(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether requests to this server use no proxy."""
        if self.scheme not in {"", scheme} or self.port not in {None, port}:
            return False
        is_host = self.is_host_covered and host == self.host
        is_subdomain = self.are_subdomains_covered and host.endswith(f".{self.host}")
        return not self.host or is_host or is_subdomain


class Proxies(Struct, frozen=True):
    """The proxies of an environment.

    Attributes:
        by_scheme: the proxy for each URL scheme; "all" applies to the other schemes.
        exemptions: the entries of NO_PROXY.
    """

    by_scheme: dict[str, Proxy] = {}
    exemptions: tuple[Exemption, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Credentials of all proxies."""
        return tuple(secret for proxy in self.by_scheme.values() for secret in proxy.secrets)

    def find(self, url: str) -> Proxy | None:
        """Return the proxy for a URL, or `None` for a direct connection.

        Loopback addresses never use a proxy, for which they would mean its own machine.
        """
        try:
            parts = urlsplit(url)
            host, port = _normalized(parts.hostname or ""), parts.port
        except ValueError:
            return None
        # As in httpx, the scheme's default port counts as no port.
        port = None if port == _DEFAULT_PORTS.get(parts.scheme) else port
        if is_loopback(host):
            return None
        if any(exemption.covers(parts.scheme, host, port) for exemption in self.exemptions):
            return None
        return self.by_scheme.get(parts.scheme) or self.by_scheme.get("all")


def read_proxies() -> Proxies:
    """Read HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in upper or lower case.

    Entries of NO_PROXY that can't be read are logged and skipped.

    Raises:
        ConfigurationError: a variable has an invalid value.
    """
    # Without variables, Windows and macOS return the settings of the system.
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
    """Whether a host is this machine: localhost, 127.0.0.0/8 or ::1, in any notation.

    0.0.0.0 and :: are included, because servers that listen on all addresses print them.
    """
    host = host.lower().removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        # Accepts 127.1, 0x7f.0.0.1 and 2130706433, as resolvers do.
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


def proxy_error(variable: str, reason: str) -> ConfigurationError:
    """Return the error for a variable with an invalid proxy; its value is a secret."""
    return ConfigurationError(
        f"{variable} contains an unusable proxy: {reason}",
        advice=f"correct or unset {variable}",
    )


def _variable_of(scheme: str) -> str:
    """Return the name of the variable that `getproxies` used; it prefers lower case."""
    lower = f"{scheme}_proxy"
    names = [name for name, value in os.environ.items() if name.lower() == lower and value]
    if lower in names:
        return lower
    return names[-1] if names else "the proxy configuration of the system"


def _read_proxy(variable: str, value: str) -> Proxy:
    """Parse a proxy URL.

    Raises:
        ConfigurationError: the URL is invalid. The message shows no part of it.
    """
    scheme, mark, rest = value.partition("://")
    if not mark:
        scheme, rest = "http", value
    scheme = scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise proxy_error(variable, f"wanted one of the schemes {', '.join(_DEFAULT_PORTS)}")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(authority) :]:
        raise proxy_error(variable, f"a '/', '?' or '#' precedes an '@'; {_WANTED}")
    userinfo, _, address = authority.rpartition("@")
    username, _, password = userinfo.partition(":")
    if not authority.isprintable() or " " in address:
        raise proxy_error(variable, f"it contains control characters or invalid UTF-8; {_WANTED}")
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise proxy_error(variable, f"its host or port is invalid; {_WANTED}") from None
    if not _is_valid_host(host) or port == 0:
        raise proxy_error(variable, f"its host or port is invalid; {_WANTED}")
    return Proxy(
        variable=variable,
        scheme=scheme,
        host=host,
        port=port or _DEFAULT_PORTS[scheme],
        username=unquote(username),
        password=unquote(password),
    )


def _is_valid_host(host: str) -> bool:
    """Whether a host can be resolved; a socket raises `UnicodeError` for longer names."""
    try:
        if host.isascii():
            host.encode("idna")
    except UnicodeError:
        return False
    return bool(host)


def _read_exemptions(entries: list[str]) -> tuple[Exemption, ...]:
    # A proxy URL that was set here by mistake may contain a password, even with commas.
    is_shown = not any("@" in entry for entry in entries)
    found: list[Exemption] = []
    for number, entry in enumerate(entries, 1):
        exemption = _read_exemption(entry) if entry else None
        if exemption is not None:
            found.append(exemption)
        elif entry:
            shown = f" ({entry!r})" if is_shown else ""
            log_event(
                PROXY_ENTRY_IGNORED,
                "NO_PROXY: entry %d%s is ignored; wanted a host name, a domain or an IP address, "
                "optionally with a port",
                number,
                shown,
                entry=number,
            )
    return tuple(found)


def _read_exemption(entry: str) -> Exemption | None:
    scheme, mark, address = entry.lower().rpartition("://")
    if mark and not scheme:
        return None
    try:
        return _exemption_of_network(address) or _exemption_of_host(scheme, address)
    except ValueError:
        return None


def _exemption_of_network(address: str) -> Exemption | None:
    """Parse an IP address. A network looks like a host with a path, so it is rejected.

    Raises:
        ValueError: the entry is a network of several addresses.
    """
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return None
    if network.num_addresses > 1:
        raise ValueError(address)
    return Exemption(host=str(network.network_address))


def _exemption_of_host(scheme: str, address: str) -> Exemption | None:
    """Parse a host, a domain, or a pattern with a scheme, each with an optional port.

    Raises:
        ValueError: the host or port is invalid.
    """
    parts = urlsplit(f"//{address}")
    host = parts.hostname or ""
    is_pattern = bool(scheme)
    scheme = "" if scheme == "all" else scheme
    if is_pattern and host in {"", "*"}:
        return Exemption(scheme=scheme, port=parts.port)
    name = host.removeprefix("*") if is_pattern else host
    is_domain = name.startswith(".")
    name = _normalized(name.removeprefix("."))
    if not _HOST_NAME.fullmatch(name) and not _is_address(name):
        return None
    is_exact = name == host and (is_pattern or name == "localhost" or _is_address(name))
    return Exemption(
        scheme=scheme,
        host=name,
        is_host_covered=not is_domain,
        are_subdomains_covered=not is_exact,
        port=parts.port,
    )


def _normalized(host: str) -> str:
    """Return an IP address in its canonical form, or a name in ASCII.

    Raises:
        ValueError: the name can't be resolved.
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
