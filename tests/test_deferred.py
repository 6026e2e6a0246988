import copy
import re
import subprocess
import sys

import pytest

from livepeer_async.deferred import deferred_module, deferred_pattern


def test_module_is_imported_for_its_first_attribute():
    code = """
import sys
from livepeer_async.deferred import deferred_module
wave = deferred_module("wave")
print("wave" in sys.modules, wave.Error.__name__, "wave" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False Error True\n"


def test_missing_module_and_attribute_are_the_usual_errors():
    missing = deferred_module("livepeer_async.missing")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="missing"):
            missing.anything  # noqa: B018 - the access is tested
    with pytest.raises(AttributeError, match="anything"):
        deferred_module("re").anything  # noqa: B018 - the access is tested


def test_pattern_behaves_like_a_compiled_one():
    pattern = deferred_pattern("(A)b", re.IGNORECASE)
    assert [pattern.sub(r"\1", "xaB") for _ in range(2)] == ["xa", "xa"]
    assert pattern.fullmatch("ab")[1] == "a"
    assert (pattern.groups, pattern.pattern) == (1, "(A)b")
    assert deferred_pattern(rb"\d").findall(b"1a2") == [b"1", b"2"]
    assert copy.copy(pattern).search("ab")


def test_invalid_pattern_raises_at_each_use():
    pattern = deferred_pattern("(")
    for _ in range(2):
        with pytest.raises(re.error):
            pattern.search("")
