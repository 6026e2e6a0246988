"""Streams of bytes."""


async def split(content, size):
    """Yield the content in blocks of `size` bytes."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def stream(*blocks):
    """Yield the blocks."""
    for block in blocks:
        yield block
