"""One large file over a link with a long round trip."""

from suite.figures import OURS, Figure
from suite.processes import run
from suite.setup import MIB, alternate

LENGTH = 256 * MIB
RATE, ROUND_TRIP = 25_000_000, 0.08
CALL = "whole call"


def measure(setup):
    """Measure the rates of the transfer and of the whole call, which has three API calls more."""
    what = f"256 MiB at {1000 * ROUND_TRIP:.0f} ms and 200 Mbit/s"
    rate = Figure("long-link", "rate", f"{what}, part of the line's rate", "")
    call = Figure("long-link", "call", f"{what}, with the API's calls, part of the line's rate", "")
    path = setup.file(LENGTH)
    with setup.sink() as origin, setup.link(origin, RATE, ROUND_TRIP) as link:
        curl = ["curl", "--silent", "--show-error", "--fail", "--request", "PATCH"]
        sides = {
            OURS: setup.ours("tus_upload.py", link, setup.copies(LENGTH, 1)),
            CALL: setup.ours("upload.py", f"{link}/api", path, "adaptive", "uploaded"),
            "curl": [*curl, "--write-out", "%{time_total}", "-T", path, f"{link}/discard"],
        }
        for side, command in alternate(sides, setup.runs):
            printed = run(command).printed
            seconds = printed if side == "curl" else printed["seconds"]
            part = LENGTH / RATE / seconds
            if side == CALL:
                call.add(OURS, part)
            else:
                rate.add(side, part)
            if side == "curl":
                call.add(side, part)
    return [rate, call]
