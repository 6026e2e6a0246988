"""request-upload: accepted payloads and recorded refusals."""

import pytest

from sandbox.client import TUS, open_sandbox, read_sample
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}
MISSING_NAME = "error_422_missing_name"

# Payload, status, name of the recorded response.
REFUSALS = [
    ({}, 422, MISSING_NAME),
    ({"name": "a", "foo": 1}, 422, "error_422_unknown_field"),
    ({"foo": 1, "bar": 2}, 422, MISSING_NAME),
    ({"name": "a", "playbackPolicy": {"type": "nope"}}, 422, "error_422_unknown_policy_type"),
    ({"name": "a", "playbackPolicy": {}}, 422, "error_422_policy_without_type"),
    ({"name": 5}, 422, "error_422_name_type"),
    ({"name": "a", "creatorId": 5}, 422, "error_422_creator_type"),
    ({"name": "a", "creatorId": None}, 422, "error_422_creator_type"),
    (
        {"name": "a", "creatorId": {"type": "verified", "value": "x"}},
        422,
        "error_422_creator_object_type",
    ),
    ({"name": "a", "profiles": []}, 400, "error_400_no_profiles"),
    (
        {"name": "a", "profiles": [{"width": 640, "height": 360}]},
        422,
        "error_422_profile_without_bitrate",
    ),
    (
        {"name": "a", "profiles": [{"bitrate": 1000, "profile": "XX"}]},
        422,
        "error_422_profile_enum",
    ),
    ({"name": "a", "staticMp4": "yes"}, 422, "error_422_static_mp4_type"),
    ({"name": "a", "storage": {"ipfs": "yes"}}, 422, "error_422_ipfs_type"),
    ({"name": "a", "storage": {"arweave": True}}, 422, "error_422_storage_key"),
    (
        {"name": "a", "encryption": {"encryptedKey": "aGVsbG8="}},
        400,
        "error_400_encryption_without_policy",
    ),
    (
        {
            "name": "a",
            "encryption": {"encryptedKey": "***"},
            "playbackPolicy": {"type": "jwt"},
        },
        422,
        "error_422_encrypted_key",
    ),
    (
        {"name": "a", "playbackPolicy": {"type": "webhook", "webhookId": "nope"}},
        400,
        "error_400_unknown_webhook",
    ),
    (
        {"name": "a", "playbackPolicy": {"type": "webhook", "webhookContext": {}}},
        500,
        "error_500_webhook_without_id",
    ),
    (
        {"name": "a", "playbackPolicy": {"type": "lit_signing_condition"}},
        403,
        "error_403_lit_condition",
    ),
    ({"name": "a", "objectStoreId": "nope"}, 500, "error_500_webhook_without_id"),
]


@pytest.mark.parametrize(("payload", "status", "sample"), REFUSALS)
async def test_invalid_payload_is_refused_as_recorded(payload, status, sample):
    async with open_sandbox() as client:
        response = await client.api("POST", "/asset/request-upload", json=payload)
        assert (response.status_code, response.json()) == (status, read_sample(sample))
        assert client.sandbox.assets == []


@pytest.mark.parametrize(
    ("body", "headers", "status", "sample"),
    [
        (b'{"name":', JSON, 400, "error_400_broken_json"),
        (b'"x"', JSON, 400, "error_400_scalar_body"),
        (b'{"name":"a"}', {"Content-Type": "text/plain"}, 422, MISSING_NAME),
        (b'{"name":"a"}', {}, 422, MISSING_NAME),
        (b"", JSON, 422, MISSING_NAME),
        (b'{"name":"' + b"a" * 102_400 + b'"}', JSON, 413, "error_413_body_too_large"),
    ],
)
async def test_invalid_body_is_refused_as_recorded(body, headers, status, sample):
    async with open_sandbox() as client:
        response = await client.api("POST", "/asset/request-upload", content=body, headers=headers)
        assert (response.status_code, response.json()) == (status, read_sample(sample))


async def test_too_large_chunked_body_is_refused():
    async def trickle():
        for _ in range(11):
            yield b" " * 10_240

    async with open_sandbox() as client:
        response = await client.api(
            "POST", "/asset/request-upload", content=trickle(), headers=JSON
        )
        assert response.status_code == 413


async def test_syntax_error_names_token():
    async with open_sandbox() as client:
        response = await client.api(
            "POST", "/asset/request-upload", content=b'{"name":x}', headers=JSON
        )
        expected = 'Unexpected token \'x\', "{"name":x}" is not valid JSON'
        assert (response.status_code, response.json()) == (400, {"errors": [expected]})


