import sys

import pytest
from suite.processes import has_ended, run

WORK = "sum(range(3_000_000)); print('{}'); print('{\"seconds\": 1.5}')"


def test_finished_process_has_cpu_time_and_its_last_line():
    finished = run([sys.executable, "-c", WORK])
    assert finished.cpu > 0
    assert finished.printed == {"seconds": 1.5}


def test_output_that_is_no_json_is_not_decoded():
    assert run([sys.executable, "-c", "print('done')"]).printed is None


def test_failed_process_is_an_error_with_its_output():
    with pytest.raises(RuntimeError, match="ended with 3:\nno luck"):
        run([sys.executable, "-c", "print('no luck'); raise SystemExit(3)"])


def test_running_process_can_be_watched():
    seen = []

    def watch(process):
        seen.append(has_ended(process))
        process.terminate()
        while not has_ended(process):
            pass

    with pytest.raises(RuntimeError, match="ended with -15"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], during=watch)
    assert seen == [False]


def test_client_has_no_proxy_and_the_given_variables(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    script = "import json, os; print(json.dumps([os.environ.get('HTTPS_PROXY'), os.environ['X']]))"
    assert run([sys.executable, "-c", script], {"X": "y"}).printed == [None, "y"]
