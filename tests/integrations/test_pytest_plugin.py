"""The fixtures of the pytest plugin, in runs of pytest of their own."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

UPLOAD = """
    before = len(livepeer_sandbox.assets)
    asset = await livepeer.upload(bytes(1000), "video")
    assert (before, asset.size) == (0, 1000)
"""
ASYNCIO = """
[pytest]
asyncio_default_fixture_loop_scope = function
asyncio_mode = {mode}
filterwarnings = error
"""
STRICT = f"""
import pytest, pytest_asyncio

@pytest.mark.asyncio
async def test_function(livepeer, livepeer_sandbox):{UPLOAD}

@pytest.mark.asyncio(loop_scope="session")
async def test_session(livepeer, livepeer_sandbox):{UPLOAD}

@pytest.mark.asyncio(loop_scope="session")
async def test_session_again(livepeer, livepeer_sandbox):{UPLOAD}

@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ping(livepeer_sandbox):
    from livepeer_async import AsyncLivepeer
    sandbox = livepeer_sandbox
    async with AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as client:
        yield client.ping

@pytest.mark.asyncio(loop_scope="module")
async def test_own_client(ping, livepeer, livepeer_sandbox):
    await ping(){UPLOAD}
"""
AUTO = f"""
import asyncio

async def test_one(livepeer, livepeer_sandbox):{UPLOAD}

async def test_two(livepeer, livepeer_sandbox):{UPLOAD}

async def test_abandoned_upload(livepeer, livepeer_sandbox):
    task = asyncio.ensure_future(livepeer.upload(bytes(20_000_000), "video"))
    await asyncio.sleep(0)
    test_abandoned_upload.task = task
"""
ANYIO = f"""
import pytest

pytestmark = pytest.mark.anyio

@pytest.fixture(scope="module", params=[("asyncio", {{}}), ("asyncio", {{"debug": True}})])
def anyio_backend(request):
    return request.param

@pytest.fixture(scope="module")
async def module_fixture():
    yield

async def test_one(livepeer, livepeer_sandbox):{UPLOAD}

async def test_kept_loop(module_fixture, livepeer, livepeer_sandbox):{UPLOAD}

async def test_kept_loop_again(module_fixture, livepeer, livepeer_sandbox):{UPLOAD}
"""
SYNC = f"""
import asyncio, threading, unittest
import pytest
from livepeer_async.sandbox import Sandbox

async def upload(livepeer, livepeer_sandbox):{UPLOAD}

@pytest.mark.parametrize("number", range(4))
def test_run(livepeer, livepeer_sandbox, number):
    asyncio.run(upload(livepeer, livepeer_sandbox))
    asyncio.run(livepeer.ping())

def test_loop_of_a_thread(livepeer, livepeer_sandbox):
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(upload(livepeer, livepeer_sandbox), loop).result()
    test_loop_of_a_thread.loop, test_loop_of_a_thread.thread = loop, thread

def test_kept_loop(livepeer, livepeer_sandbox):
    test_kept_loop.loop = loop = asyncio.new_event_loop()
    loop.run_until_complete(upload(livepeer, livepeer_sandbox))

def test_loops_end():
    loop = test_loop_of_a_thread.loop
    loop.call_soon_threadsafe(loop.stop)
    test_loop_of_a_thread.thread.join()
    loop.close()
    test_kept_loop.loop.close()

def test_sandbox_of_its_own(livepeer_sandbox):
    with Sandbox() as sandbox:
        assert sandbox.base_url != livepeer_sandbox.base_url

@pytest.mark.usefixtures("livepeer_sandbox")
class TestCase(unittest.TestCase):
    def test_method(self):
        pass
"""
OVERRIDDEN = """
import pytest

@pytest.fixture
def livepeer():
    return "own"

@pytest.fixture
def livepeer_sandbox():
    return "own"

def test_own_client(livepeer, livepeer_sandbox):
    assert livepeer == livepeer_sandbox == "own"
"""
OWN_SANDBOX = """
import asyncio
import pytest
from livepeer_async.sandbox import Sandbox

