import pytest

from livepeer_async.errors import AssetDeleted, AssetFailed, AssetTimeout, Forbidden, NotFound
from livepeer_async.models import Asset, AssetStatus
from livepeer_async.polling.watched_asset import WatchedAsset


def asset(phase, **more):
    return Asset(id="a1", status=AssetStatus(phase=phase, **more))


def not_found(kind=NotFound, status=404):
    return kind(status=status, errors=("Asset not found",), method="GET", url="https://x.example")


@pytest.fixture
def watch():
    watch = WatchedAsset("a1")
    watch.restart(100.0, 50.0, 0.5)
    return watch


def test_new_asset_is_due_at_once(watch):
    assert (watch.due, watch.deadline, watch.is_polled) == (100.0, 150.0, False)


def test_asset_polled_by_an_earlier_wait_is_due_later(watch):
    watch.update(asset("waiting"), None, 100.0)
    watch.restart(120.0, 50.0, 0.5)
    assert 120 < watch.due < 121


def test_only_the_first_of_equal_results_is_a_change(watch):
    assert watch.update(asset("waiting"), '"1"', 100.0)
    assert not watch.update(asset("waiting"), '"2"', 101.0)
    assert not watch.update(None, '"2"', 102.0)
    assert (watch.etag, watch.known_until, watch.last_confirmed) == ('"2"', 102.0, 102.0)


def test_older_row_changes_nothing(watch):
    watch.update(asset("ready", updated_at=2000), None, 100.0)
    assert not watch.update(asset("processing", updated_at=1999), None, 101.0)
    assert watch.asset.phase == "ready"
    assert watch.update(asset("failed", updated_at=None), None, 102.0)


@pytest.mark.parametrize("row", [Asset(id="a1"), asset("waiting")])
def test_row_without_a_date_counts_as_newer(watch, row):
    watch.update(asset("ready", updated_at=2000), None, 100.0)
    assert watch.update(row, None, 101.0)
    assert watch.asset is row


def test_unchanged_result_without_an_asset_is_no_change(watch):
    assert not watch.update(None, None, 100.0)
    assert watch.failure is None


def test_unchanged_failure_ends_a_second_wait(watch):
    assert watch.update(asset("failed"), None, 100.0)
    watch.restart(101.0, 50.0, 0.5)
    assert watch.failure is None
    assert watch.update(None, None, 101.0)
    assert isinstance(watch.failure, AssetFailed)


def test_not_found_means_deleted_once_polled(watch):
    watch.fail(not_found())
    assert isinstance(watch.failure, NotFound)
    watch.update(asset("waiting"), None, 100.0)
    watch.fail(not_found())
    assert isinstance(watch.failure, AssetDeleted)
    assert isinstance(watch.failure.__cause__, NotFound)
    watch.fail(not_found(Forbidden, 403))
    assert isinstance(watch.failure, Forbidden)


def test_progress_shortens_the_delay(watch):
    before = watch.delay(110.0, 0.5)
    watch.update(asset("processing", progress=0.9), None, 110.0)
    assert watch.delay(110.0, 0.5) < before


@pytest.mark.parametrize(("seen", "phase"), [(None, "unknown"), (asset("waiting"), "waiting")])
def test_timeout_error_names_the_phase(watch, seen, phase):
    watch.update(seen, None, 100.0)
    error = watch.timeout_error(150.0)
    assert isinstance(error, AssetTimeout)
    assert str(error) == f"asset a1 isn't ready after 50 s: its phase is '{phase}'"
