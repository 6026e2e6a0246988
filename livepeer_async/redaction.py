"""Redaction of secrets in text, in URLs and in reprs.

A server may echo a secret as it was sent, or escape it for a URL, JSON, HTML or a Python repr,
several times over. `redact` decodes all of these before it compares. Pure.
"""

from __future__ import annotations

import inspect
import re
import traceback
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar, cast
from urllib.parse import unquote

from msgspec import UNSET

from livepeer_async.credentials import REDACTED, redact_credentials
from livepeer_async.unescaping import unescape

Class = TypeVar("Class", bound=type)
T = TypeVar("T")
P = ParamSpec("P")

# Characters of an upload ID that are shown: enough to find the upload in the server's log.
SHOWN_ID_LENGTH = 4
# Shorter values are words, such as "gzip" or "true".
MIN_SECRET_LENGTH = 8
# Longer text is cut off. The search takes quadratic time: a minute for 100,000 hostile
# characters, 0.14 s for 4,096. Until known secrets are replaced, escapes may make it longer.
MAX_LENGTH = 4096
# Of text and bytes, and of other fields, in a repr.
MAX_SHOWN = 400
MAX_FIELD = 2000
_MAX_ESCAPED_LENGTH = 6 * MAX_LENGTH

# A URL or a relative reference with unambiguous parts; the groups are the shown parts. A secret key
# of S3 may hold a raw "/", which ends the host, so no "@" may follow a port.
_URL = re.compile(
    r"((?:[a-z][a-z0-9+.-]*:)?//)(?:[^/?#\\]*@)?(\[[0-9a-f:.]+\]|[^][/?#@:\\]+)"
    r"(?:(:\d+(?:/[^?#@]*)?)(?:[?#][^@]*)?|((?:/[^?#]*)?)(?:[?#].*)?)"
    r"|(?!//)((?:[^/?#@:\\]*/[^?#@\\]*)?)(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_URL_IN_TEXT = re.compile(
    r"(?<![a-z0-9+.-])[a-z0-9+.-]+://[^\s?#\"'<>]*(?:[?#][^\s\"'<>)\]]*)?", re.IGNORECASE
)
_END_OF_SENTENCE = ".,:;!)]}"

_ORIGIN = re.compile(r"(?:(?:[a-z][a-z0-9+.-]*:)?//[^/]*)?", re.IGNORECASE)
_SEGMENT = re.compile(r"/|%2f|(?P<segment>(?:(?!%2f)[^/])+)", re.IGNORECASE)
# A folder's name: up to three words, joined by a capital, a hyphen or an underscore. IDs have
# digits or are longer.
_FOLDER = re.compile(r"[A-Za-z][a-z]{0,10}(?:[A-Z_-][a-z]{2,10}){0,2}|v[0-9]{1,2}|s3")
_SEPARATORS = re.compile(r"[;,=+.]")
# Between a name and a value, not after the scheme of a URL.
_COLON = re.compile(r":(?!//)")
# Packages whose local variables may be secrets: this one, those that send requests, and those that
# wrap the functions of the HTTP library.
_CLEARED_PACKAGES = (
    *("livepeer_async", "httpx", "httpcore", "h11", "h2", "anyio"),
    *("sentry_sdk", "opentelemetry", "wrapt", "ddtrace", "elasticapm", "newrelic", "logfire"),
)
_BRACKETS = "\"'{}[]"


def redact(text: object, *secrets: str | None) -> str:
    """Replace the given secrets, and everything that looks like a credential.

    For your own logs, and for hooks of telemetry. URLs lose userinfo, query and fragment, and
    Livepeer's upload URLs all but the first characters of the upload ID. Tokens, Authorization
    headers, signatures, and fields and parameters with names such as `apiKey` or `sharedSecret`
    are replaced. An API key looks like an asset ID and is replaced after such a name, or if it is
    in `secrets`. So is the upload URL of another tus server.

    Args:
        text: a text or a URL; the `str` of any other object.
        secrets: strings to replace, however they are escaped.

    Returns:
        The text, cut off beyond 4,096 characters.
    """
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    if secrets:
        text = replace_secrets(_truncate(text, _MAX_ESCAPED_LENGTH), filter(None, secrets))
    text = _URL_IN_TEXT.sub(_redact_match, _truncate(text, MAX_LENGTH))
    return redact_credentials(text)


def redact_url(url: str) -> str:
    """Drop userinfo, query and fragment of a URL; replace anything else."""
    match = _URL.fullmatch(url)
    return "".join(filter(None, match.groups())) if match else REDACTED


