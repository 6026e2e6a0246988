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


def test_what_was_never_seen_is_due_at_once(watch):
    assert (watch.due, watch.deadline, watch.is_polled) == (100.0, 150.0, False)


def test_what_was_seen_in_an_earlier_wait_is_not_due_at_once(watch):
    watch.update(asset("waiting"), None, 100.0)
    watch.restart(120.0, 50.0, 0.5)
    assert 120 < watch.due < 121


def test_first_sighting_is_news_and_the_same_again_is_not(watch):
    assert watch.update(asset("waiting"), '"1"', 100.0)
    assert not watch.update(asset("waiting"), '"2"', 101.0)
    assert not watch.update(None, '"2"', 102.0)
    assert (watch.etag, watch.known_until, watch.last_confirmed) == ('"2"', 102.0, 102.0)


def test_row_that_was_overtaken_changes_nothing(watch):
    watch.update(asset("ready", updated_at=2000), None, 100.0)
    assert not watch.update(asset("processing", updated_at=1999), None, 101.0)
    assert watch.asset.phase == "ready"
    assert watch.update(asset("failed", updated_at=None), None, 102.0)


@pytest.mark.parametrize("row", [Asset(id="a1"), asset("waiting")])
def test_row_without_a_date_is_believed(watch, row):
    watch.update(asset("ready", updated_at=2000), None, 100.0)
    assert watch.update(row, None, 101.0)
    assert watch.asset is row


def test_answer_without_an_asset_to_one_who_knows_none_is_no_news(watch):
    assert not watch.update(None, None, 100.0)
    assert watch.failure is None


def test_failure_ends_the_wait_also_when_it_is_seen_again(watch):
    assert watch.update(asset("failed"), None, 100.0)
    watch.restart(101.0, 50.0, 0.5)
    assert watch.failure is None
    assert watch.update(None, None, 101.0)
    assert isinstance(watch.failure, AssetFailed)


def test_what_vanishes_was_deleted_only_if_it_was_there(watch):
    watch.fail(not_found())
    assert isinstance(watch.failure, NotFound)
    watch.update(asset("waiting"), None, 100.0)
    watch.fail(not_found())
    assert isinstance(watch.failure, AssetDeleted)
    assert isinstance(watch.failure.__cause__, NotFound)
    watch.fail(not_found(Forbidden, 403))
    assert isinstance(watch.failure, Forbidden)


def test_progress_brings_the_next_look_nearer(watch):
    before = watch.delay(110.0, 0.5)
    watch.update(asset("processing", progress=0.9), None, 110.0)
    assert watch.delay(110.0, 0.5) < before


@pytest.mark.parametrize(("seen", "phase"), [(None, "unknown"), (asset("waiting"), "waiting")])
def test_time_out_names_the_phase(watch, seen, phase):
    watch.update(seen, None, 100.0)
    error = watch.timeout_error(150.0)
    assert isinstance(error, AssetTimeout)
    assert str(error) == f"asset a1 isn't ready after 50 s: its phase is '{phase}'"
