"""Options that several commands share: their typer types, defaults and checks.

Imports nothing that only a running command needs; see `client_options`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, get_args
from urllib.parse import urlsplit

import typer

from livepeer_async.defaults import RuleName
from livepeer_async.deferred import deferred_module, deferred_pattern

if TYPE_CHECKING:
    from livepeer_async.scheduling import adaptive
else:
    adaptive = deferred_module("livepeer_async.scheduling.adaptive")

Storage = Literal["file", "s3"]
# As the name of a file to write.
STANDARD_OUTPUT = "-"

# Survives an outage of a minute on average.
RETRIES = 8
# An ingestion is unattended: each upload survives seven minutes without progress on average.
INGEST_RETRIES = 20
# A full queue isn't a failure if it moves within a day.
INGEST_BUSY_TIMEOUT = 24 * 3600.0


_RATE = deferred_pattern(r"(\d+(?:\.\d+)?)\s*([kmgKMG]?)(?:i?B)?(?:/s)?")
# A small b stands for bits.
_BIT_RATE = deferred_pattern(r"[\d.]+\s*[kmg]?i?(?:b|bits?|bps)(?:/s)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def parse_rate(text: str) -> float:
    """Parse bytes per second, such as 10M, 10MiB or 512k; units are powers of 1024, as in curl."""
    match = _RATE.fullmatch(text.strip())
    if match is None and _BIT_RATE.fullmatch(text.strip()):
        raise typer.BadParameter(
            f"{text!r} is a rate in bits; wanted bytes per second (8 bits are a byte), such as "
            "10M, 10MB or 512k"
        )
    if match is None:
        raise typer.BadParameter(
            f"{text!r} isn't a rate; wanted bytes per second, such as 10M or 512k"
        )
    rate = float(match[1]) * _UNITS[match[2].lower()]
    if rate < adaptive.MIN_UPLOAD_RATE:
        raise typer.BadParameter(
            f"{text} is too slow; wanted at least {adaptive.MIN_UPLOAD_RATE // 1024}k bytes per "
            "second, or the server times out before the end of a chunk"
        )
    return rate


Json = Annotated[bool, typer.Option("--json", help="Write JSON, one document per line.")]
JournalPath = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="FILE",
        help="The journal, or the postgresql:// URL of one that several machines share; by default "
        "a file per API key in $XDG_STATE_HOME/livepeer-async.",
    ),
]
NoJournal = Annotated[
    bool, typer.Option("--no-journal", help="Use no journal: resume and record nothing.")
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        metavar="NUMBER",
        min=1,
        help="Concurrent uploads; by default adapted to the available bandwidth.",
    ),
]
UseSandbox = Annotated[
    bool, typer.Option("--sandbox", help="Upload to an embedded sandbox; needs no API key.")
]
SandboxStorage = Annotated[
    Storage | None, typer.Option("--storage", help="Storage of the sandbox, with --sandbox.")
]
NameTemplate = Annotated[
    str | None,
    typer.Option(
        "--name-template",
        metavar="TEXT",
        help="Names of the assets, such as '{parent} - {stem}'; fields are {name}, {stem}, {path}, "
        "{parent} and {row}, in a manifest also {key} and {creatorId}.",
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Don't wait until the assets are ready.")]
Verify = Annotated[
    Literal["size", "hash", "none"],
    typer.Option("--verify", help="Comparison of a ready asset with the bytes read."),
]
ReadyTimeout = Annotated[
    float,
    typer.Option(
        "--ready-timeout",
        metavar="SECONDS",
        min=0.001,
        help="Seconds to wait until an asset is ready.",
    ),
]
IgnoreMtime = Annotated[
    bool,
    typer.Option(
        "--ignore-mtime",
        help="Take a file of the journal for unchanged if its size is, even if it was touched, "
        "copied or restored from a backup.",
    ),
]
Stall = Annotated[
    float,
    typer.Option(
        "--stall",
        metavar="SECONDS",
        min=0.001,
        help="Seconds without a byte after which a connection is dropped.",
    ),
]
ChunkResponse = Annotated[
    float,
    typer.Option(
        "--chunk-response",
        metavar="SECONDS",
        min=0.001,
        help="Seconds to wait for the response to a chunk; the server responds once its storage "
        "has the bytes.",
    ),
]

MaxRate = Annotated[
    float | None,
    typer.Option(
        "--max-rate",
        parser=parse_rate,
        metavar="RATE",
        help="Bytes per second of all uploads, such as 10M or 512k (M is 1,048,576); by default "
        "unlimited. Processes on one PostgreSQL journal divide it.",
    ),
]
PlaybackPolicy = Annotated[
    str | None,
    typer.Option(
        "--playback-policy",
        metavar="TYPE",
        help="Access control, as in a manifest: public, jwt, or JSON such as "
        '\'{"type": "jwt"}\'; null is public.',
    ),
]
CreatorId = Annotated[
    str | None,
    typer.Option(
        "--creator-id",
        metavar="ID",
        help="Your own ID of the creator, as in a manifest: text, or JSON with a value and a type.",
    ),
]
UseProbe = Annotated[
    bool,
    typer.Option("--probe", help="Refuse files that Livepeer can't process, before their upload."),
]
ProbeIgnore = Annotated[
    list[str] | None,
    typer.Option(
        "--probe-ignore",
        metavar="RULE",
        help=f"Switch off a rule of --probe: {', '.join(get_args(RuleName))}. May be repeated.",
    ),
]


Method = Annotated[
    Literal["tus", "direct"],
    typer.Option(
        "--method",
        help="tus sends chunks and can resume; direct sends a file in one PUT, for networks that "
        "block tus and for small files.",
    ),
]


def check_url(url: str | None) -> str | None:
    """Check an absolute URL."""
    parts = urlsplit(url or "")
    if url is not None and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise typer.BadParameter(f"{url!r} isn't a URL; wanted http://HOST/PATH")
    return url


def check_api_key(key: str | None) -> str | None:
    """Check that an API key can be sent in a header."""
    if key is not None and not re.fullmatch("[!-~]+", key):
        raise typer.BadParameter("the key is empty, or has spaces or characters beyond ASCII")
    return key


def check_report(report: str | None) -> None:
    """Check the file of a report."""
    if report == "-":
        raise typer.BadParameter("--report needs a file: use --json for standard output")
