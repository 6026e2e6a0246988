"""Tracebacks without local variables, and chains of errors."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

T = TypeVar("T")
P = ParamSpec("P")
# Packages whose local variables may be secrets: this one, those that send requests or open
# databases, and those that wrap the functions of the HTTP library.
_CLEARED_PACKAGES = (
    *("livepeer_async", "httpx", "httpcore", "h11", "h2", "anyio", "psycopg"),
    *("sentry_sdk", "opentelemetry", "wrapt", "ddtrace", "elasticapm", "newrelic", "logfire"),
)


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
