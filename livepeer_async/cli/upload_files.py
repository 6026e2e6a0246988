"""Checks of FILE and MANIFEST arguments: others are refused, with the command that is meant."""

from __future__ import annotations

import os.path
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from urllib.parse import unquote, urlsplit

import typer

from livepeer_async.cli.stdin import STANDARD_INPUT
from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest.files import find_files, has_magic, split_glob
from livepeer_async.ingest.manifest import JSONL_SUFFIXES, SPREADSHEET_SUFFIXES, TABLE_SUFFIXES
from livepeer_async.ingest.naming import FILE_FIELDS, NameTemplate
from livepeer_async.ingest.rows import Row, is_video
from livepeer_async.redaction import redact_url

# The schemes that the server fetches from.
IMPORTABLE = ("http", "https", "ipfs", "ar")
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
# fmt: off
_TEXT_SUFFIXES = (
    ".txt", ".json", ".html", ".htm", ".md", ".log", ".xml", ".yaml", ".yml", ".toml", ".m3u8",
    ".m3u", ".mpd", ".srt", ".vtt", ".sh", ".py",
)
# fmt: on


def check_files(files: Sequence[str], *, name: str | None) -> None:
    """Refuse arguments that can't be uploaded as videos, before anything starts.

    Raises:
        typer.BadParameter: one is a URL, a pattern, a manifest, a folder, a text or empty; or the
            options don't fit.
    """
    for file in files:
        message = _find_mistake(file)
        if message is not None:
            raise typer.BadParameter(message)
    if name is not None and len(files) > 1:
        raise typer.BadParameter("--name needs a single FILE")
    if files.count(STANDARD_INPUT) > 1:
        raise typer.BadParameter("standard input can be read once: use - once")
    if STANDARD_INPUT in files and sys.stdin.isatty():
        raise typer.BadParameter("standard input is a terminal: pipe a video into it, or use FILE")


def read_template(text: str | None, *, name: str | None) -> NameTemplate | None:
    """Return the template of names, if there is one.

    Raises:
        typer.BadParameter: it can't be used, or there is a name too.
    """
    if text is None:
        return None
    if name is not None:
        raise typer.BadParameter("--name-template can't be combined with --name")
    try:
        return NameTemplate(text, FILE_FIELDS)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from error


def check_manifest(manifest: str) -> None:
    """Refuse what isn't a manifest: a URL, a spreadsheet or a video.

    Raises:
        typer.BadParameter: it is one of these.
    """
    if read_scheme(manifest) and not os.path.lexists(manifest):
        raise typer.BadParameter(
            f"{redact_url(manifest)} is a URL: download the manifest, and use livepeer-async "
            "ingest FILE; to have Livepeer fetch a video, use livepeer-async assets import"
        )
    if Path(manifest).suffix.lower() in SPREADSHEET_SUFFIXES:
        raise typer.BadParameter(explain_spreadsheet(manifest))
    if is_video(manifest) and Path(manifest).is_file():
        raise typer.BadParameter(
            f"{manifest} is a video, not a manifest: use livepeer-async upload {quote(manifest)}"
        )


def read_scheme(url: str) -> str:
    """Return the scheme of a URL in lower case; "" for anything else."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else ""


def explain_spreadsheet(file: str) -> str:
    """Return the message for a spreadsheet that isn't a table of text."""
    table = quote(str(Path(file).with_suffix(".csv")))
    return f"{file} is a spreadsheet: save it as CSV, and use livepeer-async ingest {table}"


def _find_mistake(file: str) -> str | None:
    """Return the message for an argument that isn't a video; `None` for one that may be."""
    if not file:
        return "a FILE is empty: wanted a path; check the variables of the command"
    if os.path.lexists(file):
        return _explain_file(file)
    scheme = read_scheme(file)
    if scheme:
        return _explain_url(file, scheme)
    return _explain_glob(file) if has_magic(file) else _explain_file(file)


def _explain_file(file: str) -> str | None:
    path = Path(file)
    ingest = f"livepeer-async ingest {quote(file)}"
    suffix = path.suffix.lower()
    if path.is_dir():
        return f"{file} is a folder: to upload the videos in it, use {ingest}"
    if suffix in (*TABLE_SUFFIXES, *JSONL_SUFFIXES):
        return f"{file} is a manifest, not a video: to upload what it lists, use {ingest}"
    if suffix in SPREADSHEET_SUFFIXES:
        return explain_spreadsheet(file)
    if suffix in _ARCHIVE_SUFFIXES:
        return f"{file} is an archive, not a video: unpack it, and upload the videos in it"
    if suffix in _TEXT_SUFFIXES:
        return f"{file} is a text, not a video; livepeer-async ingest takes lists (.csv, .jsonl)"
    return None


def _explain_url(url: str, scheme: str) -> str:
    shown = redact_url(url)
    if scheme in IMPORTABLE:
        # The query, which may hold a signature, isn't shown.
        argument = quote(url) if shown == url else "URL"
        return (
            f"{shown} is a URL: to have Livepeer fetch it, use livepeer-async assets import "
            f"{argument}"
        )
    if scheme == "s3":
        return (
            f"{shown} is a URL that Livepeer can't fetch: use aws s3 cp {quote(shown)} - | "
            "livepeer-async upload -, or livepeer-async assets import with a presigned https URL"
        )
    if scheme == "file":
        path = unquote(urlsplit(url).path)
        return f"{path} is given as a file:// URL: use livepeer-async upload {quote(path)}"
    return f"{shown} is a URL that Livepeer can't fetch: download it, and upload the file"


def _explain_glob(pattern: str) -> str:
    folder, parts = split_glob(pattern)
    found = find_files(folder, parts, allow_outside=True, on_skipped=lambda: None)
    if not any(isinstance(row, Row) for row in found):
        return f"{pattern} matches no video: check the pattern and the working directory"
    return (
        f"{pattern} is a pattern that your shell hasn't expanded: use livepeer-async ingest "
        f"{quote(pattern)}, or leave out the quotes"
    )
