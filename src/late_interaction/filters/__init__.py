"""The ``where`` language. A filter is parsed once into a syntax tree, which every engine compiles.

A filter is a dict of fields and conditions, similar to MongoDB's::

    {"lang": "en", "year": {"$gte": 2020}, "$or": [{"tags": "new"}, {"author.name": {"$in": ["Ada", "Alan"]}}]}

`matches` defines the meaning, which is the same in every engine:

* A field is a dotted path into the metadata. A path also descends into lists of dicts (``authors.name``).
* A list matches a condition if one of its elements does, or if the whole list equals the operand.
* Values of different types are never equal and never ordered: ``1`` is not ``"1"``, ``True`` is not ``1``.
* ``$ne``, ``$nin`` and ``$not`` are plain negations, so they also match documents without the field.
* ``{"field": None}`` matches null and a missing field.
* ``$contains`` is Python's ``in``: a substring of a string, or an element of a list.
* ``{"$text": {"$contains": "Nile"}}`` asks for a substring of the document's text, and ``$not_contains`` for its
  absence. Upper and lower case are different. The text is `Document.text`, which for a page is the text on it.
* Operands may be what metadata may be: a `datetime` is compared with stored dates, for example (see `Document`).

Every function that accepts a filter also accepts a syntax tree. A tree can express conditions that a dict cannot, for
example one that ignores the elements of lists. Filters of other libraries are translated to trees.
"""

from late_interaction.filters.ast import (
    AllOf,
    AnyOf,
    Compare,
    Contains,
    Exists,
    FieldValue,
    Filter,
    In,
    Not,
    TextContains,
    Where,
)
from late_interaction.filters.evaluate import field_values, matches
from late_interaction.filters.folding import check_restricting, is_always_true
from late_interaction.filters.operators import OPERATORS, operators_of
from late_interaction.filters.parse import parse

__all__ = [
    "OPERATORS",
    "AllOf",
    "AnyOf",
    "Compare",
    "Contains",
    "Exists",
    "FieldValue",
    "Filter",
    "In",
    "Not",
    "TextContains",
    "Where",
    "check_restricting",
    "field_values",
    "is_always_true",
    "matches",
    "operators_of",
    "parse",
]