def redact_upload_url(url: str) -> str:
    """Cut an upload URL after the first characters of the upload ID.

    The path of an upload URL is a bearer secret: a tus server asks for no other.
    """
    shown = redact_url(url)
    if shown == REDACTED:
        return shown
    folder, upload_id = split_upload_url(shown)
    ellipsis = "…" if len(upload_id) > SHOWN_ID_LENGTH else ""
    return f"{folder}{upload_id[:SHOWN_ID_LENGTH]}{ellipsis}"


def show_source(source: Any) -> Any:
    """Redact a source or key that is a URL; return any other as it is."""
    return redact_url(source) if isinstance(source, str) and "://" in source else source


def excerpt(body: bytes, *secrets: str | None, max_length: int = 120) -> str:
    """Return the beginning of a body on one line, without secrets."""
    text = redact(body[: 8 * max_length].decode("utf-8", "replace"), *secrets)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    is_cut = len(body) > 8 * max_length
    start, _, last = line.rpartition(" ")
    if is_cut and (len(last) <= max_length or len(line) <= max_length):
        # The last word may be the beginning of a secret, which wasn't recognised.
        line = start
    return line[:max_length] + "…" if is_cut or len(line) > max_length else line


def quote_header(value: str, *secrets: str | None, max_length: int = 80) -> str:
    """Return a header's value for a message: quoted, without secrets, and truncated."""
    text = redact(value, *secrets)
    return repr(text if len(text) <= max_length else text[:max_length] + "…")


class Hidden(Generic[T]):
    """A value with another repr: a secret among the local variables, or a long text.

    Args:
        value: the value.
        shown: its repr.
    """

    def __init__(self, value: T, shown: str = REDACTED) -> None:
        self.value = value
        self._shown = shown

    def __repr__(self) -> str:
        return self._shown


