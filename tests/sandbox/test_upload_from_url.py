import pytest

from livepeer_async.sandbox import Answer, Fault, On, Redirect
from livepeer_async.sandbox.routes import is_loopback
from sandbox.wire import Ticket, open_sandbox, read_sample
from support.clock import until

pytestmark = pytest.mark.anyio


async def start(caller, url):
    answer = await caller.api("POST", "/asset/upload/url", json={"name": "far.mp4", "url": url})
    assert answer.status_code == 201, answer.text
    asset = answer.json()["asset"]
    assert asset["source"] == {"type": "url", "url": url}
    assert asset["status"]["phase"] == "waiting"
    task_id = answer.json()["task"]["id"]
    return Ticket("", "", asset["id"], asset["playbackId"], task_id)


async def test_a_source_on_this_machine_is_fetched():
    async with open_sandbox() as caller:
        first = await caller.wait(await caller.upload(b"hello world"), "ready")
        ticket = await start(caller, first["downloadUrl"])
        asset = await caller.wait(ticket, "ready")
        assert (asset["size"], asset["hash"]) == (first["size"], first["hash"])
        task = (await caller.api("GET", f"/task/{ticket.task_id}")).json()
        assert (task["type"], task["status"]["phase"]) == ("import", "completed")
        assert task["params"]["import"]["url"] == first["downloadUrl"]


@pytest.mark.parametrize("url", ["https://storage.example/film.mp4", "ipfs://bafy"])
async def test_a_source_elsewhere_is_never_fetched(url):
    async with open_sandbox() as caller:
        ticket = await start(caller, url)
        failed = await caller.wait(ticket, "failed")
        assert failed["status"]["errorMessage"] == "file download failed"
        assert (await caller.api("POST", f"/asset/{ticket.asset_id}/retry")).status_code == 204
        task_path = f"/task/{ticket.task_id}"

        async def status():
            return (await caller.api("GET", task_path)).json()["status"]

        async def has_failed():
            return (await status())["phase"] == "failed"

        await until(has_failed)
        assert (await status())["errorMessage"] == "file download failed"


@pytest.mark.parametrize("action", [Answer(404), Redirect("http://127.0.0.1:9/"), Answer(500)])
async def test_a_source_that_cannot_be_had(action):
    async with open_sandbox(faults=[Fault(On(path="/film"), action)]) as caller:
        ticket = await start(caller, f"{caller.sandbox.origin}/film.mp4")
        failed = await caller.wait(ticket, "failed")
        assert failed["status"]["errorMessage"] == "file download failed"


async def test_a_source_that_refuses_the_connection():
    async with open_sandbox() as caller:
        ticket = await start(caller, "http://127.0.0.1:1/film.mp4")
        await caller.wait(ticket, "failed")


async def test_the_url_is_checked():
    async with open_sandbox() as caller:
        missing = await caller.api("POST", "/asset/upload/url", json={"name": "x"})
        assert missing.status_code == 422
        assert "'url'" in missing.text
        odd = await caller.api(
            "POST", "/asset/upload/url", json={"name": "x", "url": "ftp://example/x"}
        )
        assert odd.status_code == 422
        assert "must match pattern" in odd.text
        nameless = await caller.api("POST", "/asset/upload/url", json={"url": "http://x/"})
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
def test_only_this_machine_is_asked(url, expected):
    assert is_loopback(url) is expected
