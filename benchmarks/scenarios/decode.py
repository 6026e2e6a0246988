"""Decoding of a full asset."""

import json

from suite.figures import OURS, Figure
from suite.processes import run
from suite.setup import HERE, alternate

SAMPLE = HERE.parent / "tests" / "samples" / "asset_ready_details.json"


def measure(setup):
    """Measure CPU time for each call."""
    # Compact, as the server sends it.
    path = setup.folder / "asset.json"
    path.write_text(json.dumps(json.loads(SAMPLE.read_bytes()), separators=(",", ":")))
    sides = {
        OURS: setup.ours("decode.py", "ours", path),
        "json.loads": setup.ours("decode.py", "json", path),
        "livepeer": setup.peer("decode.py", "official", path),
    }
    figure = Figure("decode", "cpu", "decoding a full asset, CPU", "µs")
    for side, command in alternate(sides, setup.runs):
        figure.add(side, run(command).printed["microseconds"])
    return [figure]
