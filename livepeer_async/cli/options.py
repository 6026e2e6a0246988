"""Options that several commands share: their typer types, defaults and checks."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

import typer
from msgspec import Struct

from livepeer_async.cli.extras import require, require_sandbox
from livepeer_async.cli.output.links import hide_links
from livepeer_async.deferred import deferred_pattern
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.ingest.csv_rows import read_cell
from livepeer_async.ingest.fields import read_new_asset
from livepeer_async.ingest.rows import RowError
from livepeer_async.probing.probe import Probe
from livepeer_async.probing.rules import RULE_NAMES, RuleName
from livepeer_async.scheduling.adaptive import MIN_UPLOAD_RATE

Storage = Literal["file", "s3"]

TIMEOUTS = Timeouts()
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


class ClientOptions(Struct, frozen=True, kw_only=True):
    """Options of a command's client: its server, retries, timeouts and journal.

    Attributes:
        sandbox: storage of an embedded sandbox; `None` uses the server of the environment.
        retry: the retry policy once the server has responded.
        timeouts: the time limits of the network.
        journal: the journal's file; `None` for the default of the account.
        use_journal: whether to use a journal; the embedded sandbox has none.
    """

    sandbox: Storage | None = None
    retry: RetryPolicy = RetryPolicy(attempts=RETRIES)
    timeouts: Timeouts = TIMEOUTS
    journal: str | None = None
    use_journal: bool = False


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
    if rate < MIN_UPLOAD_RATE:
        raise typer.BadParameter(
            f"{text} is too slow; wanted at least {MIN_UPLOAD_RATE // 1024}k bytes per second, or "
            "the server times out before the end of a chunk"
        )
    return rate


Json = Annotated[bool, typer.Option("--json", help="Write JSON, one document per line.")]
JournalPath = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="FILE",
        help="The journal; by default one per API key in $XDG_STATE_HOME/livepeer-async.",
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
        "unlimited.",
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
        help=f"Switch off a rule of --probe: {', '.join(RULE_NAMES)}. May be repeated.",
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


def build_upload_options(
    verify: str, probe: Probe | None, *, no_wait: bool, ready_timeout: float, ignore_mtime: bool
) -> dict[str, Any]:
    """Return the options of each upload under the names that the client gives them."""
    return {
        "wait": not no_wait,
        "verify": None if verify == "none" else verify,
        "ready_timeout": ready_timeout,
        "ignore_mtime": ignore_mtime,
        "probe": probe,
    }


def build_probe(*, probe: bool, ignore: list[str] | None) -> Probe | None:
    """Check and combine the options of a probe; `None` if files aren't probed."""
    if not probe:
        if ignore:
            raise typer.BadParameter("--probe-ignore needs --probe")
        return None
    require("--probe", "av")
    unknown = set(ignore or ()) - set(RULE_NAMES)
    if unknown:
        raise typer.BadParameter(
            f"--probe-ignore is {min(unknown)!r}; wanted one of {', '.join(RULE_NAMES)}"
        )
    return Probe(ignore=cast("list[RuleName]", ignore or []))


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


def read_asset_fields(*, playback_policy: str | None, creator_id: str | None) -> dict[str, object]:
    """Return fields of a new asset as JSON values by the API's names, in the format of a CSV cell.

    Raises:
        typer.BadParameter: a value can't be used.
    """
    given = {"playbackPolicy": playback_policy, "creatorId": creator_id}
    fields: dict[str, object] = {}
    for name, text in given.items():
        if text is None:
            continue
        if not text.strip():
            raise typer.BadParameter(f"{name} is empty")
        try:
            fields[name] = read_cell(name, text)
            read_new_asset({"name": "", name: fields[name]})
        except RowError as error:
            raise typer.BadParameter(str(error)) from error
    return fields


def build_client_options(
    retry: RetryPolicy,
    timeouts: Timeouts,
    *,
    sandbox: bool,
    storage: Storage | None,
    journal: str | None,
    no_journal: bool,
) -> ClientOptions:
    """Check and combine the options that select the server and the journal."""
    if no_journal and journal:
        raise typer.BadParameter("--no-journal can't be combined with --journal")
    if storage is not None and not sandbox:
        raise typer.BadParameter("--storage needs --sandbox")
    if sandbox:
        require_sandbox("--sandbox")
        hide_links()
    return ClientOptions(
        sandbox=(storage or "file") if sandbox else None,
        retry=retry,
        timeouts=timeouts,
        journal=journal,
        use_journal=not no_journal,
    )
