"""The HTTP libraries whose clients may be handed in: httpx, and its fork where it is installed.

The fork wants a newer anyio than the lowest that the package takes, so `nox -s lowest` is without.
"""

import importlib.util

import httpx

LIBRARIES = [httpx]
if importlib.util.find_spec("httpx2"):
    LIBRARIES.append(importlib.import_module("httpx2"))
