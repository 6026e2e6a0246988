"""Sources of each kind."""

from contextlib import contextmanager

from livepeer_async import UploadJob
from support.sandbox import PART, make_bytes
from support.streams import split

LENGTH = 5 * PART + 1000
SMALL_LENGTH = 1000


def expected_bytes(case):
    length = SMALL_LENGTH if case.source == "small" else LENGTH
    return make_bytes(length, seed=case.seed % 251)


@contextmanager
def open_source(case, folder):
    """Create the source of a case, and close it at the end of the block."""
    expected = expected_bytes(case)
    if case.source in {"bytes", "small"}:
        yield UploadJob(expected)
    elif case.source == "stream":
        yield UploadJob(split(expected, PART // 2), length=len(expected))
    elif case.source == "spooled":
        yield UploadJob(split(expected, PART // 2))
    else:
        path = folder / "video.mp4"
        path.write_bytes(expected)
        if case.source == "path":
            yield UploadJob(path)
            return
        with path.open("rb") as file:
            yield UploadJob(file)
