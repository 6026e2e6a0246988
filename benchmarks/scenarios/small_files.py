"""Many small files, over a link with a long round trip, and through `ingest`."""

from collections import Counter

from suite.figures import OURS, Figure
from suite.processes import run
from suite.setup import SMALL, alternate, statistics

FILES = 300
RATE, ROUND_TRIP = 25_000_000, 0.08
CONCURRENCY = 8


def measure(setup):
    """Measure uploads of copies, and a folder."""
    return [*measure_copies(setup), *measure_ingest(setup)]


def measure_copies(setup):
    """Measure CPU and wall time over the link, and the number of requests."""
    bench, what = "small-files", f"{FILES} files of 64 KiB at {1000 * ROUND_TRIP:.0f} ms"
    cpu = Figure(bench, "cpu", f"{what}, client CPU per file, to ready", "ms")
    wall = Figure(bench, "wall", f"{what}, wall time, uploaded", "s")
    requests = Figure(bench, "requests", f"{what}, requests per file without polling", "")
    with setup.sink() as origin, setup.link(origin, RATE, ROUND_TRIP) as link:
        for side, command in alternate(commands(setup, link, origin), setup.runs):
            start_up, before = run(command(1, "ready")).cpu, Counter(statistics(origin))
            finished = run(command(FILES, "ready"))
            cpu.add(side, 1000 * (finished.cpu - start_up) / (FILES - 1))
            sent = Counter(statistics(origin)) - before
            requests.add(
                side, sum(n for name, n in sent.items() if name.startswith("POST")) / FILES
            )
            if side == "blocking socket":  # is no concurrent client
                continue
            if side == OURS:  # tus-js-client doesn't wait for assets
                finished = run(command(FILES, "uploaded"))
            wall.add(side, finished.printed["seconds"])
    return [cpu, wall, requests]


def commands(setup, link, origin):
    """Return functions that build the command of each client for a number of files.

    The blocking socket, which would wait for each file, is only the limit of CPU: it needs no link.
    """
    api, path = f"{link}/api", setup.file(SMALL)
    return {
        OURS: lambda count, until: setup.ours(
            "upload.py", api, setup.copies(SMALL, count), "adaptive", until
        ),
        "tus-js-client": lambda count, _: setup.node("small", api, path, count, CONCURRENCY),
        "blocking socket": lambda count, _: setup.peer("socket_upload.py", origin, path, count),
    }


def measure_ingest(setup):
    """Measure files per second of CPU through `ingest`, with a journal and no link."""
    files = setup.ingested
    what = f"ingesting {files:,} files of 64 KiB with a journal"
    rate = Figure("small-files", "ingest", f"{what}, files per second of client CPU", "files/s")
    folder = setup.copies(SMALL, files)
    with setup.sink() as origin:
        for number in range(setup.runs):
            journal = setup.folder / f"ingest{number}.journal"
            command = setup.ours("ingest.py", f"{origin}/api", folder, journal)
            rate.add(OURS, files / run(command).printed["cpu"])
    return [rate]
