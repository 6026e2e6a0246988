"""The options that select a cluster, and what they refuse."""

import pytest
import typer

from livepeer_async.cli.cluster_certificates import Tls
from livepeer_async.cli.cluster_options import (
    ClusterOptions,
    build_cluster_options,
    check_journal,
    parse_address,
)

TLS = Tls("ca.pem", "cert.pem", "key.pem")
NO_TLS = (None, None, None)


@pytest.mark.parametrize(
    ("text", "tls", "address"),
    [
        ("127.0.0.1:8786", None, "tcp://127.0.0.1:8786"),
        ("127.0.0.1:0", None, "tcp://127.0.0.1:0"),
        ("localhost:1", None, "tcp://localhost:1"),
        ("[::1]:8786", None, "tcp://[::1]:8786"),
        ("tcp://127.0.0.1:8786", None, "tcp://127.0.0.1:8786"),
        ("10.0.0.5:8786", TLS, "tls://10.0.0.5:8786"),
        ("tls://db.example:8786", TLS, "tls://db.example:8786"),
    ],
)
def test_address_is_completed(text, tls, address):
    assert parse_address(text, "--cluster", tls, insecure=False) == address


@pytest.mark.parametrize(
    ("text", "tls", "message"),
    [
        ("", None, "wanted HOST:PORT"),
        ("127.0.0.1", None, "wanted HOST:PORT"),
        (":8786", None, "wanted HOST:PORT"),
        ("127.0.0.1:many", None, "wanted HOST:PORT"),
        ("127.0.0.1:99999", None, "wanted HOST:PORT"),
        ("http://127.0.0.1:8786", None, "wanted HOST:PORT"),
        ("127.0.0.1:8786/path", None, "wanted HOST:PORT"),
        ("tls://127.0.0.1:8786", None, "needs --tls-ca"),
        ("tcp://10.0.0.5:8786", TLS, "wanted tls://10.0.0.5:8786"),
        ("10.0.0.5:8786", None, "anyone who reaches 10.0.0.5:8786 can run code"),
        ("0.0.0.0:8786", None, "can run code"),
        ("localhost.example:8786", None, "can run code"),
    ],
)
def test_address_is_refused(text, tls, message):
    with pytest.raises(typer.BadParameter, match=message):
        parse_address(text, "--listen", tls, insecure=False)


def test_insecure_address_may_be_asked_for():
    address = parse_address("10.0.0.5:8786", "--listen", None, insecure=True)
    assert address == "tcp://10.0.0.5:8786"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("tcp://127.0.0.1:1", "127.0.0.1:1", None), "--cluster can't be combined with --listen"),
        ((None, "127.0.0.1:1", 2), "--listen can't be combined with --workers"),
    ],
)
def test_clusters_exclude_each_other(given, message):
    with pytest.raises(typer.BadParameter, match=message):
        build_cluster_options(*given, NO_TLS, insecure=False)


def test_insecure_without_a_cluster_is_refused():
    with pytest.raises(typer.BadParameter, match="need --cluster or --listen"):
        build_cluster_options(None, None, None, NO_TLS, insecure=True)


def test_no_option_is_no_cluster():
    assert build_cluster_options(None, None, None, NO_TLS, insecure=False) is None


def test_workers_listen_on_this_machine():
    options = build_cluster_options(None, None, 3, NO_TLS, insecure=False)
    assert options == ClusterOptions("tcp://127.0.0.1:0", listen=True, workers=3)
    check_journal(options, None, no_journal=False, is_sandbox=True)


@pytest.mark.parametrize("journal", [None, "shows.journal"])
def test_other_machines_need_a_shared_journal(journal):
    options = ClusterOptions("tls://10.0.0.5:8786", listen=True, tls=TLS)
    with pytest.raises(typer.BadParameter, match="--journal postgresql://"):
        check_journal(options, journal, no_journal=False, is_sandbox=False)
    for url in ("postgresql://db/livepeer", "Postgres://db/livepeer"):
        check_journal(options, url, no_journal=False, is_sandbox=False)


def test_sandbox_is_for_processes_of_this_machine():
    options = ClusterOptions("tcp://127.0.0.1:8786", listen=True)
    with pytest.raises(typer.BadParameter, match="--sandbox can be combined with --workers only"):
        check_journal(options, None, no_journal=False, is_sandbox=True)
    check_journal(options, None, no_journal=False, is_sandbox=False)


def test_cluster_without_a_journal_is_refused():
    options = ClusterOptions("tcp://127.0.0.1:0", listen=True, workers=2)
    with pytest.raises(typer.BadParameter, match="--no-journal can't be combined with a cluster"):
        check_journal(options, None, no_journal=True, is_sandbox=False)
