"""Schemas of Structs for pydantic, which validates, encodes and describes with them.

The only module that imports pydantic. JSON has the API's names; fields at their default, or UNSET,
aren't encoded where msgspec doesn't encode them either. Requests refuse unknown fields: a
misspelled `playbackPolicy` would make an asset public. Pure.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct, UnsetType
from msgspec.structs import FieldInfo
from msgspec.structs import fields as fields_of
from pydantic import GetCoreSchemaHandler, Tag, ValidationError, WithJsonSchema
from pydantic_core import (
    CoreSchema,
    ErrorDetails,
    InitErrorDetails,
    PydanticCustomError,
    core_schema,
)

from livepeer_async.redaction.credentials import REDACTED

Location = tuple[int | str, ...]

_SHOWN_INPUTS = (bool, int, float, type(None))
_UNKNOWN = ("extra_forbidden", "Extra inputs are not permitted")


def make_schema(struct: type[Struct], handler: GetCoreSchemaHandler) -> CoreSchema:
    """Return the schema of a Struct.

    Args:
        struct: the class.
        handler: pydantic's, for the types of fields.
    """
    schemas = {field.name: _make_field(field, handler) for field in fields_of(struct)}
    # Only requests have fields that may be UNSET.
    is_request = any(UnsetType in get_args(field.type) for field in fields_of(struct))
    name = struct.__name__
    body = core_schema.typed_dict_schema(schemas)
    described = {"title": name, "description": _summary(struct)}
    strict = {"additionalProperties": False} if is_request else {}
    body["metadata"] = {"pydantic_js_updates": {**described, **strict}}

    def validate(value: object, read_fields: Callable[[object], dict[str, Any]]) -> Struct:
        if isinstance(value, struct):
            return value
        unknown = _find_unknown(struct, value) if is_request else ()
        lines = [_make_line(*_UNKNOWN, location=location) for location in unknown]
        fields: dict[str, Any] = {}
        try:
            fields = read_fields(value)
        except ValidationError as error:
            found = error.errors(include_url=False)
            # A request in a request has reported its unknown fields itself.
            lines += [_hide_input(line) for line in found if line["type"] != _UNKNOWN[0]]
        if lines:
            raise ValidationError.from_exception_data(name, lines)
        return struct(**fields)

    return core_schema.no_info_wrap_validator_function(
        validate,
        body,
        ref=f"{struct.__module__}.{struct.__qualname__}:{id(struct)}",
        # A dict, from which pydantic can exclude fields.
        serialization=core_schema.wrap_serializer_function_ser_schema(
            _encode, schema=core_schema.dict_schema()
        ),
    )


def _make_field(field: FieldInfo, handler: GetCoreSchemaHandler) -> core_schema.TypedDictField:
    aliases: list[list[str | int]] = [[field.encode_name], [field.name]]
    return core_schema.typed_dict_field(
        handler.generate_schema(_without_unset(field.type)),
        required=field.required,
        validation_alias=aliases,
        serialization_alias=field.encode_name,
    )


def _without_unset(kind: Any) -> Any:
    """Return a type as JSON has it: without UNSET, and enumerations as strings with known values.

    An unknown value is valid, too, so an enumeration is `Literal["a", "b"] | str`.
    """
    if get_origin(kind) not in (Union, UnionType):
        return kind
    members = [member for member in get_args(kind) if member is not UnsetType]
    known = [member for member in members if get_origin(member) is Literal]
    if known:
        values = {"type": "string", "enum": list(get_args(known[0]))}
        schema = {"anyOf": [values, {"type": "string"}]}
        members.remove(known[0])
        members[members.index(str)] = Annotated[str, WithJsonSchema(schema)]
    # The tag is in the location of an error.
    return Union[tuple(_tagged(member) for member in members)]  # noqa: UP007 - of variable length


def _tagged(member: Any) -> Any:
    return Annotated[member, Tag(member.__name__)] if _struct_in(member) else member


def _summary(struct: type[Struct]) -> str:
    """Return the first paragraph of the docstring."""
    return " ".join((inspect.getdoc(struct) or "").partition("\n\n")[0].split())


def _find_unknown(kind: Any, value: object, *location: int | str) -> Iterator[Location]:
    """Yield the locations of unknown fields at every depth."""
    if isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield from _find_unknown(kind, item, *location, index)
    struct = _struct_in(kind)
    if struct is None or not isinstance(value, Mapping):
        return
    known = {name: it.type for it in fields_of(struct) for name in (it.encode_name, it.name)}
    for name, inner in cast("Mapping[str, object]", value).items():
        if name in known:
            yield from _find_unknown(known[name], inner, *location, name)
        else:
            yield (*location, name)


def _struct_in(kind: object) -> type[Struct] | None:
    """Return the Struct in a type such as `Sequence[Struct] | None`."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    return next(filter(None, map(_struct_in, get_args(kind))), None)


def _hide_input(line: ErrorDetails) -> InitErrorDetails:
    shown = line["input"] if isinstance(line["input"], _SHOWN_INPUTS) else REDACTED
    return _make_line(line["type"], line["msg"], location=line["loc"], shown=shown)


def _make_line(
    kind: str, message: str, *, location: Location, shown: object = REDACTED
) -> InitErrorDetails:
    """Return an error without its input, which may have a key in any field."""
    error = PydanticCustomError(cast("Any", kind), cast("Any", message))
    return InitErrorDetails(type=error, loc=location, input=shown)


def _encode(value: object, encode_dict: Callable[[object], object]) -> object:
    return encode_dict(msgspec.to_builtins(value))
