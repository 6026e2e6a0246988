"""Time the decoding of a full asset, compared with `json.loads` and the official SDK.

    python benchmarks/decode.py

The functions alternate in one process; compare the ratios. `pip install livepeer` adds the official
SDK.
"""

import json
import statistics
import time
from pathlib import Path

from livepeer_async.api.responses import decode_body
from livepeer_async.http.messages import Response
from livepeer_async.models import Asset

SAMPLE = Path(__file__).parent.parent / "tests" / "samples" / "asset_ready_details.json"
ROUNDS = 15
CALLS = 2000


def official():
    """Return the official SDK's decoder, or None if it isn't installed."""
    try:
        from livepeer.models import components
        from livepeer.utils import unmarshal_json
    except ImportError:
        return None
    return lambda body: unmarshal_json(body.decode(), components.Asset)


def seconds(function, body, calls):
    """Return the mean time of a call in seconds."""
    started = time.perf_counter()
    for _ in range(calls):
        function(body)
    return (time.perf_counter() - started) / calls


def main():
    """Print a table of medians and ratios."""
    # Compact, as the server sends it.
    body = json.dumps(json.loads(SAMPLE.read_bytes()), separators=(",", ":")).encode()
    sides = {
        "livepeer_async": (lambda raw: decode_body(Response(status=200, body=raw), Asset), CALLS),
        "json.loads": (json.loads, CALLS),
    }
    sdk = official()
    if sdk is not None:
        sides["livepeer (official SDK)"] = (sdk, CALLS // 20)
    times = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, (function, calls) in sides.items():
            times[name].append(seconds(function, body, calls))
    medians = {name: statistics.median(values) for name, values in times.items()}
    ours = medians["livepeer_async"]
    print(f"{len(body)} bytes of JSON, median of {ROUNDS} rounds")
    for name, median in medians.items():
        print(f"{name:26} {median * 1e6:9.1f} µs   ours / this {ours / median:8.4f}")


if __name__ == "__main__":
    main()
