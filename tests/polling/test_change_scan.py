import pytest

from livepeer_async.api.calls import Page
from livepeer_async.models import Asset, AssetStatus
from livepeer_async.polling.change_scan import (
    MARGIN_MS,
    MAX_MISSED,
    MAX_PAGE_SIZE,
    MAX_PAGES,
    MAX_SILENCE,
    MAX_SYNC_POINT_AGE,
    MIN_PAGE_SIZE,
    SyncPoint,
    begin_scan,
)
from livepeer_async.polling.watched_asset import WatchedAsset


def row(name, updated_at=None, phase="waiting"):
    return Asset(id=name, status=AssetStatus(phase=phase, updated_at=updated_at))


def page(*rows, cursor=None):
    return Page(rows, cursor)


def watched_assets(*names, known_until=None):
    created = [WatchedAsset(name) for name in names]
    for watched in created:
        watched.restart(0.0, 1000.0, 0.5)
        if known_until is not None:
            watched.update(row(watched.asset_id, 1), None, known_until)
    return created


def missed(watched_assets):
    return [watched.asset_id for watched in watched_assets if watched.needs_single_poll]


def test_first_scan_reads_the_newest_and_later_ones_changes():
    first = begin_scan(None, 500, 10.0)
    assert (first.since, first.limit) == (None, 1000)
    later = begin_scan(SyncPoint(5000, 10.0), 500, 11.0)
    assert (later.since, later.limit) == (5000, 1000)


@pytest.mark.parametrize(
    ("count", "limit"), [(3, MIN_PAGE_SIZE), (100, 400), (1000, MAX_PAGE_SIZE)]
)
def test_few_assets_need_a_small_page(count, limit):
    assert begin_scan(None, count, 0.0).limit == limit


def test_old_sync_point_is_dropped():
    sync_point = SyncPoint(5000, 10.0)
    assert begin_scan(sync_point, 3, 10.0 + MAX_SYNC_POINT_AGE).sync_point is sync_point
    assert begin_scan(sync_point, 3, 11.0 + MAX_SYNC_POINT_AGE).sync_point is None


def test_unwatched_rows_are_ignored():
    scan, waiting = begin_scan(None, 2, 10.0), watched_assets("a", "b")
    changed = scan.consume_page(page(row("x", 9000), row("a", 8000), cursor="skip2"), waiting, 10.0)
    assert [watched.asset_id for watched in changed] == ["a"]
    assert not scan.is_over


def test_sync_point_precedes_the_newest_row_of_the_first_page():
    scan, waiting = begin_scan(None, 2, 10.0), watched_assets("a", "b")
    scan.consume_page(page(row("x", 9000), row("a", 8000), cursor="skip2"), waiting, 10.0)
    scan.consume_page(page(row("b", 9500)), waiting, 11.0)
    assert scan.is_over
    assert scan.finish(waiting) == SyncPoint(9000 - MARGIN_MS, 10.0)
    assert missed(waiting) == []


def test_scan_ends_when_all_are_found_or_a_page_has_none():
    found = begin_scan(None, 1, 10.0)
    found.consume_page(page(row("a", 1), cursor="skip1"), watched_assets("a"), 10.0)
    assert found.is_over
    lost, waiting = begin_scan(None, 1, 10.0), watched_assets("a")
    lost.consume_page(page(row("x", 1), cursor="skip1"), waiting, 10.0)
    assert lost.is_over
    lost.finish(waiting)
    assert missed(waiting) == ["a"]


def test_asset_absent_from_the_changes_is_unchanged():
    waiting = watched_assets("a", "b", known_until=10.0)
    scan = begin_scan(SyncPoint(5000, 10.0), 2, 15.0)
    scan.consume_page(page(Asset(id="x"), row("x")), waiting, 15.0)
    assert scan.finish(waiting) == SyncPoint(5000, 15.0)
    assert {watched.known_until for watched in waiting} == {15.0}
    assert missed(waiting) == []


def test_few_missed_assets_are_polled_singly():
    waiting = watched_assets("a", known_until=9.0) + watched_assets("b")
    scan = begin_scan(SyncPoint(5000, 10.0), 2, 15.0)
    scan.consume_page(page(), waiting, 15.0)
    assert scan.finish(waiting) is not None
    assert missed(waiting) == ["a", "b"]


def test_many_missed_assets_cause_a_scan_of_the_newest():
    waiting = watched_assets(*[f"a{n}" for n in range(MAX_MISSED + 1)])
    scan = begin_scan(SyncPoint(5000, 10.0), 2, 15.0)
    scan.consume_page(page(), waiting, 15.0)
    assert scan.finish(waiting) is None
    assert missed(waiting) == []
    scan = begin_scan(None, 2, 16.0)
    scan.consume_page(page(), waiting, 16.0)
    assert scan.finish(waiting) is None
    assert len(missed(waiting)) == MAX_MISSED + 1


def test_asset_in_no_list_is_polled():
    waiting = watched_assets("a", known_until=10.0)
    waiting[0].known_until = 350.0
    scan = begin_scan(SyncPoint(5000, 340.0), 1, 11.0 + MAX_SILENCE + 50)
    scan.consume_page(page(), waiting, scan.at)
    scan.finish(waiting)
    assert missed(waiting) == ["a"]


def test_endless_changes_end_the_scan():
    waiting = watched_assets("a", known_until=10.0)
    scan = begin_scan(SyncPoint(5000, 10.0), 1, 15.0)
    for number in range(MAX_PAGES):
        assert not scan.is_over
        scan.consume_page(page(row("x"), cursor=f"skip{number}"), waiting, 15.0 + number)
    assert scan.is_over
    assert scan.finish(waiting) is None
