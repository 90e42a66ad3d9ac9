# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports go one way: wizard, routes, ir → models → core → libraries."""
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.tryton import MODULE, ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = f'trytond.modules.{MODULE}'
HTTP = {'http', 'requests', 'urllib3', 'socket', 'ssl', 'werkzeug'}
# What people and machines call: nothing below may import it.
TOP = {'wizard', 'routes', 'download_route', 'ir'}
SOURCES = sorted((ROOT / MODULE).rglob('*.py'))


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT / MODULE).with_suffix('').parts
    if parts[-1] == '__init__':
        parts = parts[:-1]
    return '.'.join([PACKAGE, *parts])


def _package(path: Path) -> list[str]:
    name = _name(path).split('.')
    return name if path.name == '__init__.py' else name[:-1]


def imports(path: Path) -> Iterator[str]:
    """Yield what a source imports, anywhere in it, as absolute names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = []
            if node.level:
                package = _package(path)
                base = package[:len(package) - node.level + 1]
            base = '.'.join(base + ([node.module] if node.module else []))
            for alias in node.names:
                yield f'{base}.{alias.name}'


def _layer(name: str) -> str:
    """Return the part of our package that a module belongs to."""
    return name.removeprefix(PACKAGE + '.').partition('.')[0]


def _own(path: Path) -> set[str]:
    return {
        _layer(name) for name in imports(path)
        if name.startswith(PACKAGE + '.')}


def _foreign(path: Path) -> set[str]:
    return {
        name.partition('.')[0] for name in imports(path)
        if not name.startswith(PACKAGE + '.')}


def _parametrize(*layers: str, below: bool = False):
    paths = [path for path in SOURCES if path.parent != ROOT / MODULE
        or path.stem != '__init__']
    chosen = [
        path for path in paths
        if (_layer(_name(path)) in layers) != below]
    assert chosen or not (below or (ROOT / MODULE / layers[0]).exists())
    return pytest.mark.parametrize(
        'path', chosen, ids=lambda path: str(path.relative_to(ROOT)))


@_parametrize('core')
def test_core_knows_nothing_of_tryton(path):
    assert 'trytond' not in _foreign(path)
    assert 'proteus' not in _foreign(path)
    assert _own(path) <= {'core'}


@_parametrize('core', 'routes', 'download_route', below=True)
def test_models_know_nothing_of_http(path):
    assert _foreign(path).isdisjoint(HTTP)


@_parametrize(*TOP, below=True)
def test_models_do_not_import_what_calls_them(path):
    assert _own(path).isdisjoint(TOP)


@pytest.mark.parametrize(
    'path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_own_modules_are_imported_under_one_name(path):
    """From the root of the sources `health_orthanc` gives other classes."""
    assert MODULE not in _foreign(path)


def test_every_dependency_is_declared():
    """A module that cannot be imported stops every database."""
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    declared = {
        re.split('[<>=~!; ]', dependency)[0].removeprefix('python-')
        for dependency in project['dependencies']}
    found = set().union(*map(_foreign, SOURCES))
    assert 'requests' in found
    assert found - set(sys.stdlib_module_names) <= declared


def test_imports_are_found():
    source = ROOT / MODULE / 'core' / 'client.py'
    assert f'{PACKAGE}.core.errors' in {
        name.rpartition('.')[0] for name in imports(source)}
    assert 'requests' in _foreign(source)
