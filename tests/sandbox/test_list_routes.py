"""The lists of assets and tasks."""

import json
from urllib.parse import quote

import pytest

from livepeer_async.sandbox import FailProcessing, Fault, On
from sandbox.client import open_sandbox, read_sample

pytestmark = pytest.mark.anyio


async def fill(client):
    """Create a1 to a5: a4 becomes ready, a3 fails after it, the others stay `uploading`."""
    tickets = {}
    for number in range(1, 6):
        name = f"a{number}"
        tickets[name] = await client.request_upload(name, creatorId=f"c{number % 2}")
    for name in ("a4", "a3"):
        location = await client.create(tickets[name], 5)
        await client.patch(location, 0, b"hello")
        await client.wait(tickets[name])
    return tickets


def open_filled(**options):
    fault = Fault(On(asset="a3"), FailProcessing("boom"))
    return open_sandbox(faults=[fault], **options)


async def names(client, query="", *, status=200):
    response = await client.api("GET", f"/asset{query}")
    assert response.status_code == status, response.text
    return [row["name"] for row in response.json()]


async def test_default_order_is_latest_change_first():
    async with open_filled() as client:
        await fill(client)
        assert await names(client) == ["a3", "a4", "a5", "a2", "a1"]


# Query, names in order.
QUERIES = [
    ("?limit=2", ["a3", "a4"]),
    ("?limit=2&cursor=skip2", ["a5", "a2"]),
    ("?limit=2&cursor=skip4", ["a1"]),
    ("?limit=5&cursor=skip5", []),
    ("?limit=0", ["a3", "a4", "a5", "a2", "a1"]),
    ("?limit=-1", ["a3", "a4", "a5", "a2", "a1"]),
    ("?limit=abc", ["a3", "a4", "a5", "a2", "a1"]),
    ("?limit=100000", ["a3", "a4", "a5", "a2", "a1"]),
    ("?order=createdAt-false", ["a1", "a2", "a3", "a4", "a5"]),
    ("?order=createdAt-true", ["a5", "a4", "a3", "a2", "a1"]),
    ("?order=name-true", ["a5", "a4", "a3", "a2", "a1"]),
    ("?order=creatorId-false,name-true", ["a4", "a2", "a5", "a3", "a1"]),
    ("?order=bogus-true", ["a1", "a2", "a3", "a4", "a5"]),
    ("?order=createdAt", ["a1", "a2", "a3", "a4", "a5"]),
    ("?order=,", ["a1", "a2", "a3", "a4", "a5"]),
    ("?order=size-true", ["a4", "a1", "a2", "a3", "a5"]),
    ("?phase=ready", ["a4"]),
    ("?phase=ready&phase=failed", []),
    ("?phase=deleting", []),
    ("?name=a1", ["a3", "a4", "a5", "a2", "a1"]),
    ("?all=true", ["a3", "a4", "a5", "a2", "a1"]),
    ("?cid=bafy", []),
    ("?cursor=garbage", []),
]


async def test_queries_filter_and_order():
    async with open_filled() as client:
        await fill(client)
        assert [(query, await names(client, query)) for query, _ in QUERIES] == QUERIES


async def test_filters_select_rows():
    async with open_filled() as client:
        tickets = await fill(client)
        third = (await client.asset(tickets["a3"]))["createdAt"]

        async def found(**entry):
            text = quote(json.dumps([entry]))
            return await names(client, f"?order=name-false&filters={text}")

        assert await found(id="phase", value="ready") == ["a4"]
        assert await found(id="name", value="A3") == ["a3"]
        assert await found(id="creatorId", value="c1") == ["a1", "a3", "a5"]
        assert "a3" in await found(id="createdAt", value=third)
        assert "a3" not in await found(id="createdAt", value={"gt": third})
        assert "a3" in await found(id="createdAt", value={"gte": third, "lte": third})
        assert "a3" not in await found(id="createdAt", value={"lt": third})
        assert await names(client, f"?playbackId={tickets['a1'].playback_id}") == ["a1"]


# `filters` as sent, name of the recorded response.
REFUSED = [
    ('[{"id":"createdAt","value":{"eq":1}}]', "error_400_filter_comparison"),
    ('[{"id":"foo","value":1}]', "error_400_filter_field"),
    ('[{"id":"phase"}]', "error_400_filter_without_value"),
    ("abc", "error_400_filter_not_json"),
    ('{"id":"phase","value":"ready"}', "error_400_filter_not_array"),
    ('[{"id":"name","value":"100%"}]', "error_400_filter_percent"),
]


