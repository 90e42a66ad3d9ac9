# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that are built from several modules."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.build import TARGETS, BuildError, Target, build, main, write
from devtools.tryton import ROOT

HEAD = """\
# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""
TARGET = Target('built.py', 'src/main.py')


@pytest.mark.parametrize('target', TARGETS, ids=lambda target: target.path)
def test_the_built_file_is_fresh(target, tmp_path):
    """If it is not: run ./dev build."""
    assert write(target, folder=tmp_path)
    built, committed = tmp_path / target.path, ROOT / target.path
    assert built.read_bytes() == committed.read_bytes()
    assert os.access(built, os.X_OK) == target.executable
    assert os.access(committed, os.X_OK) == target.executable
    assert not write(target, folder=tmp_path)


def test_nothing_is_left_to_build(capsys):
    assert main(['--check']) == 0
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize('target', TARGETS, ids=lambda target: target.path)
def test_only_the_main_module_of_the_plugin_needs_orthanc(target):
    folder = (ROOT / target.main).parent
    importing = {
        path.name for path in folder.glob('*.py')
        if 'import orthanc' in path.read_text()}
    assert importing <= {'health_orthanc.py'}


@pytest.mark.parametrize('target', TARGETS, ids=lambda target: target.path)
def test_no_module_is_left_out(target):
    """Each module is part of one of the files that its folder makes."""
    folder = (ROOT / target.main).parent
    built = ''.join(
        (ROOT / other.path).read_text() for other in TARGETS
        if (ROOT / other.main).parent == folder)
    for path in folder.glob('*.py'):
        if path.name != '__init__.py':
            assert f'\n# --- {path.stem} -' in built


@pytest.mark.parametrize('name', [
        'sync_orthanc_server.py', 'update_worklists_database.py'])
def test_a_built_script_runs_alone(name, tmp_path):
    path = tmp_path / name
    path.write_bytes((ROOT / 'scripts' / name).read_bytes())
    ended = subprocess.run(
        [sys.executable, '-W', 'ignore', path, '-h'], cwd=tmp_path,
        capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert 'TRYTON_DATABASE' in ended.stdout
    assert 'exit codes' in ended.stdout


@pytest.fixture
def project(tmp_path):
    """A function that makes a project of these modules; the last is main."""
    (tmp_path / 'src').mkdir()
    (tmp_path / 'pyproject.toml').write_text(
        '[project]\nname = "example"\nversion = "1.2"\n')

    def make(**modules: str) -> Path:
        for name, text in modules.items():
            (tmp_path / 'src' / f'{name}.py').write_text(HEAD + text)
        return tmp_path
    return make


def test_modules_are_joined_in_the_order_of_their_needs(project):
    root = project(
        one='"""One.\n\nMore of it.\n"""\nimport os\n\nONE = os.sep\n',
        two='"""Two."""\nimport os\nfrom os import (\n    path, sep)\n\n'
        'from .one import ONE\n\n# A remark\nTWO = [ONE, path, sep, os]\n',
        main='"""Main.\n\nIts text.\n"""\nfrom os import getcwd\n\n'
        'from .one import (\n    ONE)\nfrom .two import TWO\n\n\n'
        'def run():\n    return ONE, TWO, getcwd\n')
    text = build(TARGET, root)
    assert text == HEAD + '''\
# example 1.2
# Built from src by ./dev build; do not edit
"""Main.

Its text.
"""
import os
from os import getcwd, path, sep

# --- one --------------------------------------------------------------
# One.
#
# More of it.

ONE = os.sep


# --- two --------------------------------------------------------------
# Two.

# A remark
TWO = [ONE, path, sep, os]


# --- main -------------------------------------------------------------


def run():
    return ONE, TWO, getcwd
'''
    values = {}
    exec(compile(text, 'built.py', 'exec'), values)
    assert values['run']()[1][0] == os.sep


@pytest.mark.parametrize(('modules', 'words'), [
        ({'one': '"One"\nX = 1', 'main': '"Main"\nfrom .one import X\nX = 2'},
            'X is defined in one.py and main.py'),
        ({'one': '"One"\nfrom .main import Y\nX = 1',
            'main': '"Main"\nfrom .one import X\nY = 2'},
            'circular imports: main -> one -> main'),
        ({'main': '"Main"\nX = 1\nimport os'}, 'import after other'),
        ({'main': '"Main"\nfrom . import one'}, 'line 4'),
        ({'main': '"Main"\nfrom .one import X as Y'}, 'line 4'),
        ({'main': '"Main"\nfrom .one import *'}, 'line 4'),
        ({'main': '"Main"\nfrom ..one import X'}, 'line 4'),
        ({'main': 'X = 1'}, 'no docstring'),
        ({'one': '"One"\nfrom __future__ import annotations\nX = 1',
            'main': '"Main"\nfrom .one import X\nY = X'}, '__future__'),
        ])
def test_what_cannot_be_joined_is_refused(project, modules, words):
    with pytest.raises(BuildError, match=words):
        build(TARGET, project(**modules))


def test_all_modules_have_the_licence_of_the_built_file(project):
    root = project(main='"""Main."""\nfrom .one import X\nY = X\n')
    (root / 'src' / 'one.py').write_text(
        HEAD.replace('GPL', 'AGPL') + '"""One."""\nX = 1\n')
    with pytest.raises(BuildError, match='licence'):
        build(TARGET, root)
