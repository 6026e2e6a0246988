import shutil
import sys
from importlib import util
from pathlib import Path

import pytest

from livepeer_async.cli import extras


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return tmp_path


def test_packages_are_installed_with_pip_of_this_python(prefix, monkeypatch):
    own = str(Path(sys.executable).with_name("pip"))
    monkeypatch.setattr(shutil, "which", lambda _: own)
    assert extras.install_command("typer", "rich") == "pip install typer rich"


def test_pip_of_another_python_is_not_used(prefix, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: "/elsewhere/bin/pip")
    assert extras.install_command("av") == f"{sys.executable} -m pip install av"


def test_pipx_injects_packages(prefix):
    (prefix / "pipx_metadata.json").touch()
    assert extras.install_command("av") == "pipx inject livepeer-async av"


def test_environment_without_pip_uses_uv(prefix, monkeypatch):
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name == "pip" else util.find_spec(name)
    )
    assert extras.install_command("av") == f"uv pip install --python {prefix} av"
