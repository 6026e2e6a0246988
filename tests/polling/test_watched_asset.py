import pytest

from livepeer_async.errors import AssetDeleted, AssetFailed, AssetTimeout, Forbidden, NotFound
from livepeer_async.models import Asset, AssetStatus
from livepeer_async.polling.watched_asset import WatchedAsset


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


def test_unchanged_failure_ends_a_second_wait(watched):
    assert watched.update(asset("failed"), None, 100.0)
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
