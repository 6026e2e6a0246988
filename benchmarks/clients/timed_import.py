"""Times imports in a new interpreter, in milliseconds of CPU.

python timed_import.py
"""

import time

began = time.process_time()
import aiofiles  # noqa: E402, F401
import anyio  # noqa: E402, F401
import httpx  # noqa: E402, F401
import msgspec  # noqa: E402, F401

imported = time.process_time()
from livepeer_async import AsyncLivepeer  # noqa: E402, F401

ended = time.process_time()

from process import report  # noqa: E402

report(dependencies=1000 * (imported - began), package=1000 * (ended - imported))
