"""Forms of credentials in text, and prose that looks like them."""

import pytest

from livepeer_async import redact


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: s3cret-1",
        '{"authorization": "s3cret"}',
        "[('authorization', 's3cret')]",
        "(b'Authorization', b'Basic s3cret==')",
        "(b'Proxy-Authorization', b'Basic s3cret==')",
        "X-API-Key: 5-s3cret",
        "Livepeer-Access-Key: 5-s3cret",
        "Cookie: a=b; session=s3cret",
        '{"set-cookie": "session=s3cret; Path=/"}',
        "livepeer-async upload --api-key s3cret a.mp4",
        "livepeer-async upload --api-key=s3cret a.mp4",
        "['upload', '--api-key', 's3cret']",
        '{"accessKey": "s3cret"}',
        '{"streamKey": "s3cret"}',
        '{"credentials": {"accessKeyId": "x", "secretAccessKey": "s3cret"}}',
        "AWS_SECRET_ACCESS_KEY=s3cret",
        "shared_secret=b's3cret'",
        r'{"sharedSecret": "my\"s3cret"}',
        r'{"body": "{\"apiKey\": \"s3cret\", \"a\": 1}"}',
        '{"sharedSecret": "my s3cret and the text is cut',
        '{"webhookContext": {"a": {"b": "s3cret"}, "c": "s3cret"}}',
        "next=https%3A%2F%2Fh%2Fupload%2Fdirect%3Ftoken%3Ds3cret%26a%3D1",
        r"https:\/\/h\/api\/asset\/upload\/tus\/directUpload\/abcds3cret",
        "https://h/api/asset/upload/tus/directUpload%252Fabcds3cret",
        "/api/asset/upload/tus/abcd1234+s3cret",
        '{"errors":["no token 5-s3cret found"]}',
        "rtmp://rtmp.livepeer.com/live/s3cret",
        "token: 5-s3cret",
    ],
)
def test_no_form_of_a_credential_stays_in_text(text):
    shown = redact(text)
    assert "s3cret" not in shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "JsonWebTokenError: jwt must be provided",
        "jwt expired",
        "the token: is missing",
        "the webhook has no shared secret: set one",
        'playbackPolicy.type is "x"; wanted one of "public", "jwt", "webhook"',
        "no cookie or secret was found",
        "the access key, or the API key, is wrong",
        "upload to /api/asset/upload/tus: 404",
        "--api-key - reads it from stdin",
    ],
)
def test_prose_about_credentials_stays(text):
    assert redact(text) == text
