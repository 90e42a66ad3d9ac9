# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything public says what it does."""
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.tryton import MODULE, ROOT

# Folders in which every public name has a docstring
DOCUMENTED = ['core']
# Folders in which every route and every step of a wizard has one
ENTRIES = ['exchange', 'synchronization', 'viewing', 'worklist', 'wizard']

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def sources(folders: list[str]) -> list[Path]:
    return sorted(
        path for folder in folders
        for path in (ROOT / MODULE / folder).rglob('*.py'))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT / MODULE))


def exported(tree: ast.Module) -> set[str]:
    """Return the names in `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == '__all__'
                for target in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def definitions(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    return (
        child for child in node.body
        if isinstance(child, ast.ClassDef | ast.FunctionDef))


def public(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Yield what a module exports, and the public methods of its classes."""
    names = exported(tree)
    for node in definitions(tree):
        if node.name not in names:
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            for method in definitions(node):
                if not method.name.startswith('_'):
                    yield f'{node.name}.{method.name}', method


def is_route(node: Definition) -> bool:
    return any(
        isinstance(decorator, ast.Call)
        and getattr(decorator.func, 'attr', '') == 'route'
        for decorator in node.decorator_list)


def entries(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Yield routes, and the steps of wizards."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and is_route(node):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and any(
                getattr(base, 'id', '') == 'Wizard' for base in node.bases):
            yield node.name, node
            for method in definitions(node):
                if re.match('(transition|default|do)_', method.name):
                    yield f'{node.name}.{method.name}', method


def undocumented(found: Iterator[tuple[str, Definition]]) -> list[str]:
    return [name for name, node in found if not ast.get_docstring(node)]


@pytest.mark.parametrize('path', sources(DOCUMENTED), ids=relative)
def test_public_names_are_documented(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert undocumented(public(tree)) == []


@pytest.mark.parametrize('path', sources(DOCUMENTED), ids=relative)
def test_all_is_complete(path):
    """A public class or function that is not in `__all__` would escape."""
    tree = ast.parse(path.read_text())
    assert {
        node.name for node in definitions(tree)
        if not node.name.startswith('_')} <= exported(tree)


@pytest.mark.parametrize('path', sources(ENTRIES), ids=relative)
def test_entries_are_documented(path):
    assert undocumented(entries(ast.parse(path.read_text()))) == []


def test_routes_and_wizards_are_found():
    names = {
        name for path in sources(['exchange', 'wizard'])
        for name, _ in entries(ast.parse(path.read_text()))}
    assert any('.transition_' in name for name in names)
    assert any(name[0].islower() for name in names)
