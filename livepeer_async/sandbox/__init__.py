"""An embedded Livepeer Studio for tests and demonstrations: `async with Sandbox() as sandbox`.

It behaves as the real server was recorded to behave, its quirks included, and goes wrong in
scripted ways where a test asks for it. It shares no code with the client that it judges.
"""

from livepeer_async.sandbox.faults import (
    Action,
    Answer,
    ChangeBody,
    ChangeHeaders,
    CutAnswer,
    CutConnection,
    FailProcessing,
    Fault,
    Garbage,
    HangUp,
    LoseAnswer,
    On,
    Redirect,
    ShiftOffset,
    Slow,
    Stall,
    WrongSize,
)
from livepeer_async.sandbox.request_log import SeenRequest, Violation

try:
    from livepeer_async.sandbox.server import Sandbox, SeenAsset
except ModuleNotFoundError as error:
    missing = (error.name or "").partition(".")[0]
    if missing not in ("starlette", "uvicorn"):
        raise
    raise ImportError(
        f'the sandbox needs {missing}: pip install "livepeer-async[sandbox]"'
    ) from error

__all__ = [
    "Action",
    "Answer",
    "ChangeBody",
    "ChangeHeaders",
    "CutAnswer",
    "CutConnection",
    "FailProcessing",
    "Fault",
    "Garbage",
    "HangUp",
    "LoseAnswer",
    "On",
    "Redirect",
    "Sandbox",
    "SeenAsset",
    "SeenRequest",
    "ShiftOffset",
    "Slow",
    "Stall",
    "Violation",
    "WrongSize",
]
