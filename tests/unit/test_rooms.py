# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of the module: imports and calls through the Pool go one way.

An arrow is an import, the name of a model (Pool, relations), or an attribute
that only a room above gives to a model.  A room has arrows to lower ones only;
what must set off something above offers a hook that the upper room extends.
"""
import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from trytond.model import ModelSQL, ModelView, Workflow

from devtools.tryton import MODULE, ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = f'trytond.modules.{MODULE}'
HTTP = {'http', 'requests', 'urllib3', 'socket', 'ssl', 'werkzeug'}
# From the ground up; what people and machines call is on top
ROOMS = [
    'core', 'common', 'audit', 'archive', 'orders', 'worklist', 'linking',
    'synchronization', 'exchange', 'viewing', 'operation', 'dashboard',
    'top']
CORE_ROOMS = {
    'installed_viewer': set(),
    'secrets': set(),
    'audit': set(),
    'dicom': set(),
    'matching': {'dicom'},
    'worklist': {'dicom'},
    'orthanc': {'dicom', 'matching', 'worklist'},
    'dicomweb': {'dicom'},
    }
# Comes and goes with old databases, and sees them whole
ABOVE_ALL = {'migration'}
SOURCES = sorted((ROOT / MODULE).rglob('*.py'))
# The register and the faces of the packages only hand names on
FILES = [path for path in SOURCES if path.name != '__init__.py']
GENERAL = {
    name for Model in [ModelSQL, ModelView, Workflow] for name in dir(Model)}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT / MODULE))


def room(path: Path) -> str:
    """Return the room that a file is in."""
    if is_top(path):
        return 'top'
    return path.relative_to(ROOT / MODULE).parts[0].removesuffix('.py')


def is_top(path: Path) -> bool:
    return path.stem.endswith('routes') or path.parent.name == 'wizard'


def package(path: Path) -> list[str]:
    parts = path.relative_to(ROOT / MODULE).with_suffix('').parts
    return [*PACKAGE.split('.'), *parts[:-1]]


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> list[str]:
    """Return what a source imports, anywhere in it, as absolute names."""
    found = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = []
            if node.level:
                parts = package(path)
                base = parts[:len(parts) - node.level + 1]
            name = '.'.join(base + ([node.module] if node.module else []))
            found += [f'{name}.{alias.name}' for alias in node.names]
    return found


@cache
def imported_file(name: str) -> Path | None:
    """Return the file of ours that an absolute name is of."""
    if not name.startswith(PACKAGE + '.'):
        return None
    parts = name.removeprefix(PACKAGE + '.').split('.')
    for length in range(len(parts), 0, -1):
        path = (ROOT / MODULE).joinpath(*parts[:length]).with_suffix('.py')
        if path.exists():
            return path
    return None


def foreign(path: Path) -> set[str]:
    return {
        name.partition('.')[0] for name in imports(path)
        if not name.startswith(PACKAGE + '.')}


@dataclass
class Model:
    """What the rooms make of one model."""
    owner: str | None = None
    # The rooms that give it each attribute
    attributes: dict[str, set[str]] = field(
        default_factory=lambda: defaultdict(set))

    def only_above(self, name: str, own: str) -> set[str]:
        """Return the rooms that give it an attribute which `own` lacks."""
        rooms = self.attributes.get(name, set())
        if name in GENERAL or own in rooms or any(
                rank(found) < rank(own) for found in rooms):
            return set()
        return rooms


def rank(name: str) -> int:
    return len(ROOMS) if name in ABOVE_ALL else ROOMS.index(name)


def class_model(node: ast.ClassDef) -> str | None:
    for item in node.body:
        if (isinstance(item, ast.Assign)
                and isinstance(item.targets[0], ast.Name)
                and item.targets[0].id == '__name__'
                and isinstance(item.value, ast.Constant)):
            return item.value.value
    return None


def class_attributes(node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            yield item.name
        elif isinstance(item, ast.Assign):
            yield from (
                t.id for t in item.targets if isinstance(t, ast.Name))


def models() -> dict[str, Model]:
    """Return the models that rooms define or extend."""
    found: dict[str, Model] = defaultdict(Model)
    for path in FILES:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef) and (name := class_model(node)):
                if not node.keywords:
                    found[name].owner = room(path)
                for attribute in class_attributes(node):
                    found[name].attributes[attribute].add(room(path))
    return dict(found)


MODELS = models()


def named_models(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and part.value in MODELS:
            yield part.value


def pool_arrows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the rooms that a file reaches by names of models, and why."""
    own = room(path)
    tree = parse(path)
    for name in named_models(tree):
        if MODELS[name].owner:
            yield MODELS[name].owner, name
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef):
            for name, attribute in used_attributes(scope):
                for found in MODELS[name].only_above(attribute, own):
                    yield found, f'{name}.{attribute}'
        elif isinstance(scope, ast.ClassDef) and class_model(scope):
            name = class_model(scope)
            for attribute in own_attributes(scope):
                for found in MODELS[name].only_above(attribute, own):
                    yield found, f'{name}.{attribute}'


