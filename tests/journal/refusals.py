"""Uploads with a journal that can't be used."""

import logging
import traceback

import pytest

from livepeer_async import AsyncLivepeer, JournalError, UploadInUse
from support.constants import NO_RETRIES, UNREACHABLE_API

# In passwords, and in no message.
SECRET = "s3cr3t"


async def fail_with(url, caplog):
    """Upload with a journal that can't be used; return the message without the URL."""
    caplog.set_level(logging.DEBUG)
    livepeer = AsyncLivepeer("key", base_url=UNREACHABLE_API, retry=NO_RETRIES, journal=url)
    with pytest.raises(JournalError) as caught:
        async with livepeer:
            await livepeer.upload(b"video", "talk.mp4", key="talk")
    error, shown = caught.value, livepeer.journal.path
    assert not isinstance(error, UploadInUse)
    printed = "".join(traceback.format_exception(error))
    for text in (str(error), repr(error), printed, repr(livepeer.journal), caplog.text):
        assert SECRET not in text
    assert error.path == shown
    assert "\n" not in str(error)
    message = str(error)
    assert message.startswith(f"the journal {shown} ")
    return message.removeprefix(f"the journal {shown} ")
