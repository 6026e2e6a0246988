import re
import sys

import pytest

from livepeer_async import __version__
from livepeer_async.cli.app import COMMANDS
from support.command_line import COMMAND, lines_of, run
from support.constants import CLOSED_PORT, UNREACHABLE_API


def error_line(done):
    """Return the only line of output, which must be on standard error."""
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    return line


def test_version_and_help_succeed(run_here):
    assert run_here("--version").stdout.decode() == f"livepeer-async {__version__}\n"
    done = run_here("--help")
    assert done.returncode == 0
    assert "LIVEPEER_API_KEY" in done.stdout.decode()
    assert "130  interrupted" in done.stdout.decode()


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_module_runs_the_command_line(option):
    done = run(option, command=[sys.executable, "-m", "livepeer_async"])
    assert done.stdout.decode() == f"livepeer-async {__version__}\n"


@pytest.mark.parametrize("command", [[], ["upload"], ["assets"], ["assets", "list"], ["journal"]])
def test_short_help_fits_80_columns(command, run_here):
    done = run_here(*command, "-h", COLUMNS="80")
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, lines[0].split()[0]) == (0, "Usage:")
    assert max(map(len, lines)) <= 80


def test_help_imports_nothing_that_only_runs():
    script = """
import os, sys
from livepeer_async.cli.app import app
sys.stdout = open(os.devnull, "w")
def run(*arguments):
    try: app(arguments, prog_name="livepeer-async")
    except SystemExit: pass
names = {"anyio", "asyncio", "httpx", "msgspec", "pydantic", "sqlite3", "starlette", "uvicorn"}
names |= {f"livepeer_async.{name}" for name in ("client", "errors", "sandbox")} | {"rich.console"}
run("--version")
run("--help")
modules = {name for name in sys.modules if name.startswith("livepeer_async.cli.")}
for command in ("upload", "ingest", "demo", "sandbox", "assets", "journal", "assets list"):
    run(*command.split(), "--help")
os.environ |= {"_LIVEPEER_ASYNC_COMPLETE": "complete_zsh"}
for words in ("", "up", "upload --", "assets list --phase r", "ingest --verify "):
    os.environ["_TYPER_COMPLETE_ARGS"] = f"livepeer-async {words}"
    run()
commands = {"assets", "embedded", "ingest", "journal", "options", "runner", "upload"}
print(sorted(it for it in commands if f"livepeer_async.cli.{it}" in modules), file=sys.__stdout__)
print(sorted(names & set(sys.modules)), file=sys.__stdout__)
"""
    done = run(command=[sys.executable, "-c", script])
    assert done.stdout.decode() == "[]\n[]\n", done.stderr


@pytest.mark.parametrize("deferred", COMMANDS, ids=lambda it: it.name)
def test_summary_of_a_command_is_that_of_its_help(deferred):
    assert deferred.get_short_help_str() == deferred.command.get_short_help_str(200)


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_missing_cli_extra_is_explained(missing, run_here):
    done = run_here("upload", "x.mp4", "--sandbox", missing=[missing])
    assert done.returncode == 2
    assert f"install {missing}" in error_line(done)


@pytest.mark.parametrize("arguments", [["demo"], ["sandbox"], ["upload", "x.mp4", "--sandbox"]])
def test_missing_sandbox_extra_is_explained(arguments, run_here):
    done = run_here(*arguments, missing=["starlette"])
    assert done.returncode == 2
    assert "install starlette" in error_line(done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["upload"], "FILE"),
        (
            ["upload", "x", "--verify", "md5"],
            "'--verify': 'md5' is not one of 'size', 'hash', 'none'",
        ),
        (["upload", "x", "--concurrency", "0"], "--concurrency"),
        (["assets", "list", "--phase", "readyy"], "'readyy' is not one of 'uploading', 'waiting'"),
        (["upload", "x", "--sandbox", "--storage", "s4"], "'s4' is not one of 'file', 's3'"),
        (["upload", "x", "y", "--name", "z"], "--name needs a single FILE"),
        (["upload", "x", "--storage", "s3"], "--storage needs --sandbox"),
        (["upload", "-", "-"], "use - once"),
        (["upload", "x", "--api-key", "secret"], "--api-key"),
        (["assets", "delete", "a1"], "--yes is needed"),
    ],
    ids=lambda it: " ".join(it) if isinstance(it, list) else "",
)
def test_invalid_command_line_is_a_usage_error(arguments, message, run_here):
    done = run_here(*arguments, LIVEPEER_API_KEY="k")
    assert done.returncode == 2
    assert done.stdout == b""
    assert message in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "no API key: set LIVEPEER_API_KEY"),
        ({"LIVEPEER_API_KEY": " "}, "no API key: set LIVEPEER_API_KEY"),
        ({"LIVEPEER_API_KEY": "hush\nhush"}, "wanted the key alone on one line"),
        ({"LIVEPEER_API_KEY": "k", "LIVEPEER_BASE_URL": "livepeer.studio"}, "wanted http://"),
    ],
)
def test_invalid_environment_is_a_usage_error(variables, message, run_here):
    done = run_here("upload", "x.mp4", **variables)
    assert done.returncode == 2
    assert message in error_line(done)
    assert "hush" not in error_line(done)
    wanted = {"API_KEY": "key" in message or "KEY" in message, "BASE_URL": "http" in message}
    assert {name: f"LIVEPEER_{name}" in error_line(done) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "nonsense://h"),
        ("HTTPS_PROXY", "http://user:hush#hush@h:80"),
        ("http_proxy", "http://user:hush@h:99999"),
        ("SSL_CERT_FILE", "/dev/null/nowhere/file"),
        ("SSL_CERT_DIR", "/dev/null/nowhere"),
        ("SSLKEYLOGFILE", "/dev/null/nowhere/keys"),
        ("LIVEPEER_BASE_URL", "http://user:hush#hush@h:80"),
    ],
)
def test_unusable_variable_is_named(name, value, run_here, clean_env):
    done = run_here("upload", "x.mp4", LIVEPEER_API_KEY="k", **{name: value})
    assert (done.returncode, done.stdout) == (2, b"")
    assert error_line(done).count("Error: ") == 1
    assert error_line(done).endswith(name)
    assert "hush" not in error_line(done)


