"""Assets, tasks, playback and stored media: sections 9 and 11."""

import hashlib
import random

import pytest

from livepeer_async.sandbox import FailProcessing, Fault, On, WrongSize
from sandbox.wire import SMALL_PARTS, open_sandbox, read_sample
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio

SOURCE = random.Random(9).randbytes(200_000)
# By the clock of a test.
SLOW = {"waiting_seconds": 100, "processing_seconds": 400}


def stem(document):
    """Return the fields of a document in their order, with those of its status."""
    return list(document), list(document["status"])


async def test_documents_have_the_recorded_fields_in_every_phase():
    clock = VirtualClock()
    async with open_sandbox(clock=clock, **SLOW) as caller:
        ticket = await caller.request_upload(
            "phases.mp4",
            playbackPolicy={"type": "public"},
            creatorId="creator-9",
            profiles=[{"name": "360p", "bitrate": 800000}],
        )
        task_path = f"/task/{ticket.task_id}"

        async def check(asset_sample, task_sample):
            asset = await caller.asset(ticket)
            task = (await caller.api("GET", task_path)).json()
            assert stem(asset) == stem(read_sample(asset_sample))
            assert stem(task) == stem(read_sample(task_sample))
            assert task["outputAssetId"] == ticket.asset_id

        await check("asset_uploading", "task_pending")
        location = await caller.create(ticket, len(SOURCE))
        await caller.patch(location, 0, SOURCE)
        clock.advance(50)
        await check("asset_waiting", "task_waiting")
        clock.advance(100)
        assert (await caller.asset(ticket))["status"]["progress"] == 0
        await check("asset_processing_0", "task_running_0")
        clock.advance(400)
        await caller.wait(ticket, "ready")
        await check("asset_ready", "task_completed")


async def test_progress_never_falls_and_playback_may_come_before_ready():
    clock = VirtualClock()
    async with open_sandbox(clock=clock, **SLOW) as caller:
        ticket = await caller.upload(SOURCE)
        shown, playable = [], set()
        while (asset := await caller.asset(ticket))["status"]["phase"] != "ready":
            status = asset["status"]
            assert ("progress" in status) == (status["phase"] == "processing")
            shown.append(status.get("progress", 0))
            clock.advance(10)
            if "playbackUrl" in asset:
                playable.add(status["phase"])
                playback = await caller.http.get(
                    f"{caller.sandbox.base_url}/playback/{ticket.playback_id}"
                )
                assert playback.status_code == 200
        assert shown == sorted(shown)
        assert {0, 0.25, 0.5, 0.75} <= set(shown)
        assert playable == {"processing"}


async def test_a_ready_asset_describes_what_arrived():
    async with open_sandbox() as caller:
        ticket = await caller.upload(SOURCE)
        asset = await caller.wait(ticket, "ready")
        assert asset["size"] == len(SOURCE)
        assert asset["hash"] == [
            {"hash": hashlib.sha256(SOURCE).hexdigest(), "algorithm": "sha256"},
            {"hash": hashlib.md5(SOURCE).hexdigest(), "algorithm": "md5"},
        ]
        assert caller.sandbox.stored_sha256(ticket.playback_id) == asset["hash"][0]["hash"]
        (seen,) = caller.sandbox.assets
        assert (seen.name, seen.phase, seen.size) == ("clip.mp4", "ready", len(SOURCE))
        assert (seen.id, seen.task_id, seen.is_deleted) == (ticket.asset_id, ticket.task_id, False)


async def test_a_source_that_was_corrupted_is_described_as_it_is():
    """A client that sends 10 MiB chunks to S3 gets a longer asset, as the real one does."""
    async with open_sandbox(**SMALL_PARTS, race=0.0) as caller:
        source = SOURCE[: 20 * 8192]
        ticket, location = await caller.begin(len(source))
        await caller.patch(location, 0, source[: 10 * 8192])
        await caller.patch(location, 8 * 8192, source[8 * 8192 : 18 * 8192])
        await caller.patch(location, 18 * 8192, source[18 * 8192 :])
        asset = await caller.wait(ticket, "ready")
        assert asset["size"] == 22 * 8192


