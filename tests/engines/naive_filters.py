"""The ``where`` language once more, the slow and plain way: an oracle that shares no code with the package.

It walks the raw dicts, where the package parses to a tree and lists the values of every path.
"""

from __future__ import annotations


def passes(where, metadata, text=""):
    """Whether a document with this metadata and text passes the filter."""
    for key, operand in where.items():
        if key == "$and":
            held = all(passes(part, metadata, text) for part in operand)
        elif key == "$or":
            held = any(passes(part, metadata, text) for part in operand)
        elif key == "$not":
            held = not passes(operand, metadata, text)
        elif key == "$text":
            held = all((part in text) is (name == "$contains") for name, part in operand.items())
        else:
            visible = {name: value for name, value in metadata.items() if not name.startswith("_")}
            held = condition_holds(operand, list(reach(visible, key)))
        if not held:
            return False
    return True


def reach(node, path):
    """Everything that stands at a dotted path. A key may itself hold dots, and a list of dicts is walked through."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == path:
                yield value
            if path.startswith(key + "."):
                rest = path[len(key) + 1 :]
                yield from reach(value, rest)
                if isinstance(value, (list, tuple)):
                    for item in value:
                        yield from reach(item, rest)


def condition_holds(condition, found):
    """Whether what was found at a path meets a condition: a dict of operators, or a value to equal."""
    if not (isinstance(condition, dict) and any(key.startswith("$") for key in condition)):
        return equal(condition, found)
    return all(operator_holds(name, operand, found) for name, operand in condition.items())


def operator_holds(name, operand, found):
    """Whether what was found meets one operator."""
    if name == "$not":
        return not condition_holds(operand, found)
    if name == "$exists":
        return bool(found) == operand
    if name == "$eq":
        return equal(operand, found)
    if name == "$ne":
        return not equal(operand, found)
    if name == "$in":
        return any(equal(item, found) for item in operand)
    if name == "$nin":
        return not any(equal(item, found) for item in operand)
    if name == "$all":
        return all(equal(item, found) for item in operand)
    if name == "$contains":
        return any(contains(value, operand) for value in found)
    return any(ordered(name, item, operand) for value in found for item in (value, *elements(value)))


def elements(value):
    return list(value) if isinstance(value, (list, tuple)) else []


def equal(operand, found):
    if not found:
        return operand is None
    return any(same(value, operand) or any(same(item, operand) for item in elements(value)) for value in found)


def contains(value, operand):
    if isinstance(value, str):
        return isinstance(operand, str) and operand in value
    return any(same(item, operand) for item in elements(value))


def ordered(name, left, right):
    numbers = type_of(left) == type_of(right) == "number"
    strings = type_of(left) == type_of(right) == "string"
    if not numbers and not strings:
        return False
    below, level = left < right, left == right
    return {"$lt": below, "$lte": below or level, "$gt": not below and not level, "$gte": not below}[name]


def type_of(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "dict" if isinstance(value, dict) else "list"


def same(left, right):
    """Equality that never mixes types."""
    if type_of(left) != type_of(right):
        return False
    if type_of(left) == "list":
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if type_of(left) == "dict":
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    return left == right
