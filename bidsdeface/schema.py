"""What the BIDS schema says of metadata fields: types, units, listed values, and which are required.

The schema comes with bidsschematools. It is read when it is first asked for, once (0.07 s).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True)
class MetadataField:
    """What the schema says of a field, its alternatives and the items of its lists taken together.

    Attributes
    ----------
    types : frozenset of str
        Of single values: ``number``, ``integer``, ``string``, ``boolean``, ``object``.
    values : frozenset of str
        All values, if the schema lists them.
    units : frozenset of str
        More than one where the unit depends on the kind of file.
    minimum, maximum : float
        Infinite where the schema gives none. An open end counts as closed: zero tells nothing.
    is_list : bool
        Whether the value is always a list.
    """

    types: frozenset[str]
    values: frozenset[str]
    units: frozenset[str]
    minimum: float
    maximum: float
    is_list: bool


@lru_cache(maxsize=1)
def metadata_fields() -> Mapping[str, MetadataField]:
    """Return every field of the schema by its name.

    Examples
    --------
    >>> field = metadata_fields()["EchoTime"]
    >>> sorted(field.types), sorted(field.units), field.minimum
    (['number'], ['s'], 0.0)
    """
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for definition in _schema()["objects"]["metadata"].values():
        parts.setdefault(definition["name"], []).extend(_parts(definition))
    return {name: _merge(some) for name, some in parts.items()}


@lru_cache(maxsize=1)
def required_fields() -> frozenset[str]:
    """Return the sidecar fields that BIDS requires of any kind of file.

    Examples
    --------
    >>> "RepetitionTime" in required_fields(), "EchoTrainLength" in required_fields()
    (True, False)
    """
    names = _schema()["objects"]["metadata"]
    required = set()
    groups = list(_schema()["rules"]["sidecars"].values())
    while groups:
        group = groups.pop()
        for field, level in group.get("fields", {}).items():
            if (level if isinstance(level, str) else level["level"]) == "required":
                required.add(names[field]["name"] if field in names else field)
        groups += [one for name, one in group.items() if name != "fields" and hasattr(one, "items")]
    return frozenset(required)


@lru_cache(maxsize=1)
def _schema() -> Any:
    from bidsschematools.schema import load_schema

    return load_schema()


def _parts(definition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a definition, its alternatives, and what its lists hold."""
    yield definition
    for part in (*definition.get("anyOf", ()), *([definition["items"]] if "items" in definition else [])):
        yield from _parts(part)


def _merge(parts: list[Mapping[str, Any]]) -> MetadataField:
    numeric = [part for part in parts if part.get("type") in ("number", "integer")]
    infinite = float("inf")
    return MetadataField(
        types=frozenset(part["type"] for part in parts if "type" in part) - {"array"},
        values=frozenset(value for part in parts for value in part.get("enum", ())),
        units=frozenset(part["unit"] for part in parts if "unit" in part),
        minimum=min(
            (float(part.get("minimum", part.get("exclusiveMinimum", -infinite))) for part in numeric),
            default=-infinite,
        ),
        maximum=max((float(part.get("maximum", infinite)) for part in numeric), default=infinite),
        is_list=parts[0].get("type") == "array",
    )
