"""Annotations of the public interface, which frameworks evaluate."""

import importlib
import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI

import livepeer_async
from livepeer_async import AsyncLivepeer, models
from livepeer_async.resources import Assets, Playback, Tasks, Webhooks
from livepeer_async.sources.source import SourceLike
from livepeer_async.uploads.uploader import Uploader
from support.web_client import TestClient

MODULES = (
    "livepeer_async",
    "livepeer_async.errors",
    "livepeer_async.ingest",
    "livepeer_async.integrations.fastapi",
    "livepeer_async.integrations.starlette",
    "livepeer_async.models",
    "livepeer_async.sandbox",
    "livepeer_async.telemetry",
    "livepeer_async.tus",
    "livepeer_async.webhooks",
)
LAZY = """
import sys, typing
from livepeer_async import AsyncLivepeer
heavy = {"livepeer_async.client_types", "livepeer_async.components", "sqlite3"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
print(typing.get_type_hints(AsyncLivepeer.upload)["return"])
"""


def public_objects() -> Iterator[tuple[str, Any]]:
    for name in MODULES:
        module = importlib.import_module(name)
        for public in module.__all__:
            yield f"{name}.{public}", getattr(module, public)
    # The attributes of a client, which only the client creates.
    for kind in (Assets, Playback, Tasks, Uploader, Webhooks):
        for name, function in functions_of(kind):
            if name != "__init__":
                yield f"{kind.__name__}.{name}", function


def functions_of(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in inspect.getmembers_static(kind):
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        is_public = not name.startswith("_") or name in {"__init__", "__call__", "__aenter__"}
        if is_public and inspect.isfunction(function):
            yield name, function


def callables() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, it in public_objects():
        if inspect.isclass(it):
            found |= {name: it, **{f"{name}.{method}": f for method, f in functions_of(it)}}
        elif inspect.isfunction(it):
            found[name] = it
    return found


def test_annotations_of_public_names_can_be_evaluated():
    unresolved = {}
    for name, it in callables().items():
        try:
            typing.get_type_hints(it)
        except NameError as error:
            unresolved[name] = error
    assert not unresolved


def test_walk_of_public_names_finds_methods():
    assert callables().keys() >= {
        "livepeer_async.AsyncLivepeer",
        "livepeer_async.AsyncLivepeer.upload",
        "livepeer_async.ApiError.__init__",
        "livepeer_async.ingest.ingest",
        "Assets.get",
    }


def test_annotations_are_evaluated_before_the_first_client():
    done = subprocess.run(
        [sys.executable, "-c", LAZY], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "<class 'livepeer_async.models.asset.Asset'>\n", done.stderr


def test_annotations_are_the_types_themselves():
    hints = typing.get_type_hints(AsyncLivepeer.upload)
    assert hints["return"] is models.Asset
    assert hints["source"] == SourceLike
    assert typing.get_type_hints(AsyncLivepeer)["assets"] is Assets
    signature = inspect.signature(AsyncLivepeer.leftovers, eval_str=True)
    assert signature.return_annotation == list[livepeer_async.Leftover]


@pytest.mark.parametrize("name", ["assets.get", "leftovers", "ping", "notice"])
def test_method_is_a_dependency_of_fastapi(name):
    livepeer = AsyncLivepeer("key", base_url="http://127.0.0.1:9")
    method = livepeer
    for part in name.split("."):
        method = getattr(method, part)
    app = FastAPI()

    @app.get("/", dependencies=[Depends(method)])
    async def show() -> None:
        pass

    with TestClient(app) as browser:
        paths = browser.get("/openapi.json").json()["paths"]
    assert "get" in paths["/"]
