"""Times the decoding of a full asset in microseconds.

python decode.py ours|json|official FILE
"""

import json
import sys
import time
from pathlib import Path

from process import report

MEASURED_SECONDS = 0.3
# Between two readings of the clock, each of which takes 1 µs.
CALLS = 100


def our_decoder():
    """Return the decoder of API responses."""
    from livepeer_async.api.responses import decode_body
    from livepeer_async.http.messages import Response
    from livepeer_async.models import Asset

    return lambda body: decode_body(Response(status=200, body=body), Asset)


def official_decoder():
    """Return the official SDK's decoder."""
    from livepeer.models import components
    from livepeer.utils import unmarshal_json

    return lambda body: unmarshal_json(body.decode(), components.Asset)


DECODERS = {"ours": our_decoder, "json": lambda: json.loads, "official": official_decoder}


def main(side, path):
    """Report the CPU time of a call."""
    decode, body = DECODERS[side](), Path(path).read_bytes()
    decode(body)
    calls, began = 0, time.process_time()
    while (seconds := time.process_time() - began) < MEASURED_SECONDS:
        for _ in range(CALLS):
            decode(body)
        calls += CALLS
    report(microseconds=1e6 * seconds / calls)


main(*sys.argv[1:])
