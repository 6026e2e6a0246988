"""Uploads in a given state, without a server."""

from livepeer_async.http.messages import Response
from livepeer_async.tus import (
    ChunkAccepted,
    ChunkTooLarge,
    Created,
    Gone,
    Interrupted,
    OffsetKnown,
    Refused,
    ServerLimits,
    State,
    Terminated,
    TusUpload,
)
from tus.servers import ENDPOINT

URL = f"{ENDPOINT}/1"
LENGTH = 20
CREATED = Response(status=201, headers={"location": URL})
RESPONSES = {
    Created: CREATED,
    OffsetKnown: Response(status=200, headers={"upload-offset": "0", "upload-length": "20"}),
    ChunkAccepted: Response(status=204, headers={"upload-offset": "20"}),
    Terminated: Response(status=204),
    Interrupted: Response(status=500),
    ChunkTooLarge: Response(status=413),
    Gone: Response(status=404),
    Refused: Response(status=403),
}
# The events that lead to each state.
PATHS = {
    State.UNCREATED: [],
    State.OFFSET_UNKNOWN: [Created, Interrupted],
    State.TRANSFERRING: [Created],
    State.COMPLETE: [Created, ChunkAccepted],
    State.GONE: [Created, Gone],
    State.TERMINATED: [Created, Terminated],
}


def upload_in(state, **more):
    upload = TusUpload(**{"endpoint": ENDPOINT, "length": LENGTH} | more)
    for event in PATHS[state]:
        if event is Terminated:
            upload.terminate()
        else:
            upload.next_step()
        upload.receive(RESPONSES[event])
    assert upload.state is state
    return upload


def snapshot(upload):
    """Return all attributes, those of nested objects too."""
    return {
        name: dict(getattr(value, "__dict__", {})) or value for name, value in vars(upload).items()
    }


def settle_offset(upload, offset, length=LENGTH):
    """Respond to each HEAD with an offset until it has settled, or the upload is lost."""
    while upload.state is State.OFFSET_UNKNOWN:
        upload.next_step()
        headers = {"upload-offset": str(offset), "upload-length": str(length)}
        upload.receive(Response(status=200, headers=headers))


ALIGNED = ServerLimits(align=8, tail_alone=True, first_chunk=8, settle=1.0)
