"""What can happen to a client of any tus server, one that means ill in particular."""

from discretion.scene import BEARER, JWT, UPLOAD_NAME, VIDEO
from support.servers import http_response

TUS = "Tus-Resumable: 1.0.0"
LOCATION = f"Location: /files/{UPLOAD_NAME}"
CREATED = http_response(b"", LOCATION, TUS, status="201 Created")
ARRIVED = http_response(b"", f"Upload-Offset: {len(VIDEO)}", TUS, status="204 No Content")
ONE_FOR_ALL = f"key {BEARER}, Basic {BEARER}, token={JWT}"


async def upload_to_any_server(scene):
    answers = {"POST": CREATED, "PATCH": ARRIVED}
    async with scene.tus(answers) as (tus, endpoint):
        url = await tus.upload(VIDEO, f"{endpoint}?token={JWT}", metadata={"filename": "x"})
        assert url.endswith(UPLOAD_NAME)


async def tus_server_that_echoes_the_key(scene):
    said = http_response(
        ONE_FOR_ALL.encode(),
        f"WWW-Authenticate: Basic realm={BEARER}",
        f"Set-Cookie: session={JWT}",
        f"X-Seen: {BEARER}",
        status=f"401 {BEARER} is unknown",
    )
    async with scene.tus(said) as (tus, endpoint):
        await tus.upload(VIDEO, f"{endpoint}?token={JWT}")


async def tus_server_that_forgets(scene):
    answers = {"POST": CREATED, "PATCH": http_response(status="404 Not Found")}
    async with scene.tus(answers) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


async def tus_server_that_cuts(scene):
    async def cut(writer):
        writer.transport.abort()

    answers = {"POST": CREATED, "*": cut}
    async with scene.tus(answers) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


async def tus_server_that_names_the_upload(scene):
    said = http_response(
        f"Cannot PATCH /files/{UPLOAD_NAME}".encode(), status="405 Method Not Allowed"
    )
    async with scene.tus({"POST": CREATED, "*": said}) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


async def location_on_another_host(scene):
    lines = (f"Location: http://elsewhere.example/files/{UPLOAD_NAME}", TUS)
    async with scene.tus(http_response(b"", *lines, status="201 Created")) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


async def header_that_cannot_be_sent(scene):
    headers = {"Authorization": f"Basic {BEARER}\n"}
    async with scene.tus(CREATED, headers=headers) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


async def header_that_is_not_ascii(scene):
    headers = {"Authorization": f"Basic {BEARER}é"}
    async with scene.tus(CREATED, headers=headers) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


async def tus_server_that_speaks_no_http(scene):
    said = f"HTTP/1.1 abc {ONE_FOR_ALL} /files/{UPLOAD_NAME}\r\n\r\n".encode()
    async with scene.tus({"POST": CREATED, "*": said}) as (tus, endpoint):
        await tus.upload(VIDEO, f"{endpoint}?token={JWT}")


async def tus_server_that_echoes_in_headers(scene):
    said = http_response(b"", f"Upload-Offset: {BEARER}", TUS, status="204 No Content")
    async with scene.tus({"POST": CREATED, "*": said}) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


def location_that_echoes(location):
    async def upload(scene):
        said = http_response(b"", f"Location: {location}", TUS, status="201 Created")
        async with scene.tus(said) as (tus, endpoint):
            await tus.upload(VIDEO, endpoint)

    upload.__name__ = f"location_that_echoes_{location.partition(BEARER)[0]}"
    return upload


def upload_url_like(pattern):
    """Upload to a server whose upload URLs look like this, and which breaks off."""

    async def upload(scene):
        location = pattern.format(UPLOAD_NAME)
        lines = [f"{name}: {location}" for name in ("Location", "Content-Location")]
        created = http_response(b"", *lines, f"Link: <{location}>", TUS, status="201 Created")
        said = http_response(f"Cannot PATCH {location}".encode(), status="500 Oops")
        async with scene.tus({"POST": created, "*": said}) as (tus, endpoint):
            await tus.upload(VIDEO, endpoint)

    upload.__name__ = f"upload_url_like_{pattern}"
    return upload
