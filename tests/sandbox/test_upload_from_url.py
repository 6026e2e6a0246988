import pytest

from livepeer_async.sandbox import Answer, Fault, On, Redirect
from livepeer_async.sandbox.addresses import is_loopback
from sandbox.client import Ticket, open_sandbox, read_sample
from support.clock import until

pytestmark = pytest.mark.anyio


async def start(client, url):
    response = await client.api("POST", "/asset/upload/url", json={"name": "far.mp4", "url": url})
    assert response.status_code == 201, response.text
    asset = response.json()["asset"]
    assert asset["source"] == {"type": "url", "url": url}
    assert asset["status"]["phase"] == "waiting"
    task_id = response.json()["task"]["id"]
    return Ticket("", "", asset["id"], asset["playbackId"], task_id)


async def test_source_on_loopback_is_downloaded():
    async with open_sandbox() as client:
        first = await client.wait(await client.upload(b"hello world"), "ready")
        ticket = await start(client, first["downloadUrl"])
        asset = await client.wait(ticket, "ready")
        assert (asset["size"], asset["hash"]) == (first["size"], first["hash"])
        task = (await client.api("GET", f"/task/{ticket.task_id}")).json()
        assert (task["type"], task["status"]["phase"]) == ("import", "completed")
        assert task["params"]["import"]["url"] == first["downloadUrl"]


@pytest.mark.parametrize("url", ["https://storage.example/film.mp4", "ipfs://bafy"])
async def test_remote_source_is_never_downloaded(url):
    async with open_sandbox() as client:
        ticket = await start(client, url)
        failed = await client.wait(ticket, "failed")
        assert failed["status"]["errorMessage"] == "file download failed"
        assert (await client.api("POST", f"/asset/{ticket.asset_id}/retry")).status_code == 204
        task_path = f"/task/{ticket.task_id}"

        async def status():
            return (await client.api("GET", task_path)).json()["status"]

        async def has_failed():
            return (await status())["phase"] == "failed"

        await until(has_failed)
        assert (await status())["errorMessage"] == "file download failed"


@pytest.mark.parametrize("action", [Answer(404), Redirect("http://127.0.0.1:9/"), Answer(500)])
async def test_failed_download_fails_asset(action):
    async with open_sandbox(faults=[Fault(On(path="/film"), action)]) as client:
        ticket = await start(client, f"{client.sandbox.origin}/film.mp4")
        failed = await client.wait(ticket, "failed")
        assert failed["status"]["errorMessage"] == "file download failed"


async def test_refused_connection_of_download_fails_asset():
    async with open_sandbox() as client:
        ticket = await start(client, "http://127.0.0.1:1/film.mp4")
        await client.wait(ticket, "failed")


async def test_url_is_validated():
    async with open_sandbox() as client:
        missing = await client.api("POST", "/asset/upload/url", json={"name": "x"})
        assert missing.status_code == 422
        assert "'url'" in missing.text
        odd = await client.api(
            "POST", "/asset/upload/url", json={"name": "x", "url": "ftp://example/x"}
        )
        assert odd.status_code == 422
        assert "must match pattern" in odd.text
        nameless = await client.api("POST", "/asset/upload/url", json={"url": "http://x/"})
        assert nameless.json() == read_sample("error_422_missing_name")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:80/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:8080/x", True),
        ("https://127.0.0.1/x", False),
        ("http://10.0.0.1/x", False),
        ("http://example.com/x", False),
        ("http:///x", False),
        ("file:///etc/hosts", False),
    ],
)
def test_loopback_urls_are_recognised(url, expected):
    assert is_loopback(url) is expected
