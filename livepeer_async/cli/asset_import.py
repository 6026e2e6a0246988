"""`livepeer-async assets import`: has the server fetch videos from URLs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import typer

from livepeer_async.cli.output.asset_details import print_asset
from livepeer_async.cli.output.console import print_error, print_note
from livepeer_async.cli.output.error_messages import (
    ExitStatus,
    Scope,
    exit_status_for,
    format_error,
)
from livepeer_async.cli.session import open_client
from livepeer_async.cli.upload_files import IMPORTABLE, read_scheme
from livepeer_async.errors import LivepeerError
from livepeer_async.http.messages import file_name_from_url
from livepeer_async.redaction import show_source

SCOPE = Scope(is_import=True)


def check_urls(urls: Sequence[str]) -> None:
    """Refuse arguments that the server can't fetch.

    Raises:
        typer.BadParameter: one isn't a URL, or has another scheme.
    """
    for url in urls:
        if read_scheme(url) not in IMPORTABLE:
            raise typer.BadParameter(
                f"{show_source(url)} isn't a URL that Livepeer can fetch; wanted http, https, ipfs "
                "or ar; use livepeer-async upload for files"
            )


async def import_assets(
    urls: Sequence[str], fields: Mapping[str, object], *, timeout: float | None, json: bool
) -> ExitStatus:
    """Import videos; a failure doesn't stop the others."""
    errors: list[LivepeerError] = []
    sources: dict[str, str] = {}
    async with open_client() as livepeer:
        for url in dict.fromkeys(urls):
            new_asset = {"name": file_name_from_url(url), **fields}
            try:
                ticket = await livepeer.assets.upload_from_url(url, new_asset)
            except LivepeerError as error:
                errors.append(error)
                print_error(f"{show_source(url)}: {format_error(error, SCOPE)}")
                continue
            sources[ticket.asset.id] = show_source(url)
            print_note(f"{show_source(url)}: asset {ticket.asset.id}")
            if timeout is None:
                print_asset(ticket.asset, json=json)
        if timeout is not None:
            async for result in livepeer.assets.wait_many(sources, timeout=timeout):
                if result.error is None:
                    print_asset(result.asset, json=json)
                else:
                    errors.append(result.error)
                    print_error(f"{sources[result.asset_id]}: {format_error(result.error, SCOPE)}")
    return exit_status_for(errors)
