"""Databases that can't be a journal: each command ends with one sentence."""

import sys

import pytest

from support import command_line
from support.postgres import USER

SECRET = "s3cr3t"
MISSING = (
    "Error: a journal on PostgreSQL needs psycopg, which can't be imported here; "
    'pip install "psycopg[binary]"\n'
)
# The part of the URL after the user, and the end of the sentence.
CASES = {
    "upload": (f":{SECRET}@{{server}}/{{name}}", "refuses the user or the password: check "),
    "ingest": (":correct%20horse@{server}/videos", "isn't there: create the database, or correct "),
    "journal list": (f":{SECRET}@127.0.0.1:9/videos", "can't be reached: start its server, or "),
    "journal orphans": (f":{SECRET}@{SECRET}@{{server}}/{{name}}", "has a URL that libpq can't "),
    "journal forget": (f":{SECRET}@{{server}}/{{name}}?colour=red", "has a URL that libpq can't "),
    "journal release": (f"2:{SECRET}@{{server}}/{{name}}", "refuses the role: create it with "),
}


@pytest.mark.parametrize("command", CASES)
def test_journal_that_cannot_be_used_is_one_sentence(
    command, clip, folder, sandbox, run_here, empty_database
):
    rest, sentence = CASES[command]
    server = f"127.0.0.1:{empty_database.server.port}"
    url = f"postgresql://{USER}{rest.format(server=server, name=empty_database.name)}"
    sources = {"upload": [clip], "ingest": [folder], "journal forget": ["talk"]}
    arguments = [*command.split(), *sources.get(command, []), "--journal", url]
    done = run_here(*arguments, sandbox=sandbox)
    shown = done.stderr.decode()
    assert shown.startswith("Error: the journal postgresql://")
    assert sentence in shown
    assert shown.count("\n") == 1
    assert SECRET not in shown + done.stdout.decode()
    assert done.returncode == 1
    assert sandbox.assets == []


WITHOUT_PSYCOPG = (
    "import sys; sys.modules['psycopg'] = None; from livepeer_async.cli import main; main()"
)


@pytest.mark.parametrize("command", ["upload", "journal release"])
def test_missing_package_is_named(command, clip, sandbox):
    sources = [clip] if command == "upload" else []
    url = f"postgresql://{USER}:{SECRET}@127.0.0.1:9/videos"
    arguments = [*command.split(), *sources, "--journal", url]
    program = [sys.executable, "-c", WITHOUT_PSYCOPG]
    done = command_line.run(*arguments, command=program, sandbox=sandbox)
    assert (done.stderr.decode(), done.returncode) == (MISSING, 2)
