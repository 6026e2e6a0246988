"""The installed package: dependencies, files, and imports without extras."""

import importlib.metadata
import re
import subprocess
import sys
from importlib import resources

import pytest

import livepeer_async

BLOCKED = "import sys; [sys.modules.__setitem__(name, None) for name in {!r}]; {}"
EXTRAS = ["av", "rich", "starlette", "typer", "uvicorn"]


def run(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


def test_package_has_four_dependencies():
    needed = importlib.metadata.requires("livepeer-async")
    base = {re.split(r"[^\w-]", line)[0] for line in needed if "extra ==" not in line}
    assert base == {"httpx", "anyio", "msgspec", "aiofiles"}


def test_version_matches_the_installed_package():
    assert livepeer_async.__version__ == importlib.metadata.version("livepeer-async")


def test_package_contains_type_marker_and_sample_video():
    files = resources.files("livepeer_async")
    assert (files / "py.typed").is_file()
    clip = (files / "cli" / "clip.mp4").read_bytes()
    assert clip[4:8] == b"ftyp"
    assert len(clip) <= 200_000


def test_package_is_imported_without_extras():
    done = run(BLOCKED.format(EXTRAS, "from livepeer_async import *"))
    assert done.returncode == 0, done.stderr


def test_import_alone_loads_no_dependency():
    names = ("aiofiles", "anyio", "httpx", "msgspec")
    code = f"import sys, livepeer_async; print([name for name in {names} if name in sys.modules])"
    assert run(code).stdout == "[]\n"


def test_client_is_imported_without_what_its_uploads_need():
    # Each module takes 0.1 to 1 ms to import. All are imported when the first client is created.
    code = """
import sys, httpx, anyio, msgspec, aiofiles
dependencies = set(sys.modules)
from livepeer_async import AsyncLivepeer
names = set(sys.modules) - dependencies
print(sorted(names & {"_sqlite3", "csv", "difflib", "hmac", "rich", "shlex", "sqlite3", "typer"}))
print(sorted(name for name in names if name.startswith("anyio")))
ours = {name.removeprefix("livepeer_async.") for name in names if name.startswith("livepeer_async")}
packages = {"errors", "http", "redaction"}
print(sorted(name for name in ours if name.partition(".")[0] not in packages))
print(sorted(name for name in ours if name.startswith("http")))
AsyncLivepeer("key")
created = set(sys.modules)
AsyncLivepeer.upload_many, AsyncLivepeer.resume_upload, AsyncLivepeer.clean_up
AsyncLivepeer("key")
print(sorted(set(sys.modules) - created))
"""
    done = run(code)
    assert done.stdout.splitlines() == [
        "[]",
        "[]",
        "['client', 'client_uploads', 'defaults', 'deferred', 'livepeer_async', 'version']",
        "['http', 'http.shortages']",
        "[]",
    ], done.stderr


def test_each_public_name_is_listed_and_importable():
    code = """
import livepeer_async
from livepeer_async import errors, exports, models
modules = (errors, exports, models)
listed = set(dir(livepeer_async))
names = [name for module in modules for name in module.__all__]
assert set(livepeer_async.__all__) == set(names) <= listed
assert len(set(names)) == len(names)
from livepeer_async import *
for module in modules:
    assert all(globals()[name] is getattr(module, name) for name in module.__all__)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["errors", "models", "tus", "webhooks"])
def test_public_module_is_an_attribute(name):
    done = run(f"import livepeer_async; print(livepeer_async.{name}.__name__)")
    assert done.stdout == f"livepeer_async.{name}\n"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Missing'"):
        livepeer_async.Missing  # noqa: B018 - the access is tested


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_sandbox_names_the_missing_extra(missing):
    done = run(BLOCKED.format([missing], "import livepeer_async.sandbox"))
    assert done.returncode == 1
    assert f"the sandbox needs {missing}: pip install starlette uvicorn" in done.stderr


def test_upload_works_on_uvloop():
    pytest.importorskip("uvloop", reason="not installed with the lowest versions")
    code = """
import uvloop
from livepeer_async import AsyncLivepeer
from livepeer_async.sandbox import Sandbox

async def main():
    async with Sandbox() as sandbox:
        async with AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer:
            asset = await livepeer.upload(bytes(9_000_000), "x")
            print(sandbox.stored(asset.playback_id).read_bytes() == bytes(9_000_000))

uvloop.run(main())
"""
    done = run(code)
    assert done.stdout == "True\n", done.stderr
