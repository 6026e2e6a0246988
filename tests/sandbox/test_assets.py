"""Assets, tasks, playback and stored media."""

import hashlib
import random

import pytest

from livepeer_async.sandbox import FailProcessing, Fault, On, WrongSize
from sandbox.client import SMALL_PARTS, open_sandbox, read_sample
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio

SOURCE = random.Random(9).randbytes(200_000)
# In seconds of a VirtualClock.
SLOW = {"waiting_seconds": 100, "processing_seconds": 400}


def field_names(document):
    """Return the fields of a document, and those of its status, in their order."""
    return list(document), list(document["status"])


async def test_documents_have_recorded_fields_in_each_phase():
    clock = VirtualClock()
    async with open_sandbox(clock=clock, **SLOW) as client:
        ticket = await client.request_upload(
            "phases.mp4",
            playbackPolicy={"type": "public"},
            creatorId="creator-9",
            profiles=[{"name": "360p", "bitrate": 800000}],
        )
        task_path = f"/task/{ticket.task_id}"

        async def check(asset_sample, task_sample):
            asset = await client.asset(ticket)
            task = (await client.api("GET", task_path)).json()
            assert field_names(asset) == field_names(read_sample(asset_sample))
            assert field_names(task) == field_names(read_sample(task_sample))
            assert task["outputAssetId"] == ticket.asset_id

        await check("asset_uploading", "task_pending")
        location = await client.create(ticket, len(SOURCE))
        await client.patch(location, 0, SOURCE)
        clock.advance(50)
        await check("asset_waiting", "task_waiting")
        clock.advance(100)
        assert (await client.asset(ticket))["status"]["progress"] == 0
        await check("asset_processing_0", "task_running_0")
        clock.advance(400)
        await client.wait(ticket, "ready")
        await check("asset_ready", "task_completed")


async def test_progress_never_falls_and_playback_precedes_ready():
    clock = VirtualClock()
    async with open_sandbox(clock=clock, **SLOW) as client:
        ticket = await client.upload(SOURCE)
        shown, playable = [], set()
        while (asset := await client.asset(ticket))["status"]["phase"] != "ready":
            status = asset["status"]
            assert ("progress" in status) == (status["phase"] == "processing")
            shown.append(status.get("progress", 0))
            clock.advance(10)
            if "playbackUrl" in asset:
                playable.add(status["phase"])
                playback = await client.http.get(
                    f"{client.sandbox.base_url}/playback/{ticket.playback_id}"
                )
                assert playback.status_code == 200
        assert shown == sorted(shown)
        assert {0, 0.25, 0.5, 0.75} <= set(shown)
        assert playable == {"processing"}


async def test_ready_asset_has_size_and_hashes_of_source():
    async with open_sandbox() as client:
        ticket = await client.upload(SOURCE)
        asset = await client.wait(ticket, "ready")
        assert asset["size"] == len(SOURCE)
        assert asset["hash"] == [
            {"hash": hashlib.sha256(SOURCE).hexdigest(), "algorithm": "sha256"},
            {"hash": hashlib.md5(SOURCE).hexdigest(), "algorithm": "md5"},
        ]
        assert client.sandbox.stored_sha256(ticket.playback_id) == asset["hash"][0]["hash"]
        (seen,) = client.sandbox.assets
        assert (seen.name, seen.phase, seen.size) == ("clip.mp4", "ready", len(SOURCE))
        assert (seen.id, seen.task_id, seen.is_deleted) == (ticket.asset_id, ticket.task_id, False)


async def test_corrupted_source_has_its_actual_size():
    """A client that sends 10 MiB chunks to S3 gets a longer asset, as on the real server."""
    async with open_sandbox(**SMALL_PARTS, race=0.0) as client:
        source = SOURCE[: 20 * 8192]
        ticket, location = await client.begin(len(source))
        await client.patch(location, 0, source[: 10 * 8192])
        await client.patch(location, 8 * 8192, source[8 * 8192 : 18 * 8192])
        await client.patch(location, 18 * 8192, source[18 * 8192 :])
        asset = await client.wait(ticket, "ready")
        assert asset["size"] == 22 * 8192


