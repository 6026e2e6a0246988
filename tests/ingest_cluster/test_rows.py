"""The queue of rows, the choice of hosts, and the steps between two samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async import Progress, Stage
from livepeer_async.errors import LivepeerError, UploadInUse
from livepeer_async.ingest import Row
from livepeer_async.ingest.cluster.rows import (
    MAX_BYTES,
    MAX_ROWS,
    PendingRow,
    RowGroup,
    RowQueue,
    fill_gap,
    find_other_hosts,
)
from livepeer_async.ingest.cluster.settings import without_password


def pending(number, length=1000):
    row = Row(source=f"{number}.mp4", is_url=False, key=f"key-{number}", length=length)
    return PendingRow(row, number)


@given(lengths=st.lists(st.integers(1, MAX_BYTES), max_size=300), parts=st.integers(0, 50))
def test_queue_gives_each_row_once(lengths, parts):
    queue = RowQueue()
    for number, length in enumerate(lengths):
        queue.add(pending(number, length))
    groups = []
    while (group := queue.take(0.0, parts)) is not None:
        groups.append([it.number for it in group.rows])
        assert 0 < len(group.rows) <= MAX_ROWS
        assert sum(it.row.length for it in group.rows[:-1]) < MAX_BYTES
    assert [number for group in groups for number in group] == list(range(len(lengths)))
    assert not queue


def test_last_rows_are_divided():
    queue = RowQueue()
    for number in range(8):
        queue.add(pending(number))
    assert [len(queue.take(0.0, parts).rows) for parts in (4, 3, 2, 1)] == [2, 2, 2, 2]


def test_returned_rows_come_first_when_they_are_due():
    queue = RowQueue()
    queue.add(pending(1))
    queue.add_again(RowGroup([pending(2)], due=10.0))
    assert queue.due == 10.0
    assert queue.take(10.0, 1).rows[0].number == 2
    assert queue.take(10.0, 1).rows[0].number == 1
    assert queue.take(10.0, 1) is None


IN_USE = UploadInUse("in use", path="uploads.journal", key="key")


def return_rows(row, error, *, times, is_shared):
    delays = []
    for _ in range(times):
        row.error = error
        delays.append(row.return_unfinished(is_shared=is_shared))
    return delays


def test_row_is_given_up_after_five_returns():
    delays = return_rows(pending(1), LivepeerError("slow"), times=5, is_shared=True)
    assert delays == [0.0, 0.0, 0.0, 0.0, None]


def test_row_that_another_machine_has_is_never_given_up():
    row = pending(1)
    delays = return_rows(row, IN_USE, times=8, is_shared=True)
    assert delays == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0, 60.0, 60.0]
    assert return_rows(row, LivepeerError("slow"), times=1, is_shared=True) == [0.0]
    assert return_rows(row, IN_USE, times=1, is_shared=True) == [10.0]


def test_row_that_a_process_here_has_is_given_up():
    delays = return_rows(pending(1), IN_USE, times=5, is_shared=False)
    assert delays == [10.0, 20.0, 40.0, 60.0, None]


HOSTS = {"tcp://a:1": "a", "tcp://a:2": "a", "tcp://b:1": "b"}


@pytest.mark.parametrize(
    ("missed", "hosts", "others"),
    [
        ({"tcp://a:1": "a"}, HOSTS, ["tcp://b:1"]),
        ({"tcp://a:1": "a", "tcp://b:1": "b"}, HOSTS, []),
        ({"tcp://a:1": "a"}, {"tcp://a:1": "a", "tcp://a:2": "a"}, ["tcp://a:2"]),
        ({"tcp://a:1": "a"}, {"tcp://a:1": "a"}, []),
    ],
)
def test_file_is_looked_for_on_each_other_host(missed, hosts, others):
    assert find_other_hosts(missed, hosts) == others


def test_gap_between_samples_is_filled():
    before = Progress(sent=10, in_flight=5, length=100)
    after = Progress(sent=40, in_flight=2, length=100)
    assert fill_gap(before, after) == [Progress(sent=10, in_flight=32, length=100), after]
    assert fill_gap(None, after) == [after]
    assert fill_gap(after, before) == [before]
    starting = Progress(sent=0, length=100, stage=Stage.RESUMING)
    assert fill_gap(starting, after) == [after]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:SECRET@db:5432/x", "postgresql://u@db:5432/x"),
        ("postgresql://db/x?password=SECRET&sslmode=require", "postgresql://db/x?sslmode=require"),
        ("postgres://u@db/x", "postgres://u@db/x"),
        ("postgresql:///x?host=/run/a&sslpassword=SECRET", "postgresql:///x?host=%2Frun%2Fa"),
        ("postgresql://u:SE%40CRET@a:1,b:2/x", "postgresql://u@a:1,b:2/x"),
        ("postgresql://:SECRET@db/x", "postgresql://db/x"),
    ],
)
def test_password_is_removed_from_the_journal(url, expected):
    assert without_password(url) == expected
