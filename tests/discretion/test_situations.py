"""No key, token or upload URL is told to anybody, whatever happens.

In each situation marked secrets are planted (`scene`), and looked for in

- each line that anybody logs from DEBUG on, httpx, httpcore and asyncio's debug mode included, its
  arguments and its traceback, as every handler could write them;
- `repr`, `str`, `format` and rich's print of the clients, and of all that they hand out;
- the error: its message, arguments, attributes and traceback, plain and rich, for all of the chain
  (`__cause__`, `__context__`, also a suppressed one) and all members of an exception group.

`test_command_line` looks at what commands write, `test_files` at what stays on the disk. Not
searched, because it is there to hold secrets: `TusError.upload_url`, `Upload.upload_url` and the
fields of a ticket for who reads them by name, the `request` of an exception of httpx likewise, and
the local variables of a traceback where somebody asks for them (`capture_locals`, rich's
`show_locals`). A playback ID is public; an upload URL, which has it at its end, isn't.
"""

import asyncio
import logging

import pytest

from discretion.ends import ENDS, TOLD_BY_THE_LIBRARY
from discretion.evidence import Evidence, recording
from discretion.scene import LIBRARIES, plant_all, plant_tokens, playing
from discretion.situations import upload_with_everything
from livepeer_async import errors

pytestmark = pytest.mark.anyio
FEWEST_TEXTS = 300


def name_of(situation):
    return situation.__name__


@pytest.fixture
def evidence(monkeypatch):
    evidence = Evidence()
    plant_all(evidence)
    plant_tokens(evidence, monkeypatch)
    return evidence


async def play(situation, library, evidence, directory):
    """Run a situation with everything recorded; give the exception that it ended in."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    # Each callback is reported as too slow, with all that asyncio has to say of it.
    loop.slow_callback_duration = 0.0
    try:
        with recording(evidence):
            async with playing(library, evidence, directory) as scene:
                await situation(scene)
    except BaseException as error:  # noqa: BLE001 - cancellation, and what isn't ours, too
        evidence.add_error(error)
        return error
    finally:
        loop.set_debug(False)
    return None


@pytest.mark.parametrize("situation", ENDS, ids=name_of)
async def test_no_secret_is_told(situation, evidence, tmp_path):
    error = await play(situation, "httpx", evidence, tmp_path)
    assert type(error) is (ENDS[situation] or type(None)), error
    assert evidence.leaks() == []


@pytest.mark.parametrize("situation", TOLD_BY_THE_LIBRARY, ids=name_of)
async def test_no_secret_is_told_by_the_fork_of_httpx(situation, evidence, tmp_path):
    error = await play(situation, "httpx2", evidence, tmp_path)
    assert type(error) is (ENDS[situation] or type(None)), error
    assert evidence.leaks() == []


@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_search_finds_what_the_filter_keeps_out(library, evidence, tmp_path, monkeypatch):
    monkeypatch.setattr("livepeer_async.http.transport.install_log_filter", lambda: None)
    for name in logging.root.manager.loggerDict:
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "filters", [])
    await play(upload_with_everything, library, evidence, tmp_path)
    found = "\n".join(evidence.leaks())
    assert f"an upload token in log of {library}:" in found
    assert f"an upload URL in log of {library}:" in found


async def test_the_search_finds_a_secret_in_each_kind_of_text(evidence, tmp_path):
    async def tell(scene):
        ticket = await scene.livepeer.assets.request_upload("x")
        logging.getLogger("users").info("%s", ticket.tus_endpoint)
        scene.show(ticket.tus_endpoint)
        try:
            {}[ticket.url]
        except KeyError:
            logging.getLogger("users").exception("it failed")
            raise LookupError(ticket.tus_endpoint) from None

    assert type(await play(tell, "httpx", evidence, tmp_path)) is LookupError
    places = {leak.partition(" in ")[2].partition(":")[0] for leak in evidence.leaks()}
    assert places >= {
        "log of users",
        "record of users",
        "repr of str",
        "rich of str",
        "repr of KeyError",
        "args of LookupError",
        "traceback",
        "traceback of rich",
    }


async def test_the_texts_are_many_and_of_all_loggers(evidence, tmp_path):
    await play(upload_with_everything, "httpx", evidence, tmp_path)
    places = {place for place, _ in evidence.texts}
    assert {"log of httpx", "log of httpcore.http11", "log of asyncio"} <= places
    assert len(evidence.texts) > FEWEST_TEXTS


def test_every_error_of_the_tree_is_raised():
    def leaves(kind):
        return {leaf for sub in kind.__subclasses__() for leaf in leaves(sub)} or {kind}

    missing = leaves(errors.LivepeerError) - set(ENDS.values())
    assert not {kind.__name__ for kind in missing}
