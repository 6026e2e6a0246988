from urllib.parse import unquote

import pytest

from livepeer_async.api.requests import Page, check_account
from livepeer_async.models import Asset, AssetStatus
from livepeer_async.polling.change_scan import (
    FEW_MISSED,
    LONGEST_HORIZON,
    LONGEST_PAGE,
    LONGEST_SILENCE,
    MARGIN_MS,
    MOST_PAGES,
    SHORT_PAGE,
    Horizon,
    begin_sweep,
)
from livepeer_async.polling.watched_asset import Watch

ACCOUNT = check_account("https://studio.example/api", "key-1")


def row(name, updated_at=None, phase="waiting"):
    return Asset(id=name, status=AssetStatus(phase=phase, updated_at=updated_at))


def page(*rows, cursor=None):
    return Page(rows, cursor)


def watches(*names, seen_at=None):
    made = [Watch(name) for name in names]
    for watch in made:
        watch.restart(0.0, 1000.0, 0.5)
        if seen_at is not None:
            watch.saw(row(watch.asset_id, 1), None, seen_at)
    return made


def missed(all_of_them):
    return [watch.asset_id for watch in all_of_them if watch.is_missed]


def test_first_sweep_asks_for_the_newest_and_later_ones_for_changes():
    first = begin_sweep(None, 500, 10.0)
    url = unquote(first.next_page(ACCOUNT).request.url)
    assert url == "https://studio.example/api/asset?limit=1000&order=updatedAt-true"
    later = begin_sweep(Horizon(5000, 10.0), 500, 11.0)
    assert '[{"id":"updatedAt","value":{"gte":5000}}]' in unquote(
        later.next_page(ACCOUNT).request.url
    )


@pytest.mark.parametrize(("count", "limit"), [(3, SHORT_PAGE), (100, 400), (1000, LONGEST_PAGE)])
def test_few_are_not_sought_in_a_thousand_rows(count, limit):
    assert begin_sweep(None, count, 0.0).limit == limit


def test_horizon_of_long_ago_is_dropped():
    horizon = Horizon(5000, 10.0)
    assert begin_sweep(horizon, 3, 10.0 + LONGEST_HORIZON).horizon is horizon
    assert begin_sweep(horizon, 3, 11.0 + LONGEST_HORIZON).horizon is None


def test_rows_that_nobody_waits_for_are_ignored():
    sweep, waiting = begin_sweep(None, 2, 10.0), watches("a", "b")
    news = sweep.take(page(row("x", 9000), row("a", 8000), cursor="skip2"), waiting, 10.0)
    assert [watch.asset_id for watch in news] == ["a"]
    assert not sweep.is_over


def test_next_horizon_lies_before_the_newest_of_the_first_page():
    sweep, waiting = begin_sweep(None, 2, 10.0), watches("a", "b")
    sweep.take(page(row("x", 9000), row("a", 8000), cursor="skip2"), waiting, 10.0)
    sweep.take(page(row("b", 9500)), waiting, 11.0)
    assert sweep.is_over
    assert sweep.close(waiting) == Horizon(9000 - MARGIN_MS, 10.0)
    assert missed(waiting) == []


def test_newest_are_left_once_all_are_found_or_a_page_has_none_of_them():
    found = begin_sweep(None, 1, 10.0)
    found.take(page(row("a", 1), cursor="skip1"), watches("a"), 10.0)
    assert found.is_over
    lost, waiting = begin_sweep(None, 1, 10.0), watches("a")
    lost.take(page(row("x", 1), cursor="skip1"), waiting, 10.0)
    assert lost.is_over
    lost.close(waiting)
    assert missed(waiting) == ["a"]


def test_what_the_changes_do_not_name_has_not_changed():
    waiting = watches("a", "b", seen_at=10.0)
    sweep = begin_sweep(Horizon(5000, 10.0), 2, 15.0)
    sweep.take(page(Asset(id="x"), row("x")), waiting, 15.0)
    assert sweep.close(waiting) == Horizon(5000, 15.0)
    assert {watch.seen_at for watch in waiting} == {15.0}
    assert missed(waiting) == []


def test_few_that_were_not_seen_since_the_horizon_are_looked_at_singly():
    waiting = watches("a", seen_at=9.0) + watches("b")
    sweep = begin_sweep(Horizon(5000, 10.0), 2, 15.0)
    sweep.take(page(), waiting, 15.0)
    assert sweep.close(waiting) is not None
    assert missed(waiting) == ["a", "b"]


def test_many_that_were_not_seen_are_sought_among_the_newest_then_singly():
    waiting = watches(*[f"a{n}" for n in range(FEW_MISSED + 1)])
    sweep = begin_sweep(Horizon(5000, 10.0), 2, 15.0)
    sweep.take(page(), waiting, 15.0)
    assert sweep.close(waiting) is None
    assert missed(waiting) == []
    sweep = begin_sweep(None, 2, 16.0)
    sweep.take(page(), waiting, 16.0)
    assert sweep.close(waiting) is None
    assert len(missed(waiting)) == FEW_MISSED + 1


def test_what_the_server_was_silent_about_is_looked_at():
    waiting = watches("a", seen_at=10.0)
    waiting[0].seen_at = 350.0
    sweep = begin_sweep(Horizon(5000, 340.0), 1, 11.0 + LONGEST_SILENCE + 50)
    sweep.take(page(), waiting, sweep.at)
    sweep.close(waiting)
    assert missed(waiting) == ["a"]


def test_changes_without_end_are_given_up_for_the_newest():
    waiting = watches("a", seen_at=10.0)
    sweep = begin_sweep(Horizon(5000, 10.0), 1, 15.0)
    for number in range(MOST_PAGES):
        assert not sweep.is_over
        sweep.take(page(row("x"), cursor=f"skip{number}"), waiting, 15.0 + number)
    assert sweep.is_over
    assert sweep.close(waiting) is None
