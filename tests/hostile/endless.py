"""Responses that never end, or that decompress to far more than their size; by name."""

import asyncio
import zlib

from support.constants import MIB
from support.servers import FullyReadError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GIB = 1024 * MIB
BLOCK = 64 * 1024
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # of deflate


def deflate(content, level=9):
    """Deflate without a final block: the result can be repeated."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush(zlib.Z_FULL_FLUSH)


# 1 GiB of zeros in 1 MiB, and that compressed again to 4 KiB.
BOMB = GZIP_HEAD + deflate(bytes(MIB)) * 1024
NESTED_BOMB = GZIP_HEAD + deflate(BOMB)


def repeat(piece, *, begin=b"", total=GIB, pause=None):
    """Send `begin`, then `piece` repeatedly."""
    block = piece if pause else piece * max(1, BLOCK // len(piece))

    async def respond(writer):
        writer.write(begin)
        for _ in range(total // len(block)):
            writer.write(block)
            await writer.drain()
            await asyncio.sleep(pause or 0)
        raise FullyReadError

    return respond


def encoded(coding, content):
    """Send a body with a content coding and a length."""
    length = f"Content-Encoding: {coding}\r\nContent-Length: {len(content)}\r\n\r\n"

    async def respond(writer):
        writer.write(HEAD + length.encode() + content)

    return respond


async def send_nothing(writer):
    await asyncio.sleep(1000)


CHUNK = f"{BLOCK:x}\r\n".encode() + b" " * BLOCK + b"\r\n"
GZIP_CHUNKED = HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP_START = b"a\r\n" + GZIP_HEAD + b"\r\n"
EMPTY_BLOCKS_CHUNK = f"{len(EMPTY_BLOCK) * 100:x}\r\n".encode() + EMPTY_BLOCK * 100 + b"\r\n"
LONG_BODY = HEAD + f"Content-Length: {GIB}\r\n\r\n".encode()

ENDLESS = {
    "header lines": repeat(b"X-Header: value\r\n", begin=HEAD),
    "header lines, slowly": repeat(b"X-Header: value\r\n", begin=HEAD, pause=0.05),
    "one header line": repeat(b"a", begin=HEAD + b"X-Header: "),
    "status line": repeat(b"a", begin=b"HTTP/1.1 200 "),
    "100 Continue": repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": repeat(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "103 Early Hints, slowly": repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=0.05),
    "chunks": repeat(CHUNK, begin=CHUNKED),
    "chunks of one byte": repeat(b"1\r\n \r\n", begin=CHUNKED),
    "extension of a chunk": repeat(b"a", begin=CHUNKED + b"1;"),
    "trailers": repeat(b"X-Trailer: value\r\n", begin=CHUNKED + b"0\r\n"),
    "body of 1 GiB": repeat(b" ", begin=LONG_BODY),
    "string of 1 GiB": repeat(b"a", begin=LONG_BODY + b'{"name":"'),
    "body without a length": repeat(b"[", begin=HEAD + b"\r\n"),
    "body, slowly": repeat(b" ", begin=LONG_BODY, pause=0.05),
    "gzip": encoded("gzip", BOMB),
    "gzip by its alias": encoded("X-GZip", BOMB),
    "gzip in gzip": encoded("gzip, gzip", NESTED_BOMB),
    "gzip of nothing": repeat(EMPTY_BLOCKS_CHUNK, begin=GZIP_CHUNKED + GZIP_START),
    "deflate": encoded("deflate", zlib.compress(bytes(MIB))[:2] + BOMB[10:]),
    "br": encoded("br", b"\xcb\xff\xff\xff\xff\x07" * 1024),
    "zstd": encoded("zstd", b"\x28\xb5\x2f\xfd" + b"\xff" * 4096),
    "silence": send_nothing,
}
