"""Options of a running command, built from those of the command line."""

from __future__ import annotations

from typing import Any, cast

import typer
from msgspec import Struct

from livepeer_async.cli.extras import require, require_sandbox
from livepeer_async.cli.options import RETRIES, Storage
from livepeer_async.cli.output.links import hide_links
from livepeer_async.defaults import RuleName
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.ingest.csv_rows import read_cell
from livepeer_async.ingest.fields import read_new_asset
from livepeer_async.ingest.rows import RowError
from livepeer_async.probing.probe import Probe
from livepeer_async.probing.rules import RULE_NAMES

# `RetryPolicy` and `Timeouts` are for the commands, which import nothing else before they run.
__all__ = [
    "ClientOptions",
    "RetryPolicy",
    "Timeouts",
    "build_client_options",
    "build_probe",
    "build_upload_options",
    "read_asset_fields",
]


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
    timeouts: Timeouts = Timeouts()
    journal: str | None = None
    use_journal: bool = False


def build_upload_options(
    verify: str,
    probe: Probe | None,
    method: str,
    ready_timeout: float,
    *,
    no_wait: bool,
    ignore_mtime: bool,
) -> dict[str, Any]:
    """Return the options of each upload under the names that the client gives them."""
    return {
        "wait": not no_wait,
        "verify": None if verify == "none" else verify,
        "ready_timeout": ready_timeout,
        "ignore_mtime": ignore_mtime,
        "probe": probe,
        "method": method,
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


def read_asset_fields(playback_policy: str | None, creator_id: str | None) -> dict[str, object]:
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
