"""Uploads to a tus server that echoes every secret it has received."""

from leaks.context import BEARER, JWT, UPLOAD_ID, VIDEO
from leaks.scenario import scenario
from livepeer_async import errors
from support.servers import http_response

TUS = "Tus-Resumable: 1.0.0"
LOCATION = f"Location: /files/{UPLOAD_ID}"
CREATED = http_response(b"", LOCATION, TUS, status="201 Created")
ACCEPTED = http_response(b"", f"Upload-Offset: {len(VIDEO)}", TUS, status="204 No Content")
ECHO_SECRETS = f"key {BEARER}, Basic {BEARER}, token={JWT}"


@scenario(both_libraries=True)
async def upload_to_tus_server(context):
    answers = {"POST": CREATED, "PATCH": ACCEPTED}
    async with context.tus(answers) as (tus, endpoint):
        url = await tus.upload(VIDEO, f"{endpoint}?token={JWT}", metadata={"filename": "x"})
        assert url.endswith(UPLOAD_ID)


@scenario(errors.UploadRefused, both_libraries=True)
async def tus_error_echoing_key(context):
    response = http_response(
        ECHO_SECRETS.encode(),
        f"WWW-Authenticate: Basic realm={BEARER}",
        f"Set-Cookie: session={JWT}",
        f"X-Seen: {BEARER}",
        status=f"401 {BEARER} is unknown",
    )
    async with context.tus(response) as (tus, endpoint):
        await tus.upload(VIDEO, f"{endpoint}?token={JWT}")


@scenario(errors.UploadGone)
async def tus_upload_unknown(context):
    answers = {"POST": CREATED, "PATCH": http_response(status="404 Not Found")}
    async with context.tus(answers) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


@scenario(errors.RetriesExhausted, both_libraries=True)
async def tus_connection_cut(context):
    async def cut(writer):
        writer.transport.abort()

    answers = {"POST": CREATED, "*": cut}
    async with context.tus(answers) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


@scenario(errors.UploadRefused)
async def tus_error_echoing_upload_id(context):
    response = http_response(
        f"Cannot PATCH /files/{UPLOAD_ID}".encode(), status="405 Method Not Allowed"
    )
    async with context.tus({"POST": CREATED, "*": response}) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


@scenario(errors.ProtocolError)
async def location_on_other_host(context):
    lines = (f"Location: http://elsewhere.example/files/{UPLOAD_ID}", TUS)
    async with context.tus(http_response(b"", *lines, status="201 Created")) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


@scenario(errors.ConfigurationError, both_libraries=True)
async def header_with_line_break(context):
    headers = {"Authorization": f"Basic {BEARER}\n"}
    async with context.tus(CREATED, headers=headers) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


@scenario(errors.ConfigurationError, both_libraries=True)
async def header_not_ascii(context):
    headers = {"Authorization": f"Basic {BEARER}é"}
    async with context.tus(CREATED, headers=headers) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


@scenario(errors.RetriesExhausted, both_libraries=True)
async def tus_invalid_response(context):
    response = f"HTTP/1.1 abc {ECHO_SECRETS} /files/{UPLOAD_ID}\r\n\r\n".encode()
    async with context.tus({"POST": CREATED, "*": response}) as (tus, endpoint):
        await tus.upload(VIDEO, f"{endpoint}?token={JWT}")


@scenario(errors.RetriesExhausted)
async def tus_header_echoing_key(context):
    response = http_response(b"", f"Upload-Offset: {BEARER}", TUS, status="204 No Content")
    async with context.tus({"POST": CREATED, "*": response}) as (tus, endpoint):
        await tus.upload(VIDEO, endpoint)


def location_echoing_key(location):
    async def upload(context):
        response = http_response(b"", f"Location: {location}", TUS, status="201 Created")
        async with context.tus(response) as (tus, endpoint):
            await tus.upload(VIDEO, endpoint)

    upload.__name__ = f"location_echoing_key_{location.partition(BEARER)[0]}"
    return upload


def upload_url_pattern(pattern):
    """Upload to a server whose upload URLs have this pattern, and which then fails."""

    async def upload(context):
        location = pattern.format(UPLOAD_ID)
        lines = [f"{name}: {location}" for name in ("Location", "Content-Location")]
        created = http_response(b"", *lines, f"Link: <{location}>", TUS, status="201 Created")
        response = http_response(f"Cannot PATCH {location}".encode(), status="500 Oops")
        async with context.tus({"POST": created, "*": response}) as (tus, endpoint):
            await tus.upload(VIDEO, endpoint)

    upload.__name__ = f"upload_url_pattern_{pattern}"
    return upload


for location in (f"http://{BEARER}.example/x", f"http://h:{BEARER}/x", f"ftp://h/files/{BEARER}"):
    scenario(errors.ProtocolError)(location_echoing_key(location))
for pattern in ("/files/{}/", "/uploads/{}/blob", "/tus/{};v=1", "/files/2024%2f{}%2F"):
    scenario(errors.RetriesExhausted)(upload_url_pattern(pattern))
