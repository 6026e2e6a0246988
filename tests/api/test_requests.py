from urllib.parse import unquote

import msgspec
import pytest

from livepeer_async.api import calls, requests
from livepeer_async.errors import ApiError, ConfigurationError, ServerError, TooManyRequests
from livepeer_async.http.messages import Response
from livepeer_async.models import (
    AssetPatch,
    NewAsset,
    NewAssetFromUrl,
    NewWebhook,
    Task,
    WebhookPatch,
)
from support.samples import read_text

ACCOUNT = calls.check_account("https://studio.example/api/", " key-1 \n")


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        (
            requests.request_upload(ACCOUNT, NewAsset("a")),
            "POST",
            "/asset/request-upload",
            {"name": "a"},
        ),
        (
            requests.upload_from_url(ACCOUNT, NewAssetFromUrl("a", url="https://x.example/a.mp4")),
            "POST",
            "/asset/upload/url",
            {"name": "a", "url": "https://x.example/a.mp4"},
        ),
        (requests.get_asset(ACCOUNT, "a1"), "GET", "/asset/a1", None),
        (requests.get_asset(ACCOUNT, "a1", details=True), "GET", "/asset/a1?details=true", None),
        (requests.get_asset(ACCOUNT, "a/../b?c"), "GET", "/asset/a%2F..%2Fb%3Fc", None),
        (
            requests.update_asset(ACCOUNT, "a1", AssetPatch(playback_policy=None)),
            "PATCH",
            "/asset/a1",
            {"playbackPolicy": None},
        ),
        (requests.delete_asset(ACCOUNT, "a1"), "DELETE", "/asset/a1", None),
        (
            requests.create_webhook(ACCOUNT, NewWebhook(name="a", url="https://a", events=[])),
            "POST",
            "/webhook",
            {"name": "a", "url": "https://a", "events": []},
        ),
        (requests.get_webhook(ACCOUNT, "w/1"), "GET", "/webhook/w%2F1", None),
        (
            requests.update_webhook(ACCOUNT, "w1", WebhookPatch(shared_secret="s")),
            "PATCH",
            "/webhook/w1",
            {"sharedSecret": "s"},
        ),
        (requests.delete_webhook(ACCOUNT, "w1"), "DELETE", "/webhook/w1", None),
        (requests.list_webhooks(ACCOUNT, limit=2), "GET", "/webhook?limit=2", None),
        (requests.retry_asset(ACCOUNT, "a1"), "POST", "/asset/a1/retry", None),
        (requests.get_task(ACCOUNT, "t1"), "GET", "/task/t1", None),
        (requests.get_playback(ACCOUNT, "p1"), "GET", "/playback/p1", None),
        (
            requests.raw(ACCOUNT, "get", "stream", params={"a": "b c"}),
            "GET",
            "/stream?a=b%20c",
            None,
        ),
        (
            requests.raw(ACCOUNT, "POST", "/stream?x=1", params={"y": 2}, json={"z": 3}),
            "POST",
            "/stream?x=1&y=2",
            {"z": 3},
        ),
    ],
)
def test_call_builds_the_request_of_the_api(call, method, path, body):
    request = call.request
    assert (request.method, request.url) == (method, f"https://studio.example/api{path}")
    assert request.headers["Authorization"] == "Bearer key-1"
    assert (msgspec.json.decode(request.content) if request.content else None) == body
    assert ("Content-Type" in request.headers) == (body is not None)


def test_list_of_changes_starts_at_a_given_time():
    newest = requests.list_changes(ACCOUNT, None, limit=1000).request.url
    assert newest == "https://studio.example/api/asset?limit=1000&order=updatedAt-true"
    changes = requests.list_changes(ACCOUNT, 5000, limit=1000).request.url
    assert '[{"id":"updatedAt","value":{"gte":5000}}]' in unquote(unquote(changes))


def test_repr_hides_the_key():
    call = requests.get_asset(ACCOUNT, "a1")
    assert "key-1" not in repr(ACCOUNT) + repr(call)


