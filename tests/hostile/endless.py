"""Answers that never end, or that hold far more than they seem to; by name."""

import asyncio
import zlib

from support.servers import FullyReadError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GIB = 1024 * 1024 * 1024
BLOCK = 64 * 1024
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
NO_BYTES = b"\x00\x00\x00\xff\xff"  # a block of deflate that holds nothing


def deflated(content, level=9):
    """Deflate without an end, so that it can be repeated."""
    packing = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packing.compress(content) + packing.flush(zlib.Z_FULL_FLUSH)


# 1 GiB of zeros in 1 MiB, and that again in 4 KiB.
BOMB = GZIP_HEAD + deflated(bytes(1024 * 1024)) * 1024
BOMB_IN_A_BOMB = GZIP_HEAD + deflated(BOMB)


def repeating(piece, *, begin=b"", total=GIB, pause=None):
    """Say `begin` once, then `piece` again and again."""
    block = piece if pause else piece * max(1, BLOCK // len(piece))

    async def answer(writer):
        writer.write(begin)
        for _ in range(total // len(block)):
            writer.write(block)
            await writer.drain()
            await asyncio.sleep(pause or 0)
        raise FullyReadError

    return answer


def packed(coding, content):
    """Say something in a coding, with its length."""
    length = f"Content-Encoding: {coding}\r\nContent-Length: {len(content)}\r\n\r\n"

    async def answer(writer):
        writer.write(HEAD + length.encode() + content)

    return answer


async def say_nothing(writer):
    await asyncio.sleep(1000)


CHUNK = f"{BLOCK:x}\r\n".encode() + b" " * BLOCK + b"\r\n"
GZIP_CHUNKED = HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP_BEGUN = b"a\r\n" + GZIP_HEAD + b"\r\n"
NO_BYTES_CHUNK = f"{len(NO_BYTES) * 100:x}\r\n".encode() + NO_BYTES * 100 + b"\r\n"
LONG_BODY = HEAD + f"Content-Length: {GIB}\r\n\r\n".encode()

ENDLESS = {
    "header lines": repeating(b"X-Header: value\r\n", begin=HEAD),
    "header lines, slowly": repeating(b"X-Header: value\r\n", begin=HEAD, pause=0.05),
    "one header line": repeating(b"a", begin=HEAD + b"X-Header: "),
    "status line": repeating(b"a", begin=b"HTTP/1.1 200 "),
    "100 Continue": repeating(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": repeating(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "103 Early Hints, slowly": repeating(b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=0.05),
    "chunks": repeating(CHUNK, begin=CHUNKED),
    "chunks of one byte": repeating(b"1\r\n \r\n", begin=CHUNKED),
    "the extension of a chunk": repeating(b"a", begin=CHUNKED + b"1;"),
    "trailers": repeating(b"X-Trailer: value\r\n", begin=CHUNKED + b"0\r\n"),
    "a body of 1 GiB": repeating(b" ", begin=LONG_BODY),
    "a string of 1 GiB": repeating(b"a", begin=LONG_BODY + b'{"name":"'),
    "a body without a length": repeating(b"[", begin=HEAD + b"\r\n"),
    "a body, slowly": repeating(b" ", begin=LONG_BODY, pause=0.05),
    "gzip": packed("gzip", BOMB),
    "gzip by its other name": packed("X-GZip", BOMB),
    "gzip in gzip": packed("gzip, gzip", BOMB_IN_A_BOMB),
    "gzip of nothing": repeating(NO_BYTES_CHUNK, begin=GZIP_CHUNKED + GZIP_BEGUN),
    "deflate": packed("deflate", zlib.compress(bytes(1024 * 1024))[:2] + BOMB[10:]),
    "br": packed("br", b"\xcb\xff\xff\xff\xff\x07" * 1024),
    "zstd": packed("zstd", b"\x28\xb5\x2f\xfd" + b"\xff" * 4096),
    "silence": say_nothing,
}
