import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from livepeer_async.cli.output.console import print_rows

ASSET = "af78a3fa-5cd8-4892-980a-d71a64aa5152"
HEADERS = ["name", "asset ID", "playback ID", "size", "time"]


def printed(rows, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_rows(console, HEADERS, rows)
    return console.file.getvalue().splitlines()


def row(name):
    return [name, ASSET, "af78cnwba775m8da", "139.6 KiB", "1.2 s"]


def test_a_row_is_a_line_where_there_is_room():
    header, line = printed([row("clip.mp4")], 100)
    assert header.split() == ["name", "asset", "ID", "playback", "ID", "size", "time"]
    assert line.split() == ["clip.mp4", ASSET, "af78cnwba775m8da", "139.6", "KiB", "1.2", "s"]


@pytest.mark.parametrize("width", [40, 60, 79, 80, 100, 140])
@pytest.mark.parametrize("name", ["clip.mp4", "n" * 5000, "日本" * 60, "[bold]x[/bold] :smile:\n"])
def test_no_line_is_wider_than_the_screen_and_no_id_is_cut(width, name):
    lines = printed([row(name), row("clip.mp4")], width)
    assert max(map(cell_len, lines)) <= width
    assert sum(ASSET in line for line in lines) == 2


def test_a_row_is_a_block_where_there_is_no_room():
    lines = printed([row("clip.mp4")], 60)
    assert lines[:2] == ["clip.mp4", f"  asset ID     {ASSET}"]


@pytest.mark.parametrize(("width", "is_there"), [(120, True), (90, False), (60, True)])
def test_the_dispensable_column_is_left_out_of_a_table_that_is_too_wide(width, is_there):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    headers = [*HEADERS, "SHA-256"]
    print_rows(console, headers, [[*row("clip.mp4"), "3be1f62d…"]], dispensable="SHA-256")
    said = console.file.getvalue()
    assert ("3be1f62d…" in said, "SHA-256" in said) == (is_there, is_there)
    assert "1.2 s" in said


def test_markup_in_a_name_is_shown_as_it_is():
    lines = printed([row("[red]:smile:[/red]")], 120)
    assert lines[1].startswith("[red]:smile:[/red] ")
