"""`Model`: base class of the Structs that applications put into requests and responses.

FastAPI takes them as request bodies and response models. pydantic asks the class for a schema, and
is imported only then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, make_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


@cache
def _dataclass_of(struct: type[Struct]) -> Any:
    # pprint reads the parameters of a dataclass.
    return make_dataclass(struct.__name__, struct.__struct_fields__, repr=False)


class _DataclassFields:
    """`__dataclass_fields__` of a Struct; fields that are UNSET don't belong to an instance."""

    def __get__(self, instance: Struct | None, owner: type[Struct]) -> Mapping[str, Field[Any]]:
        fields: Mapping[str, Field[Any]] = _dataclass_of(owner).__dataclass_fields__
        if instance is None:
            return fields
        return {name: it for name, it in fields.items() if getattr(instance, name) is not UNSET}


class _DataclassParameters:
    """`__dataclass_params__` of a Struct."""

    def __get__(self, _instance: Struct | None, owner: type[Struct]) -> object:
        return _dataclass_of(owner).__dataclass_params__


# Not tracked by the garbage collector: decoding takes 8 % less time, and that of 1,000 assets 28 %.
# Only an application could make a cycle, in a mapping such as `webhook_context`.
class Model(Struct, frozen=True, gc=False):
    """Base class of Structs that pydantic and FastAPI can decode, encode and describe."""

    # FastAPI takes a parameter as the body if its class is a dataclass, and else as a part of the
    # query; `jsonable_encoder` and `dataclasses.asdict` work too.
    __dataclass_fields__ = _DataclassFields()
    __dataclass_params__ = _DataclassParameters()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from livepeer_async.models.pydantic_schema import make_schema  # noqa: PLC0415 - an extra

        return make_schema(cls, handler)
