import pytest

from livepeer_async.errors import AssetDeleted, AssetFailed, AssetTimeout, Forbidden, NotFound
from livepeer_async.models import Asset, AssetStatus, Task, TaskStatus
from livepeer_async.polling.watched_asset import MAX_ASSET_DELAY, WatchedAsset


def asset(phase, **more):
    return Asset(id="a1", status=AssetStatus(phase=phase, **more))


def not_found(kind=NotFound, status=404):
    return kind(status=status, errors=("Asset not found",), method="GET", url="https://x.example")


@pytest.fixture
def watched():
    watched = WatchedAsset("a1")
    watched.restart(100.0, 50.0, 0.5)
    return watched


def test_new_asset_is_due_at_once(watched):
    assert (watched.due, watched.deadline, watched.is_polled) == (100.0, 150.0, False)


def test_asset_polled_by_an_earlier_wait_is_due_later(watched):
    watched.update(asset("waiting"), None, 100.0)
    watched.restart(120.0, 50.0, 0.5)
    assert 120 < watched.due < 121


def test_only_the_first_of_equal_results_is_a_change(watched):
    assert watched.update(asset("waiting"), '"1"', 100.0)
    assert not watched.update(asset("waiting"), '"2"', 101.0)
    assert not watched.update(None, '"2"', 102.0)
    assert (watched.etag, watched.known_until, watched.last_confirmed) == ('"2"', 102.0, 102.0)


def test_older_row_changes_nothing(watched):
    watched.update(asset("ready", updated_at=2000), None, 100.0)
    assert not watched.update(asset("processing", updated_at=1999), None, 101.0)
    assert watched.asset.phase == "ready"
    assert watched.update(asset("failed", updated_at=None), None, 102.0)


@pytest.mark.parametrize("row", [Asset(id="a1"), asset("waiting")])
def test_row_without_a_date_counts_as_newer(watched, row):
    watched.update(asset("ready", updated_at=2000), None, 100.0)
    assert watched.update(row, None, 101.0)
    assert watched.asset is row


def test_unchanged_result_without_an_asset_is_no_change(watched):
    assert not watched.update(None, None, 100.0)
    assert watched.failure is None


def failed(updated_at=2000):
    return asset("failed", updated_at=updated_at, error_message="boom")


def task(phase, updated_at=None):
    return Task(id="t1", status=TaskStatus(phase=phase, updated_at=updated_at))


def test_failure_during_the_wait_needs_no_look_at_the_task(watched):
    watched.update(asset("processing", updated_at=1000), None, 100.0)
    assert watched.update(failed(), None, 101.0)
    assert isinstance(watched.failure, AssetFailed)
    assert watched.task_due is None


def test_asset_that_is_failed_at_first_waits_for_its_task(watched):
    watched.update(failed(), None, 100.0)
    assert watched.failure is None
    assert watched.may_be_reprocessed
    assert watched.needs_request(100.0)
    assert watched.next_due == 100.0
    watched.update(None, None, 101.0)
    assert watched.task_due == 100.0


@pytest.mark.parametrize(
    "found", [None, task("failed", 2000), task("completed"), task("running", 1999), Task(id="t1")]
)
def test_task_as_old_as_the_failure_confirms_it(watched, found):
    watched.update(failed(), None, 100.0)
    watched.update_task(found, 101.0, 0.5)
    is_active = found is not None and found.phase is None
    assert isinstance(watched.failure, AssetFailed) is not is_active
    assert watched.is_reprocessed is is_active


@pytest.mark.parametrize("found", [task("waiting", 2001), task("running", 2001), task("running")])
def test_newer_task_means_that_the_asset_is_reprocessed(watched, found):
    watched.update(failed(), None, 100.0)
    watched.update_task(found, 101.0, 0.5)
    assert watched.failure is None
    assert not watched.may_be_reprocessed
    assert watched.task_due > 101.0
    assert "processed again" in str(watched.timeout_error(120.0))
    assert watched.update(failed(3000), None, 110.0)
    assert isinstance(watched.failure, AssetFailed)


def test_asset_may_change_a_moment_after_its_task(watched):
    watched.update(failed(), None, 100.0)
    watched.update_task(task("completed", 2001), 101.0, 0.5)
    assert watched.needs_request(101.0)
    assert not watched.update(None, None, 101.5)
    assert watched.failure is None
    assert watched.needs_request(102.0)
    assert watched.update(None, None, 101.0 + MAX_ASSET_DELAY)
    assert isinstance(watched.failure, AssetFailed)


def test_task_of_an_unknown_asset_changes_nothing(watched):
    watched.update_task(task("running"), 100.0, 0.5)
    assert watched.failure is None
    assert not watched.is_reprocessed


def test_own_retry_counts_if_the_task_is_secret(watched):
    watched.retried = failed().status
    watched.update(failed(), None, 100.0)
    watched.skip_task()
    assert watched.failure is None
    assert watched.is_reprocessed
    assert not watched.is_task_due(10**9)
    watched.update(failed(2001), None, 101.0)
    assert isinstance(watched.failure, AssetFailed)


def test_failure_counts_if_the_task_is_secret(watched):
    watched.retried = failed(1999).status
    watched.update(failed(), None, 100.0)
    watched.skip_task()
    assert isinstance(watched.failure, AssetFailed)


def test_confirmed_failure_ends_a_second_wait(watched):
    assert watched.update(asset("failed"), None, 100.0)
    watched.confirm_failure()
    watched.restart(101.0, 50.0, 0.5)
    assert watched.failure is None
    assert watched.update(None, None, 101.0)
    assert isinstance(watched.failure, AssetFailed)


def test_not_found_means_deleted_once_polled(watched):
    watched.fail(not_found())
    assert isinstance(watched.failure, NotFound)
    watched.update(asset("waiting"), None, 100.0)
    watched.fail(not_found())
    assert isinstance(watched.failure, AssetDeleted)
    assert isinstance(watched.failure.__cause__, NotFound)
    watched.fail(not_found(Forbidden, 403))
    assert isinstance(watched.failure, Forbidden)


def test_progress_shortens_the_delay(watched):
    before = watched.delay(110.0, 0.5)
    watched.update(asset("processing", progress=0.9), None, 110.0)
    assert watched.delay(110.0, 0.5) < before


@pytest.mark.parametrize(("seen", "phase"), [(None, "unknown"), (asset("waiting"), "waiting")])
def test_timeout_error_names_the_phase(watched, seen, phase):
    watched.update(seen, None, 100.0)
    error = watched.timeout_error(150.0)
    assert isinstance(error, AssetTimeout)
    assert str(error) == f"asset a1 isn't ready after 50 s: its phase is '{phase}'"
