# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record the names of the product that others rely on.

Databases, reports, scripts, configuration files and sister modules refer to
models, fields, XML ids, routes, options and loggers by name.  `collect`
returns these names as the running module has them, and
``tests/module/public_names.json`` is what they have to be.  Run as a command,
this file writes that list anew: do so when a name is added, never in order to
rename one.

Nothing here depends on where in the package a class or a function is.
"""
import argparse
import ast
import configparser
import json
import logging
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from .forks import load
from .process import LOOPBACK, stopping_on_signals
from .testing import WORKLIST, cache_folder
from .tryton import MODULE, ROOT, Tryton, environment

__all__ = ['EXTRAS', 'RECORDED', 'collect', 'differences', 'read', 'select']

RECORDED = ROOT / 'tests' / 'module' / 'public_names.json'
# Modules that change which XML ids there are
EXTRAS = (WORKLIST,)
PACKAGE = f'trytond.modules.{MODULE}'
PLUGIN = ROOT / 'orthanc_plugin'
SCRIPTS = ROOT / 'scripts'
PYTHON_SCRIPTS = [
    'health_orthanc_audit_check.py', 'sync_orthanc_server.py',
    'update_worklists_database.py']
SHELL_SCRIPT = 'worklists_service_demo.sh'
PROBE_TIMEOUT = 120
# Fields of other models to whose values this module adds
EXTENDED = [
    ('gnuhealth.imaging.test.request', 'state'),
    ('ir.cron', 'method'),
    ('res.user.application', 'application'),
    ]
# Called from other modules' code
METHODS = {
    'gnuhealth.imaging_orthanc.study': [
        'full_synchronize', 'get_new_studies'],
    'gnuhealth.imaging.test.request': ['get_worklist_template_data'],
    'gnuhealth.imaging.procedure.step': ['get_worklist'],
    }

Names = dict[str, Any]


# --- The list -----------------------------------------------------------

def collect() -> Names:
    """Return all public names, by kind.

    A transaction has to be open on a database with the module.  The result
    consists of dictionaries, sorted lists of strings, and strings; it is the
    same on SQLite and PostgreSQL.
    """
    from trytond.pool import Pool
    return {
        'module': _module(),
        'models': {
            name: description
            for name, classes in _registered('model').items()
            if (description := _describe_model(Pool().get(name), classes))},
        'wizards': {
            name: _describe_wizard(Pool().get(name, type='wizard'))
            for name in _registered('wizard')},
        'reports': sorted(_registered('report')),
        'extended selections': _extended_selections(),
        'queue methods': _queue_methods(),
        'called methods': _called_methods(),
        'XML ids': _xml_ids(),
        'scheduled tasks': _scheduled_tasks(),
        'routes': _routes(),
        'loggers': _loggers(),
        'configuration keys': _configuration_keys(),
        'scripts': _scripts(),
        'plugin': _plugin(),
        }


def read() -> Names:
    """Return the recorded list; see `select` for one set of modules."""
    return json.loads(RECORDED.read_text(encoding='utf-8'))


def select(recorded: Names, extras: Iterable[str]) -> Names:
    """Return what `collect` has to return where other modules are active.

    Parameters
    ----------
    recorded
        What `read` returns.
    extras
        The names of these modules.
    """
    expected = {
        key: value for key, value in recorded.items()
        if key != 'additional XML ids'}
    for extra in extras:
        added = recorded['additional XML ids'][extra]
        ids = expected['XML ids']
        expected['XML ids'] = {
            model: sorted(
                set(ids.get(model, ())).union(added.get(model, ())))
            for model in sorted({*ids, *added})}
    return expected


def differences(recorded: Names, found: Names) -> list[str]:
    """Return a line for each name that is gone, new or has changed."""
    old, new = dict(_flatten(recorded)), dict(_flatten(found))
    lines = []
    for path in sorted({*old, *new}):
        name = ' > '.join(path)
        if path not in new:
            lines.append(f"gone: {name}")
        elif path not in old:
            lines.append(f"new: {name}")
        elif old[path] != new[path]:
            lines.append(f"changed: {name}: {old[path]} -> {new[path]}")
    return lines


def _flatten(value: Any, path: tuple[str, ...] = ()
        ) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        # That it is there matters even if it is empty
        yield path, ''
        for key, part in value.items():
            yield from _flatten(part, (*path, key))
    elif isinstance(value, str):
        yield path, value
    else:
        yield path, ''
        for part in value:
            yield (*path, part), ''


# --- What is registered -------------------------------------------------

def _module() -> Names:
    parser = configparser.ConfigParser()
    parser.read(ROOT / MODULE / 'tryton.cfg')
    project = (ROOT / 'pyproject.toml').read_text(encoding='utf-8')
    return {
        'name': MODULE,
        'distribution': re.search(r'^name = "(.+)"$', project, re.M)[1],
        **{key: parser['tryton'].get(key, '').split()
            for key in ['depends', 'extras_depend']},
        }


def _registered(type_: str) -> dict[str, list[type]]:
    """Return the classes of our module by the names of what they make up."""
    from trytond.pool import Pool
    found: dict[str, list[type]] = {}
    for cls in Pool.classes[type_].get(MODULE, ()):
        found.setdefault(cls.__name__, []).append(cls)
    return dict(sorted(found.items()))


def _is_ours(function: Any) -> bool:
    module = getattr(function, '__module__', None) or ''
    return f'{module}.'.startswith(f'{PACKAGE}.')


def _members(classes: Iterable[type]) -> set[str]:
    """Return the names of all that the classes and their bases define."""
    return {
        name for cls in classes for base in cls.__mro__
        for name in vars(base)}


def _describe_model(Model: type, classes: list[type]) -> Names:
    from trytond.model import ModelSQL, fields
    members = _members(classes)
    own = {
        name: field for name, field in sorted(Model._fields.items())
        if name in members}
    description: Names = {}
    if own:
        description['fields'] = {
            name: _describe_field(field) for name, field in own.items()}
        if issubclass(Model, ModelSQL) and not callable(Model.table_query):
            description['table'] = Model._table
    constraints = _constraints(Model)
    if constraints:
        description['constraints'] = constraints
    selections = {
        name: _values(Model, field) for name, field in own.items()
        if isinstance(_unwrapped(field), (
                fields.Selection, fields.MultiSelection, fields.Reference))}
    if selections:
        description['selections'] = selections
    buttons = sorted(
        name for name in getattr(Model, '_buttons', ()) if name in members)
    if buttons:
        description['buttons'] = buttons
    calls = _remote_calls(Model)
    if calls:
        description['remote calls'] = calls
    return description


def _constraints(Model: type) -> list[str]:
    """Return the names of those of a model of no other module."""
    if any(
            cls.__module__.startswith('trytond.modules.')
            and not _is_ours(cls) for cls in Model.__mro__):
        return []
    return sorted(
        name for name, *_ in getattr(Model, '_sql_constraints', ())
        if name != 'id_positive')


def _remote_calls(Model: type) -> list[str]:
    """Return what clients may call and not every model has."""
    from trytond.model import (
        DeactivableMixin, ModelSingleton, ModelSQL, ModelView, Workflow)

    class Common(
            DeactivableMixin, ModelSingleton, Workflow, ModelSQL, ModelView):
        __name__ = f'{MODULE}.common'
        __slots__ = ()
    Common.__setup__()
    return sorted(
        name for name in Model.__rpc__
        if name not in Common.__rpc__
        and name not in getattr(Model, '_buttons', ())
        and _is_ours(getattr(Model, name, None)))


def _unwrapped(field: Any) -> Any:
    """Return the field that a Function field has the type of."""
    from trytond.model import fields
    while isinstance(field, (fields.Function, fields.MultiValue)):
        field = field._field
    return field


def _describe_field(field: Any) -> str:
    """Return type, target, and SQL type of a field that is stored."""
    from trytond.model import fields
    inner = _unwrapped(field)
    parts = [inner._type]
    if isinstance(inner, fields.Many2Many):
        parts += [
            inner.relation_name, str(inner.origin), str(inner.target)]
    elif isinstance(inner, fields.One2Many):
        parts += [inner.model_name, str(inner.field)]
    elif isinstance(inner, (fields.Many2One, fields.One2One)):
        parts += [inner.model_name]
    if isinstance(field, (fields.Function, fields.MultiValue)):
        parts.append(type(field).__name__)
    elif field._sql_type:
        size = getattr(field, 'size', None)
        parts.append(
            f'{field._sql_type}({size})' if isinstance(size, int)
            else field._sql_type)
    return ' '.join(parts)


def _values(Model: type, field: Any) -> list[str]:
    """Return the values of a selection, or the name of its method."""
    selection = _unwrapped(field).selection
    if isinstance(selection, str):
        # Those of a method may come from records
        return [f'{selection}()']
    return sorted(str(value) for value, _ in selection)


def _extended_selections() -> Names:
    from trytond.pool import Pool
    found = {}
    for model, name in EXTENDED:
        values = [
            value for value, _ in Pool().get(model)._fields[name].selection]
        if (model, name) == ('ir.cron', 'method'):
            ours = _registered('model')
            values = [v for v in values if v.partition('|')[0] in ours]
        found[f'{model} {name}'] = sorted(map(str, values))
    return found


def _describe_wizard(Wizard: type) -> Names:
    from trytond.wizard import StateAction, StateView
    states = {}
    for name, state in sorted(Wizard.states.items()):
        description: Names = {'kind': _kind(state)}
        if isinstance(state, StateView):
            description['model'] = state.model_name
            description['buttons'] = sorted(
                button.state for button in state.buttons)
        elif isinstance(state, StateAction):
            description['action'] = str(state.action_id)
        description['methods'] = sorted(
            method for method in (
                f'{prefix}_{name}' for prefix in ['do', 'transition'])
            if hasattr(Wizard, method))
        states[name] = description
    return {'start': Wizard.start_state, 'states': states}


def _kind(state: Any) -> str:
    """Return the name of the class of Tryton that a state is one of."""
    return next(
        cls.__name__ for cls in type(state).__mro__
        if cls.__module__.startswith('trytond.wizard'))


def _called_methods() -> Names:
    from trytond.pool import Pool
    return {
        model: sorted(
            name for name in names
            if callable(getattr(Pool().get(model), name, None)))
        for model, names in METHODS.items()}


def _queue_methods() -> Names:
    """Return the models by the methods that are put in the queue."""
    names = {
        node.attr for _, tree in _trees(ROOT / MODULE)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == '__queue__'}
    return {
        name: sorted(
            model for model, classes in _registered('model').items()
            if any(_is_ours(getattr(cls, name, None)) for cls in classes))
        for name in sorted(names)}


# --- What the database holds --------------------------------------------

def _xml_ids() -> Names:
    from trytond.pool import Pool
    found: dict[str, list[str]] = {}
    for data in Pool().get('ir.model.data').search([
                ('module', '=', MODULE)]):
        found.setdefault(data.model, []).append(data.fs_id)
    return {model: sorted(ids) for model, ids in sorted(found.items())}


def _scheduled_tasks() -> Names:
    from trytond.pool import Pool
    Cron = Pool().get('ir.cron')
    return {
        data.fs_id: Cron(data.db_id).method
        for data in Pool().get('ir.model.data').search([
                ('module', '=', MODULE), ('model', '=', 'ir.cron')],
            order=[('fs_id', 'ASC')])}


# --- What the process knows ---------------------------------------------

def _routes() -> Names:
    from trytond.wsgi import app
    found: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        if _is_ours(rule.endpoint):
            found.setdefault(rule.rule, set()).update(rule.methods or ())
    return {rule: sorted(found[rule]) for rule in sorted(found)}


def _loggers() -> list[str]:
    """Return the loggers that there are once all files are imported.

    In a process of its own: a test that listens to a logger makes it.
    """
    return json.loads(_run('--loggers'))


def _print_loggers() -> None:
    package = import_module(PACKAGE)
    for module in pkgutil.walk_packages(package.__path__, f'{PACKAGE}.'):
        import_module(module.name)
    print(json.dumps(sorted(
        name for name, logger in logging.Logger.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
        and f'{name}.'.startswith(f'{PACKAGE}.'))))


def _run(*arguments: str, **variables: str) -> str:
    return subprocess.run(
        [sys.executable, '-m', __spec__.name, *arguments], cwd=ROOT,
        env={**environment(), **variables}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=PROBE_TIMEOUT, check=True).stdout


# --- What the sources say -----------------------------------------------

def _trees(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(folder.rglob('*.py')):
        yield path, ast.parse(path.read_text(encoding='utf-8'))


def _constants(tree: ast.Module) -> dict[str, str]:
    """Return the texts that a file gives names to."""
    return {
        node.targets[0].id: node.value.value for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)}


def _configuration_keys() -> Names:
    """Return the keys of trytond's configuration that are asked for."""
    trees = list(_trees(ROOT / MODULE))
    everywhere = dict(chain.from_iterable(
        _constants(tree).items() for _, tree in trees))
    found: dict[str, set[str]] = {}
    for _, tree in trees:
        names = {**everywhere, **_constants(tree)}
        for node in ast.walk(tree):
            if (isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == 'config'
                    and node.func.attr.startswith('get')):
                section, key = (
                    _text(argument, names) for argument in node.args[:2])
                found.setdefault(section, set()).add(key)
    return {section: sorted(found[section]) for section in sorted(found)}


