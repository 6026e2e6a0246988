"""One large file over a link with a long round trip."""

from suite.figures import OURS, Figure
from suite.processes import run
from suite.setup import MIB, alternate

LENGTH = 256 * MIB
RATE, ROUND_TRIP = 25_000_000, 0.08


def measure(setup):
    """Measure the rate of the whole call, and that of the line."""
    what = f"256 MiB at {1000 * ROUND_TRIP:.0f} ms and 200 Mbit/s"
    rate = Figure("long-link", "rate", f"{what}, part of the line's rate", "")
    path = setup.file(LENGTH)
    with setup.sink() as origin, setup.link(origin, RATE, ROUND_TRIP) as link:
        curl = ["curl", "--silent", "--show-error", "--fail", "--request", "PATCH"]
        sides = {
            OURS: setup.ours("upload.py", f"{link}/api", path, "adaptive", "uploaded"),
            "curl": [*curl, "--write-out", "%{time_total}", "-T", path, f"{link}/discard"],
        }
        for side, command in alternate(sides, setup.runs):
            printed = run(command).printed
            seconds = printed["seconds"] if side == OURS else printed
            rate.add(side, LENGTH / RATE / seconds)
    return [rate]
