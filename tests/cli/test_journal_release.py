"""`livepeer-async journal release`: the owners of claims, and the ends of their sessions."""

import pytest

from support.records import hold_key

STRANGER = "stranger"


@pytest.fixture
def holder(postgres):
    """A process that holds a key in the database."""
    with hold_key(postgres.url) as holder:
        yield holder


@pytest.fixture
def stranger(postgres, holder):
    """The URL of another role that may use the journal."""
    rights = f"SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA livepeer_async TO {STRANGER}"
    postgres.execute(f"CREATE ROLE {STRANGER} LOGIN")
    postgres.execute(f"GRANT USAGE ON SCHEMA livepeer_async TO {STRANGER}")
    postgres.execute(f"GRANT {rights}")
    yield postgres.url_of(user=STRANGER, password=None)
    postgres.execute(f"DROP OWNED BY {STRANGER}")
    postgres.execute(f"DROP ROLE {STRANGER}")


def find_owner(postgres):
    return postgres.execute("SELECT owner, host FROM livepeer_async.owners")[0]


@pytest.mark.parametrize("columns", ["80", "120"])
def test_owners_are_shown_with_claims_and_state(run_here, postgres, holder, columns):
    owner, host = find_owner(postgres)
    done = run_here("journal", "release", "--journal", postgres.url, COLUMNS=columns)
    head, row = done.stdout.decode().splitlines()
    assert head.split() == ["owner", "host", "process", "since", "claims", "state"]
    cells = row.split()
    assert cells[:3] == [str(owner), host, str(holder.pid)]
    assert cells[-2:] == ["1", "running"]


def test_role_without_the_right_is_told_which(run_here, postgres, stranger):
    owner, _ = find_owner(postgres)
    done = run_here("journal", "release", str(owner), "--journal", stranger)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"Error: the journal {stranger} doesn't permit the role to end the session of owner "
        f"{owner}: use the role of that session, or one with pg_signal_backend\n"
    )


def test_process_that_runs_connects_again(run_here, postgres, holder):
    owner, host = find_owner(postgres)
    done = run_here("journal", "release", str(owner), "--journal", postgres.url)
    assert done.stdout.decode() == f"ended the session of owner {owner}, with 1 claim\n"
    assert f"if process {holder.pid} on {host} still runs" in done.stderr.decode()
