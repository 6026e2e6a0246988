from __future__ import annotations

import pytest

from conformance.expected import ALL, DIFFERENCES, SPECIFIED, Difference


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda row: f"{row.exchange} {row.servers}")
def test_a_difference_differs_and_says_why(difference: Difference) -> None:
    assert difference.answer != SPECIFIED[difference.exchange]
    assert difference.why
    assert set(difference.servers) <= set(ALL)


def test_no_server_has_two_answers_to_one_exchange() -> None:
    pairs = [(server, row.exchange) for row in DIFFERENCES for server in row.servers]
    assert len(pairs) == len(set(pairs))
