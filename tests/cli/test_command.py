"""Help, usage errors and wrong names of commands."""

import pytest

from support.command_line import Terminal, lines_of, plain

COMMANDS = (
    "upload",
    "ingest",
    "demo",
    "sandbox",
    *("assets get", "assets list", "assets wait", "assets delete", "assets import"),
    *("assets update", "assets retry", "assets download", "assets open"),
    *("journal list", "journal orphans", "journal forget"),
)


@pytest.mark.parametrize("group", ["", "assets", "journal"])
def test_summaries_of_commands_are_whole(group, run_here):
    printed = run_here(*group.split(), "--help", COLUMNS="80").stdout.decode()
    assert "..." not in printed.partition("Commands:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_values_instead_of_types(command, run_here):
    printed = run_here(*command.split(), "--help", COLUMNS="80").stdout.decode()
    for kind in ("range>", "<str", "<list", "]...", "}...", "<int", "<float"):
        assert kind not in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("upload", "upload [OPTIONS] FILE..."),
        ("assets wait", "assets wait [OPTIONS] ID..."),
        ("journal orphans", "journal orphans [OPTIONS] [ID...]"),
        ("ingest", "ingest [OPTIONS] MANIFEST"),
    ],
)
def test_usage_of_arguments_is_plain(command, usage, run_here):
    first = lines_of(run_here(*command.split(), "--help").stdout)[0]
    assert first == f"Usage: livepeer-async {usage}"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ("assets rename x", "use livepeer-async assets update ID --name NAME"),
        ("assets rm x", "use livepeer-async assets delete"),
        ("list", "use livepeer-async assets list or livepeer-async journal list"),
        ("download x", "use livepeer-async assets download"),
        ("forget x", "use livepeer-async journal forget"),
        ("rm x", "use livepeer-async assets delete"),
        ("journal delete x", "use livepeer-async journal forget"),
        ("assets upload x", "use livepeer-async upload"),
        ("assets help", "use livepeer-async assets --help"),
        ("orphan", "did you mean livepeer-async journal orphans?"),
        ("uplaod x", "did you mean livepeer-async upload?"),
    ],
)
def test_wrong_name_of_a_command_gets_the_right_one(arguments, advice, run_here):
    done = run_here(*arguments.split())
    assert (done.returncode, done.stdout) == (2, b"")
    name = arguments.removeprefix("assets ").removeprefix("journal ").split()[0]
    assert lines_of(done.stderr)[-1] == f"Error: No such command '{name}'; {advice}"


def test_unknown_command_is_only_named(run_here):
    done = run_here("frobnicate")
    assert lines_of(done.stderr)[-1] == "Error: No such command 'frobnicate'"


def test_usage_errors_are_not_broken_within_words():
    terminal = Terminal("upload", "a.mp4", "--creator", "7", columns=50)
    assert terminal.finish() == 2
    error = plain(terminal.screen).partition("Error: ")[2].split("\r\n")
    assert len(error) > 1
    assert all(len(line) <= 50 for line in error)
