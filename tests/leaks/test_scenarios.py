"""No scenario leaks a secret, whether it succeeds or fails.

Each scenario runs with marked secrets (`context`). They must not occur in

- log records of any logger at DEBUG level, asyncio's debug mode included: message, arguments and
  traceback;
- `repr`, `str`, `format` and rich's output of clients and of everything that they return;
- errors: message, arguments, attributes and tracebacks, plain and rich, of the whole chain
  (`__cause__`, `__context__`, even if suppressed) and of all members of exception groups;
- local variables in these tracebacks, except those of the caller's own functions.

Some attributes hold secrets on purpose and aren't searched: `upload_url` of errors and uploads, the
fields of a ticket, and the `request` of an httpx exception. A playback ID is public, but an upload
URL that ends with it isn't.
"""

import asyncio
import logging

import pytest

import leaks.api_scenarios
import leaks.direct_scenarios
import leaks.tus_scenarios  # noqa: F401 - registers scenarios
from leaks.context import LIBRARIES_BY_NAME, open_context
from leaks.detector import record_logs
from leaks.scenario import SCENARIOS
from leaks.upload_scenarios import upload_with_all_features
from livepeer_async import errors

pytestmark = pytest.mark.anyio
MIN_TEXTS = 300


def name_of(scenario):
    return scenario.name


async def run_recorded(function, library, detector, directory):
    """Run a scenario's function, record everything, and return the exception that it raised."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    # asyncio logs every callback as too slow.
    loop.slow_callback_duration = 0.0
    try:
        with record_logs(detector):
            async with open_context(library, detector, directory) as context:
                await function(context)
    except BaseException as error:  # noqa: BLE001 - also cancellation and foreign errors
        detector.add_error(error)
        return error
    finally:
        loop.set_debug(False)
    return None


async def check_scenario(scenario, library, detector, directory):
    error = await run_recorded(scenario.run, library, detector, directory)
    assert type(error) is (scenario.error or type(None)), error
    assert detector.find_leaks() == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name_of)
async def test_scenario_leaks_no_secret(scenario, detector, tmp_path):
    await check_scenario(scenario, "httpx", detector, tmp_path)


@pytest.mark.parametrize("scenario", [it for it in SCENARIOS if it.both_libraries], ids=name_of)
async def test_scenario_leaks_no_secret_with_httpx2(scenario, detector, tmp_path):
    await check_scenario(scenario, "httpx2", detector, tmp_path)


@pytest.mark.parametrize("library", LIBRARIES_BY_NAME)
async def test_logs_leak_without_the_filter(library, detector, tmp_path, monkeypatch):
    monkeypatch.setattr("livepeer_async.http.transport.install_log_filter", lambda: None)
    for name in logging.root.manager.loggerDict:
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "filters", [])
    await run_recorded(upload_with_all_features, library, detector, tmp_path)
    found = "\n".join(detector.find_leaks())
    assert f"an upload token in log of {library}:" in found
    assert f"an upload URL in log of {library}:" in found


async def test_detector_searches_each_kind_of_text(detector, tmp_path):
    async def leak(context):
        ticket = await context.livepeer.assets.request_upload("x")
        logging.getLogger("users").info("%s", ticket.tus_endpoint)
        context.show(ticket.tus_endpoint)
        try:
            {}[ticket.url]
        except KeyError:
            logging.getLogger("users").exception("it failed")
            raise LookupError(ticket.tus_endpoint) from None

    assert type(await run_recorded(leak, "httpx", detector, tmp_path)) is LookupError
    places = {leak.partition(" in ")[2].partition(":")[0] for leak in detector.find_leaks()}
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


async def test_detector_records_all_loggers(detector, tmp_path):
    await run_recorded(upload_with_all_features, "httpx", detector, tmp_path)
    places = {place for place, _ in detector.texts}
    assert {"log of httpx", "log of httpcore.http11", "log of asyncio"} <= places
    assert len(detector.texts) > MIN_TEXTS


def test_every_error_is_raised_by_a_scenario():
    def leaves(kind):
        return {leaf for sub in kind.__subclasses__() for leaf in leaves(sub)} or {kind}

    missing = leaves(errors.LivepeerError) - {scenario.error for scenario in SCENARIOS}
    assert not {kind.__name__ for kind in missing}