@pytest.mark.parametrize("key", ["", "  \n", "a b", "a\nb", "ключ", "a\x00b", "a\x7f"])
def test_invalid_key_is_rejected_and_not_shown(key):
    with pytest.raises(ConfigurationError) as caught:
        calls.check_account("https://studio.example/api", key)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "studio.example/api",
        "ftp://studio.example",
        "https://",
        "https://a b.example",
        "https://h:99999/api",
        "https://h:0/api",
        "https://h\n.example",
        "http://[::1",
        f"https://{'a' * 64}.example",
        "https://h..example",
    ],
)
def test_invalid_base_url_is_rejected(url):
    with pytest.raises(ConfigurationError, match="base URL"):
        calls.check_account(url, "key-1")


@pytest.mark.parametrize("asset_id", ["", "a\x00", "é", "a\nb", None])
def test_invalid_id_is_rejected(asset_id):
    with pytest.raises(ConfigurationError, match="ID"):
        requests.get_asset(ACCOUNT, asset_id)


def test_unchanged_poll_keeps_the_etag():
    call = requests.poll_asset(ACCOUNT, "a1", 'W/"1"')
    assert call.request.headers["If-None-Match"] == 'W/"1"'
    assert call.decode(Response(status=304)) == requests.PollResult(None, 'W/"1"')


def test_poll_returns_asset_and_etag():
    call = requests.poll_asset(ACCOUNT, "a1", None)
    assert "If-None-Match" not in call.request.headers
    seen = call.decode(
        Response(status=200, headers={"etag": 'W/"2"'}, body=read_text("asset_ready.json").encode())
    )
    assert seen.etag == 'W/"2"'
    assert seen.asset is not None
    assert seen.asset.phase == "ready"


LINK = '<http://127.0.0.1:3004/api/asset?limit=2&cursor={}>; rel="next"'


@pytest.mark.parametrize(
    ("link", "body", "cursor"),
    [
        (LINK.format("skip2"), b'[{"id":"a"}]', "skip2"),
        (LINK.format("undefined"), b'[{"id":"a"}]', None),
        (LINK.format(""), b'[{"id":"a"}]', None),
        (LINK.format("skip2"), b"[]", None),
        ('<http://h/api/asset?cursor=skip0>; rel="prev"', b'[{"id":"a"}]', None),
        ("", b'[{"id":"a"}]', None),
    ],
)
def test_cursor_is_read_from_the_link(link, body, cursor):
    call = requests.list_assets(ACCOUNT)
    page = call.decode(Response(status=200, headers={"link": link}, body=body))
    assert page.cursor == cursor


def test_filter_survives_being_decoded_twice():
    call = requests.list_tasks(
        ACCOUNT,
        limit=5,
        order="createdAt-true",
        filters={"name": "100%", "createdAt": {"gt": 1}},
        cursor="skip5",
    )
    assert "order=createdAt-true" in call.request.url
    assert "cursor=skip5" in call.request.url
    assert "100%2525" in call.request.url


def test_changed_tasks_are_listed_by_the_time_of_their_change():
    call = requests.list_task_changes(ACCOUNT, 1000, limit=7)
    assert "limit=7&order=updatedAt-true" in call.request.url
    assert "updatedAt" in call.request.url.partition("filters=")[2]
    assert "1000" in call.request.url.partition("filters=")[2]


@pytest.mark.parametrize(("body", "found"), [(b"[]", None), (b'[{"id":"t1"}]', Task(id="t1"))])
def test_newest_task_of_an_asset_is_found(body, found):
    call = requests.find_task(ACCOUNT, "a1")
    assert "outputAssetId" in call.request.url
    assert "limit=1&" in call.request.url
    assert call.decode(Response(status=200, body=body)) == found


def test_deleting_a_deleted_asset_succeeds():
    call = requests.delete_asset(ACCOUNT, "a1")
    call.decode(Response(status=204))
    call.decode(Response(status=400, body=read_text("error_400_already_deleted.json").encode()))


