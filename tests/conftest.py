# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real parts for the tests: each is started once and stopped at the end."""
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from devtools import sao
from devtools.orthanc import Orthanc
from devtools.postgresql import PostgreSQL
from devtools.testing import cache_folder
from devtools.tryton import MODULE, Tryton

TESTS = Path(__file__).parent
TIMEOUT = 30
# What takes longest comes first, so that no process is left alone with it in
# the end; what is quick comes last.
FIRST = [
    'browser', 'integration/test_faults', 'integration/test_upgrade',
    'integration/test_notification_plugin', 'integration/test_worklist',
    'integration/test_synchronization', 'integration', 'unit']


# How long an example takes depends on what else the machine does
settings.register_profile('health_orthanc', deadline=None)
settings.load_profile('health_orthanc')


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        '--all', action='store_true',
        help="run the tests, too, that are marked to be for releases")


def pytest_configure(config: pytest.Config) -> None:
    """Let fixtures clean up when somebody ends the tests."""
    def leave(number: int, frame: object) -> None:
        pytest.exit("terminated", returncode=128 + number)
    signal.signal(signal.SIGTERM, leave)


def pytest_xdist_make_scheduler(
        config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _FileScheduling(config, log)


class _FileScheduling(LoadScopeScheduling):
    """Let one process run a file, or all that one browser is started for.

    The marks `xdist_group` would do, but pytest-xdist 3.8 cannot pass them on
    with pytest 9.2: each process then prepares what each file needs.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition('::')[0]
        browser = (TESTS / 'browser').relative_to(TESTS.parent).as_posix()
        return browser if path.startswith(f'{browser}/') else path


def pytest_collection_modifyitems(
        config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_place)
    if config.getoption('all'):
        return
    left_out = [item for item in items if item.get_closest_marker('release')]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _place(item: pytest.Item) -> int:
    path = item.path.relative_to(TESTS).as_posix()
    return next(
        (number for number, start in enumerate(FIRST)
            if path.startswith(start)), len(FIRST))


@pytest.fixture(scope='session')
def _orthanc() -> Iterator[Orthanc]:
    with Orthanc() as orthanc:
        yield orthanc


@pytest.fixture
def fresh_orthanc(_orthanc: Orthanc) -> Orthanc:
    """An Orthanc that has never stored anything, and runs."""
    _orthanc.configuration.clear()
    _orthanc.kill()
    _orthanc.reset()
    _orthanc.start()
    return _orthanc


@pytest.fixture
def orthanc(request, _orthanc: Orthanc) -> Orthanc:
    """An Orthanc that holds nothing, and runs.

    What it stores next is not numbered from 1 in the log of its changes.
    """
    if not _orthanc.running or _orthanc.configuration:
        return request.getfixturevalue('fresh_orthanc')
    _orthanc.clear()
    _orthanc.session.delete(
        _orthanc.url + '/changes', timeout=TIMEOUT).raise_for_status()
    assert not any(_orthanc.counts().values())
    assert not _orthanc.get('/changes')['Changes']
    return _orthanc


@pytest.fixture
def start_orthanc() -> Iterator[Callable[..., Orthanc]]:
    """A function that starts one more Orthanc, given its options."""
    with ExitStack() as stack:
        def start(**options: object) -> Orthanc:
            return stack.enter_context(Orthanc(**options))
        yield start


@pytest.fixture(scope='session')
def postgresql() -> Iterator[PostgreSQL]:
    """An empty PostgreSQL server."""
    with PostgreSQL() as postgresql:
        yield postgresql


@pytest.fixture(scope='session')
def web_client() -> Path:
    """The folder of the SAO client."""
    return sao.assemble(cache_folder())


@pytest.fixture(scope='session')
def prepared_tryton(request, tmp_path_factory) -> Callable[..., Tryton]:
    """A function that returns a prepared database, that only is copied."""
    prepared: dict[tuple[str, ...], Tryton] = {}

    def prepare(backend: str, *modules: str) -> Tryton:
        key = (backend, *modules)
        if key not in prepared:
            tryton = Tryton(
                tmp_path_factory.mktemp('prepared'),
                name=f'prepared{len(prepared)}',
                postgresql=request.getfixturevalue('postgresql')
                if backend == 'postgresql' else None)
            tryton.create(modules, cache_folder())
            prepared[key] = tryton
        return prepared[key]
    return prepare


@pytest.fixture
def make_tryton(prepared_tryton) -> Iterator[Callable[..., Tryton]]:
    """A function that returns a fresh database, dropped after the test.

    Parameters of it: the backend, ``sqlite`` by default; the modules that
    are active, ours by default.
    """
    made: list[Tryton] = []

    def make(backend: str = 'sqlite', *modules: str) -> Tryton:
        tryton = prepared_tryton(backend, *(modules or [MODULE])).copy(
            f'copy{len(made)}')
        made.append(tryton)
        return tryton
    yield make
    for tryton in made:
        tryton.drop()
        shutil.rmtree(tryton.folder)
