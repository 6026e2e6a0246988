"""FastAPI's test client, whose import warns with the lowest versions of Starlette."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from fastapi.testclient import TestClient

__all__ = ["TestClient"]
