import json
import pathlib
import subprocess
import sys
import tomllib

import pytest
from suite import results
from suite.budget import Limit, compare, read_limits
from suite.figures import Figure, to_document

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
KEY = ("upload-tls", "cpu")


def verdict(limit, ours, curl=None, earlier=None):
    """Compare one limit with one round."""

    def figures(value):
        sides = {"ours": [value]} | ({"curl": [curl]} if curl else {})
        return {} if value is None else {KEY: Figure(*KEY, "CPU per GiB", "s", sides)}

    (found,) = compare([limit], figures(ours), figures(earlier))
    return found


def make_limit(**fields):
    return Limit(bench="upload-tls", figure="cpu", **fields)


@pytest.mark.parametrize(("ours", "is_met"), [(1.4, True), (1.41, False)])
def test_greatest_ratio(ours, is_met):
    assert verdict(make_limit(against="curl", at_most=1.4), ours, curl=1.0).is_met is is_met


@pytest.mark.parametrize(("ours", "is_met"), [(0.98, True), (0.97, False)])
def test_least_value(ours, is_met):
    assert verdict(make_limit(at_least=0.98), ours).is_met is is_met


@pytest.mark.parametrize(("ours", "is_met"), [(5.0, True), (5.1, False)])
def test_value_of_ours_that_is_good_enough(ours, is_met):
    limit = make_limit(against="curl", at_most=0.5, or_ours_at_most=5)
    assert verdict(limit, ours, curl=1.0).is_met is is_met


def test_figure_that_was_not_measured_is_over_budget():
    found = verdict(make_limit(at_most=1.4), None)
    assert not found.is_met
    assert "not measured" in str(found)


def test_peer_that_was_not_measured_is_over_budget():
    assert not verdict(make_limit(against="curl", at_most=1.4), 1.0).is_met


@pytest.mark.parametrize(("earlier", "is_worse"), [(1.0, True), (1.3, False), (None, False)])
def test_value_within_the_budget_may_be_worse_than_before(earlier, is_worse):
    found = verdict(make_limit(at_most=1.4), 1.35, earlier=earlier)
    assert found.is_met
    assert found.is_worse is is_worse
    assert ("WORSE" in str(found)) is is_worse


def test_least_value_is_worse_if_it_falls():
    assert verdict(make_limit(at_least=0.5), 0.6, earlier=0.9).is_worse
    assert not verdict(make_limit(at_least=0.5), 0.9, earlier=0.6).is_worse


@pytest.mark.parametrize("bounds", [{}, {"at_most": 1, "at_least": 1}])
def test_limit_needs_one_bound(bounds):
    with pytest.raises(ValueError, match="wanted at_most or at_least"):
        read_limits({"limit": [{"bench": "loop", "figure": "p99", **bounds}]})


def test_unknown_field_of_a_limit_is_refused():
    with pytest.raises(TypeError, match="at_mots"):
        read_limits({"limit": [{"bench": "loop", "figure": "p99", "at_mots": 1}]})


def test_each_limit_has_a_newest_figure():
    limits = read_limits(tomllib.loads((BENCHMARKS / "budget.toml").read_text()))
    figures = results.newest(results.read_all(BENCHMARKS / "results"))
    assert limits
    for found in compare(limits, figures, {}):
        assert found.value is not None, str(found)


def test_newest_figures_are_those_of_each_benchmark():
    def document(**benches):
        return {
            "benches": {
                bench: [to_document(Figure(bench, "cpu", "CPU", "s", {"ours": [value]}))]
                for bench, value in benches.items()
            }
        }

    documents = [document(decode=3.0), document(decode=2.0, loop=1.0)]
    newest, earlier = results.newest(documents), results.newest(documents, 1)
    assert newest["decode", "cpu"].median() == 3.0
    assert newest["loop", "cpu"].median() == 1.0
    assert earlier.keys() == {("decode", "cpu")}
    assert earlier["decode", "cpu"].median() == 2.0
    assert results.contributing([*documents, document(loop=9.0)]) == documents


def test_check_fails_if_a_limit_is_exceeded(tmp_path):
    slow = to_document(Figure("decode", "cpu", "CPU", "µs", {"ours": [9.0], "json.loads": [1.0]}))
    (tmp_path / "now.json").write_text(json.dumps({"benches": {"decode": [slow]}}))
    command = [sys.executable, BENCHMARKS, "--check", "--output", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "decode cpu / json.loads: 9; wanted <= 0.3, OVER BUDGET" in done.stdout
