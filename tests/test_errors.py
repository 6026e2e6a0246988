import copy
import pickle

import pytest

from livepeer_async import errors


def all_errors(kind=errors.LivepeerError):
    return {kind, *(deeper for sub in kind.__subclasses__() for deeper in all_errors(sub))}


FACTS = {
    errors.SourceError: {"source": "talk.mp4"},
    errors.KeyTaken: {"asset_id": "a1", "advice": "give another key"},
    errors.SourceChanged: {"source": "talk.mp4", "asset_id": "a1"},
    errors.FormInvalid: {"source": "the form", "status": 413},
    errors.SourceTimedOut: {"source": "talk.mp4", "received": 3},
    errors.SourceTooLarge: {"source": "talk.mp4", "length": 2, "limit": 1},
    errors.SourceUnsupported: {
        "source": "talk.mov",
        "rules": ("video-codec", "pixel-format"),
        "found": "video codec prores and pixel format yuv422p10le",
        "wanted": "a codec such as h264 and pixel format yuv420p or yuvj420p",
        "command": "ffmpeg -i talk.mov talk.mp4",
    },
    errors.DecodeError: {"path": "$.asset", "request_id": "r1"},
    errors.UploadRefused: {"status": 403, "request_id": "r1"},
    errors.RetriesExhausted: {"attempts": 11, "request_id": "r1"},
    errors.AssetError: {"asset_id": "a1"},
    errors.AssetFailed: {"asset_id": "a1", "error_message": "no", "is_retryable": True},
    errors.IntegrityError: {"asset_id": "a1", "wanted": 1, "found": 2},
    errors.EventTooOld: {"age": 301.0},
    errors.JournalError: {"path": "/a"},
    errors.UploadInUse: {"path": "/a", "key": "talk"},
    errors.LivepeerError: {"request_id": "r1"},
}


ADVISING = {
    errors.KeyTaken,
    errors.SourceChanged,
    errors.AmbiguousRequest,
    errors.AssetFailed,
    errors.UploadInUse,
    errors.AccessControlCall,
    errors.EventTooOld,
    errors.SignatureMismatch,
    errors.SignatureMissing,
}


@pytest.mark.parametrize("kind", sorted(all_errors(), key=str), ids=lambda kind: kind.__name__)
def test_error_has_its_attributes(kind):
    if issubclass(kind, errors.ApiError):
        facts = {"status": 429, "errors": ("no",), "method": "GET", "url": "https://host.example/a"}
        error = kind(**facts, retry_after=7.0, request_id="r1")
        assert str(error) == "429 from GET https://host.example/a: no [request r1]"
        facts |= {"violations": (), "retry_after": 7.0, "request_id": "r1"}
    elif kind is errors.SourceUnsupported:
        facts = FACTS[kind]
        error = kind(**facts)
        assert str(error) == (
            "'talk.mov' has video codec prores and pixel format yuv422p10le, which Livepeer "
            "refuses; wanted a codec such as h264 and pixel format yuv420p or yuvj420p; convert "
            "it: ffmpeg -i talk.mov talk.mp4"
        )
    else:
        facts = next(FACTS[base] for base in kind.__mro__ if base in FACTS)
        error = kind("what was found", **facts)
        advice = f"; {error.advice}" if error.advice else ""
        suffix = " [request r1]" if "request_id" in facts else ""
        assert str(error) == f"what was found{advice}{suffix}"
        assert bool(advice) is (kind in ADVISING)
    for copied in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(copied), str(copied)) == (kind, str(error))
        for name, value in facts.items():
            assert getattr(copied, name) == value


def test_docstring_names_every_error():
    for kind in all_errors():
        assert kind.__name__ in errors.__doc__


def test_api_error_without_message_has_no_explanation():
    error = errors.ServerError(status=500, errors=(), method="GET", url="https://host.example/a")
    assert str(error) == "500 from GET https://host.example/a: no explanation"


def test_errors_have_builtin_bases():
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.AssetTimeout, TimeoutError)
    assert errors.TusError("x").upload_url is None


def api_error(status):
    return errors.ApiError(status=status, errors=(), method="GET", url="https://host.example/a")


@pytest.mark.parametrize("status", [408, 409, 423, 425, 429, 500, 502, 503, 504, 599])
def test_status_is_transient(status):
    assert errors.is_transient_status(status)
    assert errors.is_transient(api_error(status))


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 410, 412, 413, 422, 499])
def test_status_is_final(status):
    assert not errors.is_transient_status(status)
    assert not errors.is_transient(api_error(status))


TRANSIENT = {
    errors.ConnectFailed,
    errors.ConnectionBroken,
    errors.DecodeError,
    errors.NetworkError,
    errors.RetriesExhausted,
    errors.TimedOut,
    errors.TooManyOpenFiles,
    errors.JournalUnavailable,
    errors.UploadInUse,
}


@pytest.mark.parametrize("kind", sorted(all_errors(), key=str), ids=lambda kind: kind.__name__)
def test_error_is_transient_or_final(kind):
    if not issubclass(kind, errors.ApiError):
        assert errors.is_transient(kind.__new__(kind)) is (kind in TRANSIENT)


def test_foreign_error_is_final():
    assert not errors.is_transient(TimeoutError())
