"""Sizes, time limits and retry policies that many tests use."""

from livepeer_async import RetryPolicy, Timeouts

KIB = 1024
MIB = 1024 * KIB

# Seconds within which anything expected happens, even on a busy machine.
TIMEOUT = 60.0
# Seconds for a delay that a test must not sit out.
VERY_LONG = 1000.0

# No server listens on this port.
CLOSED_PORT = "127.0.0.1:9"
UNREACHABLE_API = f"http://{CLOSED_PORT}/api"

NO_RETRIES = RetryPolicy(attempts=0)
FAST_RETRY = RetryPolicy(attempts=5, first_delay=0.01, max_delay=0.05)
# For responses that arrive, however busy the machine is.
LONG_TIMEOUTS = Timeouts(connect=30, stall=30, answer=30)
# For responses that never arrive, or never end.
SHORT_TIMEOUTS = Timeouts(connect=2, stall=0.3, answer=0.5, chunk_response=0.3)