async def test_hashes_can_be_left_out_as_the_present_pipeline_does():
    async with open_sandbox(hashes=False) as caller:
        asset = await caller.wait(await caller.upload(SOURCE), "ready")
        assert "hash" not in asset
        assert asset["size"] == len(SOURCE)


async def test_details_show_the_tracks():
    async with open_sandbox() as caller:
        ticket = await caller.upload(SOURCE)
        plain = await caller.wait(ticket, "ready")
        assert list(plain["videoSpec"]) == ["format", "bitrate", "duration"]
        detailed = await caller.api("GET", f"/asset/{ticket.asset_id}?details=true")
        assert [track["type"] for track in detailed.json()["videoSpec"]["tracks"]] == [
            "video",
            "audio",
        ]


async def test_a_known_etag_is_answered_304():
    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        path = f"/asset/{ticket.asset_id}"
        tag = (await caller.api("GET", path)).headers["etag"]
        for known in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
            answer = await caller.api("GET", path, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == tag
        other = await caller.api("GET", path, headers={"If-None-Match": 'W/"x"'})
        assert other.status_code == 200


async def test_the_etag_is_that_of_express():
    async with open_sandbox() as caller:
        answer = await caller.api("GET", "/nosuch")
        assert answer.headers["etag"] == 'W/"18-6f5CLnjZh5Bh0YuqVhqT2AZg2u8"' or len(
            answer.headers["etag"]
        ) == len('W/"18-6f5CLnjZh5Bh0YuqVhqT2AZg2u8"')
        assert answer.headers["etag"].startswith('W/"18-')


@pytest.mark.parametrize(
    ("asset_id", "status", "sentence"),
    [
        ("not-a-uuid", 404, "Asset not found"),
        ("00000000-0000-4000-8000-000000000000", 404, "Asset not found"),
        ("%00", 500, "Internal server error: error"),
        ("%zz", 400, "Failed to decode param '%zz'"),
    ],
)
async def test_an_asset_that_is_not_there(asset_id, status, sentence):
    async with open_sandbox() as caller:
        answer = await caller.api("GET", f"/asset/{asset_id}")
        assert (answer.status_code, answer.json()) == (status, {"errors": [sentence]})


async def test_what_belongs_to_another_user():
    async with open_sandbox() as caller:
        ticket = await caller.upload(SOURCE)
        await caller.wait(ticket, "ready")
        other = {"Authorization": f"Bearer {caller.sandbox.add_user()}"}
        path = f"/asset/{ticket.asset_id}"
        found = [
            await caller.api(method, where, headers=other, json={"name": "x"})
            for method, where in [
                ("GET", path),
                ("PATCH", path),
                ("DELETE", path),
                ("POST", f"{path}/retry"),
                ("GET", f"/task/{ticket.task_id}"),
            ]
        ]
        assert [(answer.status_code, answer.json()["errors"][0]) for answer in found] == [
            (404, "not found"),
            (404, "asset not found"),
            (403, "users may only delete their own assets"),
            (404, "Asset not found"),
            (403, "user can only request information on their own tasks"),
        ]


# Section 11: the change and what it does to the document.
CHANGES = [
    ({"name": "renamed.mp4"}, {"name": "renamed.mp4"}),
    ({}, {}),
    ({"creatorId": "c-new"}, {"creatorId": {"type": "unverified", "value": "c-new"}}),
    ({"playbackPolicy": {"type": "public"}}, {"playbackPolicy": {"type": "public"}}),
    ({"playbackPolicy": None}, {"playbackPolicy": None}),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
async def test_changes_are_answered_with_the_asset(change, expected):
    async with open_sandbox() as caller:
        ticket = await caller.upload(SOURCE)
        before = await caller.wait(ticket, "ready")
        answer = await caller.api("PATCH", f"/asset/{ticket.asset_id}", json=change)
        found = answer.json()
        assert answer.status_code == 200
        assert {name: found[name] for name in expected} == expected
        assert found["status"]["updatedAt"] >= before["status"]["updatedAt"]
        again = await caller.asset(ticket)
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
async def test_changes_are_refused_as_recorded(change, status, sample):
    async with open_sandbox() as caller:
        ticket = await caller.upload(SOURCE)
        await caller.wait(ticket, "ready")
        answer = await caller.api("PATCH", f"/asset/{ticket.asset_id}", json=change)
        assert (answer.status_code, answer.json()) == (status, read_sample(sample))


async def test_an_export_to_ipfs_is_queued():
    async with open_sandbox() as caller:
        ticket = await caller.upload(SOURCE)
        await caller.wait(ticket, "ready")
        change = {"storage": {"ipfs": True}}
        answer = await caller.api("PATCH", f"/asset/{ticket.asset_id}", json=change)
        storage = answer.json()["storage"]
        assert storage["ipfs"] == {"spec": {}}
        assert storage["status"]["phase"] == "waiting"
        pending = storage["status"]["tasks"]["pending"]
        task = (await caller.api("GET", f"/task/{pending}")).json()
        assert (task["type"], task["inputAssetId"]) == ("export", ticket.asset_id)


async def test_only_a_ready_asset_can_be_changed():
    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        answer = await caller.api("PATCH", f"/asset/{ticket.asset_id}", json={"name": "x"})
        expected = read_sample("error_422_asset_not_ready")
        assert (answer.status_code, answer.json()) == (422, expected)


async def test_a_deleted_asset():
    """Sections 11.20 to 11.23."""
    async with open_sandbox() as caller:
        ticket = await caller.upload(SOURCE)
        asset = await caller.wait(ticket, "ready")
        path = f"/asset/{ticket.asset_id}"
        first = await caller.api("DELETE", path)
        assert (first.status_code, first.content) == (204, b"")
        again = await caller.api("DELETE", path)
        expected = read_sample("error_400_already_deleted")
        assert (again.status_code, again.json()) == (400, expected)
        gone = await caller.api("GET", path)
        assert (gone.status_code, gone.json()) == (404, {"errors": ["Asset not found"]})
        change = await caller.api("PATCH", path, json={"name": "x"})
        assert (change.status_code, change.json()) == (422, {"errors": ["asset is not ready"]})
        assert (await caller.api("GET", "/asset")).json() == []
        assert (await caller.http.get(asset["downloadUrl"])).status_code == 404
        assert [seen.is_deleted for seen in caller.sandbox.assets] == [True]
        unknown = await caller.api("DELETE", "/asset/nosuch")
        assert (unknown.status_code, unknown.json()) == (404, {"errors": ["Asset not found"]})


async def test_playback_is_public_and_only_of_playable_assets():
    async with open_sandbox() as caller:
        url = f"{caller.sandbox.base_url}/playback/"
        ticket, location = await caller.begin(len(SOURCE))
        early = await caller.http.get(url + ticket.playback_id)
        expected = read_sample("error_422_not_ready_for_playback")
        assert (early.status_code, early.json()) == (422, expected)
        await caller.patch(location, 0, SOURCE)
        await caller.wait(ticket, "ready")
        ready = await caller.http.get(url + ticket.playback_id)
        assert ready.status_code == 200
        assert ready.json()["meta"]["source"][0]["hrn"] == "HLS (TS)"
        for unknown in ("nosuch", ticket.asset_id):
            answer = await caller.http.get(url + unknown)
            sentence = f"No playback URL found for {unknown}"
            assert (answer.status_code, answer.json()) == (404, {"errors": [sentence]})


async def test_private_media_lie_elsewhere():
    async with open_sandbox() as caller:
        ticket = await caller.request_upload(playbackPolicy={"type": "jwt"})
        await caller.patch(await caller.create(ticket, 5), 0, b"hello")
        asset = await caller.wait(ticket, "ready")
        assert "/private/" in asset["downloadUrl"]
        assert (await caller.http.get(asset["downloadUrl"])).content == b"hello"
        url = f"{caller.sandbox.base_url}/playback/{ticket.playback_id}"
        meta = (await caller.http.get(url)).json()["meta"]
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
async def test_the_stored_bytes_can_be_fetched_in_ranges(wanted, status, start, end):
    async with open_sandbox() as caller:
        asset = await caller.wait(await caller.upload(SOURCE), "ready")
        headers = {"Range": wanted} if wanted else {}
        answer = await caller.http.get(asset["downloadUrl"], headers=headers)
        assert answer.status_code == status
        if status == 416:
            assert answer.headers["content-range"].endswith("*/200000")
        else:
            assert answer.content == SOURCE[start:end]
            assert answer.headers["accept-ranges"] == "bytes"


async def test_an_asset_that_fails_can_be_retried():
    """Sections 9 and 15.1: it stays failed until its task has ended."""
    fault = Fault(On(asset="fails", times=1), FailProcessing())
    clock = VirtualClock()
    async with open_sandbox(faults=[fault], clock=clock, **SLOW) as caller:
        ticket = await caller.upload(SOURCE, "fails.mp4")
        path = f"/asset/{ticket.asset_id}"
        early = await caller.api("POST", f"{path}/retry")
        expected = read_sample("error_400_asset_not_failed")
        assert (early.status_code, early.json()) == (400, expected)
        clock.advance(501)
        failed = await caller.wait(ticket)
        assert stem(failed) == stem(read_sample("asset_failed"))
        assert failed["status"]["errorMessage"] == "Video is not supported: no video track"
        task = (await caller.api("GET", f"/task/{ticket.task_id}")).json()
        assert stem(task) == stem(read_sample("task_failed"))
        assert (await caller.api("POST", f"{path}/retry")).status_code == 204
        assert await caller.asset(ticket) == failed
        task = (await caller.api("GET", f"/task/{ticket.task_id}")).json()
        assert task["status"]["phase"] in ("waiting", "running")
        again = await caller.api("POST", f"{path}/retry")
        expected = read_sample("error_400_task_not_retryable")
        assert (again.status_code, again.json()) == (400, expected)
        clock.advance(501)
        await caller.wait(ticket, "ready")
        assert fault.fired == 1


async def test_a_retriable_failure_shows_on_the_task_only():
    fault = Fault(On(), FailProcessing("transient transcode error", retriable=True))
    clock = VirtualClock()
    async with open_sandbox(faults=[fault], clock=clock, **SLOW) as caller:
        ticket = await caller.upload(SOURCE)
        seen = set()
        while (status := (await caller.asset(ticket))["status"])["phase"] != "ready":
            assert "errorMessage" not in status
            clock.advance(10)
            task = (await caller.api("GET", f"/task/{ticket.task_id}")).json()["status"]
            seen.add((task["phase"], task.get("retries"), task.get("errorMessage")))
        assert ("waiting", 1, "transient transcode error") in seen
        assert ("running", 1, None) in seen


async def test_a_wrong_size_is_scripted():
    async with open_sandbox(faults=[Fault(On(asset="x"), WrongSize(by=-4))]) as caller:
        wrong = await caller.wait(await caller.upload(SOURCE, "x.mp4"), "ready")
        right = await caller.wait(await caller.upload(SOURCE, "y.mp4"), "ready")
        assert (wrong["size"], right["size"]) == (len(SOURCE) - 4, len(SOURCE))


async def test_a_task_that_is_not_there():
    async with open_sandbox() as caller:
        answer = await caller.api("GET", "/task/nosuch")
        assert (answer.status_code, answer.json()) == (404, {"errors": ["not found"]})
