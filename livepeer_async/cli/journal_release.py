"""`livepeer-async journal release`: shows the owners of claims, and ends their sessions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread
import typer

from livepeer_async.cli.output.console import (
    output,
    print_error,
    print_json,
    print_note,
    print_table,
)
from livepeer_async.cli.output.error_messages import ExitStatus
from livepeer_async.cli.output.formatting import format_timestamp, pluralize
from livepeer_async.journal.extra import import_postgres
from livepeer_async.journal.location import hide_password, is_postgres_url

if TYPE_CHECKING:
    from livepeer_async.journal.postgres.administration import ListedOwner

HEADERS = ["owner", "host", "process", "since", "claims", "state"]


def check_url(journal: str | None) -> str:
    """Return the URL of a journal whose owners an administrator may release."""
    if is_postgres_url(journal):
        return journal
    raise typer.BadParameter(
        "--journal must be a postgresql:// URL: claims in a file end with their process"
    )


async def release(url: str, numbers: Sequence[int], *, json: bool) -> ExitStatus:
    """Print the owners, or end the sessions of some."""
    administration = import_postgres("administration")
    owners: list[ListedOwner] = await anyio.to_thread.run_sync(administration.list_owners, url)
    known = {owner.number: owner for owner in owners}
    status = ExitStatus.OK
    for number in dict.fromkeys(numbers):
        if number in known:
            ended = partial(administration.end_session, url, number)
            _print_released(known[number], has_ended=await anyio.to_thread.run_sync(ended))
        else:
            status = ExitStatus.FAILED
            print_error(f"{hide_password(url)} has no owner {number}")
    if not numbers:
        _print_owners(owners, url, json=json)
    return status


def _print_released(owner: ListedOwner, *, has_ended: bool) -> None:
    claims = pluralize(owner.claims, "claim")
    if has_ended:
        output().print(f"ended the session of owner {owner.number}, with {claims}")
        print_note(
            f"if process {owner.pid} on {owner.host} still runs, it connects again and goes on; "
            "else its claims are free after 20 s"
        )
    else:
        print_note(f"owner {owner.number} has no session any more; its {claims} will be free soon")


def _print_owners(owners: Sequence[ListedOwner], url: str, *, json: bool) -> None:
    if json:
        for owner in owners:
            print_json(
                {
                    "owner": owner.number,
                    "host": owner.host,
                    "pid": owner.pid,
                    "since": owner.since.isoformat(),
                    "claims": owner.claims,
                    "is_alive": owner.is_alive,
                }
            )
        return
    print_note(f"journal: {hide_password(url)}" + ("" if owners else " (no owners)"))
    rows = [
        [
            str(owner.number),
            owner.host,
            str(owner.pid),
            format_timestamp(owner.since.timestamp()),
            str(owner.claims),
            "running" if owner.is_alive else "gone",
        ]
        for owner in owners
    ]
    if rows:
        print_table(HEADERS, rows, order=["claims", "host", "process", "since"], state="state")
