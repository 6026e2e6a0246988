"""Writes a file atomically: its name only ever stands for the complete file.

The bytes go to a temporary file in the same folder, which is renamed at the end, and removed after
a failure or an interruption.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread

from livepeer_async.cli.output.formatting import clean
from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest.rows import is_video

# File systems allow 255 bytes.
_MAX_NAME = 200
# Separators, and what Windows doesn't allow in names.
_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|]+')

Write = Callable[[bytes], Awaitable[None]]


def safe_file_name(name: str | None, fallback: str) -> str:
    """Return a file name for a video from the name of its asset, which anyone may have chosen."""
    stem = _NOT_IN_NAMES.sub("-", clean(name or "")).strip(" .-")
    suffix = Path(stem).suffix if is_video(stem) else ""
    stem, suffix = stem.removesuffix(suffix), suffix or ".mp4"
    cut = stem.encode(errors="replace")[:_MAX_NAME].decode(errors="ignore").strip(" .-")
    return f"{cut or fallback}{suffix}"


def choose_target(output: str | None, name: str) -> Path:
    """Return the file for an option that names a file or a folder; by default it has the name.

    Raises:
        ConfigurationError: the option ends like a folder, and there is no such folder.
    """
    if output is None:
        return Path(name)
    target = Path(output)
    # `Path` drops the separator at the end.
    if output.endswith(("/", os.sep)) and not target.is_dir():
        raise ConfigurationError(
            f"there is no folder {target}; create it, or name a file or another folder with -o"
        )
    return target / name if target.is_dir() else target


def check_target(target: Path, *, force: bool) -> Path:
    """Return the file that a download creates or replaces; links are followed.

    Raises:
        ConfigurationError: it exists, isn't a file, or its folder doesn't exist.
    """
    path = target.resolve()
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise ConfigurationError(
                f"there is no folder {path.parent}; create it, or name another file with -o"
            ) from None
        return path
    if not stat.S_ISREG(mode):
        raise ConfigurationError(
            f"{target} isn't a regular file; name another one with -o, or use -o - for standard "
            "output"
        )
    if not force:
        raise _exists(target)
    return path


@asynccontextmanager
async def write_file(target: Path, *, force: bool) -> AsyncGenerator[Write, None]:
    """Write a file that appears, complete, at the end of the block.

    Args:
        target: the file, as `check_target` returns it.
        force: whether to replace a file that exists.

    Raises:
        ConfigurationError: another program has created the file meanwhile.
        OSError: the file can't be written.
    """
    async with AsyncExitStack() as stack:
        descriptor, name = tempfile.mkstemp(".part", ".livepeer-", target.parent)
        part = Path(name)
        stack.callback(part.unlink, missing_ok=True)
        file = await stack.enter_async_context(await anyio.open_file(descriptor, "wb"))

        async def write(block: bytes) -> None:
            try:
                await file.write(block)
            except OSError as error:
                error.filename = error.filename or str(target)
                raise

        yield write
        try:
            await file.flush()
            await anyio.to_thread.run_sync(os.fsync, descriptor)
        except OSError as error:
            error.filename = error.filename or str(target)
            raise
        await file.aclose()
        await anyio.to_thread.run_sync(lambda: _publish(part, target, force=force))


async def write_to_stdout(block: bytes) -> None:
    """Write all of a block to standard output, unbuffered."""
    descriptor, rest = sys.stdout.fileno(), memoryview(block)
    while rest:
        # Abandoned on Ctrl-C: the reader of a pipe may never read on.
        written = await anyio.to_thread.run_sync(os.write, descriptor, rest, abandon_on_cancel=True)
        rest = rest[written:]


def _publish(part: Path, target: Path, *, force: bool) -> None:
    """Give the temporary file its name, and save the folder to the disk."""
    umask = os.umask(0)
    os.umask(umask)
    part.chmod(0o666 & ~umask)
    if force:
        part.replace(target)
    else:
        _rename_new(part, target)
    if sys.platform != "win32":
        with suppress(OSError):
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _rename_new(part: Path, target: Path) -> None:
    """Rename a file, unless the new name exists."""
    try:
        # Unlike a rename, a link never replaces a file.
        target.hardlink_to(part)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:
        # The file system has no links.
        if target.exists():
            raise _exists(target) from None
        part.replace(target)


def _exists(target: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{target} exists already; use --force to replace it, or -o to name another file"
    )
