"""What came between an upload and its next byte, in as many words as there is room for. Pure."""

from __future__ import annotations

import re

from rich.cells import cell_len

from livepeer_async.cli.text import LONGEST_SENTENCE, shorten, show_countdown
from livepeer_async.uploads.retry import Setback

# What a reason says first; where, and who said it, is for a log.
_REASON_ENDS = re.compile(r" (?:to|from) (?:[A-Z]+ )?https?://| for [A-Z]+ https?://| \(|: |; | \[")


def tell_setback(setback: Setback, seconds: float, width: int) -> str:
    """Say what came between and when it goes on, the most that fits into so many cells."""
    when = f" in {show_countdown(seconds)}" if seconds else ""
    reason = name_reason(setback.reason)
    attempt = f"try {setback.attempt} of {setback.attempts}{when}"
    candidates = (f"{reason}, {attempt}", f"{reason}, try{when}", attempt, f"next try{when}")
    return next((it for it in candidates if cell_len(it) <= width), f"try{when}")


def name_reason(reason: str) -> str:
    """Say in a few words what an error says in a sentence."""
    said = _REASON_ENDS.split(reason, maxsplit=1)[0]
    if said.isdecimal():
        return f"answer {said}"
    # The name of a class stands where the network gave no words.
    return "connection lost" if said.endswith("Error") else shorten(said, LONGEST_SENTENCE)
