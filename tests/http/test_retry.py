import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import ConfigurationError, SourceChanged, UploadRefused
from livepeer_async.http.retry import (
    RestartCounter,
    RetryEvent,
    RetryPolicy,
    backoff,
    describe_failure,
    next_delay,
    next_retry,
    status_of,
)

SECONDS = st.floats(0.0, 1e300)
POLICIES = st.builds(
    RetryPolicy,
    attempts=st.integers(0, 2_000),
    first_delay=SECONDS,
    max_delay=SECONDS,
    max_retry_after=SECONDS | st.just(float("inf")),
)


@given(POLICIES, st.integers(1, 3_000), st.floats(0.0, 1.0), st.none() | SECONDS)
def test_delay_is_bounded_and_attempts_end(policy, failures, jitter, retry_after):
    delay = next_delay(policy, failures=failures, jitter=jitter, retry_after=retry_after)
    is_spent = failures > policy.attempts
    is_asked_too_much = retry_after is not None and retry_after > policy.max_retry_after
    assert (delay is None) == (is_spent or is_asked_too_much)
    if delay is not None:
        assert (retry_after or 0.0) <= delay <= max(policy.max_delay, retry_after or 0.0)


@pytest.mark.parametrize(
    ("failures", "jitter", "retry_after", "delay"),
    [
        (1, 1.0, None, 0.5),
        (2, 1.0, None, 1.0),
        (3, 0.5, None, 1.0),
        (8, 1.0, None, 60.0),
        (9, 0.0, None, 0.0),
        (1, 1.0, 7.0, 7.0),
        (1, 0.0, 0.0, 0.0),
        (1, 1.0, 600.0, 600.0),
        (1, 1.0, 600.1, None),
        (10, 1.0, None, 60.0),
        (11, 1.0, None, None),
        (11, 1.0, 1.0, None),
    ],
)
def test_delay_doubles_and_obeys_retry_after(failures, jitter, retry_after, delay):
    policy = RetryPolicy()
    assert next_delay(policy, failures=failures, jitter=jitter, retry_after=retry_after) == delay


def test_zero_attempts_means_no_retry():
    assert next_delay(RetryPolicy(attempts=0), failures=1, jitter=0.5) is None


@pytest.mark.parametrize("wrong", [-1.0, float("nan")])
@pytest.mark.parametrize("field", ["first_delay", "max_delay", "max_retry_after"])
def test_negative_delay_is_rejected(field, wrong):
    with pytest.raises(ConfigurationError, match="must be 0 or above"):
        RetryPolicy(**{field: wrong})


@pytest.mark.parametrize("field", ["first_delay", "max_delay"])
def test_infinite_delay_is_rejected(field):
    with pytest.raises(ConfigurationError, match="and finite"):
        RetryPolicy(**{field: float("inf")})


@pytest.mark.parametrize("field", ["attempts", "restarts"])
def test_negative_count_is_rejected(field):
    with pytest.raises(ConfigurationError, match="attempts and restarts must be 0 or above"):
        RetryPolicy(**{field: -1})


def test_event_reads_as_a_sentence():
    retry_event = RetryEvent(reason="the cable was pulled", attempt=2, attempts=8, delay=3.14)
    assert str(retry_event) == "the cable was pulled; retry 2 of 8 in 3.1 s"
    retry_event = msgspec.structs.replace(retry_event, request_id="r1")
    assert str(retry_event) == "the cable was pulled [request r1]; retry 2 of 8 in 3.1 s"


def test_failure_has_no_request_id():
    error = ConfigurationError("the cable was pulled", request_id="r1", advice="plug it in")
    assert describe_failure(error) == "the cable was pulled; plug it in"


def test_next_retry_returns_an_event_until_attempts_are_used_up():
    policy = RetryPolicy(attempts=2)
    event = next_retry(policy, reason="503", failures=2, jitter=1.0)
    assert event == RetryEvent(reason="503", attempt=2, attempts=2, delay=1.0)
    assert next_retry(policy, reason="503", failures=3, jitter=1.0) is None


@pytest.mark.parametrize(
    ("failures", "growth", "jitter", "delay"),
    [(1, 2.0, 1.0, 1.0), (2, 2.0, 1.0, 2.0), (2, 8.0, 0.5, 4.0), (5_000, 2.0, 1.0, 60.0)],
)
def test_backoff_grows_to_the_longest_delay(failures, growth, jitter, delay):
    assert backoff(failures, first_delay=1.0, max_delay=60.0, growth=growth, jitter=jitter) == delay


def test_progress_resets_the_restart_count():
    policy, restarts = RetryPolicy(restarts=3), RestartCounter()
    delays = [restarts.next_delay(policy, reached=it, jitter=1.0) for it in (0, 0, 8, 8, 4, 9, 9)]
    assert delays == [0.5, 1.0, 0.5, 1.0, 2.0, 0.5, 1.0]
    for _ in range(2):
        delay = restarts.next_delay(policy, reached=9, jitter=1.0)
    assert (delay, restarts.count) == (None, 4)


def test_zero_restarts_means_no_restart():
    assert RestartCounter().next_delay(RetryPolicy(restarts=0), reached=5, jitter=0.5) is None


def test_restart_delay_is_bounded():
    policy, restarts = RetryPolicy(restarts=99), RestartCounter()
    delays = [restarts.next_delay(policy, reached=0, jitter=1.0) for _ in range(50)]
    assert delays[-1] == policy.max_delay


def test_restart_event_has_the_facts_of_its_record():
    policy, restarts = RetryPolicy(restarts=1, first_delay=2.0), RestartCounter()
    error = UploadRefused("403 from PATCH", status=403, request_id="r1")
    event = restarts.next_retry(policy, error=error, reached=0, jitter=0.5)
    assert event is not None
    assert event.facts == {
        "attempt": 1,
        "attempts": 1,
        "delay": 1.0,
        "livepeer_request_id": "r1",
        "reason": "403 from PATCH",
        "status_code": 403,
    }
    assert restarts.next_retry(policy, error=error, reached=0, jitter=0.5) is None


def test_only_errors_about_a_response_have_a_status():
    assert status_of(UploadRefused("403", status=403)) == 403
    assert status_of(SourceChanged("changed", source="x")) is None
