"""The command `livepeer-async ingest`, as typer reads it; `ingesting` does the work."""

# ruff: noqa: PLC0415 - a command imports what it needs: `--help` shouldn't wait for all of it

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from livepeer_async.cli.options import (
    INGEST_RETRIES,
    TIMEOUTS,
    AsJson,
    ChunkResponse,
    Concurrency,
    IngestChoices,
    JournalFile,
    NoJournal,
    NoWait,
    OfSandbox,
    Stall,
    StorageWithSandbox,
    Timeout,
    Verified,
    check_journal,
    check_storage,
)
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.ingest.patterns import is_video
from livepeer_async.polling.intervals import READY_TIMEOUT
from livepeer_async.scheduling.adaptive import MIN_UPLOAD_RATE

ABOUT = """Upload all that a manifest names, unattended, and wait until it is ready.

A journal remembers each row by its key. However a run ends, the same command goes on from there:
what is ready isn't uploaded again, what failed is tried again. Ctrl-C sends the chunks that run to
their ends; a second one ends at once.

\b
MANIFEST is one of
  videos.jsonl        an object on each line (.jsonl, .ndjson)
  videos.csv          a table with a header (.csv, .tsv; comma,
                      semicolon or tab)
  shows/              all videos in a folder and below it
  'shows/**/*.mp4'    all that fits a glob
A row has one of path (relative to the manifest's folder), url and
source (either of them); it may have key (its name in the journal; by
default the absolute path, or the URL), name, playbackPolicy,
creatorId and the API's other fields for a new asset.

\b
A row that can't be used is told as FILE:LINE before anything starts,
and passed over; with --strict nothing starts then:
  - a line that is no object, has bytes that aren't UTF-8, or is
    longer than 1 MiB; a cell too many; a quote without an end
  - a column or field that is unknown: in a header, all rows are bad
  - a key that stands in a line before
  - a path or a link out of the folder, without --allow-outside
  - a file that isn't there, is empty, too long, or can't be read
  - a link that leads round in a circle, or to nothing
  - a URL that isn't http or https
A manifest that names nothing at all ends with the exit status 1.
Read as it should be: UTF-16 and UTF-8 with a mark of byte order,
CRLF, blank lines. In folders hidden files and what is no video are
passed over, and links to folders aren't followed.

\b
While it runs:
  - a file that goes away or changes between the check and the end of
    its upload fails; the next run tries it again
  - a URL that redirects is the server's to follow; with --relay it is
    followed 5 times at most, and never from https to http
  - a journal of another account is refused; one of another manifest
    does no harm, for one journal may serve many
  - a report on a full disk keeps whole lines and lacks others, the
    uploads go on, and the exit status is 1

The report, and standard output with --json, has a line for each row: key, place, state (ready,
arrived, failed, unfinished, bad), asset_id, playback_id, bytes, seconds, attempts, verified,
error {type, message}, is_earlier. It takes the place of an earlier report, with --check as well,
where it has the bad rows alone; the next run writes all of them again.
"""
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?(?:/s)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def read_rate(text: str) -> float:
    """Read bytes per second, as 10M, 10MiB or 512k; the units are of 1024, as curl's."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no rate; wanted bytes per second, as 10M or 512k")
    rate = float(match[1]) * _UNITS[match[2].lower()]
    if rate < MIN_UPLOAD_RATE:
        raise typer.BadParameter(
            f"{text} is too slow; wanted at least {MIN_UPLOAD_RATE // 1024}k bytes per second, or "
            "a chunk would take longer than the server waits"
        )
    return rate


Place = Annotated[
    str, typer.Argument(metavar="MANIFEST", help="A file, a folder, or a glob in quotes.")
]
Others = Annotated[list[str] | None, typer.Argument(hidden=True)]
Check = Annotated[
    bool, typer.Option("--check", help="Only look through the manifest; needs no key.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Start nothing where any row is bad.")]
Relay = Annotated[
    bool, typer.Option("--relay", help="Fetch URLs here and upload them; else the server does.")
]
AllowOutside = Annotated[
    bool, typer.Option("--allow-outside", help="Take files outside of the manifest's folder too.")
]
Report = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write a line of JSON about each row, as it ends."),
]
MaxRate = Annotated[
    float | None,
    typer.Option(
        parser=read_rate,
        metavar="RATE",
        help="Bytes per second of all together, as 10M or 512k, where M is 1,048,576 bytes; by "
        "default no limit.",
    ),
]
Retries = Annotated[
    int,
    typer.Option(
        min=0,
        help="Attempts to go on after the last progress, seven minutes or so with 20. A full "
        "queue is waited out for a day.",
    ),
]


def ingest(  # noqa: PLR0913 - the options of the command, as typer wants them
    manifest: Place,
    others: Others = None,
    *,
    check: Check = False,
    strict: Strict = False,
    relay: Relay = False,
    allow_outside: AllowOutside = False,
    report: Report = None,
    journal: JournalFile = None,
    no_journal: NoJournal = False,
    concurrency: Concurrency = None,
    max_rate: MaxRate = None,
    retries: Retries = INGEST_RETRIES,
    no_wait: NoWait = False,
    verify: Verified = "size",
    timeout: Timeout = READY_TIMEOUT,
    stall: Stall = TIMEOUTS.stall,
    chunk_response: ChunkResponse = TIMEOUTS.chunk_response,
    sandbox: OfSandbox = False,
    storage: StorageWithSandbox = None,
    json: AsJson = False,
) -> None:
    """Run the command."""
    check_storage(storage, is_sandbox=sandbox)
    check_journal(journal, is_forbidden=no_journal)
    _check_files(manifest, others, report)
    choices = IngestChoices(
        storage=(storage or "file") if sandbox else None,
        is_checked_only=check,
        is_strict=strict,
        is_relayed=relay,
        allow_outside=allow_outside,
        is_waited_for=not no_wait,
        verify=None if verify == "none" else verify,
        concurrency=concurrency,
        max_rate=max_rate,
        timeout=timeout,
        timeouts=Timeouts(stall=stall, chunk_response=chunk_response),
        retries=retries,
        journal=journal,
        is_remembered=not no_journal and not sandbox,
        report=report,
        is_json=json,
    )
    _run(manifest, choices)


def _run(place: str, choices: IngestChoices) -> None:
    from livepeer_async.cli.ingest import Ingesting
    from livepeer_async.cli.running import run

    command = Ingesting(place, choices)
    run(command.run, on_interrupt=command.explain_interruption)


def _check_files(place: str, others: list[str] | None, report: str | None) -> None:
    if others:
        raise typer.BadParameter(
            f"one MANIFEST is wanted, and {others[0]!r} is one more: put a glob in quotes, as "
            "'shows/*.mp4', or name the files to livepeer-async upload"
        )
    if is_video(place) and Path(place).is_file():
        raise typer.BadParameter(
            f"{place} is a video and no manifest: livepeer-async upload {quote(place)}"
        )
    if report == "-":
        raise typer.BadParameter("--report takes a file: --json writes to standard output")