@pytest.fixture(scope="SCOPE")
def livepeer_sandbox():
    with Sandbox(api_key="mine", speed=1000) as sandbox:
        yield sandbox

@pytest.mark.parametrize("number", range(2))
def test_client_of_own_sandbox(livepeer, livepeer_sandbox, number):
    assert livepeer_sandbox.assets == []
    assert asyncio.run(livepeer.upload(b"bytes")).size == 5
    assert livepeer_sandbox.api_key == "mine"
"""
# Descriptors after each test but the first, which loads the sandbox, and the last.
LEAKS = """
import gc, os, threading
import pytest

# An event loop that a test keeps open has three; the server closes its side of a connection late.
SLACK = 8
counts = []

@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    yield
    gc.collect()
    counts.append((len(os.listdir("/proc/self/fd")), threading.active_count()))

def pytest_sessionfinish(session):
    names = [thread.name for thread in threading.enumerate()]
    assert "livepeer-sandbox" not in names, names
    # The server closes its side of a connection a moment later.
    used = [fds for fds, _ in counts[1:-1]]
    assert not used or max(used) <= min(used) + SLACK, counts
"""
IDLE = """
import sys

def test_nothing_is_imported():
    loaded = [name for name in sys.modules if name.startswith("livepeer_async.")]
    assert sorted(loaded) == [
        "livepeer_async.integrations",
        "livepeer_async.integrations.pytest_plugin",
        "livepeer_async.version",
    ]
    assert not {"httpx", "anyio", "starlette", "uvicorn", "msgspec"} & set(sys.modules)
"""
MISSING = """
import sys

def test_message(request):
    sys.modules["uvicorn"] = None
    try:
        request.getfixturevalue("livepeer_sandbox")
    except BaseException as error:
        assert "the sandbox needs uvicorn: pip install starlette uvicorn" in str(error)
    else:
        raise AssertionError
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run tests in a process of their own; check that all pass, and that nothing is left."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def run(source, *arguments, passed, ini="[pytest]\nfilterwarnings = error\n", disabled=()):
        pytester.makeini(ini)
        if sys.platform == "linux" and not any(it.startswith("-n") for it in arguments):
            pytester.makeconftest(LEAKS)
        pytester.makepyfile(source)
        # Plugins of this environment that have nothing to do with these tests.
        others = ("timeout", "pytest_cov", "hypothesispytest", *disabled)
        options = [option for name in others for option in ("-p", f"no:{name}")]
        result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", *options, *arguments)
        result.assert_outcomes(passed=passed)
        assert result.ret == 0

    return run


@pytest.mark.parametrize(("mode", "source", "passed"), [("strict", STRICT, 4), ("auto", AUTO, 3)])
def test_pytest_asyncio(run, mode, source, passed):
    pytest.importorskip("pytest_asyncio")
    run(source, ini=ASYNCIO.format(mode=mode), passed=passed)


def test_anyio_plugin(run):
    run(ANYIO, passed=6, disabled=["asyncio"])


def test_sync_tests(run):
    run(SYNC, passed=9, disabled=["asyncio", "anyio"])


@pytest.mark.slow
def test_workers_of_xdist_have_a_sandbox_each(run):
    run(SYNC, "-n", "2", "-k", "test_run", passed=4, disabled=["asyncio"])


def test_own_fixtures_replace_both(run):
    run(OVERRIDDEN, passed=1, disabled=["asyncio"])


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["session", "function"])
def test_own_sandbox_replaces_the_sandbox(run, scope):
    run(OWN_SANDBOX.replace("SCOPE", scope), passed=2, disabled=["asyncio"])


def test_unused_plugin_imports_nothing(run):
    run(IDLE, passed=1, disabled=["asyncio", "anyio"])


@pytest.mark.slow
def test_missing_packages_are_named(run):
    run(MISSING, passed=1, disabled=["asyncio"])


@pytest.mark.slow
def test_plugin_is_optional():
    """Without pytest, the package imports and its fixtures don't exist."""
    code = (
        "import sys; sys.modules['pytest'] = None; import livepeer_async, livepeer_async.sandbox;"
        "livepeer_async.AsyncLivepeer"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