# Authorization header, status, message.
KEYS = [
    ("Bearer wrong-key", 401, "no token wrong-key found"),
    (None, 401, "request is not authenticated"),
    ("00000000-0000-4000-8000-00000000dev1", 401, "request is not authenticated"),
    ("Token abc", 401, "unsupported authorization header scheme: Token"),
    ("JWT abc", 401, "jwt malformed"),
]


@pytest.mark.parametrize(("header", "status", "sentence"), KEYS)
async def test_api_key_is_checked_before_body(header, status, sentence):
    async with open_sandbox() as client:
        response = await client.http.post(
            client.sandbox.base_url + "/asset/request-upload",
            json={"foo": 1},
            headers={"Authorization": header} if header else {},
        )
        assert (response.status_code, response.json()) == (status, {"errors": [sentence]})


async def test_authorization_scheme_is_case_insensitive():
    async with open_sandbox() as client:
        key = f"bearer {client.sandbox.api_key}"
        response = await client.http.get(
            client.sandbox.base_url + "/asset?limit=0&phase=nosuch", headers={"Authorization": key}
        )
        assert (response.status_code, response.text) == (200, "[]")


async def test_suspended_user_is_refused():
    async with open_sandbox() as client:
        key = client.sandbox.add_user(is_suspended=True)
        response = await client.api(
            "POST",
            "/asset/request-upload",
            json={"name": "a"},
            headers={"Authorization": f"Bearer {key}"},
        )
        assert (response.status_code, response.json()) == (403, read_sample("error_403_suspended"))


async def test_project_in_query_is_refused():
    async with open_sandbox() as client:
        response = await client.api("GET", "/asset?projectId=x")
        expected = read_sample("error_400_project_in_query")
        assert (response.status_code, response.json()) == (400, expected)


@pytest.mark.parametrize(
    ("method", "path", "sample"),
    [
        ("GET", "/nosuch", "error_404_not_found"),
        ("PUT", "/asset/request-upload", "error_404_not_found"),
        ("GET", "/asset/request-upload", "error_404_asset_not_found"),
        ("POST", "/asset/upload/direct", "error_404_not_found"),
        ("GET", "/asset/upload/tus", "error_404_not_found"),
    ],
)
async def test_unknown_route_returns_404(method, path, sample):
    async with open_sandbox() as client:
        response = await client.api(method, path)
        assert (response.status_code, response.json()) == (404, read_sample(sample))


async def test_unknown_route_needs_no_key():
    async with open_sandbox() as client:
        response = await client.http.get(client.sandbox.base_url + "/nosuch")
        assert response.status_code == 404


VOLATILE = {"id", "playbackId", "userId", "createdAt", "createdByTokenName", "projectId", "status"}

FULL = {
    "name": "full.mp4",
    "staticMp4": True,
    "playbackPolicy": {"type": "public"},
    "creatorId": {"type": "unverified", "value": "creator-1"},
    "storage": {"ipfs": True},
    "profiles": [
        {
            "name": "360p",
            "width": 640,
            "height": 360,
            "bitrate": 800000,
            "fps": 30,
            "fpsDen": 1,
            "quality": 23,
            "gop": "2.0",
            "profile": "H264Baseline",
            "encoder": "H.264",
        }
    ],
    "targetSegmentSizeSecs": 6,
    "c2pa": False,
}

SPEC = {"ipfs": {"spec": {"nftMetadata": {"a": 1}}}}

# Payload, name of the recorded response.
ACCEPTED = [
    ({"name": "minimal.mp4"}, "request_upload_minimal"),
    (FULL, "request_upload_full"),
    ({"name": "c.mp4", "creatorId": "creator-2"}, "request_upload_creator_string"),
    ({"name": "c.mp4", "playbackPolicy": {"type": "jwt"}}, "request_upload_jwt"),
    ({"name": "c.mp4", "playbackPolicy": None}, "request_upload_null_policy"),
    ({"name": "c.mp4", "profiles": None}, "request_upload_null_profiles"),
    ({"name": "c.mp4", "targetSegmentSizeSecs": 4}, "request_upload_segment_size"),
    ({"name": "c.mp4", "storage": SPEC}, "request_upload_ipfs_spec"),
    ({"name": "c.mp4", "storage": {"ipfs": False}}, "request_upload_ipfs_false"),
    (
        {
            "name": "e.mp4",
            "encryption": {"encryptedKey": "aGVsbG8="},
            "playbackPolicy": {"type": "jwt"},
        },
        "request_upload_encryption",
    ),
    (
        {"name": "e.mp4", "catalystPipelineStrategy": "external"},
        "request_upload_ignored_strategy",
    ),
    ({"name": ""}, "request_upload_empty_name"),
    ([], "request_upload_array_body"),
]


