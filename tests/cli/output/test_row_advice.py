import pytest

from cli.failing import failed
from livepeer_async import errors
from livepeer_async.cli.output.error_messages import comes_again, tell_failure
from livepeer_async.ingest.rows import Row

FILE = Row(source="a.mp4", is_url=False, key="/v/a b.mp4", manifest="v.csv", line=2)
URL = Row(source="https://h/a.mp4?s=hush", is_url=True, key="https://h/a.mp4?s=hush")
FINISHED = (
    "a.mp4 has changed since it was uploaded under the key '/v/a b.mp4' as asset a1 (1 bytes then, "
    "2 today)"
)


def api_error(kind, status):
    return kind(status=status, errors=("no",), method="POST", url="https://h/api/x")


def resumable():
    error = errors.RetriesExhausted("no progress", attempts=3)
    error.upload_url = "https://h/u"
    return error


CASES = [
    (resumable(), True, "no progress; the same command goes on from there"),
    (errors.ConnectFailed("no connection"), True, "no connection; the same command tries again"),
    (failed(is_retryable=True), True, "video track; the same command has it processed again"),
    (errors.SourceNotReadable("x is away", source="x"), True, "check the path and who may read it"),
    (errors.AssetTimeout("not yet", asset_id="a1"), True, "livepeer-async assets wait a1"),
    (failed(is_retryable=False), False, "track; check that the file plays as a video"),
    (api_error(errors.InvalidRequest, 422), False, "mend the row"),
    (api_error(errors.BadRequest, 400), False, "mend the row"),
    (api_error(errors.Forbidden, 403), False, "use a key in LIVEPEER_API_KEY that may do this"),
    (
        errors.SourceChanged(FINISHED, source="a.mp4", asset_id="a1"),
        False,
        "2 today); livepeer-async journal forget '/v/a b.mp4' --journal j lets it be uploaded anew",
    ),
    (
        errors.SourceChanged("a.mp4 changed while it was read", source="a.mp4"),
        False,
        "run the same command when nothing writes to it any more",
    ),
    (
        errors.KeyTaken("under the key 'k' stands asset a1", asset_id="a1", advice="another key"),
        False,
        "journal forget '/v/a b.mp4' --journal j lets it be uploaded anew",
    ),
    (errors.UploadRefused("403 to PATCH", status=403), False, "403 to PATCH"),
]


@pytest.mark.parametrize(("error", "is_again", "advice"), CASES, ids=lambda it: type(it).__name__)
def test_advice_is_what_can_help(error, is_again, advice):
    said = tell_failure(FILE, error, journal=" --journal j")
    assert comes_again(error) is is_again
    assert said.endswith(advice)
    assert ("the same command tries" in said) <= is_again
    for words in ("upload the file again", "another key", "assets.", "delete the asset"):
        assert words not in said


def test_a_url_has_no_file_to_look_at():
    said = tell_failure(URL, failed(is_retryable=False), journal="")
    assert said.endswith(
        "a video, and livepeer-async journal forget https://h/a.mp4 lets it be fetched anew"
    )
    said = tell_failure(URL, errors.SourceNotReadable("403", source="x"), journal="")
    assert said == "403; see whether the URL can be fetched from here, or has run out"
    said = tell_failure(URL, failed(is_retryable=False), journal=None)
    assert said == "asset a1 failed: no video track; check that the URL gives a video"
    said = tell_failure(
        URL, errors.SourceChanged(FINISHED, source="a.mp4", asset_id="a1"), journal=""
    )
    assert said.endswith("journal forget https://h/a.mp4 lets it be uploaded anew")


def test_without_a_journal_nothing_goes_on():
    assert tell_failure(FILE, resumable(), journal=None).endswith("the same command tries again")
