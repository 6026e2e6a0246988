"""Time limits of the network."""

import pytest

from livepeer_async import Timeouts, errors


@pytest.mark.parametrize("limit", ["connect", "stall", "answer", "chunk_response"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_time_limit_must_be_above_zero(limit, seconds):
    with pytest.raises(errors.ConfigurationError, match=limit):
        Timeouts(**{limit: seconds})


def test_chunk_response_is_as_long_as_the_servers_own_limit():
    assert Timeouts(stall=2).chunk_response >= 300
