import pytest

from livepeer_async import errors
from livepeer_async.cli.output.error_messages import (
    ExitStatus,
    Scope,
    advise,
    exit_status_for,
    format_error,
    will_retry,
)
from livepeer_async.ingest.rows import Row

ASSETS = "https://livepeer.studio/api/asset"
UPLOAD = Scope(is_upload=True)
FILE = Row(source="a.mp4", is_url=False, key="/v/a b.mp4", manifest="v.csv", line=2)
URL = Row(source="https://h/a.mp4?s=hush", is_url=True, key="https://h/a.mp4?s=hush")
FINISHED = "a.mp4 has changed since it was uploaded"
KEY_TAKEN = errors.KeyTaken("the key 'k' has asset a1", asset_id="a1", advice="another key")


def api_error(kind, status, path=""):
    return kind(status=status, errors=("bad request",), method="GET", url=f"{ASSETS}{path}")


# The check of the server and the key shows the base URL.
CHECK = {"errors": ("no",), "method": "GET", "url": "https://livepeer.studio/api"}
CHECK_REFUSED = errors.Forbidden(status=403, **CHECK)
CHECK_NOT_FOUND = errors.NotFound(status=404, **CHECK)


def tus_error(kind=errors.UploadGone, **attributes):
    error = kind("the upload is lost", **({"attempts": 3} if kind is RETRIES else {}))
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


RETRIES = errors.RetriesExhausted


def failed(*, is_retryable):
    return errors.AssetFailed(
        "asset a1 failed: no video track",
        asset_id="a1",
        error_message="no video track",
        is_retryable=is_retryable,
    )


UPLOAD_CASES = [
    (errors.ConfigurationError("no"), 2, ""),
    (api_error(errors.NotAuthenticated, 401), 3, "check LIVEPEER_API_KEY"),
    (api_error(errors.Forbidden, 403), 3, "set LIVEPEER_API_KEY to a key that may do this"),
    (api_error(errors.NotFound, 404), 1, "check LIVEPEER_BASE_URL; it ends in /api"),
    (api_error(errors.NotFound, 404, "/a1"), 1, "check the ID"),
    (CHECK_REFUSED, 3, "a key that may upload"),
    (CHECK_NOT_FOUND, 1, "check LIVEPEER_BASE_URL; it ends in /api"),
    (api_error(errors.ApiError, 301), 1, "check LIVEPEER_BASE_URL; it ends in /api"),
    (api_error(errors.TooManyRequests, 429), 1, "try again once"),
    (api_error(errors.ServerError, 500), 1, "try again later"),
    (api_error(errors.InvalidRequest, 422), 1, ""),
    (errors.ConnectFailed("no connection"), 1, "check the network and LIVEPEER_BASE_URL"),
    (errors.TimedOut("nothing moved"), 1, "check the network"),
    (errors.DecodeError("HTML", path="$"), 1, "https://livepeer.studio/api"),
    (errors.SourceNotReadable("'x' can't be read", source="x"), 1, "check the path"),
    (errors.SourceEmpty("x is empty", source="x"), 1, "copied or recorded"),
    (errors.SourceChanged("x changed", source="x"), 1, "once it is complete"),
    (errors.SourceChanged(FINISHED, source="x", asset_id="a1"), 1, "use --force"),
    (KEY_TAKEN, 2, "use --force to upload it as another asset"),
    (errors.UploadInUse("in use", path="/j", key="k"), 1, "wait for it"),
    (errors.AmbiguousRequest("lost"), 1, errors.AmbiguousRequest.advice),
    (errors.IntegrityError("wrong", asset_id="a1", wanted=1, found=2), 1, "assets delete a1"),
    (tus_error(), 1, "upload the file again"),
    (tus_error(asset_id="a1", upload_url="https://o/1"), 1, "assets delete a1"),
    (errors.AssetTimeout("not yet", asset_id="a1"), 1, "livepeer-async assets wait a1"),
    (errors.AssetDeleted("gone", asset_id="a1"), 1, "upload the file again"),
    (failed(is_retryable=True), 1, "to process it again, use livepeer-async assets retry a1"),
    (failed(is_retryable=False), 1, "plays as a video"),
    (errors.SourceTooLarge("x is long", source="x", length=2, limit=1), 1, "split the video"),
]


@pytest.mark.parametrize(
    ("error", "status", "advice"), UPLOAD_CASES, ids=lambda it: type(it).__name__
)
def test_error_has_an_exit_status_and_advice(error, status, advice):
    assert exit_status_for([error]) == status
    message = format_error(error, UPLOAD)
    assert message.startswith(str(error.args[0]))
    assert advice in message
    assert (advise(error, UPLOAD) == "") is (advice == "")
    assert "\n" not in message


def test_recorded_upload_is_resumed():
    scope = Scope(is_upload=True, journal_option="")
    error = tus_error(RETRIES, asset_id="a1", upload_url="https://o/1")
    assert format_error(error, scope) == "the upload is lost; run the same command to resume"
    assert "upload the file again" in format_error(tus_error(), scope)


