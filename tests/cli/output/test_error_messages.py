import pytest

from cli.failing import failed
from livepeer_async import errors
from livepeer_async.cli.output.error_messages import Status, describe, status_of

ASSETS = "https://livepeer.studio/api/asset"


def api_error(kind, status, of=""):
    return kind(status=status, errors=("it said so",), method="GET", url=f"{ASSETS}{of}")


def tus_error(**facts):
    error = errors.UploadGone("the upload is lost")
    for name, value in facts.items():
        setattr(error, name, value)
    return error


ERRORS = [
    (errors.ConfigurationError("no"), 2, "no"),
    (api_error(errors.NotAuthenticated, 401), 3, "check LIVEPEER_API_KEY"),
    (api_error(errors.Forbidden, 403), 3, "a key in LIVEPEER_API_KEY that may do this"),
    (api_error(errors.NotFound, 404), 1, "check LIVEPEER_BASE_URL; it ends in /api"),
    (api_error(errors.NotFound, 404, of="/a1"), 1, "check the ID"),
    (api_error(errors.ApiError, 301), 1, "check LIVEPEER_BASE_URL; it ends in /api"),
    (
        errors.SourceNotReadable("'x' is a directory; wanted a video file", source="x"),
        1,
        "name the files in it",
    ),
    (api_error(errors.TooManyRequests, 429), 1, "try again once"),
    (api_error(errors.ServerError, 500), 1, "try again later"),
    (api_error(errors.InvalidRequest, 422), 1, "it said so"),
    (errors.ConnectFailed("no connection"), 1, "LIVEPEER_BASE_URL"),
    (errors.TimedOut("nothing moved"), 1, "check the network"),
    (errors.DecodeError("HTML", path="$"), 1, "https://livepeer.studio/api"),
    (errors.SourceNotReadable("'x' can't be read", source="x"), 1, "check the path"),
    (errors.SourceEmpty("x is empty", source="x"), 1, "copied or recorded"),
    (errors.SourceChanged("x changed", source="x"), 1, "nothing writes to it"),
    (
        errors.SourceChanged("x has changed since", source="x", asset_id="a1"),
        1,
        "upload --again makes another asset of it",
    ),
    (errors.KeyTaken("taken", asset_id="a1", advice="another key"), 2, "upload --again"),
    (errors.UploadInUse("in use", path="/j", key="k"), 1, "in use; wait for it"),
    (errors.AmbiguousRequest("lost"), 1, "check what was created before repeating the call"),
    (errors.IntegrityError("wrong", asset_id="a1", wanted=1, found=2), 1, "assets delete a1"),
    (tus_error(), 1, "upload the file again"),
    (tus_error(asset_id="a1", upload_url="https://o/1"), 1, "assets delete a1"),
    (errors.AssetTimeout("not yet", asset_id="a1"), 1, "livepeer-async assets wait a1"),
    (errors.AssetDeleted("gone", asset_id="a1"), 1, "upload the file again"),
    (failed(is_retryable=True), 1, "assets delete a1) and upload the file again"),
    (failed(is_retryable=False), 1, "plays as a video"),
    (errors.SourceTooLarge("x is long", source="x", length=2, limit=1), 1, "split the video"),
]


def test_a_remembered_upload_goes_on_with_the_same_command():
    error = errors.RetriesExhausted("no progress", attempts=3)
    error.asset_id, error.upload_url = "a1", "https://o/1"
    assert describe(error, is_upload=True, is_remembered=True) == (
        "no progress; the same command goes on from there"
    )
    assert "upload the file again" in describe(tus_error(), is_upload=True, is_remembered=True)


@pytest.mark.parametrize(("error", "status", "advice"), ERRORS, ids=lambda it: type(it).__name__)
def test_each_error_has_an_exit_status_and_says_what_to_do(error, status, advice):
    assert status_of([error]) == status
    assert str(error.args[0]) in describe(error)
    assert advice in describe(error, is_upload=True)
    assert "\n" not in describe(error)


def test_who_has_only_waited_isnt_told_to_upload_again():
    assert describe(errors.AssetDeleted("gone", asset_id="a1")) == "gone"


def test_an_id_that_isnt_there_doesnt_put_the_base_url_in_doubt():
    assert "BASE_URL" not in describe(api_error(errors.NotFound, 404, of="/a1"))


def test_upload_urls_stay_out_of_sentences():
    error = tus_error(asset_id="a1", upload_url="https://origin.example/files/secret")
    assert "origin.example" not in describe(error)


def test_a_key_that_is_refused_outranks_other_failures():
    empty = errors.SourceEmpty("x is empty", source="x")
    assert status_of([None, empty, api_error(errors.Forbidden, 403)]) is Status.NOT_AUTHORISED
    assert status_of([None, empty]) is Status.FAILED
    assert status_of([None, None]) is Status.OK
