"""Bulk ingestion: uploads all videos of a manifest, unattended, and reports events.

A manifest is a file of JSON lines or CSV, a folder, or a glob. With a journal, the same call
resumes after an interruption of any kind.

# Example

```python
import asyncio

from livepeer_async import AsyncLivepeer, RetryPolicy
from livepeer_async.ingest import BadRow, RowEnded, ingest


async def main() -> None:
    unattended = RetryPolicy(attempts=20, busy_timeout=24 * 3600)
    async with AsyncLivepeer(journal="shows.journal", retry=unattended) as livepeer:
        async with ingest(livepeer, "shows") as events:
            async for event in events:
                if isinstance(event, BadRow):
                    print(event.location, event.message)
                elif isinstance(event, RowEnded):
                    print(event.row.key, event.state, event.playback_id, event.error)


asyncio.run(main())
```

# From the shell

    livepeer-async ingest shows/ --report report.jsonl
    livepeer-async ingest shows.csv --check       # check the manifest; needs no key and no network
    livepeer-async ingest 'shows/**/*.mp4' --max-rate 10M

The exit status is 1 if a row is bad or not finished, with `--check` as well.

# Manifests

JSON lines (.jsonl, .ndjson, .json-lines) have one object per line:

    {"path": "2024/opening.mp4", "name": "Opening", "key": "opening-2024"}
    {"url": "https://files.example/closing.mp4", "playbackPolicy": {"type": "jwt"}}

A table (.csv, .tsv) has a header, and commas, semicolons or tabs. Cells of text fields are used as
they are; other cells are JSON, or `public` or `jwt` as a playback policy. An empty cell is an
absent field. Column names are compared without case, spaces and underscores, so `Creator ID` is
`creatorId`:

    path,name,key,playbackPolicy
    2024/opening.mp4,Opening,opening-2024,jwt
    2024/closing.mp4,Closing,closing-2024,

A folder means all videos in it and below it, sorted within each folder. Videos are recognised by
their suffix. Hidden files and folders are skipped.

A glob such as `shows/**/*.mp4` means the matching files; `**` matches any number of folders. A glob
without a suffix, such as `shows/*`, matches videos only.

`open_manifest(path, name_template="{parent} - {stem}")` and `--name-template` name all assets:
`{name}` is the row's name or the file's, `{stem}` the file's without its suffix, `{path}` the path
relative to the manifest's folder, `{parent}` the name of the file's folder, and `{row}` the
position in the manifest (`{row:03}` has three digits); `{key}` and `{creatorId}` are those of the
row. An unknown field is an error, and a row without a field that is used is bad. `--check` prints
the names. A name isn't a key: another name uploads nothing again.

`open_manifest(path, allow_outside=True)` permits paths and links that lead out of the manifest's
folder.

# Columns

Exactly one of:

- `path`: relative to the manifest's folder, or absolute.
- `url`: http or https. The server fetches it; with `relay=True`, it is streamed through this
  machine.
- `source`: a path or a URL.

Optional, in camelCase or snake_case:

- `key`: the name of the upload in the journal, unique in the manifest. Defaults to the file's
  absolute path, or the URL. Give rows with signed URLs a key, because the next signature makes
  another URL; under the same key, only the query and the userinfo of the URL may change.
- `name`: defaults to the file's path relative to the manifest's folder, such as `2024/opening.mp4`,
  which tells files of one name apart; or to the name of the file that a URL names.
- `staticMp4`, `playbackPolicy`, `creatorId`, `storage`, `encryption`, `c2pa`, `profiles` and
  `targetSegmentSizeSecs`: the other fields of `livepeer_async.models.NewAsset`.

Types and names of fields are checked before anything starts. Values that only the server can
validate, such as the type of a `playbackPolicy`, aren't.

# Odd manifests and files

Bad rows are reported before anything starts, and the good rows run. With `strict=True`, nothing
starts if a row is bad. `check_manifest` checks a manifest without running it.

    Found                                           Result
    ----------------------------------------------  ------------------------------------------------
    byte order mark, UTF-16, CRLF, CR, blank lines  read
    ";" or tabs in a CSV file; a first line sep=;   read
    blank rows, columns without name and cells      skipped
    a title above the header of a table             skipped
    missing cells at the end of a row               absent fields
    bytes that aren't UTF-8                         row is bad
    line or row over 1 MiB                          row is bad
    cell over 131,072 characters                    row is bad
    JSON line that isn't an object                  row is bad
    cell outside the named columns                  row is bad
    quote that is never closed                      row is bad and hides the next rows; the message
                                                    names their lines
    unknown field, wrong type                       row is bad; the message names similar fields
    unknown or repeated column                      header is bad, so no row is read
    none or several of path, url and source         row is bad
    URL that isn't http or https, or has no host    row is bad
    row that repeats an earlier one: the same key,  one upload, with a RepeatedRow event; paths are
    path or URL, and fields                         compared as absolute ones, links by their names
    key of an earlier, different row                row is bad; two assets of one file need two keys
    path or link out of the manifest's folder       row is bad, unless allow_outside
    circular links                                  row is bad; in a folder, each folder is entered
                                                    once
    missing file                                    row is bad, unless an earlier run finished it;
                                                    --check and check_manifest use no journal
    empty file, file over 30 GiB, directory         row is bad
    file that Livepeer's pipeline refuses           with probe, row is bad when it comes up; with
                                                    strict, --check or check_manifest, at first
    file or folder that can't be read               row is bad
    glob that matches nothing                       one bad row
    file deleted after the check                    row fails; in a folder, the file is skipped
    file deleted or changed during its upload       row fails, and its asset is deleted; the
                                                    next run tries again
    file changed between check and upload           uploaded as it is when its upload begins
    file changed after its row was finished         row fails with SourceChanged, and its asset
                                                    stays; "livepeer-async journal forget KEY"
                                                    permits a new upload
    file touched or restored after that             as a changed one, unless its SHA-256 is the
                                                    recorded one, or with ignore_mtime
    manifest edited or deleted during the run       the run uses the old content
    key whose asset has another URL                 row fails, and the asset stays
    row in use by another process                   retried after the others, then UNFINISHED
    URL that redirects                              with relay: followed up to 5 times, but not from
                                                    https to http; else left to the server
    URL whose file changes during a relay           row fails with SourceChanged
    URL that the server couldn't fetch              the next run has it fetched with the signature
                                                    that the row has by then
    journal of another account or base URL          JournalError before anything starts
    journal with rows of other manifests            fine; one journal can serve many manifests

For the command `livepeer-async ingest`:

    Found                                           Result
    ----------------------------------------------  ------------------------------------------------
    report in use by another run                    error before anything starts
    file at --report that isn't a report            error before anything starts
    full disk under the report                      later rows are missing in it, and the exit
                                                    status is 1; the next run writes all rows
    full disk under the log                         log lines are lost, and the run continues
    closed terminal, SIGTERM                        like Ctrl-C; with nohup, the run continues

# Report

`livepeer-async ingest` writes a line of JSON for each row that has ended or is bad, those of
earlier runs included: to `--report FILE`, or by default to a file beside the journal, which is
named at the start and at the end. It has `key`, `place` (`FILE:LINE`, or a path), `state` (ready,
arrived, failed, unfinished, bad), `asset_id`, `playback_id`, `playerUrl` (a page that plays it;
null for assets that aren't public), `bytes`, `seconds`, `attempts`, `verified`, `error` (`type` and
`message`) and `is_earlier`. `playbackUrl` repeats `playerUrl`; in the API's documents of assets, it
is the HLS URL. Each run replaces the report, and never a file that isn't one. With
`--check`, or if `--strict` lets nothing start, it has the bad rows only. `--check` and `--json`
write no default report; `--no-report` turns it off.

# Events

The first events are the `BadRow`s and one `Checked`; the others come as they happen.

- `RepeatedRow`: a row repeats an earlier one; both are one upload.
- `BadRow`: a row can't be used; `location` is `FILE:LINE`, or a path.
- `Checked`: the whole manifest was checked.
- `RowStarted`: a row starts.
- `RowDeferred`: an attempt failed, and the row is retried after the others.
- `Halted`, `Resumed`: the server doesn't respond, or responds again.
- `Notice`: a fact about the whole run, such as a full queue; its `message` is for people.
- `RowEnded`: a row ended as `READY`, `UPLOADED` (with `wait=False`), `FAILED` or `UNFINISHED`.

An event is sent once, and the ingestion waits until it is received, `RowStarted` excepted. Progress
goes to `ingest(on_progress=...)`, which is called with a row and its `Progress`.

# Retries and outages

- A lost connection, a timeout or a busy server is retried within the upload first, as `RetryPolicy`
  says.
- A row that then fails for a transient reason is deferred: it is retried after the other rows, at
  least 5 seconds later, and has three attempts in a run. `livepeer_async.ingest.decisions` has the
  rules. Without a journal, a row that has an asset isn't retried, because a second asset would be
  created.
- After such a failure, and when no request has succeeded for 8 seconds, the server is pinged before
  another row starts. While it doesn't respond, nothing starts, and it is pinged with delays of up
  to a minute. After `outage_timeout`, by default
  a day, the run ends with the last error. Attempts that an outage ended don't count.
- A failed asset is processed again up to `reprocess` times if its failure may be transient, without
  a second upload.
- An asset with wrong bytes is replaced once, because `on_mismatch` defaults to `"reupload"`.
- With `relay=True`, a broken download is resumed if the origin sends a strong ETag or an old enough
  Last-Modified; else it is read again and compared. A compressed response, or one without a length
  or another certain end, fails the row.
- A wrong API key, one that may not create assets or look at them, or a journal that can't be used,
  ends the run. A key that may not list assets is enough.

# Journal

Pass `AsyncLivepeer(journal=...)`. A later run of the same manifest then

- reports finished rows from the journal (`RowEnded.is_earlier`), without a request;
- resumes uploads that were begun, also after a killed process;
- tries failed rows again;
- finds assets whose responses were lost, instead of creating second ones.

At its end, a run deletes leftovers that the journal knows to be useless. Without a journal, only
retries within the run are possible.

# Several machines

`ingest(..., cluster=client)`, and `--workers`, `--listen` and `--cluster` in the shell, upload by
other processes and machines. `livepeer_async.ingest.cluster` describes them.

# Stopping

`events.stop()` starts no more rows, finishes the chunks in flight and ends the events; running rows
end as `UNFINISHED`. Leaving the block early cancels everything at once. In the shell, the first
Ctrl-C does the former and the second the latter.

# Memory

Memory depends on the concurrency and not on the sizes of files. A manifest is read row by row, and
one folder is listed at a time. To find repeated keys, the check keeps about 120 bytes per row; the
peak for 100,000 rows is 16 MiB above an idle client.
"""

import warnings

from livepeer_async.ingest.check import check_manifest, check_rows
from livepeer_async.ingest.events import (
    Checked,
    Event,
    Halted,
    Notice,
    Resumed,
    RowDeferred,
    RowEnded,
    RowStarted,
    RowState,
)
from livepeer_async.ingest.ingestion import Ingestion
from livepeer_async.ingest.manifest import Manifest, open_manifest
from livepeer_async.ingest.rows import BadRow, RepeatedRow, Row
from livepeer_async.ingest.start import ingest

__all__ = [
    "BadRow",
    "Checked",
    "Event",
    "Halted",
    "Ingestion",
    "Manifest",
    "Notice",
    "RepeatedRow",
    "Resumed",
    "Row",
    "RowDeferred",
    "RowEnded",
    "RowStarted",
    "RowState",
    "check_manifest",
    "check_rows",
    "ingest",
    "open_manifest",
]


def __getattr__(name: str) -> object:
    """Return a deprecated name with a warning."""
    if name != "RowPutOff":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("RowPutOff was renamed to RowDeferred", DeprecationWarning, stacklevel=2)
    return RowDeferred
