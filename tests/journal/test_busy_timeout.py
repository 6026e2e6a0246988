import sqlite3
import threading
import time
from contextlib import closing, contextmanager

import pytest

from livepeer_async.journal.busy_timeout import PAUSE_SECONDS, BusyTimeout, WaitCancelled, is_busy
from support.constants import VERY_LONG


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.db"


@pytest.fixture
def connect(path):
    """Connect to the file without waiting for locks."""
    connections = []

    def connect():
        connections.append(
            sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
        )
        return connections[-1]

    yield connect
    for connection in connections:
        connection.close()


@pytest.fixture
def attempt(connect):
    """Begin and commit a transaction.

    Attributes:
        count: The number of attempts.
        before: Functions to call before an attempt, by its number.
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
    """The connection of another program that locks the file."""
    other = connect()
    other.execute("BEGIN IMMEDIATE")
    return other


@contextmanager
def lasting(minimum):
    """Assert that the block takes this many seconds at least."""
    started = time.monotonic()
    yield
    assert time.monotonic() >= started + minimum


@contextmanager
def in_another_thread(function, *, after):
    """Call a function in another thread once an event is set."""

    def wait():
        after.wait()
        function()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield
    thread.join()


class HeldLock:
    """A lock that is held; the third attempt to acquire it calls `on_third`."""

    def __init__(self):
        self.attempts = 0
        self.on_third = None
        self._lock = threading.Lock()
        self._lock.acquire()
        self.release = self._lock.release

    def acquire(self, *, timeout):
        self.attempts += 1
        if self.attempts == 3:
            self.on_third()
        return self._lock.acquire(timeout=timeout)


def error_of(connection, statement):
    with pytest.raises(sqlite3.Error) as caught:
        connection.execute(statement)
    return caught.value


def test_busy_file_is_retried_until_it_is_free(attempt, other):
    attempt.before[5] = other.close
    assert BusyTimeout(VERY_LONG).retry_while_busy(attempt) == "done"
    assert attempt.count == 5


def test_busy_file_is_an_error_after_the_timeout(attempt, other):
    with lasting(0.3), pytest.raises(sqlite3.OperationalError, match="locked"):
        BusyTimeout(0.3).retry_while_busy(attempt)


def test_attempts_are_spaced(attempt, other):
    attempt.before[11] = other.close
    with lasting(9 * PAUSE_SECONDS):
        BusyTimeout(VERY_LONG).retry_while_busy(attempt)


def test_expired_timeout_allows_one_attempt(attempt):
    assert BusyTimeout(-1.0).retry_while_busy(attempt) == "done"
    assert attempt.count == 1


def test_time_before_the_first_attempt_counts(attempt, other):
    busy_timeout = BusyTimeout(0.1)
    time.sleep(0.15)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        busy_timeout.retry_while_busy(attempt)
    assert attempt.count == 1


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELECT * FROM nothing", sqlite3.OperationalError),
        ("INSERT INTO one VALUES (1)", sqlite3.IntegrityError),
    ],
)
def test_other_errors_are_raised_at_once(connect, statement, error):
    connection, attempts = connect(), []
    connection.execute("CREATE TABLE one (id PRIMARY KEY)")
    connection.execute("INSERT INTO one VALUES (1)")

    def attempt():
        attempts.append(statement)
        connection.execute(statement)

    with pytest.raises(error):
        BusyTimeout(VERY_LONG).retry_while_busy(attempt)
    assert len(attempts) == 1


def test_cancel_from_another_thread_ends_the_wait(attempt, other):
    busy_timeout, second = BusyTimeout(VERY_LONG), threading.Event()
    attempt.before[2] = second.set
    with in_another_thread(busy_timeout.cancel, after=second), pytest.raises(WaitCancelled):
        busy_timeout.retry_while_busy(attempt)


def test_cancelled_timeout_allows_no_attempt(attempt):
    busy_timeout = BusyTimeout(VERY_LONG)
    busy_timeout.check()
    busy_timeout.cancel()
    with pytest.raises(WaitCancelled):
        busy_timeout.check()
    with pytest.raises(WaitCancelled):
        busy_timeout.retry_while_busy(attempt)
    assert attempt.count == 0


def test_result_of_a_cancelled_attempt_is_returned():
    busy_timeout = BusyTimeout(VERY_LONG)

    def attempt():
        busy_timeout.cancel()
        return "done"

    assert busy_timeout.retry_while_busy(attempt) == "done"


@pytest.mark.parametrize(("seconds", "shortened"), [(VERY_LONG, 0.2), (0.2, VERY_LONG)])
def test_timeout_is_shortened_and_never_lengthened(attempt, other, seconds, shortened):
    with lasting(0.2), pytest.raises(sqlite3.OperationalError):
        busy_timeout = BusyTimeout(seconds)
        busy_timeout.shorten(shortened)
        busy_timeout.retry_while_busy(attempt)


def test_wait_for_a_lock_outlasts_the_timeout():
    lock = HeldLock()
    lock.on_third = lock.release
    BusyTimeout(0.0).acquire(lock)
    assert lock.attempts == 3


def test_wait_for_a_lock_can_be_cancelled():
    lock, busy_timeout = HeldLock(), BusyTimeout(VERY_LONG)
    lock.on_third = busy_timeout.cancel
    with pytest.raises(WaitCancelled):
        busy_timeout.acquire(lock)
    assert lock.attempts == 3


def test_cancelled_timeout_leaves_a_free_lock_free():
    lock, busy_timeout = threading.Lock(), BusyTimeout(VERY_LONG)
    busy_timeout.cancel()
    with pytest.raises(WaitCancelled):
        busy_timeout.acquire(lock)
    assert not lock.locked()


def test_lock_of_another_connection_is_busy(connect, other):
    assert is_busy(error_of(connect(), "BEGIN IMMEDIATE"))


def test_write_after_an_outdated_read_is_busy(connect):
    reader, writer = connect(), connect()
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE one (id)")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM one").fetchall()
    writer.execute("INSERT INTO one VALUES (1)")
    error = error_of(reader, "INSERT INTO one VALUES (2)")
    assert error.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT"
    assert is_busy(error)


def test_table_locked_by_its_own_connection_is_not_busy(connect):
    connection = connect()
    connection.execute("CREATE TABLE one (id)")
    connection.execute("INSERT INTO one VALUES (1), (2)")
    with closing(connection.execute("SELECT * FROM one")) as rows:
        next(rows)
        error = error_of(connection, "DROP TABLE one")
    assert "is locked" in str(error)
    assert not is_busy(error)


def test_error_of_a_closed_connection_is_not_busy(connect):
    connection = connect()
    connection.close()
    error = error_of(connection, "BEGIN")
    assert not hasattr(error, "sqlite_errorname")
    assert not is_busy(error)