def hides_variables(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator that clears local variables in the tracebacks of a function, or a coroutine's."""
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            try:
                return await function(*args, **kwargs)
            except Exception as error:
                clear_variables(error)
                raise
            finally:
                del args, kwargs

        return cast("Callable[P, T]", call_async)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            clear_variables(error)
            raise
        finally:
            del args, kwargs

    return call


def clear_variables(error: BaseException) -> None:
    """Clear the local variables of ended functions in tracebacks, except the caller's own."""
    for link in chain(error):
        for frame, _ in traceback.walk_tb(link.__traceback__):
            if frame.f_globals.get("__name__", "").startswith(_CLEARED_PACKAGES):
                # Not of a function that is still running.
                with suppress(RuntimeError):
                    frame.clear()


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its causes and contexts, and the members of groups."""
    found: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        link = pending.pop()
        if link is not None and id(link) not in found:
            found.add(id(link))
            yield link
            pending += [link.__cause__, link.__context__, *getattr(link, "exceptions", ())]


def limit_text(text: str, max_length: int = MAX_LENGTH) -> str:
    """Cut the middle of a text that is too long for a message; its end often has the reason."""
    if len(text) <= max_length:
        return text
    tail = max_length // 8
    return f"{text[: max_length - tail]}… ({len(text):,} characters) …{text[-tail:]}"


def abbreviate(value: object) -> object:
    """Return a value, or a short description of long text or bytes, as its repr."""
    size = len(value) if isinstance(value, str) else _size_of_buffer(value)
    if size is None or size <= MAX_SHOWN:
        return value
    if isinstance(value, str):
        return Hidden(value, f"{value[:MAX_SHOWN]!r}… ({size:,} characters)")
    return Hidden(value, f"<{type(value).__name__}, {size:,} bytes>")


def _size_of_buffer(value: Any) -> int | None:
    try:
        with memoryview(value) as view:
            return view.nbytes
    except (BufferError, TypeError, ValueError):
        return None


def mask(_secret: object) -> str:
    """Replace a value as a whole."""
    return REDACTED


def mask_values(mapping: Mapping[str, object]) -> dict[str, str]:
    """Replace the values, of headers for example, and keep the names."""
    return dict.fromkeys(mapping, REDACTED)


def redacted(*names: str, **masks: Callable[[Any], object]) -> Callable[[Class], Class]:
    """Class decorator that adds a repr of limited length without secrets, for Python and rich.

    Args:
        names: attributes to show; by default all fields of a Struct.
        masks: a function for each attribute whose value needs redaction. None and UNSET aren't
            secrets and stay as they are.
    """

    def show(name: str, value: object) -> object:
        is_shown = name not in masks or value is None or value is UNSET
        return abbreviate(value if is_shown else masks[name](value))

    def decorate(cls: Class) -> Class:
        shown: tuple[str, ...] = names or getattr(cls, "__struct_fields__", ())

        def rich_repr(self: object) -> list[tuple[str, object]]:
            return [(name, show(name, getattr(self, name))) for name in shown]

        def plain_repr(self: object) -> str:
            fields = ", ".join(
                f"{name}={limit_text(repr(value), MAX_FIELD)}" for name, value in rich_repr(self)
            )
            return f"{type(self).__name__}({fields})"

        for method, function in (("__rich_repr__", rich_repr), ("__repr__", plain_repr)):
            setattr(cls, method, function)
        return cls

    return decorate


def replace_secrets(text: str, secrets: Iterable[str]) -> str:
    """Replace secrets in a text, whatever their escaping and case."""
    plain, spans = unescape(text)
    pieces: list[str] = []
    end = 0
    for first, last in sorted(span for secret in secrets for span in _find(plain, secret)):
        start = spans[first][0]
        if start >= end:
            pieces += [text[end:start], REDACTED]
        end = max(end, spans[last][1])
    return "".join([*pieces, text[end:]])


def find_credentials(header: str) -> set[str]:
    """Return the parts of a header's value that may be secrets.

    These are its words, the values of pairs as in cookies, `user:password` and JSON, and the
    decoded credentials of Basic authentication.
    """
    words = set(header.split())
    for word in re.split(r"[\s,;]+", header):
        values = [word.partition("=")[2] or word]
        values += _COLON.split(word)[1:] + _COLON.split(word, maxsplit=1)[1:]
        words |= {word, *(value.strip(_BRACKETS) for value in values)}
    scheme, _, token = header.partition(" ")
    return words | _decode_basic(token) if scheme.lower() == "basic" else words


def split_upload_url(url: str) -> tuple[str, str]:
    """Split an upload URL, or its path, before the upload ID.

    The ID begins at the first segment that isn't a folder's name, or at the last segment.

    Args:
        url: without a query.
    """
    origin = _ORIGIN.match(url)
    segments = [it for it in _SEGMENT.finditer(url, origin.end() if origin else 0) if it["segment"]]
    if not segments:
        return url, ""
    ids = (it for it in segments if not _FOLDER.fullmatch(it[0]))
    start = next(ids, segments[-1]).start()
    return url[:start], url[start:]


def find_upload_secrets(url: str) -> set[str]:
    """Return the parts of an upload URL that must not be shown."""
    upload_id = re.sub(r"(?:/|%2f)+\Z", "", split_upload_url(url)[1], flags=re.IGNORECASE)
    segments = [it[0] for it in _SEGMENT.finditer(upload_id) if it["segment"]]
    ids = [it for it in segments if not _FOLDER.fullmatch(it)] or segments
    parts = {upload_id, *ids, *(part for it in ids for part in _SEPARATORS.split(it))}
    return {_strip_shown(part) for it in parts for part in (it, unquote(it))}


def _redact_match(match: re.Match[str]) -> str:
    url = match[0].rstrip(_END_OF_SENTENCE)
    return redact_url(url) + match[0][len(url) :]


def _truncate(text: str, max_length: int) -> str:
    """Cut a text before a word, since half a secret isn't recognised."""
    return text if len(text) <= max_length else text[:max_length].rpartition(" ")[0] + "…"


def _decode_basic(token: str) -> set[str]:
    """Source: RFC 7617, 2."""
    try:
        credentials = b64decode(token).decode("utf-8", "replace")
    except ValueError:
        return set()
    user, _, password = credentials.partition(":")
    return {credentials, password or user}


def _strip_shown(part: str) -> str:
    hidden = part[SHOWN_ID_LENGTH:]
    return hidden if len(hidden) >= MIN_SECRET_LENGTH else part


def _find(plain: str, secret: str) -> Iterator[tuple[int, int]]:
    """Yield the indexes of the first and last character of each occurrence in an unescaped text."""
    forms = {unescape(secret)[0]}
    if not secret.isascii():
        # A text whose bytes were escaped one by one is unescaped to Latin-1.
        forms.add(unescape(secret.encode("utf-8", "surrogateescape").decode("latin-1"))[0])
    for form in forms:
        at = plain.find(form) if form else -1
        while at >= 0:
            yield at, at + len(form) - 1
            at = plain.find(form, at + len(form))
