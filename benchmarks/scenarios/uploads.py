"""CPU time of the client for each GiB of a large file, over plain HTTP and over TLS."""

from suite.figures import OURS, Figure
from suite.processes import run
from suite.setup import MIB, SMALL, alternate

LENGTH = 512 * MIB
GIB = 1024 * MIB
TOGETHER, LENGTH_TOGETHER = 8, 128 * MIB


def measure_plain(setup):
    """Measure uploads over plain HTTP."""
    with setup.sink() as origin:
        return [measure_cpu(setup, origin, "upload-plain", "over plain HTTP")]


def measure_tls(setup):
    """Measure uploads over TLS, one file and several at once."""
    with setup.tls_sink() as origin:
        return [
            measure_cpu(setup, origin, "upload-tls", "over TLS"),
            *measure_cores(setup, origin),
        ]


def measure_cpu(setup, origin, bench, how):
    """Measure the CPU time of one upload, without that of a client that uploads a small file."""
    title = f"uploading a large file {how}, client CPU per GiB"
    figure = Figure(bench, "cpu", title, "s")
    small, large = setup.file(SMALL), setup.file(LENGTH)
    for side, command in alternate(commands(setup, origin), setup.runs):
        start_up = run(command(small), setup.trust).cpu
        cpu = run(command(large), setup.trust).cpu
        figure.add(side, (cpu - start_up) * GIB / (LENGTH - SMALL))
    return figure


def commands(setup, origin):
    """Return functions that build the command of each client for a file."""
    api, tus = f"{origin}/api", f"{origin}/api/asset/upload/tus"
    curl = ["curl", "--silent", "--show-error", "--fail", "--request", "PATCH"]
    return {
        OURS: lambda path: setup.ours("upload.py", api, path),
        "curl": lambda path: [*curl, "--upload-file", path, f"{origin}/discard"],
        "tuspy": lambda path: setup.peer("tuspy_upload.py", tus, path),
        "aiotus": lambda path: setup.peer("aiotus_upload.py", tus, path),
        "tus-js-client": lambda path: setup.node("large", tus, path),
        "httpx": lambda path: setup.ours("httpx_upload.py", origin, path),
        "blocking socket": lambda path: setup.peer("socket_upload.py", origin, path),
    }


def measure_cores(setup, origin):
    """Measure how many cores concurrent uploads use, and which part of what others leave.

    The server and the terminator run on the same cores.
    """
    title = f"{TOGETHER} uploads over TLS at once"
    cores = Figure("upload-tls", "cores", f"{title}, cores used by the client", "cores")
    share = Figure("upload-tls", "share", f"{title}, part of the CPU time that others leave", "")
    folder = setup.copies(LENGTH_TOGETHER, TOGETHER)
    sides = {
        OURS: setup.ours("tus_upload.py", origin, folder),
        "httpx": setup.ours("httpx_upload.py", origin, folder),
    }
    for side, command in alternate(sides, setup.runs):
        printed = run(command, setup.trust).printed
        cores.add(side, printed["cpu"] / printed["seconds"])
        share.add(side, printed["cpu"] / (printed["cpu"] + printed["idle"]))
    return [cores, share]
