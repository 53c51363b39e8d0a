"""The ``where`` language: parsed once into a small syntax tree, which every engine compiles.

A filter is a dict of fields and conditions, in the manner of MongoDB::

    {"lang": "en", "year": {"$gte": 2020}, "$or": [{"tags": "new"}, {"author.name": {"$in": ["Ada", "Alan"]}}]}

The meaning, which `matches` defines and every engine must share:

* A field is a dotted path into the metadata; a path passes through lists of dicts (``authors.name``).
* A list matches a condition if one of its elements does, or if the list itself is equal to the operand.
* Values of different types are never equal and never compared: ``1`` is not ``"1"``, ``True`` is not ``1``.
* ``$ne``, ``$nin`` and ``$not`` are plain negations, so they also match documents without the field.
* ``{"field": None}`` matches a null and a missing field.
* ``$contains`` is Python's ``in``: a substring of a string, an element of a list.

Wherever a filter is taken, its syntax tree may be given instead: it also says what the dicts cannot, such as that the
elements of a list do not count, which is how other libraries' filters are translated.
"""

from late_interaction.filters.ast import AllOf, AnyOf, Compare, Contains, Exists, FieldValue, Filter, In, Not, Where
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
    "Where",
    "check_restricting",
    "field_values",
    "is_always_true",
    "matches",
    "operators_of",
    "parse",
]
