"""What the command line can ask for, as values."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from livepeer_async.client import Verify
from livepeer_async.waiting import READY_TIMEOUT

Storage = Literal["file", "s3"]
Asked = Literal["size", "hash", "none"]

# Eight setbacks in a row survive an outage of a minute, on the average.
RETRIES = 8
# At first nothing is lost by giving up, and somebody waits: two take about a second.
FIRST_RETRIES = 2


class UploadChoices(Struct, frozen=True, kw_only=True):
    """What the command line asks of an upload.

    Attributes:
        name: of the asset, instead of the file's.
        storage: of the embedded sandbox; `None` uploads to the server of the environment.
        is_waited_for: whether to wait for `ready`.
        verify: how far to compare.
        concurrency: uploads at the same time.
        timeout: seconds to wait for `ready`.
        retries: setbacks without progress that are borne.
        journal: the file that remembers the uploads; `None` for the user's own.
        is_remembered: whether there is a journal.
        is_again: whether what an earlier run has finished is uploaded anew.
        is_json: whether to write JSON instead of a table.
    """

    name: str | None = None
    storage: Storage | None = None
    is_waited_for: bool = True
    verify: Verify = "size"
    concurrency: int | None = None
    timeout: float = READY_TIMEOUT
    retries: int = RETRIES
    journal: str | None = None
    is_remembered: bool = False
    is_again: bool = False
    is_json: bool = False
