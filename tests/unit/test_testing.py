# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests `./dev test` runs, and where."""
import pytest

from devtools.testing import CONFIGURATIONS, MODULE_TESTS, TESTS, _divide
from tests.conftest import FIRST

FILES = {path.stem for path in MODULE_TESTS.glob('test_*.py')}


def test_every_file_runs_on_a_configuration():
    for file in FILES:
        assert any(c.includes(f'{file}.py') for c in CONFIGURATIONS)


def test_files_of_configurations_are_there():
    """A file that was renamed would be left out in silence."""
    for configuration in CONFIGURATIONS:
        assert (configuration.files or set()) <= FILES, str(configuration)


def test_files_that_come_first_are_there():
    for start in FIRST:
        assert any(TESTS.glob(f'{start}*')), start


def test_all_is_divided():
    ours, others = _divide([str(TESTS)])
    assert ours == ['tests/module']
    assert set(others) == {
        'tests/browser', 'tests/integration', 'tests/unit'}


@pytest.mark.parametrize('path, ours', [
        ('tests/module', True), ('tests/module/test_order.py::A', True),
        ('tests/unit', False), ('tests/unit/test_client.py', False)])
def test_a_path_is_of_the_module_or_not(path, ours):
    assert _divide([path]) == (([path], []) if ours else ([], [path]))