def _text(node: ast.expr, names: Mapping[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names[node.id]
    return ast.literal_eval(node)


def _plugin() -> Names:
    """Return the section and the keys of Orthanc's configuration file.

    Each key stands in a dictionary, together with the name that it has in
    the code: ``'KeyFile': 'key_file'``.
    """
    sections, keys = set(), set()
    for _, tree in _trees(PLUGIN):
        sections.add(_constants(tree).get('SECTION'))
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keys.update(
                    key.value
                    for key, value in zip(node.keys, node.values)
                    if isinstance(key, ast.Constant)
                    and isinstance(value, ast.Constant)
                    and isinstance(key.value, str)
                    and value.value == _snake_case(key.value)
                    and key.value != value.value)
    sections.discard(None)
    return {
        'sections': sorted(sections),
        'keys': sorted(keys),
        'files': sorted(
            path.name for path in PLUGIN.iterdir()
            if path.suffix in {'.lua', '.py'}),
        }


def _snake_case(text: str) -> str:
    return re.sub('(?<!^)(?=[A-Z])', '_', text).lower()


# --- Scripts ------------------------------------------------------------

def _scripts() -> Names:
    found: Names = {
        name: json.loads(_run('--script', name, **_probe_environment()))
        for name in PYTHON_SCRIPTS}
    text = (SCRIPTS / SHELL_SCRIPT).read_text(encoding='utf-8')
    letters = re.search(r'\bgetopts (\S+)', text)[1]
    found[SHELL_SCRIPT] = {
        'options': {f'-{letter}': '' for letter in re.findall(r'\w', letters)},
        'environment': sorted(set(re.findall(
                    r'\$\{?((?:TRYTON|GNUHEALTH)_\w+)', text)))}
    return dict(sorted(found.items()))


def _probe_environment() -> dict[str, str]:
    """Return variables that lead a script to where nobody listens."""
    return {'TRYTON_URL': f'http://{LOOPBACK}:9', 'TRYTON_DATABASE': 'none'}


class _Environment(dict):
    """Notes which variables are asked for."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, *default: Any) -> Any:
        self.asked.add(name)
        return super().get(name, *default)

    def pop(self, name: str, *default: Any) -> Any:
        self.asked.add(name)
        return super().pop(name, *default)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)


def _print_script(name: str) -> None:
    """Run a script that finds no server, and print what it asks for."""
    import runpy
    options: dict[str, str] = {}
    parse = argparse.ArgumentParser.parse_known_args

    def parsing(parser, *args, **kwargs):
        for action in parser._actions:
            for option in action.option_strings:
                options[option] = _describe_option(action)
            if not action.option_strings:
                options[action.dest] = _describe_option(action)
        return parse(parser, *args, **kwargs)

    argparse.ArgumentParser.parse_known_args = parsing
    asked = os.environ = _Environment(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = [name]
        if '--worklists' in (SCRIPTS / name).read_text(encoding='utf-8'):
            sys.argv += ['--worklists', folder]
        try:
            runpy.run_path(str(SCRIPTS / name), run_name='__main__')
        except SystemExit as end:
            code = end.code
    assert code, "no server was to be found"
    print(json.dumps({
                'options': dict(sorted(options.items())),
                'environment': sorted(
                    variable for variable in asked.asked
                    if re.match('(TRYTON|GNUHEALTH)_', variable)),
                }))


def _describe_option(action: argparse.Action) -> str:
    """Return how many values an option takes, and its default."""
    default = action.default
    if default is None or default == argparse.SUPPRESS:
        default = ''
    kind = type(action).__name__.strip('_')
    return f'{kind} {action.nargs} {default}'.rstrip()


# --- The command --------------------------------------------------------

def _record() -> Names:
    """Return the list as a new database has it."""
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    with tempfile.TemporaryDirectory(prefix='public-names-') as folder:
        databases = {'base': [MODULE]}
        databases.update({name: [MODULE, name] for name in EXTRAS})
        for name, modules in databases.items():
            tryton = Tryton(Path(folder), name=name)
            tryton.create(modules, cache_folder())
            load(str(tryton.configuration), name)
        found = {}
        for name in databases:
            with Transaction().start(name, 0, readonly=True):
                assert Pool().get('ir.module').search([
                        ('name', '=', databases[name][-1]),
                        ('state', '=', 'activated')])
                found[name] = collect()
    names = found.pop('base')
    ids = names['XML ids']
    names['additional XML ids'] = {
        name: {
            model: sorted(set(other).difference(ids.get(model, ())))
            for model, other in extra['XML ids'].items()
            if set(other).difference(ids.get(model, ()))}
        for name, extra in found.items()}
    for name, extra in found.items():
        problems = differences(select(names, [name]), extra)
        assert not problems, problems
    return names


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='python -m devtools.public_names', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--check', action='store_true',
        help="write nothing; fail if a name is gone, new or changed")
    parser.add_argument(
        '--loggers', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--script', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loggers:
        _print_loggers()
        return 0
    if options.script:
        _print_script(options.script)
        return 0
    names = _record()
    lines = differences(read(), names) if RECORDED.exists() else []
    print(*lines, sep='\n', end='\n' if lines else '')
    if options.check:
        return 1 if lines else 0
    RECORDED.write_text(
        json.dumps(names, indent=1, ensure_ascii=False, sort_keys=True)
        + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    with stopping_on_signals():
        sys.exit(main())