@pytest.mark.parametrize(("payload", "sample"), ACCEPTED, ids=[row[1] for row in ACCEPTED])
async def test_valid_payload_is_returned_as_recorded(payload, sample):
    async with open_sandbox() as client:
        response = await client.api("POST", "/asset/request-upload", json=payload)
        found, recorded = response.json(), read_sample(sample)
        assert response.status_code == 200
        assert list(found) == list(recorded)
        assert list(found["asset"]) == list(recorded["asset"])
        stable = set(recorded["asset"]) - VOLATILE
        assert {name: found["asset"][name] for name in stable} == {
            name: recorded["asset"][name] for name in stable
        }
        assert found["asset"]["status"]["phase"] == "uploading"


async def test_name_may_be_long_and_in_any_script():
    async with open_sandbox() as client:
        for name in ("x" * 5000, "日本語 émoji 🎬.mp4"):
            ticket = await client.request_upload(name)
            assert (await client.asset(ticket))["name"] == name


async def test_response_has_headers_of_express():
    async with open_sandbox() as client:
        response = await client.api("POST", "/asset/request-upload", json={"name": "a"})
        assert response.headers["vary"] == "Authorization, Origin"
        assert response.headers["x-powered-by"] == "Express"
        assert response.headers["access-control-allow-credentials"] == "true"
        assert response.headers["access-control-expose-headers"] == "*"
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert response.headers["etag"].startswith('W/"')
        assert response.headers["keep-alive"] == "timeout=5"
        assert "access-control-allow-origin" not in response.headers
        assert "server" not in response.headers


async def test_token_is_jwt_of_recorded_length():
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        direct, tus = (url.partition("?token=")[2] for url in ticket[:2])
        assert direct == tus
        assert direct.count(".") == 2
        assert 550 < len(direct) < 800
        assert ticket.asset_id[:4] == ticket.playback_id[:4]
        assert len(ticket.playback_id) == 16


async def test_equal_requests_create_two_assets():
    async with open_sandbox() as client:
        one, two = await client.request_upload(), await client.request_upload()
        assert one.asset_id != two.asset_id


async def test_preflight_is_answered_by_cors_layer():
    async with open_sandbox() as client:
        response = await client.http.options(
            client.sandbox.base_url + "/asset/request-upload",
            headers={
                "Origin": "http://localhost:3000",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            },
        )
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["vary"] == "Authorization, Origin, Access-Control-Request-Headers"
        assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert response.headers["access-control-allow-methods"] == "GET,HEAD,PUT,PATCH,POST,DELETE"
        assert response.headers["access-control-allow-headers"] == "authorization,content-type"


async def test_full_queue_refuses_requests_but_not_uploads():
    clock = VirtualClock()
    async with open_sandbox(max_pending_tasks=2, processing_seconds=100, clock=clock) as client:
        early, location = await client.begin(5)
        tickets = [await client.upload(b"hello") for _ in range(2)]
        clock.advance(1)
        assert {await client.phase(ticket) for ticket in tickets} == {"processing"}
        full = await client.api("POST", "/asset/request-upload", json={"name": "q"})
        user = (await client.asset(early))["userId"]
        sentence = f"user {user} has reached the maximum number of pending tasks"
        assert (full.status_code, full.json()) == (429, {"errors": [sentence]})
        assert "retry-after" not in full.headers
        invalid = await client.api("POST", "/asset/request-upload", json={})
        assert invalid.status_code == 422
        assert (await client.patch(location, 0, b"hello")).status_code == 204
        clock.advance(100)
        for ticket in tickets:
            await client.wait(ticket, "ready")
        freed = await client.api("POST", "/asset/request-upload", json={"name": "q"})
        assert freed.status_code == 200


async def test_token_of_another_server_is_refused():
    async with open_sandbox() as one, open_sandbox() as two:
        foreign = (await one.request_upload()).tus_endpoint.replace(
            one.sandbox.origin, two.sandbox.origin
        )
        response = await two.http.post(foreign, headers={**TUS, "Upload-Length": "1"})
        sentence = "Invalid signed upload URL: JsonWebTokenError: invalid signature"
        assert (response.status_code, response.json()) == (403, {"errors": [sentence]})
