"""The URL of a database in messages: no part of a password."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.journal.location import hide_password, is_clear, is_postgres_url

# None of these characters is in the other parts of the URLs.
SECRET = "~"
SPECIAL = st.sampled_from("@/:?#%&=[]!, \\'\"\n\t\0é🎬\udcff0")
# Each character is a secret or special, and each second one is a secret.
passwords = st.lists(st.tuples(SPECIAL, st.just(SECRET)), min_size=1, max_size=6).map(
    lambda pairs: SECRET + "".join(map("".join, pairs))
)
hosts = st.sampled_from(["db", "db:5432", "a:1,b:2", "[::1]:5432", "", "%2Fvar%2Frun"])
schemes = st.sampled_from(["postgresql", "postgres", "PostgreSQL"])


@given(schemes, passwords, hosts, st.sampled_from(["", "/videos", "/videos?sslmode=require"]))
def test_no_part_of_an_unquoted_password_is_shown(scheme, password, host, path):
    shown = hide_password(f"{scheme}://user:{password}@{host}{path}")
    assert SECRET not in shown
    assert "\n" not in shown


@given(passwords, hosts, st.sampled_from(["password", "sslpassword", "x"]))
def test_no_parameter_is_shown(password, host, name):
    for user in ("", "user@"):
        shown = hide_password(f"postgresql://{user}{host}/videos?{name}={password}")
        assert SECRET not in shown


@given(passwords, hosts)
def test_quoted_password_leaves_the_rest_of_the_url(password, host):
    quoted = quote(password.replace("\udcff", ""), safe="")
    url = f"postgresql://user:{quoted}@{host}/videos?sslmode=require"
    assert is_clear(url)
    assert hide_password(url) == f"postgresql://user@{host}/videos"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://", "postgresql://"),
        ("postgresql:///videos?host=/run", "postgresql:///videos"),
        ("postgres://user@db", "postgres://user@db"),
        ("postgresql://db:5432/videos#part", "postgresql://db:5432/videos"),
        # The host was forgotten: the rest would be the port.
        ("postgresql://user:~~/videos", "postgresql://..."),
        ("postgresql://user:~~", "postgresql://..."),
        ("postgresql://user:~/~@db/videos", "postgresql://..."),
        ("postgresql://user:~@~@db/videos", "postgresql://user@..."),
        ("postgresql://user:~@~/~@db/videos", "postgresql://user@..."),
        ("postgresql://us\ner:~@db/videos", "postgresql://..."),
    ],
)
def test_part_that_may_be_a_password_is_hidden(url, shown):
    assert hide_password(url) == shown
    assert is_clear(url) == ("..." not in shown)


def test_only_urls_of_postgresql_are_no_files(tmp_path):
    assert is_postgres_url("postgresql://db")
    assert is_postgres_url("POSTGRES://db")
    assert not any(map(is_postgres_url, (None, tmp_path, b"postgres://db", "postgres.journal")))