def used_attributes(scope: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Yield models and the attributes of them that a function uses."""
    variables = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and (
                isinstance(node.targets[0], ast.Name)):
            names = set(named_models(node.value))
            if len(names) == 1 and isinstance(node.value, ast.Call):
                variables[node.targets[0].id] = names.pop()
    for node in ast.walk(scope):
        if isinstance(node, ast.Attribute) and isinstance(
                node.value, ast.Name) and node.value.id in variables:
            yield variables[node.value.id], node.attr


def own_attributes(scope: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(scope):
        if isinstance(node, ast.Attribute) and isinstance(
                node.value, ast.Name) and node.value.id in {'cls', 'self'}:
            yield node.attr


def import_arrows(path: Path) -> Iterator[tuple[str, str]]:
    for name in imports(path):
        found = imported_file(name)
        if found and found.name != '__init__.py':
            yield room(found), name.removeprefix(PACKAGE + '.')


def arrows(path: Path) -> Iterator[tuple[str, str]]:
    yield from import_arrows(path)
    yield from pool_arrows(path)


def test_every_file_is_in_a_room():
    assert {path.parent.relative_to(ROOT / MODULE).parts[0] for path in FILES
        } == {*ROOMS, *ABOVE_ALL, 'wizard'} - {'top'}


def test_arrows_go_down():
    up = {
        f'{relative(path)} → {to} ({why})' for path in FILES
        if room(path) not in ABOVE_ALL for to, why in arrows(path)
        if rank(to) > rank(room(path))}
    assert not up


def test_arrows_are_found():
    """The arrows that the rules are about are seen."""
    found = {
        (room(path), to) for path in FILES for to, _ in arrows(path)}
    assert {
        ('linking', 'orders'), ('worklist', 'orders'),
        ('synchronization', 'linking'), ('exchange', 'synchronization'),
        ('orders', 'archive'), ('top', 'exchange')} <= found
    study = MODELS['gnuhealth.imaging_orthanc.study']
    assert study.owner == 'archive'
    assert study.only_above('match_again', 'archive') == {'linking'}
    assert not study.only_above('match_again', 'synchronization')
    assert not study.only_above('write', 'archive')


CORE_FILES = [path for path in FILES if room(path) == 'core']


def test_core_is_plain_python():
    wrong = {
        f'{relative(path)} → {name}' for path in CORE_FILES
        for name in foreign(path) & {'trytond', 'proteus'}}
    wrong |= {
        f'{relative(path)} → {name}' for path in CORE_FILES
        for name in imports(path)
        if (found := imported_file(name)) and room(found) != 'core'}
    assert not wrong


def core_room(path: Path) -> str:
    return path.relative_to(ROOT / MODULE / 'core').parts[0].removesuffix(
        '.py')


def test_rooms_of_core_go_one_way():
    wrong = set()
    for path in CORE_FILES:
        own = core_room(path)
        reached = {
            core_room(found) for found in map(imported_file, imports(path))
            if found}
        wrong |= {
            f'{relative(path)} → {to}'
            for to in reached - {own} - CORE_ROOMS[own]}
    assert not wrong


def test_models_know_nothing_of_http():
    wrong = {
        f'{relative(path)} → {name}' for path in FILES
        if room(path) not in {'core', 'top'} for name in foreign(path) & HTTP}
    assert not wrong


def test_own_modules_are_imported_under_one_name():
    """From the root of the sources `health_orthanc` gives other classes."""
    assert not [
        relative(path) for path in SOURCES if MODULE in foreign(path)]


# Shared by the layers of one concept
LAYERED = {
    'attributes', 'cron', 'database', 'item', 'patient', 'reconciliation',
    'request', 'result', 'routes', 'search_keys', 'series', 'server', 'step',
    'study', 'study_type', 'template', 'deletion', 'dismissal', 'download',
    'preview', 'review', 'synchronization', 'upload', 'viewer',
    'wrong_patient', 'daily_schedule', 'result_report', '__init__'}


def test_one_basename_one_concept():
    names = defaultdict(list)
    for path in SOURCES:
        names[path.stem].append(relative(path))
    assert {n for n, found in names.items() if len(found) > 1} <= LAYERED


def test_every_dependency_is_declared():
    """A module that cannot be imported stops every database."""
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    declared = {
        re.split('[<>=~!; ]', dependency)[0].removeprefix('python-').replace(
            '-', '_') for dependency in project['dependencies']}
    found = set().union(*map(foreign, SOURCES))
    assert 'requests' in found
    assert found - set(sys.stdlib_module_names) <= declared


def test_imports_are_found():
    source = ROOT / MODULE / 'core' / 'orthanc' / 'client.py'
    assert f'{PACKAGE}.core.orthanc.errors' in {
        name.rpartition('.')[0] for name in imports(source)}
    assert 'requests' in foreign(source)
