"""The body of an API error.

Every error of Livepeer Studio has the body `{"errors": [...]}`. An entry is a plain sentence or,
where a request broke the schema, JSON inside the string: one violation as ajv reports it.
"""

import re

import msgspec
from msgspec import Struct

from livepeer_async.redaction import REDACTED, redacted

# Livepeer Studio of September 2025 answers a wrong key with `no token <key> found`.
_ECHOED_KEY = re.compile(r"(?<=no token ).+(?= found)", re.DOTALL)


class Violation(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describe how a request broke the schema.

    Attributes:
        instance_path: JSON pointer to the value in the request, empty for the whole body.
            Required: with the keyword it is what tells a violation from any other JSON.
        keyword: Keyword of JSON Schema that failed, such as `required`.
        schema_path: Where that keyword stands in the schema.
        params: What the keyword wanted, such as `{"missingProperty": "name"}`.
        message: The same for a person.

    Source: ajv 8, ErrorObject.
    """

    instance_path: str
    keyword: str
    schema_path: str | None = None
    params: dict[str, object] | None = None
    message: str | None = None


def _redact_keys(errors: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_ECHOED_KEY.sub(REDACTED, entry) for entry in errors)


@redacted(errors=_redact_keys)
class ErrorBody(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the body of a refusal.

    The repr masks the API key that the server echoes when it doesn't know it; `errors` has it.

    Attributes:
        errors: Sentences, or violations as JSON. Empty where the body names none, so that the
            status of the answer can still be reported.

    Source: Livepeer Studio OpenAPI, schema `error`.
    """

    errors: tuple[str, ...] = ()

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Read the entries that are violations; plain sentences are left out.

        The server reports the first violation of a body only, and all branches of a `oneOf`.
        """
        read = (_read_violation(entry) for entry in self.errors)
        return tuple(violation for violation in read if violation is not None)


def _read_violation(entry: str) -> Violation | None:
    try:
        return msgspec.json.decode(entry, type=Violation)
    except msgspec.DecodeError:
        return None
