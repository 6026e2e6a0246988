from __future__ import annotations

import pytest

from conformance.expected import ALL, DIFFERENCES, SPECIFIED, Difference


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda row: f"{row.exchange} {row.servers}")
def test_difference_deviates_and_has_a_reason(difference: Difference) -> None:
    assert difference.response != SPECIFIED[difference.exchange]
    assert difference.reason
    assert set(difference.servers) <= set(ALL)


def test_differences_are_unique() -> None:
    pairs = [(server, row.exchange) for row in DIFFERENCES for server in row.servers]
    assert len(pairs) == len(set(pairs))
