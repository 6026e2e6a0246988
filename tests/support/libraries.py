"""HTTP libraries whose clients users may pass: httpx, and httpx2 if it is installed.

httpx2 needs a newer anyio than the package's lower bound, so `nox -s lowest` runs without it.
"""

import importlib.util
import ssl

import httpx

LIBRARIES = [httpx]
if importlib.util.find_spec("httpx2"):
    LIBRARIES.append(importlib.import_module("httpx2"))

# Created once: loading the certificates takes longer than most tests.
TLS_CONTEXT = ssl.create_default_context()
