"""What is planted, and every text in which it is looked for."""

import contextlib
import logging
import traceback
from urllib.parse import quote

from rich.pretty import pretty_repr
from rich.traceback import Traceback

from livepeer_async import LivepeerError

# Where a later attempt can resume, for the caller's eyes: the one attribute that is a secret.
MEANT_TO_BE_SECRET = {"upload_url"}
SHOWN_AROUND = 60


class Evidence:
    """Texts that anybody may come to see, and the secrets that none of them may hold."""

    def __init__(self):
        self.texts = []
        self._secrets = {}

    def plant(self, name, secret):
        self._secrets[secret] = name
        self._secrets[quote(secret, safe="")] = name

    def add(self, place, text):
        self.texts.append((place, text))

    def leaks(self):
        """Name each secret that stands in a text, and show where."""
        return [
            f"{name} in {place}: …{_around(text, secret)}…"
            for secret, name in self._secrets.items()
            for place, text in self.texts
            if secret in text
        ]

    def add_object(self, thing):
        """Add all that a log, a debugger or rich would show of an object."""
        kind = type(thing).__name__
        for place, text in [
            ("repr", repr(thing)),
            ("str", str(thing)),
            ("format", f"{thing}"),
            ("rich", pretty_repr(thing, max_width=10_000)),
        ]:
            self.add(f"{place} of {kind}", text)

    def add_error(self, error):
        """Add all that can be seen of an exception, and of those that it came from."""
        for shown in _chain(error):
            self.add_object(shown)
            self.add(f"args of {type(shown).__name__}", repr(shown.args))
            if isinstance(shown, LivepeerError):
                facts = {k: v for k, v in vars(shown).items() if k not in MEANT_TO_BE_SECRET}
                for name, fact in facts.items():
                    self.add(f"{type(shown).__name__}.{name}", f"{fact!r} {pretty_repr(fact)}")
        self.add("traceback", "".join(traceback.format_exception(error)))
        # What rich prints of it, without the colours, for which it would read whole files.
        shown = Traceback.extract(type(error), error, error.__traceback__)
        self.add("traceback of rich", repr(shown))


class Recorder(logging.Handler):
    """Takes what every handler could write of a record: its line, its arguments, its traceback."""

    def __init__(self, evidence):
        super().__init__(logging.DEBUG)
        self._evidence = evidence

    def emit(self, record):
        line = logging.Formatter("%(name)s %(message)s").format(record)
        self._evidence.add(f"log of {record.name}", line)
        self._evidence.add(f"record of {record.name}", repr(vars(record)))


@contextlib.contextmanager
def recording(evidence):
    """Record what is logged by anybody, from DEBUG on."""
    root, recorder = logging.getLogger(), Recorder(evidence)
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(recorder)
    try:
        yield recorder
    finally:
        root.removeHandler(recorder)
        root.setLevel(level)


def _chain(error):
    """List an exception, all that led to it, also where that is suppressed, and its parts."""
    found, waiting = [], [error]
    while waiting:
        shown = waiting.pop()
        if shown is not None and all(shown is not known for known in found):
            found.append(shown)
            waiting += [shown.__cause__, shown.__context__]
            waiting += shown.exceptions if isinstance(shown, BaseExceptionGroup) else ()
    return found


def _around(text, secret):
    at = text.index(secret)
    return text[max(0, at - SHOWN_AROUND) : at + len(secret) + SHOWN_AROUND]
