"""Defaults and choices of options that signatures and the command line's help show.

Imports nothing of the package: showing the help must not import what it describes.
"""

from __future__ import annotations

from typing import Literal

# Seconds without progress of a request, and for the response to a chunk.
STALL_TIMEOUT = 30.0
CHUNK_RESPONSE_TIMEOUT = 300.0
# Seconds without a byte of a stream. It is nginx's `client_body_timeout`.
SOURCE_TIMEOUT = 60.0
# Seconds. Long videos take hours to transcode, but a wait must end.
READY_TIMEOUT = 6 * 3600.0

# The rules of a probe.
RuleName = Literal["tracks", "video-codec", "container", "pixel-format", "frame-rate"]
