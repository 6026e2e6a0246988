import sqlite3
import threading
import time
from contextlib import closing, contextmanager

import pytest

from livepeer_async.journal.database import PAUSE_SECONDS, BusyTimeout, WaitCancelled, is_busy

# Of one who must not be waited for: a test that does runs into its own limit.
FOR_EVER = 1000.0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.db"


@pytest.fixture
def connect(path):
    """Connect to the file; who finds it locked is told so at once."""
    made = []

    def connect():
        made.append(
            sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
        )
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


@pytest.fixture
def attempt(connect):
    """Begin to write and end it again.

    Its `count` says how often that was tried, its `before` what is done ahead of which attempt.
    """
    connection = connect()

    def attempt():
        attempt.count += 1
        attempt.before.get(attempt.count, lambda: None)()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
        return "done"

    attempt.count, attempt.before = 0, {}
    return attempt


@pytest.fixture
def other(connect):
    """Another program's connection, which has locked the file."""
    other = connect()
    other.execute("BEGIN IMMEDIATE")
    return other


@contextmanager
def lasting(least):
    """Whatever is counted from within the block ends after so many seconds or later."""
    began = time.monotonic()
    yield
    assert time.monotonic() >= began + least


@contextmanager
def in_another_thread(act, *, once):
    """Do something in another thread, as soon as an event is set."""

    def wait():
        once.wait()
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield
    thread.join()


class Held:
    """A lock that another has; in the third turn of one who waits for it something is done."""

    def __init__(self):
        self.slot_queue = 0
        self.third = None
        self._lock = threading.Lock()
        self._lock.acquire()
        self.release = self._lock.release

    def acquire(self, *, timeout):
        self.slot_queue += 1
        if self.slot_queue == 3:
            self.third()
        return self._lock.acquire(timeout=timeout)


def error_of(connection, statement):
    with pytest.raises(sqlite3.Error) as caught:
        connection.execute(statement)
    return caught.value


def test_what_is_busy_is_tried_until_it_is_free(attempt, other):
    attempt.before[5] = other.close
    assert BusyTimeout(FOR_EVER).retry_while_busy(attempt) == "done"
    assert attempt.count == 5


def test_what_stays_busy_is_an_error_once_the_time_is_over(attempt, other):
    with lasting(0.3), pytest.raises(sqlite3.OperationalError, match="locked"):
        BusyTimeout(0.3).retry_while_busy(attempt)


def test_between_refusals_that_come_at_once_it_sleeps(attempt, other):
    attempt.before[11] = other.close
    with lasting(9 * PAUSE_SECONDS):
        BusyTimeout(FOR_EVER).retry_while_busy(attempt)


def test_without_any_time_it_is_tried_once(attempt):
    assert BusyTimeout(-1.0).retry_while_busy(attempt) == "done"
    assert attempt.count == 1


def test_the_time_in_a_queue_counts(attempt, other):
    patience = BusyTimeout(0.1)
    time.sleep(0.15)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        patience.retry_while_busy(attempt)
    assert attempt.count == 1


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELECT * FROM nothing", sqlite3.OperationalError),
        ("INSERT INTO one VALUES (1)", sqlite3.IntegrityError),
    ],
)
def test_what_will_not_pass_is_an_error_at_once(connect, statement, error):
    connection, tries = connect(), []
    connection.execute("CREATE TABLE one (id PRIMARY KEY)")
    connection.execute("INSERT INTO one VALUES (1)")

    def attempt():
        tries.append(statement)
        connection.execute(statement)

    with pytest.raises(error):
        BusyTimeout(FOR_EVER).retry_while_busy(attempt)
    assert len(tries) == 1


def test_given_up_from_another_thread_it_ends_soon(attempt, other):
    patience, second = BusyTimeout(FOR_EVER), threading.Event()
    attempt.before[2] = second.set
    with in_another_thread(patience.cancel, once=second), pytest.raises(WaitCancelled):
        patience.retry_while_busy(attempt)


def test_given_up_before_nothing_is_tried(attempt):
    patience = BusyTimeout(FOR_EVER)
    patience.check()
    patience.cancel()
    with pytest.raises(WaitCancelled):
        patience.check()
    with pytest.raises(WaitCancelled):
        patience.retry_while_busy(attempt)
    assert attempt.count == 0


def test_given_up_meanwhile_what_is_done_counts():
    patience = BusyTimeout(FOR_EVER)

    def attempt():
        patience.cancel()
        return "done"

    assert patience.retry_while_busy(attempt) == "done"


@pytest.mark.parametrize(("at_first", "then"), [(FOR_EVER, 0.2), (0.2, FOR_EVER)])
def test_a_patience_is_shortened_and_never_lengthened(attempt, other, at_first, then):
    with lasting(0.2), pytest.raises(sqlite3.OperationalError):
        patience = BusyTimeout(at_first)
        patience.shorten(then)
        patience.retry_while_busy(attempt)


def test_a_lock_is_waited_for_beyond_the_time_for_its_holder_will_end():
    lock = Held()
    lock.third = lock.release
    BusyTimeout(0.0).acquire(lock)
    assert lock.slot_queue == 3


def test_who_waits_for_a_lock_gives_up_soon():
    lock, patience = Held(), BusyTimeout(FOR_EVER)
    lock.third = patience.cancel
    with pytest.raises(WaitCancelled):
        patience.acquire(lock)
    assert lock.slot_queue == 3


def test_given_up_before_a_free_lock_stays_free():
    lock, patience = threading.Lock(), BusyTimeout(FOR_EVER)
    patience.cancel()
    with pytest.raises(WaitCancelled):
        patience.acquire(lock)
    assert not lock.locked()


def test_a_lock_of_another_connection_passes(connect, other):
    assert is_busy(error_of(connect(), "BEGIN IMMEDIATE"))


def test_that_another_has_written_since_one_read_passes(connect):
    reader, writer = connect(), connect()
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE one (id)")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM one").fetchall()
    writer.execute("INSERT INTO one VALUES (1)")
    error = error_of(reader, "INSERT INTO one VALUES (2)")
    assert error.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT"
    assert is_busy(error)


def test_a_table_that_its_own_connection_reads_does_not_pass(connect):
    connection = connect()
    connection.execute("CREATE TABLE one (id)")
    connection.execute("INSERT INTO one VALUES (1), (2)")
    with closing(connection.execute("SELECT * FROM one")) as rows:
        next(rows)
        error = error_of(connection, "DROP TABLE one")
    assert "is locked" in str(error)
    assert not is_busy(error)


def test_an_error_that_is_not_of_the_file_does_not_pass(connect):
    connection = connect()
    connection.close()
    error = error_of(connection, "BEGIN")
    assert not hasattr(error, "sqlite_errorname")
    assert not is_busy(error)
