"""Sources of each kind, made anew for each case, and closed after it."""

from contextlib import contextmanager

from livepeer_async import UploadJob
from support.sandbox import PART, make_bytes

LENGTH = 5 * PART + 1000
SMALL = 1000


def expected(case):
    """Give the bytes that the source of a case has."""
    length = SMALL if case.source == "small" else LENGTH
    return make_bytes(length, seed=case.seed % 251)


@contextmanager
def source_of(case, tmp_path):
    """Make what a user would hand in, as a job: the source and, for a stream, its length."""
    has = expected(case)
    if case.source in {"bytes", "small"}:
        yield UploadJob(has)
    elif case.source == "stream":
        yield UploadJob(pieces_of(has), length=len(has))
    elif case.source == "spooled":
        yield UploadJob(pieces_of(has))
    else:
        path = tmp_path / "video.mp4"
        path.write_bytes(has)
        if case.source == "path":
            yield UploadJob(path)
            return
        with path.open("rb") as file:
            yield UploadJob(file)


async def pieces_of(has):
    for start in range(0, len(has), PART // 2):
        yield has[start : start + PART // 2]
