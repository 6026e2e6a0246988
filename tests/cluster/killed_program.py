"""Uploads a file, and is killed before or after one of the calls of its journal.

    python killed_program.py API_KEY BASE_URL JOURNAL PATH METHOD MOMENT NUMBER

METHOD is `transact` or `execute`; number 0 kills nothing.
"""

import asyncio
import functools
import json
import os
import signal
import sys

from livepeer_async import AsyncLivepeer
from livepeer_async.journal.postgres.session import Session
from support.constants import FAST_RETRY
from support.sandbox import SMALL_LIMITS


def kill_at(function, moment, number):
    """Wrap a function; its call of this number kills the process."""
    calls = 0

    @functools.wraps(function)
    def wrapped(*arguments):
        nonlocal calls
        calls += 1
        if (moment, calls) == ("before", number):
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments)
        if (moment, calls) == ("after", number):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


async def main(api_key, base_url, journal, path):
    options = {"journal": journal, "upload_limits": SMALL_LIMITS, "retry": FAST_RETRY}
    async with AsyncLivepeer(api_key, base_url=base_url, **options) as livepeer:
        asset = await livepeer.upload(path, key="talk")
        left = [leftover.asset.id for leftover in await livepeer.leftovers()]
        sys.stdout.write(json.dumps({"asset_id": asset.id, "left": left}))


if __name__ == "__main__":
    *arguments, method, moment, number = sys.argv[1:]
    setattr(Session, method, kill_at(getattr(Session, method), moment, int(number)))
    asyncio.run(main(*arguments))
