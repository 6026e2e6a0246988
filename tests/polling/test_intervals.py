import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import AssetDeleted, AssetFailed
from livepeer_async.models import Asset, AssetPhase, AssetStatus
from livepeer_async.polling.intervals import (
    BUSY_LIST_DELAY,
    MAX_DELAY,
    MAX_LIST_DELAY,
    MIN_DELAY,
    MIN_LIST_DELAY,
    next_list_delay,
    next_poll_delay,
    next_request_time,
)
from livepeer_async.polling.phases import (
    RETRYABLE_FAILURES,
    deleted_error,
    has_left_uploading,
    is_ready,
    make_failure,
)


def asset(phase, **more):
    return Asset(id="a1", status=AssetStatus(phase=phase, **more))


AGES = st.floats(0.0, 1e9)
JITTERS = st.floats(0.0, 1.0)
PROGRESSES = st.none() | st.floats(0.0, 1.0) | st.sampled_from([5e-324, -1.0, 2.0, float("nan")])


@given(AGES, PROGRESSES, JITTERS)
def test_interval_is_bounded(age, progress, jitter):
    delay = next_poll_delay(age=age, progress=progress, jitter=jitter)
    assert 0.75 * MIN_DELAY <= delay <= 1.25 * MAX_DELAY


@given(AGES, AGES, JITTERS)
def test_interval_grows_with_age(first, second, jitter):
    younger, older = sorted([first, second])
    assert next_poll_delay(age=younger, progress=None, jitter=jitter) <= next_poll_delay(
        age=older, progress=None, jitter=jitter
    )


@given(AGES, st.floats(0.01, 0.98), JITTERS)
def test_interval_falls_with_progress(age, progress, jitter):
    early = next_poll_delay(age=age, progress=progress, jitter=jitter)
    late = next_poll_delay(age=age, progress=progress + 0.01, jitter=jitter)
    assert late <= early <= next_poll_delay(age=age, progress=None, jitter=jitter)


@given(AGES, PROGRESSES)
def test_jitter_moves_an_interval_by_a_quarter(age, progress):
    low, middle, high = (
        next_poll_delay(age=age, progress=progress, jitter=jitter) for jitter in (0.0, 0.5, 1.0)
    )
    assert (low, high) == pytest.approx((0.75 * middle, 1.25 * middle))


def test_one_hour_takes_few_polls():
    age, polls = 0.0, 0
    while age < 3600.0:
        age, polls = age + next_poll_delay(age=age, progress=None, jitter=0.5), polls + 1
    assert polls < 160


@pytest.mark.parametrize(
    ("age", "progress", "delay"),
    [
        (0.0, None, 0.3),
        (10.0, None, 2.0),
        (10.0, 0.0, 2.0),
        (10.0, 0.5, 2.0),
        (10.0, 0.9, 0.555),
        (10.0, 1.0, 2.0),
        (1000.0, None, 30.0),
    ],
)
def test_interval_is_a_fifth_of_age_or_half_of_remaining_time(age, progress, delay):
    assert next_poll_delay(age=age, progress=progress, jitter=0.5) == pytest.approx(
        delay, abs=0.001
    )


@given(AGES, AGES, JITTERS)
def test_list_delay_is_bounded_and_short_while_assets_change(age, quiet, jitter):
    delay = next_list_delay(age=age, quiet=quiet, jitter=jitter)
    assert MIN_LIST_DELAY <= delay <= 1.25 * MAX_LIST_DELAY
    assert next_list_delay(age=age, quiet=0.0, jitter=jitter) <= min(delay, 1.25 * BUSY_LIST_DELAY)


@given(st.lists(JITTERS, min_size=60, max_size=60), st.floats(0.0, 1.0))
def test_lists_stay_below_100_per_minute(jitters, busy):
    now, lists = 0.0, 0
    while now < 60.0:
        delay = next_list_delay(age=now * busy, quiet=0.0, jitter=jitters[lists % 60])
        now, lists = now + delay, lists + 1
    assert lists < 100


@given(st.lists(st.floats(0.0, 5.0), max_size=50), st.integers(1, 5))
def test_requests_per_second_stay_within_the_limit(waits, limit):
    now, sent = 0.0, []
    for wait in waits:
        now = max(now + wait, next_request_time(sent, limit))
        sent.append(now)
    assert all(
        later - earlier >= 0.999999 for earlier, later in zip(sent, sent[limit:], strict=False)
    )


@pytest.mark.parametrize("phase", [*AssetPhase, "dreaming", None])
def test_phase_is_ready_failed_or_pending(phase):
    found = Asset(id="a1") if phase is None else asset(str(phase))
    assert is_ready(found) == (phase == "ready")
    assert has_left_uploading(found) == (phase not in {"uploading", None})
    assert (make_failure(found) is not None) == (phase in {"failed", "deleting", "deleted"})


@pytest.mark.parametrize("phase", ["deleting", "deleted"])
def test_deleted_asset_is_a_failure(phase):
    error = make_failure(asset(phase))
    assert isinstance(error, AssetDeleted)
    assert (str(error), error.asset_id) == (str(deleted_error("a1")), "a1")


@pytest.mark.parametrize("message", [*RETRYABLE_FAILURES, "Task: Execution TIMEOUT after 3 h"])
def test_internal_failure_is_retryable(message):
    error = make_failure(asset("failed", error_message=message))
    assert isinstance(error, AssetFailed)
    assert error.is_retryable
    assert str(error) == f"asset a1 failed: {message}; assets.retry may help"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (None, "no explanation"),
        ("", "no explanation"),
        (
            "file format unsupported, must be a valid MP4",
            "file format unsupported, must be a valid MP4",
        ),
        (
            "failed to probe or open file, https://host.example/f?X-Amz-Signature=s3cret",
            "failed to probe or open file, https://host.example/f",
        ),
    ],
)
def test_failure_quotes_the_server_without_secrets(message, shown):
    error = make_failure(asset("failed", error_message=message))
    assert (str(error), error.error_message) == (f"asset a1 failed: {shown}", shown)
    assert not error.is_retryable


def test_error_message_of_a_running_task_is_no_failure():
    assert make_failure(asset("processing", error_message="file download failed")) is None
