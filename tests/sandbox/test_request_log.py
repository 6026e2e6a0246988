import pytest

from livepeer_async.sandbox import request_log
from livepeer_async.sandbox.request_log import SeenRequest, Watch, hide_token, show_headers


class Peer:
    def __init__(self, *, is_there):
        self.is_there = is_there

    def has_lost_its_peer(self):
        return not self.is_there


def make_request(path):
    return SeenRequest(
        at=0.0, method="GET", path=path, headers={}, is_authorized=False, connection=1
    )


def test_the_log_is_bounded(monkeypatch):
    monkeypatch.setattr(request_log, "MAX_REQUESTS", 10)
    log = Watch()
    for number in range(25):
        log.note(make_request(str(number)))
    kept = [request.path for request in log.requests]
    assert 9 <= len(kept) <= 10
    assert kept[-1] == "24"


def test_what_is_handed_out_is_a_copy():
    log = Watch()
    log.note(make_request("/x"))
    log.requests.clear()
    log.accuse("rule", log.requests[0])
    log.violations.clear()
    assert (len(log.requests), log.violations[0].request) == (1, "GET /x")


def test_a_patch_runs_as_long_as_its_client_is_there():
    log, here, gone = Watch(), Peer(is_there=True), Peer(is_there=False)
    assert not log.is_patching("u")
    with log.patching("u", gone):
        assert not log.is_patching("u")
        with log.patching("u", here):
            assert log.is_patching("u")
            assert not log.is_patching("v")
        assert not log.is_patching("u")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", "/p"),
        ("token=secret", "/p?token=…"),
        ("a=1&token=secret&b=2", "/p?a=1&token=…&b=2"),
    ],
)
def test_tokens_are_hidden(query, shown):
    assert hide_token("/p", query) == shown


def test_keys_are_not_among_the_headers():
    headers = [(b"Authorization", b"Bearer x"), (b"Upload-Offset", b"7"), (b"Cookie", b"x")]
    assert show_headers(headers) == {"upload-offset": "7"}
