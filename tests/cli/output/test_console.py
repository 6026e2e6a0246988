import pytest
from rich.cells import cell_len
from rich.console import Console

from livepeer_async.cli.output import console
from livepeer_async.cli.output.console import print_table

ASSET = "af78a3fa-5cd8-4892-980a-d71a64aa5152"
HEADERS = ["name", "asset ID", "playback ID", "size", "time"]


@pytest.fixture
def printed(monkeypatch, capsys):
    def print_rows(rows, width):
        terminal = Console(width=width, force_terminal=False, markup=False, emoji=False)
        monkeypatch.setattr(console, "output", lambda: terminal)
        print_table(HEADERS, rows)
        return capsys.readouterr().out.splitlines()

    return print_rows


def row(name):
    return [name, ASSET, "af78cnwba775m8da", "139.6 KiB", "1.2 s"]


def test_wide_terminal_shows_a_table(printed):
    header, line = printed([row("clip.mp4")], 100)
    assert header.split() == ["name", "asset", "ID", "playback", "ID", "size", "time"]
    assert line.split() == ["clip.mp4", ASSET, "af78cnwba775m8da", "139.6", "KiB", "1.2", "s"]


@pytest.mark.parametrize("width", [40, 60, 79, 80, 100, 140])
@pytest.mark.parametrize("name", ["clip.mp4", "n" * 5000, "日本" * 60, "[bold]x[/bold] :smile:\n"])
def test_lines_fit_and_ids_are_whole(printed, width, name):
    lines = printed([row(name), row("clip.mp4")], width)
    assert max(map(cell_len, lines)) <= width
    assert sum(ASSET in line for line in lines) == 2


def test_narrow_terminal_shows_fields(printed):
    lines = printed([row("clip.mp4")], 60)
    assert lines[:2] == ["clip.mp4", f"  asset ID     {ASSET}"]


def test_markup_in_names_is_printed(printed):
    lines = printed([row("[red]:smile:[/red]")], 120)
    assert lines[1].startswith("[red]:smile:[/red] ")
