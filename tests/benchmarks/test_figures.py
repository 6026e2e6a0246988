import pytest
from suite.figures import OURS, Figure, from_document, percentile, to_document
from suite.setup import alternate


def make_figure(**sides):
    return Figure("upload-tls", "cpu", "CPU per GiB", "s", sides)


def test_ratio_is_the_median_of_the_ratios_of_rounds():
    # A busy round triples both sides; the ratio of the medians would be 2.
    figure = make_figure(ours=[1.0, 6.0, 2.0], curl=[2.0, 4.0, 1.0])
    assert figure.ratios("curl") == [0.5, 1.5, 2.0]
    assert figure.ratio("curl") == 1.5
    assert figure.value("curl") == 1.5


def test_value_without_a_peer_is_the_median_of_ours():
    figure = make_figure(ours=[3.0, 1.0, 2.0])
    assert figure.value() == 2.0
    assert figure.spread() == (1.0, 3.0)
    assert figure.peers == []


def test_sides_of_different_rounds_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        make_figure(ours=[1.0, 2.0], curl=[1.0]).ratios("curl")


def test_a_peer_without_cost_has_no_ratio():
    assert make_figure(ours=[1.0], curl=[0.0]).ratio("curl") is None


def test_figure_survives_its_document():
    figure = make_figure(ours=[1.0, 1.25], curl=[0.5, 0.5])
    document = to_document(figure)
    assert document["ratios"]["curl"] == {"median": 2.25, "spread": [2.0, 2.5]}
    assert from_document("upload-tls", document) == figure


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_percentile(part, expected):
    assert percentile(range(100, 0, -1), part) == expected


def test_rounds_begin_with_each_side_in_turn():
    sides = {OURS: 1, "curl": 2, "tuspy": 3}
    rounds = list(alternate(sides, 3))
    assert [name for name, _ in rounds[::3]] == [OURS, "curl", "tuspy"]
    assert all(sides[name] == value for name, value in rounds)
    assert sorted(rounds) == sorted(list(sides.items()) * 3)
