import pytest
from rich.cells import cell_len
from rich.console import Console

from livepeer_async.cli.output import console
from livepeer_async.cli.output.console import print_table

ASSET = "af78a3fa-5cd8-4892-980a-d71a64aa5152"
HEADERS = ["name", "asset ID", "playback ID", "size", "time"]


@pytest.fixture
def printed(monkeypatch, capsys):
    def print_rows(rows, width, **options):
        terminal = Console(width=width, force_terminal=False, markup=False, emoji=False)
        monkeypatch.setattr(console, "output", lambda: terminal)
        print_table(HEADERS, rows, **options)
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


def test_markup_in_names_is_printed(printed):
    lines = printed([row("[red]:smile:[/red]")], 120)
    assert lines[1].startswith("[red]:smile:[/red] ")


EPISODES = [f"season-one-episode-{number:02}-of-the-long-road.mp4" for number in range(40)]


@pytest.mark.parametrize("width", [50, 80, 120])
def test_each_row_is_one_line_with_a_name_of_its_own(printed, width):
    header, *lines = printed([row(name) for name in EPISODES], width)
    assert header.startswith("name ")
    assert len(lines) == len({line.partition(ASSET)[0] for line in lines}) == len(EPISODES)
    assert max(map(cell_len, lines)) <= width
    assert ("af78cnwba775m8da" in lines[0]) is (width >= 80)


def test_useful_columns_come_first(printed, monkeypatch):
    names = ["n" * 30, "m" * 30]
    assert printed([row(name) for name in names], 80, order=["time", "size"])[0].split() == [
        *("name", "asset", "ID", "size", "time")
    ]
    assert "size" not in printed([row(name) for name in names], 80)[0]


def test_links_and_paths_in_messages_stay_whole(monkeypatch, capsys):
    terminal = Console(width=30, force_terminal=False, markup=False, emoji=False)
    monkeypatch.setattr(console, "messages", lambda: terminal)
    path = f"/home/me/{'folder/' * 6}shows.report.jsonl"
    console.print_note(f"the report of this run is {path} and has a line for each row")
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines][1] == path
    assert max(len(line) for line in lines if path not in line) <= 30


def test_id_has_a_line_of_its_own_below_50_columns(printed):
    lines = printed([row(name) for name in EPISODES[:2]], 40)
    assert [line.strip() for line in lines[1::2]] == [ASSET, ASSET]
    assert len(set(lines[::2])) == 2