async def test_hashes_can_be_left_out():
    async with open_sandbox(hashes=False) as client:
        asset = await client.wait(await client.upload(SOURCE), "ready")
        assert "hash" not in asset
        assert asset["size"] == len(SOURCE)


async def test_details_show_tracks():
    async with open_sandbox() as client:
        ticket = await client.upload(SOURCE)
        plain = await client.wait(ticket, "ready")
        assert list(plain["videoSpec"]) == ["format", "bitrate", "duration"]
        detailed = await client.api("GET", f"/asset/{ticket.asset_id}?details=true")
        assert [track["type"] for track in detailed.json()["videoSpec"]["tracks"]] == [
            "video",
            "audio",
        ]


async def test_known_etag_returns_304():
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        path = f"/asset/{ticket.asset_id}"
        tag = (await client.api("GET", path)).headers["etag"]
        for known in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
            response = await client.api("GET", path, headers={"If-None-Match": known})
            assert (response.status_code, response.content) == (304, b"")
            assert response.headers["etag"] == tag
        other = await client.api("GET", path, headers={"If-None-Match": 'W/"x"'})
        assert other.status_code == 200


async def test_etag_has_format_of_express():
    async with open_sandbox() as client:
        response = await client.api("GET", "/nosuch")
        assert response.headers["etag"] == 'W/"18-6f5CLnjZh5Bh0YuqVhqT2AZg2u8"' or len(
            response.headers["etag"]
        ) == len('W/"18-6f5CLnjZh5Bh0YuqVhqT2AZg2u8"')
        assert response.headers["etag"].startswith('W/"18-')


@pytest.mark.parametrize(
    ("asset_id", "status", "sentence"),
    [
        ("not-a-uuid", 404, "Asset not found"),
        ("00000000-0000-4000-8000-000000000000", 404, "Asset not found"),
        ("%00", 500, "Internal server error: error"),
        ("%zz", 400, "Failed to decode param '%zz'"),
    ],
)
async def test_unknown_asset_is_an_error(asset_id, status, sentence):
    async with open_sandbox() as client:
        response = await client.api("GET", f"/asset/{asset_id}")
        assert (response.status_code, response.json()) == (status, {"errors": [sentence]})


async def test_asset_of_another_user_is_inaccessible():
    async with open_sandbox() as client:
        ticket = await client.upload(SOURCE)
        await client.wait(ticket, "ready")
        other = {"Authorization": f"Bearer {client.sandbox.add_user()}"}
        path = f"/asset/{ticket.asset_id}"
        found = [
            await client.api(method, where, headers=other, json={"name": "x"})
            for method, where in [
                ("GET", path),
                ("PATCH", path),
                ("DELETE", path),
                ("POST", f"{path}/retry"),
                ("GET", f"/task/{ticket.task_id}"),
            ]
        ]
        assert [(response.status_code, response.json()["errors"][0]) for response in found] == [
            (404, "not found"),
            (404, "asset not found"),
            (403, "users may only delete their own assets"),
            (404, "Asset not found"),
            (403, "user can only request information on their own tasks"),
        ]


