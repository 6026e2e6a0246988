"""Body of an API error: `{"errors": [...]}`.

An entry is a plain sentence or, if the request violates the schema, a JSON object inside the
string: one violation as ajv reports it.
"""

import re

import msgspec

from livepeer_async.deferred import deferred_pattern
from livepeer_async.models.json_repair import decode_leniently
from livepeer_async.models.model import Model
from livepeer_async.redaction import redacted
from livepeer_async.redaction.credentials import REDACTED

# Livepeer Studio of September 2025 responds to a wrong key with `no token <key> found`.
_ECHOED_KEY = deferred_pattern(r"(?<=no token ).+(?= found)", re.DOTALL)


def _redact_keys(errors: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_ECHOED_KEY.sub(REDACTED, entry) for entry in errors)


class Violation(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a request violates the schema.

    Attributes:
        instance_path: JSON pointer to the value, "" for the whole body. Required: it and the
            keyword distinguish a violation from other JSON.
        keyword: the JSON Schema keyword that failed, such as `required`.
        schema_path: path of the keyword in the schema.
        params: parameters of the keyword, such as `{"missingProperty": "name"}`.
        message: the violation in words.

    Source: ajv 8, ErrorObject.
    """

    instance_path: str
    keyword: str
    schema_path: str | None = None
    params: dict[str, object] | None = None
    message: str | None = None


@redacted(errors=_redact_keys)
class ErrorBody(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Body of an API error. The repr doesn't show an API key that the server echoes.

    Attributes:
        errors: sentences, or violations as JSON. Empty if the body has none.

    Source: schema `error`.
    """

    errors: tuple[str, ...] = ()

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The entries that are violations.

        The server reports only the first violation of a body, and all branches of a `oneOf`.
        """
        decoded = (_decode_violation(entry) for entry in self.errors)
        return tuple(violation for violation in decoded if violation is not None)


_VIOLATION = msgspec.json.Decoder(Violation)


def _decode_violation(entry: str) -> Violation | None:
    try:
        return decode_leniently(_VIOLATION.decode, entry.encode("utf-8", "replace"))
    except msgspec.DecodeError:
        return None
