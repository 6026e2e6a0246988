"""Leak detector: searches texts, objects, log records and errors for known secrets."""

import contextlib
import logging
import traceback
from urllib.parse import quote

from rich.pretty import pretty_repr
from rich.traceback import Traceback

from livepeer_async import LivepeerError

# Attributes of errors that hold a secret on purpose.
SECRET_ATTRIBUTES = {"upload_url"}
CONTEXT_LENGTH = 60


class LeakDetector:
    """Collects texts, and finds secrets in them."""

    def __init__(self):
        self.texts = []
        self._secrets = {}

    def add_secret(self, name, secret):
        self._secrets[secret] = name
        self._secrets[quote(secret, safe="")] = name

    def add(self, place, text):
        self.texts.append((place, text))

    def find_leaks(self):
        """Describe each occurrence of a secret."""
        return [
            f"{name} in {place}: …{_excerpt(text, secret)}…"
            for secret, name in self._secrets.items()
            for place, text in self.texts
            if secret in text
        ]

    def add_object(self, thing):
        """Add what a log, a debugger or rich shows of an object."""
        kind = type(thing).__name__
        for place, text in [
            ("repr", repr(thing)),
            ("str", str(thing)),
            ("format", f"{thing}"),
            ("rich", pretty_repr(thing, max_width=10_000)),
        ]:
            self.add(f"{place} of {kind}", text)

    def add_error(self, error):
        """Add what is visible of an exception and its chain."""
        for shown in _chain(error):
            self.add_object(shown)
            self.add(f"args of {type(shown).__name__}", repr(shown.args))
            if isinstance(shown, LivepeerError):
                facts = {k: v for k, v in vars(shown).items() if k not in SECRET_ATTRIBUTES}
                for name, fact in facts.items():
                    self.add(f"{type(shown).__name__}.{name}", f"{fact!r} {pretty_repr(fact)}")
        self.add("traceback", "".join(traceback.format_exception(error)))
        # What rich prints, without colours, for which it would read whole files.
        shown = Traceback.extract(type(error), error, error.__traceback__)
        self.add("traceback of rich", repr(shown))
        for frame, variables in _local_variables(error):
            self.add(f"local variables of {frame}", variables)


class LogRecorder(logging.Handler):
    """Adds message, arguments and traceback of each record to a detector."""

    def __init__(self, detector):
        super().__init__(logging.DEBUG)
        self._detector = detector

    def emit(self, record):
        line = logging.Formatter("%(name)s %(message)s").format(record)
        self._detector.add(f"log of {record.name}", line)
        self._detector.add(f"record of {record.name}", repr(vars(record)))


@contextlib.contextmanager
def record_logs(detector):
    """Record the logs of all loggers, from DEBUG on."""
    root, recorder = logging.getLogger(), LogRecorder(detector)
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(recorder)
    try:
        yield recorder
    finally:
        root.removeHandler(recorder)
        root.setLevel(level)


def _chain(error):
    """Return an exception, its causes and contexts, and the members of groups."""
    found, pending = [], [error]
    while pending:
        shown = pending.pop()
        if shown is not None and all(shown is not known for known in found):
            found.append(shown)
            pending += [shown.__cause__, shown.__context__]
            pending += shown.exceptions if isinstance(shown, BaseExceptionGroup) else ()
    return found


def _local_variables(error):
    """Return what debuggers and error trackers show of each frame: its local variables."""
    for shown in _chain(error):
        for frame, line in traceback.walk_tb(shown.__traceback__):
            module, code = frame.f_globals.get("__name__", "?"), frame.f_code
            if module.startswith(("leaks.", "support.", "tests.", "asyncio.")):
                continue  # the caller's own
            place = f"{module}:{line} {code.co_qualname}"
            for name, value in frame.f_locals.items():
                yield (
                    f"{place} {name}",
                    f"{_safe_repr(value)} {pretty_repr(value, max_width=10_000)}",
                )


def _safe_repr(value):
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - it may raise anything
        return repr(error)


def _excerpt(text, secret):
    at = text.index(secret)
    return text[max(0, at - CONTEXT_LENGTH) : at + len(secret) + CONTEXT_LENGTH]
