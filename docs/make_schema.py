"""Writes `docs/events.schema.json`, which says what events are to programs that check them.

python -m docs.make_schema
"""

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin

from vsr_cli.cli.event_kinds import COMMON_KEYS, EVENT_KINDS, EventKind
from vsr_cli.cli.json_events import JSON_VERSION

TARGET = Path(__file__).with_name("events.schema.json")
Schema = dict[str, object]

# How types are written, which JSON has no more of.
PLAIN: Mapping[object, Schema] = {
    str: {"type": "string"},
    Path: {"type": "string"},
    Fraction: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    NoneType: {"type": "null"},
    object: {},
}
# Types of the keys that all events have; the first three come every time.
COMMON: Mapping[str, Schema] = {
    "type": {"type": "string"},
    "v": {"const": JSON_VERSION},
    "time": {"type": "string", "format": "date-time"},
    "source": {"type": ["string", "null"]},
    "file_index": {"type": "integer", "minimum": 1},
    "file_count": {"type": ["integer", "null"]},
}
ALWAYS = ("type", "v", "time")


def events_schema() -> Schema:
    """The whole of `docs/events.schema.json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of vsr, one a line",
        "description": "Ignore types and keys that are not here: new ones may come.",
        "type": "object",
        "required": list(ALWAYS),
        "properties": {
            key: {**schema, "description": COMMON_KEYS[key]} for key, schema in COMMON.items()
        },
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in EVENT_KINDS],
        "$defs": {name: schema_of_kind(name, kind) for name, kind in EVENT_KINDS.items()},
    }


def schema_of_kind(name: str, kind: EventKind) -> Schema:
    """What one type of event has beside the keys of all."""
    return {
        "description": kind.meaning,
        "required": [key for key in kind.keys if key not in kind.optional],
        "properties": {
            "type": {"const": name},
            **{key: schema_of(hint) for key, hint in kind.keys.items()},
        },
    }


def schema_of(hint: object) -> Schema:
    """How values of a type are written."""
    if hint in PLAIN:
        return dict(PLAIN[hint])
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(parts)}
    if origin in (Union, UnionType):
        return {"anyOf": [schema_of(part) for part in parts]}
    if origin is tuple and parts[-1] is Ellipsis:
        return {"type": "array", "items": schema_of(parts[0])}
    if origin is tuple:
        items = [schema_of(part) for part in parts]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
    return {"type": "object", "additionalProperties": schema_of(parts[1])}


def schema_text() -> str:
    """The same as text."""
    return json.dumps(events_schema(), indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(schema_text(), encoding="utf-8")
