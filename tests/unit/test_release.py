# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checklist of releases holds commands that exist."""
import re
import shutil

import pytest

from devtools.release import (
    CHECKLIST, find_version_troubles, read_commands, run)
from devtools.tryton import MODULE, ROOT


def test_commands_are_those_of_dev():
    commands = read_commands(CHECKLIST.read_text())
    assert len(commands) == 10
    known = set(re.findall(
            r'^        ([a-z-]+)\)$', (ROOT / 'dev').read_text(),
            re.MULTILINE))
    for program, name, *_ in commands:
        if program == './dev':
            assert name in known, name
        else:
            assert (program, name) == ('git', 'diff')


def test_the_whole_matrix_and_the_deployment_are_among_them():
    commands = read_commands(CHECKLIST.read_text())
    for command in [
            ['./dev', 'test', '--all'],
            ['./dev', 'deploy-check', '--kill']]:
        assert command in commands


def test_the_first_failure_ends_it(tmp_path, capfd):
    assert run([['true'], ['false'], ['touch', tmp_path / 'x']]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ['ok', 'failed']
    assert not (tmp_path / 'x').exists()
    assert run([['true']]) == 0


def test_it_goes_on_with_the_one_that_failed(tmp_path, capfd):
    assert run([['touch', tmp_path / 'x'], ['true'], ['true']], 2) == 0
    assert not (tmp_path / 'x').exists()
    assert [line.split()[-2:] for line in (
            capfd.readouterr().out.splitlines())] == [
        ['2.', 'true'], ['3.', 'true']]


@pytest.fixture
def release(tmp_path):
    (tmp_path / MODULE).mkdir()
    for name in ['pyproject.toml', f'{MODULE}/tryton.cfg']:
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize('head, trouble', [
        ('Version 5.0.50 - unreleased', 'no date'),
        ('Version 5.0.49 - 2026-11-29', '5.0.49'),
        ('Version 5.0.50 - 2026-11-29', None),
        ])
def test_version_and_date(release, head, trouble):
    version = re.search(r'^version=(\S+)', (
            release / MODULE / 'tryton.cfg').read_text(), re.MULTILINE)
    head = head.replace('5.0.50', version.group(1))
    (release / 'CHANGELOG').write_text(f'{head}\n---\n')
    troubles = '\n'.join(find_version_troubles(release))
    assert trouble in troubles if trouble else not troubles
