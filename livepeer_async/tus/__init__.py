"""The tus engine by itself: for any tus 1.0 server, and for anyone's own I/O.

`TusClient` uploads to any server. `TusUpload` is the pure core: it says what to send and is told
what came back. It can be driven with any I/O:

    upload = TusUpload(endpoint=url, length=size)
    while not upload.is_over:
        move = upload.next_move()
        sleep(move.wait)
        upload.receive(send(move.request))        # or upload.interrupt("connection lost")
"""

from livepeer_async.tus.client import TusClient
from livepeer_async.tus.driver import Driver, Send
from livepeer_async.tus.events import (
    ChunkAccepted,
    ChunkTooLarge,
    Created,
    Event,
    Gone,
    Interrupted,
    OffsetKnown,
    Refused,
    Terminated,
)
from livepeer_async.tus.limits import (
    ServerLimits,
    livepeer_limits,
    plan_chunk,
    plan_creation,
    with_chunk_size,
)
from livepeer_async.tus.metadata import MetadataValue, decode_metadata, encode_metadata
from livepeer_async.tus.protocol import TusUpload
from livepeer_async.tus.requests import ServerFeatures
from livepeer_async.tus.states import Command, State, Step

__all__ = [
    "ChunkAccepted",
    "ChunkTooLarge",
    "Command",
    "Created",
    "Driver",
    "Event",
    "Gone",
    "Interrupted",
    "MetadataValue",
    "OffsetKnown",
    "Refused",
    "Send",
    "ServerFeatures",
    "ServerLimits",
    "State",
    "Step",
    "Terminated",
    "TusClient",
    "TusUpload",
    "decode_metadata",
    "encode_metadata",
    "livepeer_limits",
    "plan_chunk",
    "plan_creation",
    "with_chunk_size",
]
