"""Sessions with PostgreSQL that are lost between two steps of their thread."""

from livepeer_async.journal.busy_timeout import BusyTimeout
from livepeer_async.journal.postgres import session
from support.constants import TIMEOUT


class LosingOnce:
    """Loses the first session before its thread watches it, as a call on it may."""

    def __init__(self):
        self.sessions = 0

    def session_opened(self, claimed):
        self.sessions += 1

    def session_lost(self):
        pass

    def session_used(self, connection):
        if self.sessions == 1:
            connection.close()


def test_session_that_is_lost_at_once_is_replaced(postgres):
    events = LosingOnce()
    opened = session.Session(postgres.url, "here", "a", events)
    opened.transact(lambda _: None, BusyTimeout(TIMEOUT))
    assert events.sessions == 2
    (owners,) = postgres.execute("SELECT count(*) FROM livepeer_async.owners")[0]
    assert owners == 1
    opened.close(TIMEOUT)
