import pytest

from livepeer_async import Timeouts, errors
from livepeer_async.http.timeouts import as_timeouts


@pytest.mark.parametrize("limit", ["connect", "stall", "answer", "chunk_response"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_timeout_must_be_positive(limit, seconds):
    with pytest.raises(errors.ConfigurationError, match=limit):
        Timeouts(**{limit: seconds})


def test_chunk_response_matches_the_server_limit():
    assert Timeouts(stall=2).chunk_response >= 300


def test_number_sets_the_stall_timeout():
    assert as_timeouts(5) == Timeouts(stall=5)
    assert as_timeouts(None) == Timeouts()
    assert as_timeouts(Timeouts(answer=1)) == Timeouts(answer=1)