def test_only_reads_are_retried_after_a_server_error():
    create = requests.request_upload(ACCOUNT, NewAsset("a"))
    read = requests.get_asset(ACCOUNT, "a1")
    failed = ServerError(status=500, errors=(), method="GET", url="u")
    busy = TooManyRequests(status=429, errors=(), method="GET", url="u")
    closed = ServerError(status=503, errors=(), method="GET", url="u", retry_after=1)
    assert [calls.is_safe_to_repeat(create, e) for e in (failed, busy, closed)] == [
        False,
        True,
        True,
    ]
    assert [calls.is_safe_to_repeat(read, e) for e in (failed, busy, closed)] == [True] * 3
    assert not calls.is_safe_to_repeat(
        create, ServerError(status=408, errors=(), method="", url="")
    )
    assert not calls.is_safe_to_repeat(read, ServerError(status=404, errors=(), method="", url=""))


@pytest.mark.parametrize("status", [408, 409, 423, 425])
def test_transient_status_is_retried_for_reads_only(status):
    error = ApiError(status=status, errors=(), method="GET", url="u")
    create, read = requests.request_upload(ACCOUNT, NewAsset("a")), requests.get_asset(ACCOUNT, "a")
    assert not calls.is_safe_to_repeat(create, error)
    assert calls.is_safe_to_repeat(read, error)


@pytest.mark.parametrize("name", ["bad\udcff", object()])
def test_unencodable_value_is_rejected(name):
    with pytest.raises(ConfigurationError, match="JSON"):
        requests.request_upload(ACCOUNT, NewAsset(name))


def test_fingerprint_identifies_the_account_without_its_key():
    other = calls.check_account(ACCOUNT.base_url, "another-key")
    assert ACCOUNT.fingerprint != other.fingerprint
    assert ACCOUNT.api_key not in ACCOUNT.fingerprint
    assert ACCOUNT.__rich_repr__() == [("base_url", ACCOUNT.base_url)]


@pytest.mark.parametrize(
    ("date", "expected"), [("Thu, 01 Jan 1970 00:01:00 GMT", 60.0), ("", None)]
)
def test_newest_assets_have_the_server_time(date, expected):
    call = requests.find_newest(ACCOUNT, "talk.mp4", "uploading")
    assert "phase=uploading" in call.request.url
    newest = call.decode(Response(status=200, headers={"date": date}, body=b'[{"id":"a1"}]'))
    assert ([asset.id for asset in newest.assets], newest.server_time) == (["a1"], expected)


def test_base_url_may_be_non_ascii():
    account = calls.check_account("https://bücher.example/api", "key")
    assert account.base_url == "https://bücher.example/api"


@pytest.mark.parametrize("sample", ["error_404_asset_not_found", "asset_ready"])
def test_check_of_the_key_expects_no_asset(sample):
    status = 404 if sample.startswith("error") else 200
    response = Response(status=status, body=read_text(f"{sample}.json").encode())
    requests.check_key(ACCOUNT).decode(response)


@pytest.mark.parametrize(
    "sample", ["error_401_unknown_key", "error_403_cors_key_without_origin", "error_404_not_found"]
)
def test_check_of_the_key_raises_what_refuses_it(sample):
    response = Response(status=int(sample[6:9]), body=read_text(f"{sample}.json").encode())
    with pytest.raises(ApiError):
        requests.check_key(ACCOUNT).decode(response)


def test_check_of_the_key_shows_the_base_url():
    request = requests.check_key(ACCOUNT).request
    assert request.url != request.shown_url == ACCOUNT.base_url


def test_permission_is_denied_before_the_body_is_read():
    call = requests.check_permission(ACCOUNT, "/asset/request-upload")
    assert (call.request.method, call.request.content) == ("POST", b"{}")
    body = read_text("error_422_missing_name.json").encode()
    call.decode(Response(status=422, body=body))
    with pytest.raises(ApiError):
        call.decode(Response(status=403, body=body))
