"""Time limits of the network."""

import pytest

from livepeer_async import Timeouts, errors
from livepeer_async.http.timeouts import as_timeouts


@pytest.mark.parametrize("limit", ["connect", "stall", "answer", "chunk_response"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_time_limit_must_be_above_zero(limit, seconds):
    with pytest.raises(errors.ConfigurationError, match=limit):
        Timeouts(**{limit: seconds})


def test_chunk_response_is_as_long_as_the_servers_own_limit():
    assert Timeouts(stall=2).chunk_response >= 300


def test_number_sets_the_stall_time_out():
    assert as_timeouts(5) == Timeouts(stall=5)
    assert as_timeouts(None) == Timeouts()
    assert as_timeouts(Timeouts(answer=1)) == Timeouts(answer=1)
