"""Recorded responses of Livepeer Studio.

`tests/samples/index.json` names for each file the Struct that decodes it, the status of the
response, and the exchanges of the transcript that it was taken from.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from livepeer_async import models

FOLDER = Path(__file__).parent.parent / "samples"
INDEX: dict[str, Any] = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))


def decode(text: str | bytes, struct: Any) -> Any:
    """Decode a response as the package does."""
    return msgspec.json.Decoder(struct, strict=False).decode(text)


def read_text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def read_sample(name: str) -> Any:
    """Decode a sample with its Struct of the index."""
    struct = INDEX[name]["struct"]
    if struct.startswith("list["):
        return decode(read_text(name), list[getattr(models, struct[5:-1])])  # type: ignore[misc]
    return decode(read_text(name), getattr(models, struct))
