"""Options for clusters: their typer types and checks."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

import typer

from livepeer_async.cli.cluster_certificates import Tls, read_tls
from livepeer_async.cli.extras import require
from livepeer_async.journal.location import is_postgres_url

SCHEMES = ("tcp", "tls")

Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="URL",
        help="Upload by the workers of a Dask cluster, such as tls://10.0.0.5:8786.",
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Upload by the workers that join there with livepeer-async worker HOST:PORT.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="NUMBER", min=1, help="Upload by several processes on this machine."
    ),
]
TlsCa = Annotated[
    str | None,
    typer.Option("--tls-ca", metavar="FILE", help="Certificate of the cluster's authority, PEM."),
]
TlsCert = Annotated[
    str | None,
    typer.Option("--tls-cert", metavar="FILE", help="Certificate of this machine, PEM."),
]
TlsKey = Annotated[
    str | None, typer.Option("--tls-key", metavar="FILE", help="Its private key, PEM.")
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Use a cluster beyond this machine without TLS."),
]


class ClusterOptions(NamedTuple):
    """The cluster of a command.

    Attributes:
        address: the address of a scheduler, such as `tcp://10.0.0.5:8786`.
        listen: whether to run the scheduler there.
        workers: processes to start on this machine; None if workers join by themselves.
        tls: the files of TLS.
    """

    address: str
    listen: bool
    workers: int | None = None
    tls: Tls | None = None

    @property
    def host(self) -> str:
        """The host of the scheduler."""
        return urlsplit(self.address).hostname or ""

    @property
    def port(self) -> int:
        """The port of the scheduler."""
        return urlsplit(self.address).port or 0


def build_cluster_options(
    cluster: str | None,
    listen: str | None,
    workers: int | None,
    tls_files: tuple[str | None, str | None, str | None],
    *,
    insecure: bool,
) -> ClusterOptions | None:
    """Check and combine the options that select a cluster; None without one."""
    given = {"--cluster": cluster, "--listen": listen, "--workers": workers}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise typer.BadParameter(f"{names[0]} can't be combined with {names[1]}")
    tls = read_tls(*tls_files)
    if not names:
        if tls or insecure:
            raise typer.BadParameter("--tls-... and --insecure need --cluster or --listen")
        return None
    require(names[0], "distributed")
    if workers is not None:
        if tls or insecure:
            raise typer.BadParameter("--workers are on this machine, and use no TLS")
        return ClusterOptions(address="tcp://127.0.0.1:0", listen=True, workers=workers)
    address = parse_address(cluster or listen or "", names[0], tls, insecure=insecure)
    return ClusterOptions(address=address, listen=listen is not None, tls=tls)


def check_journal(
    options: ClusterOptions | None, journal: str | None, *, no_journal: bool, is_sandbox: bool
) -> None:
    """Check that workers can use the journal, and the server."""
    if options is None:
        return
    if no_journal:
        raise typer.BadParameter("--no-journal can't be combined with a cluster")
    if options.workers is not None:
        return
    if is_sandbox:
        raise typer.BadParameter("--sandbox can be combined with --workers only")
    if not is_loopback(options.host) and not is_postgres_url(journal):
        raise typer.BadParameter(
            "workers on other machines need a journal that they can use too: "
            "--journal postgresql://HOST/DATABASE"
        )


def parse_address(text: str, option: str, tls: Tls | None, *, insecure: bool) -> str:
    """Return the address of a scheduler as a URL.

    Args:
        text: HOST:PORT, or a URL.
        option: the option that has it, for messages.
        tls: the files of TLS.
        insecure: whether to accept another machine without TLS.
    """
    scheme, separator, place = text.rpartition("://")
    parts = urlsplit(f"//{place}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.path or (separator and scheme not in SCHEMES):
        raise typer.BadParameter(f"{option} is {text!r}; wanted HOST:PORT, such as 10.0.0.5:8786")
    if scheme == "tls" and tls is None:
        raise typer.BadParameter(f"{text} needs --tls-ca, --tls-cert and --tls-key")
    if scheme == "tcp" and tls is not None:
        raise typer.BadParameter(f"{text} is without TLS; wanted tls://{place}")
    if tls is None and not insecure and not is_loopback(host):
        raise typer.BadParameter(
            f"without TLS, anyone who reaches {place} can run code on all workers: use --tls-ca, "
            "--tls-cert and --tls-key, or --insecure in a network that you trust"
        )
    return f"{'tls' if tls else 'tcp'}://{place}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, and can't be reached from others."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
