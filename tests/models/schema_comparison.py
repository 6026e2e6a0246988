"""Comparison of Structs with a JSON schema, property by property.

It supports two peculiarities of the API's schema: a `$ref` key *inside* a `properties` mapping,
which includes another mapping, and a `$ref` to any node of the document, not only to a schema.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec import inspect as mi

Node = Mapping[str, Any]

_KIND_OF_TYPE: Mapping[type[mi.Type], str] = {
    mi.StrType: "string",
    mi.LiteralType: "string",
    mi.IntType: "integer",
    mi.FloatType: "number",
    mi.BoolType: "boolean",
    mi.NoneType: "null",
    mi.DictType: "object",
    mi.StructType: "object",
    mi.ListType: "array",
    mi.VarTupleType: "array",
    mi.CollectionType: "array",
}


class SchemaComparison:
    """Compares Structs with the nodes of a schema document.

    Args:
        document: the schema document.
        extras: fields that the schema lacks or that have another type there, as `Struct.wireName`,
            with the reason.
        left_out: Structs that leave properties out, with the reason.
    """

    def __init__(
        self, document: Node, *, extras: Mapping[str, str], left_out: Mapping[str, str]
    ) -> None:
        self._document = document
        self._extras = extras
        self._left_out = left_out
        self.visited: set[type[Struct]] = set()
        self.used_extras: set[str] = set()

    def compare(self, node: Node, struct: type[Struct]) -> list[str]:
        """Return the differences between a node and a Struct."""
        info = mi.type_info(struct)
        assert isinstance(info, mi.StructType)
        return list(self._compare_struct(node, info))

    def _compare_struct(self, node: Node, info: mi.StructType) -> Iterator[str]:
        name = info.cls.__name__
        self.visited.add(info.cls)
        properties = self._properties_of(node)
        required = self._required_in(node)
        fields = {field.encode_name: field for field in info.fields}
        for missing in properties.keys() - fields.keys():
            if name not in self._left_out:
                yield f"{name}.{missing}: in the schema, not in the Struct"
        for wire_name, field in fields.items():
            label = f"{name}.{wire_name}"
            if field.required and wire_name not in required and self._is_unexpected(label):
                yield f"{label}: required by the Struct, not by the schema"
            if wire_name in properties:
                yield from self._compare_field(properties[wire_name], field, label)
            elif self._is_unexpected(label):
                yield f"{label}: in the Struct, not in the schema"

    def _compare_field(self, node: Node, field: mi.Field, label: str) -> Iterator[str]:
        wanted = self._kinds_of(node)
        taken = {_KIND_OF_TYPE[type(option)] for option in _options(field.type)}
        for kind in wanted:
            if kind not in taken and not (kind == "number" and "integer" in taken):
                yield f"{label}: the schema allows {kind}, the Struct takes {sorted(taken)}"
        # A default of None or "" means "absent". Any other None is sent, so the schema must allow
        # it.
        allowed = wanted | {"null"} if field.default in (None, "") else wanted
        for kind in taken - allowed:
            is_whole_number = kind == "integer" and "number" in wanted
            if not is_whole_number and self._is_unexpected(label):
                yield f"{label}: the Struct takes {kind}, the schema allows {sorted(wanted)}"
        for option in _options(field.type):
            yield from self._compare_inside(node, option, label)

    def _compare_inside(self, node: Node, option: mi.Type, label: str) -> Iterator[str]:
        properties = self._properties_of(node)
        if isinstance(option, mi.StructType):
            if not properties:
                yield f"{label}: free in form in the schema, a Struct here"
                return
            yield from self._compare_struct(node, option)
        if isinstance(option, mi.DictType) and properties:
            yield f"{label}: has properties in the schema, is a dict here"
        if isinstance(option, mi.ListType | mi.VarTupleType | mi.CollectionType):
            items = mi.Field(name="[]", encode_name="[]", type=option.item_type)
            for branch in self._branches_of(node):
                if "items" in branch:
                    yield from self._compare_field(branch["items"], items, f"{label}[]")

    def _is_unexpected(self, label: str) -> bool:
        if label in self._extras:
            self.used_extras.add(label)
            return False
        return True

    def _branches_of(self, node: Node) -> Iterator[Node]:
        """Yield the branches of a `oneOf`, or the node itself, with references resolved."""
        if "$ref" in node:
            node = self._resolve(node["$ref"])
        if "oneOf" not in node:
            yield node
            return
        for branch in node["oneOf"]:
            yield from self._branches_of(branch)

    def _kinds_of(self, node: Node) -> set[str]:
        kinds: set[str] = set()
        for branch in self._branches_of(node):
            declared = branch.get("type", "object")
            kinds.update([declared] if isinstance(declared, str) else declared)
        return kinds

    def _properties_of(self, node: Node) -> dict[str, Node]:
        properties: dict[str, Node] = {}
        for branch in self._branches_of(node):
            properties |= self._expand(branch.get("properties", {}))
        return properties

    def _expand(self, mapping: Node) -> dict[str, Node]:
        included = self._expand(self._resolve(mapping["$ref"])) if "$ref" in mapping else {}
        return included | {name: node for name, node in mapping.items() if name != "$ref"}

    def _required_in(self, node: Node) -> set[str]:
        """Return the properties that every branch requires."""
        objects = [branch for branch in self._branches_of(node) if "properties" in branch]
        return set.intersection(*(set(branch.get("required", ())) for branch in objects))

    def _resolve(self, reference: str) -> Node:
        node: Any = self._document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        return node  # type: ignore[no-any-return]


def _options(kind: mi.Type) -> tuple[mi.Type, ...]:
    return kind.types if isinstance(kind, mi.UnionType) else (kind,)