# The change, and the changed fields of the document.
CHANGES = [
    ({"name": "renamed.mp4"}, {"name": "renamed.mp4"}),
    ({}, {}),
    ({"creatorId": "c-new"}, {"creatorId": {"type": "unverified", "value": "c-new"}}),
    ({"playbackPolicy": {"type": "public"}}, {"playbackPolicy": {"type": "public"}}),
    ({"playbackPolicy": None}, {"playbackPolicy": None}),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
async def test_patch_returns_changed_asset(change, expected):
    async with open_sandbox() as client:
        ticket = await client.upload(SOURCE)
        before = await client.wait(ticket, "ready")
        response = await client.api("PATCH", f"/asset/{ticket.asset_id}", json=change)
        found = response.json()
        assert response.status_code == 200
        assert {name: found[name] for name in expected} == expected
        assert found["status"]["updatedAt"] >= before["status"]["updatedAt"]
        again = await client.asset(ticket)
        assert again == found


@pytest.mark.parametrize(
    ("change", "status", "sample"),
    [
        ({"foo": 1}, 422, "error_422_unknown_field"),
        ({"name": 1}, 422, "error_422_name_type"),
        ({"creatorId": None}, 422, "error_422_creator_type"),
        ({"playbackPolicy": {"type": "jwt"}}, 422, "error_422_policy_to_private"),
        ({"storage": {"ipfs": False}}, 400, "error_400_ipfs_off"),
        ({"staticMp4": True}, 422, "error_422_unpatchable_field"),
    ],
)
async def test_invalid_patch_is_refused_as_recorded(change, status, sample):
    async with open_sandbox() as client:
        ticket = await client.upload(SOURCE)
        await client.wait(ticket, "ready")
        response = await client.api("PATCH", f"/asset/{ticket.asset_id}", json=change)
        assert (response.status_code, response.json()) == (status, read_sample(sample))


async def test_export_to_ipfs_is_queued():
    async with open_sandbox() as client:
        ticket = await client.upload(SOURCE)
        await client.wait(ticket, "ready")
        change = {"storage": {"ipfs": True}}
        response = await client.api("PATCH", f"/asset/{ticket.asset_id}", json=change)
        storage = response.json()["storage"]
        assert storage["ipfs"] == {"spec": {}}
        assert storage["status"]["phase"] == "waiting"
        pending = storage["status"]["tasks"]["pending"]
        task = (await client.api("GET", f"/task/{pending}")).json()
        assert (task["type"], task["inputAssetId"]) == ("export", ticket.asset_id)


async def test_only_ready_asset_can_be_changed():
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        response = await client.api("PATCH", f"/asset/{ticket.asset_id}", json={"name": "x"})
        expected = read_sample("error_422_asset_not_ready")
        assert (response.status_code, response.json()) == (422, expected)


async def test_deleted_asset_is_not_found():
    async with open_sandbox() as client:
        ticket = await client.upload(SOURCE)
        asset = await client.wait(ticket, "ready")
        path = f"/asset/{ticket.asset_id}"
        first = await client.api("DELETE", path)
        assert (first.status_code, first.content) == (204, b"")
        again = await client.api("DELETE", path)
        expected = read_sample("error_400_already_deleted")
        assert (again.status_code, again.json()) == (400, expected)
        gone = await client.api("GET", path)
        assert (gone.status_code, gone.json()) == (404, {"errors": ["Asset not found"]})
        change = await client.api("PATCH", path, json={"name": "x"})
        assert (change.status_code, change.json()) == (422, {"errors": ["asset is not ready"]})
        assert (await client.api("GET", "/asset")).json() == []
        assert (await client.http.get(asset["downloadUrl"])).status_code == 404
        assert [seen.is_deleted for seen in client.sandbox.assets] == [True]
        unknown = await client.api("DELETE", "/asset/nosuch")
        assert (unknown.status_code, unknown.json()) == (404, {"errors": ["Asset not found"]})


async def test_playback_is_public_and_needs_playable_asset():
    async with open_sandbox() as client:
        url = f"{client.sandbox.base_url}/playback/"
        ticket, location = await client.begin(len(SOURCE))
        early = await client.http.get(url + ticket.playback_id)
        expected = read_sample("error_422_not_ready_for_playback")
        assert (early.status_code, early.json()) == (422, expected)
        await client.patch(location, 0, SOURCE)
        await client.wait(ticket, "ready")
        ready = await client.http.get(url + ticket.playback_id)
        assert ready.status_code == 200
        assert ready.json()["meta"]["source"][0]["hrn"] == "HLS (TS)"
        for unknown in ("nosuch", ticket.asset_id):
            response = await client.http.get(url + unknown)
            sentence = f"No playback URL found for {unknown}"
            assert (response.status_code, response.json()) == (404, {"errors": [sentence]})


async def test_private_media_have_private_urls():
    async with open_sandbox() as client:
        ticket = await client.request_upload(playbackPolicy={"type": "jwt"})
        await client.patch(await client.create(ticket, 5), 0, b"hello")
        asset = await client.wait(ticket, "ready")
        assert "/private/" in asset["downloadUrl"]
        assert (await client.http.get(asset["downloadUrl"])).content == b"hello"
        url = f"{client.sandbox.base_url}/playback/{ticket.playback_id}"
        meta = (await client.http.get(url)).json()["meta"]
        assert meta["playbackPolicy"] == {"type": "jwt"}
        assert "/private/" in meta["source"][0]["url"]


@pytest.mark.parametrize(
    ("wanted", "status", "start", "end"),
    [
        (None, 200, 0, 200_000),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=5-9", 206, 5, 10),
        ("bytes=199990-", 206, 199_990, 200_000),
        ("bytes=-7", 206, 199_993, 200_000),
        ("bytes=200000-", 416, 0, 0),
    ],
)
async def test_download_supports_ranges(wanted, status, start, end):
    async with open_sandbox() as client:
        asset = await client.wait(await client.upload(SOURCE), "ready")
        headers = {"Range": wanted} if wanted else {}
        response = await client.http.get(asset["downloadUrl"], headers=headers)
        assert response.status_code == status
        if status == 416:
            assert response.headers["content-range"].endswith("*/200000")
        else:
            assert response.content == SOURCE[start:end]
            assert response.headers["accept-ranges"] == "bytes"


async def test_failed_asset_can_be_retried():
    """The asset stays failed until its task has ended."""
    fault = Fault(On(asset="fails", times=1), FailProcessing())
    clock = VirtualClock()
    async with open_sandbox(faults=[fault], clock=clock, **SLOW) as client:
        ticket = await client.upload(SOURCE, "fails.mp4")
        path = f"/asset/{ticket.asset_id}"
        early = await client.api("POST", f"{path}/retry")
        expected = read_sample("error_400_asset_not_failed")
        assert (early.status_code, early.json()) == (400, expected)
        clock.advance(501)
        failed = await client.wait(ticket)
        assert field_names(failed) == field_names(read_sample("asset_failed"))
        assert failed["status"]["errorMessage"] == "Video is not supported: no video track"
        task = (await client.api("GET", f"/task/{ticket.task_id}")).json()
        assert field_names(task) == field_names(read_sample("task_failed"))
        assert (await client.api("POST", f"{path}/retry")).status_code == 204
        assert await client.asset(ticket) == failed
        task = (await client.api("GET", f"/task/{ticket.task_id}")).json()
        assert task["status"]["phase"] in ("waiting", "running")
        again = await client.api("POST", f"{path}/retry")
        expected = read_sample("error_400_task_not_retryable")
        assert (again.status_code, again.json()) == (400, expected)
        clock.advance(501)
        await client.wait(ticket, "ready")
        assert fault.fired == 1


async def test_retriable_failure_shows_on_task_only():
    fault = Fault(On(), FailProcessing("transient transcode error", retriable=True))
    clock = VirtualClock()
    async with open_sandbox(faults=[fault], clock=clock, **SLOW) as client:
        ticket = await client.upload(SOURCE)
        seen = set()
        while (status := (await client.asset(ticket))["status"])["phase"] != "ready":
            assert "errorMessage" not in status
            clock.advance(10)
            task = (await client.api("GET", f"/task/{ticket.task_id}")).json()["status"]
            seen.add((task["phase"], task.get("retries"), task.get("errorMessage")))
        assert ("waiting", 1, "transient transcode error") in seen
        assert ("running", 1, None) in seen


async def test_wrong_size_changes_reported_size():
    async with open_sandbox(faults=[Fault(On(asset="x"), WrongSize(by=-4))]) as client:
        wrong = await client.wait(await client.upload(SOURCE, "x.mp4"), "ready")
        right = await client.wait(await client.upload(SOURCE, "y.mp4"), "ready")
        assert (wrong["size"], right["size"]) == (len(SOURCE) - 4, len(SOURCE))


async def test_unknown_task_is_not_found():
    async with open_sandbox() as client:
        response = await client.api("GET", "/task/nosuch")
        assert (response.status_code, response.json()) == (404, {"errors": ["not found"]})