def test_unreadable_no_proxy_entry_is_a_warning(sandbox, run_here):
    variables = {"NO_PROXY": "fe80::/10,[::1", "ALL_PROXY": f"http://{CLOSED_PORT}"}
    done = run_here("assets", "list", sandbox=sandbox, **variables)
    assert done.returncode == 0
    warnings = [line for line in done.stderr.decode().splitlines() if "NO_PROXY" in line]
    assert [line.partition(")")[0] for line in warnings] == [
        "Warning: NO_PROXY: entry 1 ('fe80::/10'",
        "Warning: NO_PROXY: entry 2 ('[::1'",
    ]


@pytest.mark.parametrize("arguments", [["upload", "x.mp4"], ["assets", "list"]])
def test_wrong_key_is_not_authorized_and_not_shown(arguments, sandbox, run_here):
    done = run_here(*arguments, sandbox=sandbox, LIVEPEER_API_KEY="wrong-key")
    assert done.returncode == 3
    assert "check LIVEPEER_API_KEY" in error_line(done)
    assert "wrong-key" not in error_line(done)


def test_suspended_user_is_not_authorized(sandbox, clip, run_here):
    key = sandbox.add_user(is_suspended=True)
    done = run_here("upload", clip, sandbox=sandbox, LIVEPEER_API_KEY=key)
    assert done.returncode == 3
    assert "user is suspended" in done.stderr.decode()


def test_ctrl_c_during_start_up_has_no_traceback():
    script = (
        "import sys, livepeer_async.cli.entry as entry\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'livepeer_async.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "entry.main()"
    )
    done = run(command=[sys.executable, "-c", script])
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")


def test_unreachable_server_is_reported_soon():
    # That many retries would take hours.
    account = {"LIVEPEER_API_KEY": "k", "LIVEPEER_BASE_URL": UNREACHABLE_API}
    done = run("upload", "x.mp4", "--retries", "1000", **account)
    assert done.returncode == 1
    *retries, error = lines_of(done.stderr)
    assert error.startswith(f"Error: no connection to {UNREACHABLE_API}")
    # Each attempt is reported at once.
    assert [re.search(r"; retry (\d of \d) in \d+ s$", line)[1] for line in retries] == [
        "1 of 2",
        "2 of 2",
    ]


def test_module_and_console_script_are_the_same():
    script = "from livepeer_async.cli import main; main()"
    as_script = run("assets", command=[sys.executable, "-c", script])
    as_module = run("assets", command=COMMAND)
    assert as_script.stderr == as_module.stderr
    assert b"Usage: livepeer-async assets" in as_module.stderr


def test_shell_completion_suggests_commands_and_options(run_here):
    completion = {"_LIVEPEER_ASYNC_COMPLETE": "complete_bash"}
    commands = run_here(**completion, COMP_WORDS="livepeer-async up", COMP_CWORD="1")
    assert commands.stdout.decode().split() == ["upload"]
    words = "livepeer-async ingest --ready"
    options = run_here(**completion, COMP_WORDS=words, COMP_CWORD="2")
    assert options.stdout.decode().split() == ["--ready-timeout"]


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        (["--again"], "--again is deprecated; use --force"),
        (["--timeout", "5"], "--timeout is deprecated; use --ready-timeout"),
        (["--timeout=5"], "--timeout is deprecated; use --ready-timeout"),
        (["--", "--again"], None),
    ],
)
def test_deprecated_option_is_accepted_with_a_warning(arguments, warning, run_here):
    done = run_here("upload", "x.mp4", *arguments)
    *warnings, error = done.stderr.decode().splitlines()
    assert warnings == ([f"Warning: {warning}"] if warning else [])
    assert error.startswith("Error: no API key")