@pytest.mark.parametrize(("filters", "sample"), REFUSED, ids=[row[1] for row in REFUSED])
async def test_invalid_filters_are_refused_as_recorded(filters, sample):
    async with open_sandbox() as client:
        response = await client.api("GET", f"/asset?filters={quote(filters)}")
        assert (response.status_code, response.json()) == (400, read_sample(sample))


async def test_percent_sign_is_encoded_twice():
    async with open_sandbox() as client:
        await client.request_upload("100% sure")
        text = quote(quote('[{"id":"name","value":"100%"}]'))
        assert await names(client, f"?filters={text}") == ["100% sure"]


async def test_invalid_cursor_returns_500():
    async with open_sandbox() as client:
        response = await client.api("GET", "/asset?cursor=skipabc")
        expected = {"errors": ["Internal server error: error"]}
        assert (response.status_code, response.json()) == (500, expected)


async def test_full_last_page_links_to_empty_next_page():
    async with open_filled() as client:
        await fill(client)
        origin = client.sandbox.origin

        async def link(query):
            return (await client.api("GET", f"/asset{query}")).headers.get("link")

        def next_page(query):
            return f'<{origin}/api/asset?{query}>; rel="next"'

        assert await link("?limit=2") == next_page("limit=2&cursor=skip2")
        assert await link("?limit=2&cursor=skip2") == next_page("limit=2&cursor=skip4")
        assert await link("?limit=2&cursor=skip4") is None
        assert await link("?limit=5") == next_page("limit=5&cursor=skip5")
        assert await link("?limit=5&cursor=skip5") is None
        assert await link("?limit=2&count=true") == next_page("limit=2&count=true&cursor=skip2")


async def test_link_uses_http_and_host_header():
    async with open_sandbox() as client:
        await client.request_upload()
        response = await client.api(
            "HEAD",
            "/asset?limit=1",
            headers={"Host": "api.example", "X-Forwarded-Proto": "https"},
        )
        assert response.content == b""
        expected = '<http://api.example/api/asset?limit=1&cursor=skip1>; rel="next"'
        assert response.headers["link"] == expected


async def test_total_is_counted_except_on_empty_page():
    async with open_filled() as client:
        await fill(client)

        async def total(query):
            return (await client.api("GET", f"/asset{query}")).headers.get("x-total-count")

        assert await total("?limit=2&count=true") == "5"
        assert await total("?limit=2&count=false") == "5"
        assert await total("?limit=2") is None
        assert await total("?count=true&phase=deleting") is None


async def test_new_asset_shifts_pages():
    """The cursor is an offset."""
    async with open_sandbox() as client:
        for number in range(1, 6):
            await client.request_upload(f"a{number}")
        assert await names(client, "?limit=2&order=createdAt-true") == ["a5", "a4"]
        await client.request_upload("a6")
        second = await names(client, "?limit=2&order=createdAt-true&cursor=skip2")
        assert second == ["a4", "a3"]


async def test_rows_have_recorded_fields():
    async with open_sandbox() as client:
        ticket = await client.request_upload("a4", creatorId="c0")
        await client.patch(await client.create(ticket, 5), 0, b"hello")
        await client.wait(ticket, "ready")
        (row,) = (await client.api("GET", "/asset?limit=1&phase=ready")).json()
        (recorded,) = read_sample("list_one")
        assert list(row) == list(recorded)


async def test_lists_are_empty_for_other_users():
    async with open_sandbox() as client:
        await client.request_upload()
        other = {"Authorization": f"Bearer {client.sandbox.add_user()}"}
        for path in ("/asset", "/task"):
            assert (await client.api("GET", path, headers=other)).json() == []


async def test_last_page_of_tasks_links_to_undefined():
    async with open_sandbox() as client:
        for _ in range(3):
            ticket = await client.request_upload()
        response = await client.api("GET", "/task?limit=2")
        assert len(response.json()) == 2
        assert "cursor=skip2>" in response.headers["link"]
        assert list(response.json()[0]) == list(read_sample("task_list")[0])
        last = await client.api("GET", "/task?limit=100&count=true")
        assert "limit=100&count=true&cursor=undefined>" in last.headers["link"]
        assert last.headers["x-total-count"] == "3"
        beyond = await client.api("GET", "/task?limit=100&cursor=undefined")
        assert (beyond.json(), "link" in beyond.headers) == ([], False)
        wanted = quote(json.dumps([{"id": "outputAssetId", "value": ticket.asset_id}]))
        assert len((await client.api("GET", f"/task?filters={wanted}")).json()) == 1
        unknown = quote(json.dumps([{"id": "status", "value": 1}]))
        assert (await client.api("GET", f"/task?filters={unknown}")).status_code == 400
