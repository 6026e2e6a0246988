"""The Python blocks of the package's docstring run unchanged."""

import re
import subprocess
import sys

import pytest

from livepeer_async import sandbox

BLOCKS = re.findall(r"```python\n(.*?)```", sandbox.__doc__, re.DOTALL)


def test_docstring_has_three_examples():
    assert len(BLOCKS) == 3


@pytest.mark.parametrize("block", BLOCKS, ids=["upload", "speed", "faults"])
def test_example_runs(block):
    command = [sys.executable, "-W", "error", "-c", block]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