def test_wait_error_does_not_advise_an_upload():
    assert format_error(errors.AssetDeleted("gone", asset_id="a1")) == "gone"


def test_unknown_id_does_not_mention_the_base_url():
    assert "BASE_URL" not in format_error(api_error(errors.NotFound, 404, "/a1"))


def test_upload_urls_are_not_shown():
    error = tus_error(asset_id="a1", upload_url="https://origin.example/files/secret")
    assert "origin.example" not in format_error(error)


def test_refused_key_outranks_other_failures():
    empty = errors.SourceEmpty("x is empty", source="x")
    refused = api_error(errors.Forbidden, 403)
    assert exit_status_for([None, empty, refused]) is ExitStatus.NOT_AUTHORIZED
    assert exit_status_for([None, empty]) is ExitStatus.FAILED
    assert exit_status_for([None, None]) is ExitStatus.OK


def test_import_of_no_video_advises_to_check_the_url():
    message = format_error(failed(is_retryable=False), Scope(is_import=True))
    assert message.endswith(
        "no video track; check that the URL returns a video, and delete the asset "
        "(livepeer-async assets delete a1)"
    )


FORGET = "use livepeer-async journal forget '/v/a b.mp4' --journal j to upload it again"
ROW_CASES = [
    (tus_error(RETRIES, upload_url="https://h/u"), True, "run the same command to resume it"),
    (errors.ConnectFailed("no connection"), True, "run the same command to retry it"),
    (failed(is_retryable=True), True, "run the same command to process it again"),
    (
        errors.SourceNotReadable("a.mp4 is away", source="a.mp4"),
        True,
        "check the path and its permissions",
    ),
    (errors.AssetTimeout("not yet", asset_id="a1"), True, "livepeer-async assets wait a1"),
    (errors.UploadInUse("in use", path="/j", key="k"), True, ": in use"),
    (failed(is_retryable=False), False, "track; check that the file plays as a video"),
    (api_error(errors.InvalidRequest, 422), False, "fix the row"),
    (api_error(errors.BadRequest, 400), False, "fix the row"),
    (api_error(errors.Forbidden, 403), False, "set LIVEPEER_API_KEY to a key that may do this"),
    (errors.SourceChanged(FINISHED, source="a.mp4", asset_id="a1"), False, FORGET),
    (errors.SourceChanged("a.mp4 changed", source="a.mp4"), False, "once it is complete"),
    (KEY_TAKEN, False, FORGET),
    (errors.UploadRefused("403 to PATCH", status=403), False, "403 to PATCH"),
]


@pytest.mark.parametrize(
    ("error", "is_retried", "advice"), ROW_CASES, ids=lambda it: type(it).__name__
)
def test_row_error_has_advice_for_its_class(error, is_retried, advice):
    message = format_error(error, Scope(row=FILE, journal_option=" --journal j"))
    assert will_retry(error) is is_retried
    assert message.endswith(advice)
    assert message.startswith("a.mp4")
    assert ("the same command to retry" in message) <= is_retried
    for words in ("upload the file again", "another key", "assets.", "delete the asset"):
        assert words not in message


def test_retry_that_the_key_may_not_request_is_not_promised():
    error = failed(is_retryable=True)
    error.__cause__ = api_error(errors.Forbidden, 403)
    assert not will_retry(error)
    message = format_error(error, Scope(row=FILE, journal_option=""))
    assert message.endswith("assets retry a1 --wait and an API key that may do this")


def url_error(error, journal_option):
    return format_error(error, Scope(row=URL, journal_option=journal_option))


def test_url_row_error_mentions_the_url_and_no_file():
    assert url_error(failed(is_retryable=False), "").endswith(
        "a video, and use livepeer-async journal forget https://h/a.mp4 to fetch it again"
    )
    assert url_error(errors.SourceNotReadable("403", source="x"), "") == (
        "403; check that the URL can be fetched from here and hasn't expired"
    )
    assert url_error(failed(is_retryable=False), None) == (
        "asset a1 failed: no video track; check that the URL returns a video"
    )
    changed = errors.SourceChanged(FINISHED, source="a.mp4", asset_id="a1")
    assert url_error(changed, "").endswith("journal forget https://h/a.mp4 to upload it again")


def test_row_without_a_journal_is_not_resumed():
    error = tus_error(RETRIES, upload_url="https://h/u")
    assert format_error(error, Scope(row=FILE)).endswith("run the same command to retry it")


def test_unknown_key_is_named_without_a_mask():
    error = errors.NotAuthenticated(status=401, **{**CHECK, "errors": ("no token *** found",)})
    expected = "401 from https://livepeer.studio/api: the server doesn't know the API key"
    assert format_error(error) == f"{expected}; check LIVEPEER_API_KEY"
