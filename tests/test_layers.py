"""The imports of the source are those that the table in docs/architecture.md allows."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import late_interaction

SOURCE = Path(late_interaction.__file__).parent
DOCUMENT = Path(__file__).parents[1] / "docs" / "architecture.md"


@cache
def table():
    """The packages that each may import, itself among them, and those that it never may."""
    rows = re.search(r"\| package \| may import \| never \|\n\|[-|]+\n((?:\|.*\n)+)", DOCUMENT.read_text())[1]
    may, never = {}, {}
    for row in rows.splitlines():
        packages, imported, excluded = (re.findall(r"`([a-z_.]+)`", cell) for cell in row.split("|")[1:4])
        for package in packages:
            may[package], never[package] = set(imported), set(excluded)
    for package in TopologicalSorter(may).static_order():  # a cycle is an error
        may[package] |= {package}.union(*(may[one] for one in may[package]))
    return {package: may[package] - never[package] for package in may}


def package_of(module):
    parts = module.split(".")[1:]
    return "engines.local" if parts[:2] == ["engines", "local"] else parts[0] if parts else ""


@cache
def imports():
    """Every import between packages: (package, file and line, imported package)."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        relative = path.relative_to(SOURCE)
        package = package_of(".".join(("late_interaction", *relative.with_suffix("").parts)))
        if package in ("", "__init__"):  # the package itself, which re-exports
            continue
        tree = ast.parse(path.read_text())
        if path.name == "__init__.py":  # names for type checkers, of what is imported when it is first used
            tree.body = [node for node in tree.body if "TYPE_CHECKING" not in ast.unparse(node).partition("\n")[0]]
        for node in ast.walk(tree):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
                if node.module == "late_interaction":
                    modules = [f"late_interaction.{alias.name}" for alias in node.names]
            own = (module for module in modules if module.partition(".")[0] == "late_interaction")
            found += [(package, f"{relative}:{node.lineno}", package_of(module)) for module in own]
    return found


def test_every_package_is_in_the_table():
    found = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found - {"__init__"} | {"engines.local"} == table().keys()


@pytest.mark.parametrize("package", sorted(table()))
def test_imports_go_one_way(package):
    allowed = table()[package]
    names = {"Index": "index", "__version__": package}  # exported by the package itself
    forbidden = [
        f"{place} imports {imported}"
        for importing, place, imported in imports()
        if importing == package and names.get(imported, imported) not in allowed
    ]
    assert forbidden == []
