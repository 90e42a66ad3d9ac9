# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run style checks and all tests, on every kind of database.

trytond works on one kind of database in a process, therefore each
`Configuration` has a pytest of its own.  They run beside all other tests, and
what they print comes last; one line sums all up.
"""
import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import gtk, javascript, predecessor, sao
from .counting import COUNTS_VARIABLE, KINDS
from .postgresql import PostgreSQL
from .predecessor import OLD_VERSION
from .process import Process, die_with_parent, stopping_on_signals
from .tryton import MODULE, ROOT, Tryton, environment

__all__ = [
    'Configuration', 'cache_folder', 'old_wheel', 'predecessor_files']

TESTS = ROOT / 'tests'
MODULE_TESTS = TESTS / 'module'
PIP_TIMEOUT = 300
RUN_TIMEOUT = 60 * 60
STOP_TIMEOUT = 60
# pytest: no test was collected
NO_TESTS = 5


@dataclass(frozen=True)
class Configuration:
    """A database that the tests of the module run on.

    Attributes
    ----------
    backend
        ``sqlite`` or ``postgresql``.
    extras
        Modules that are active besides ours.
    files
        Which files of tests run on it, if not all.
    left_out
        Which do not.
    """
    backend: str
    extras: tuple[str, ...] = ()
    files: frozenset[str] | None = None
    left_out: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return ' with '.join([self.backend, *self.extras])

    @property
    def modules(self) -> list[str]:
        return [MODULE, *self.extras]

    def includes(self, path: str) -> bool:
        """Return whether a file of tests runs on it."""
        name = Path(path).stem
        return name not in self.left_out and (
            self.files is None or name in self.files)


BACKENDS = ['sqlite', 'postgresql']
WORKLIST = 'health_imaging_worklist'
# Who may do what, and in which language, is the same on all databases
_SAME = frozenset({
        'test_access', 'test_access_orders', 'test_access_people',
        'test_access_secrets', 'test_access_wizards', 'test_translations'})
# What the other module has a part in
_ORDERS = frozenset({
        'test_module', 'test_order', 'test_settlement', 'test_worklist',
        'test_worklist_route'})
CONFIGURATIONS = [
    Configuration('sqlite'),
    Configuration('sqlite', (WORKLIST,), files=_ORDERS),
    Configuration('postgresql', left_out=_SAME),
    Configuration(
        'postgresql', (WORKLIST,),
        files=_ORDERS | {'test_access', 'test_access_orders'}),
    ]


def cache_folder() -> Path:
    """Return where prepared databases and clients are kept."""
    return Path(os.environ.get('DEV_CACHE') or ROOT / '.cache')


def old_wheel() -> Path:
    """Return the wheel of the module that ours is the successor of."""
    wheel, = (cache_folder() / 'wheels').glob(
        f'gnuhealth_orthanc-{OLD_VERSION}-*.whl')
    return wheel


def predecessor_files() -> Path:
    """Return the folder that the module of `old_wheel` is installed in."""
    python = '.'.join(map(str, sys.version_info[:2]))
    return cache_folder() / f'predecessor-{OLD_VERSION}-python{python}'


def prepare() -> None:
    """Fetch what the tests need: they may have no network."""
    sao.assemble(cache_folder())
    gtk.install(cache_folder())
    javascript.install_linter(cache_folder())
    folder = cache_folder() / 'wheels'
    if not any(folder.glob(f'gnuhealth_orthanc-{OLD_VERSION}-*.whl')):
        subprocess.run(
            [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
                '--only-binary', ':all:', '--dest', folder,
                f'gnuhealth-orthanc=={OLD_VERSION}'],
            check=True, timeout=PIP_TIMEOUT)
    if not predecessor_files().exists():
        predecessor.install(predecessor_files(), old_wheel())


class Runner:
    """Run pytest several times and add up what it counts."""

    def __init__(self, options: Sequence[str]):
        self._options = list(options)
        self._counts: Counter[str] = Counter()
        self._failed = False
        self._start = time.monotonic()

    def check_style(self) -> None:
        for tool, *arguments in [
                ['flake8', '.'], ['isort', '--check', '--quiet', '.'],
                ['mypy']]:
            _title(tool)
            if self._call([sys.executable, '-m', tool, *arguments]):
                self._failed = True
                self._counts['errors'] += 1

    def run(self, title: str, paths: Sequence[str], **variables: str
            ) -> None:
        """Run the tests below `paths` with variables in the environment."""
        _title(title)
        with tempfile.TemporaryDirectory() as folder:
            counts = Path(folder, 'counts.json')
            code = self._call(
                [sys.executable, '-m', 'pytest', '-p', 'devtools.counting',
                    *self._options, *paths],
                **{COUNTS_VARIABLE: str(counts)}, **variables)
            self._add(code, counts)

    @contextmanager
    def beside(self, paths: Sequence[str], *options: str) -> Iterator[None]:
        """Run the tests below `paths` meanwhile, as a command of their own.

        What that prints is printed at the end, however it ends.
        """
        with tempfile.TemporaryDirectory() as folder:
            counts, log = Path(folder, 'counts.json'), Path(folder, 'log')
            process = Process(
                [sys.executable, '-m', 'devtools.testing', *self._options,
                    *options, *paths],
                log, folder=ROOT,
                environment={**environment(), COUNTS_VARIABLE: str(counts)})
            try:
                yield
                self._add(process.wait(RUN_TIMEOUT), counts)
            finally:
                process.stop(STOP_TIMEOUT)
                print(log.read_text(errors='replace'), end='', flush=True)

    def _add(self, code: int, counts: Path) -> None:
        if counts.exists():
            self._counts += Counter(json.loads(counts.read_text()))
        if code not in {0, NO_TESTS}:
            self._failed = True

    def _call(self, command: Sequence[str], **variables: str) -> int:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**environment(), **variables},
            preexec_fn=die_with_parent())
        try:
            return process.wait(RUN_TIMEOUT)
        except BaseException:
            process.terminate()
            process.wait()
            raise

    def close(self) -> int:
        """Print and write down the sum as pytest does; return its exit code.
        """
        parts = [
            f'{self._counts[kind]} {kind}'
            for kind in KINDS
            if self._counts[kind]]
        seconds = time.monotonic() - self._start
        summary = ', '.join(parts) or "no tests ran"
        print(f' {summary} in {seconds:.2f}s '.center(79, '='), flush=True)
        # Nothing here depends on the machine: no test may be skipped.
        failed = self._failed or any(
            self._counts[kind] for kind in KINDS if kind != 'passed')
        if COUNTS_VARIABLE in os.environ:
            Path(os.environ[COUNTS_VARIABLE]).write_text(
                json.dumps(self._counts))
        if failed:
            return 1
        return 0 if self._counts['passed'] else NO_TESTS


def _title(text: str) -> None:
    print(f' {text} '.center(79, '#'), flush=True)


def _image_name(modules: Sequence[str]) -> str:
    """Return how trytond's tests name a prepared database with `modules`.
    """
    digest = hashlib.shake_128('-'.join(modules).encode())
    return digest.hexdigest(20)


def run_module_tests(
        runner: Runner, configuration: Configuration, paths: Sequence[str],
        postgresql: PostgreSQL) -> None:
    """Run tests of the module on a prepared database."""
    with tempfile.TemporaryDirectory(prefix='module-tests-') as folder:
        if configuration.backend == 'sqlite':
            variables = _prepare_sqlite(configuration, Path(folder))
        else:
            variables = _prepare_postgresql(
                configuration, Path(folder), postgresql)
        runner.run(
            f'tests/module on {configuration}', paths,
            TEST_EXTRAS=' '.join(configuration.extras),
            TEST_POSTGRESQL_FOLDER=str(postgresql.folder), **variables)


def _prepare_sqlite(
        configuration: Configuration, folder: Path) -> dict[str, str]:
    tryton = Tryton(folder / 'tryton')
    tryton.create(configuration.modules, cache_folder())
    images = folder / 'images'
    images.mkdir()
    name = _image_name(configuration.modules)
    shutil.copyfile(
        tryton.sqlite_file, images / f'{name}-sqlite.dump')
    return {
        'DB_CACHE': str(images),
        'DB_NAME': ':memory:',
        'TRYTOND_DATABASE_URI': 'sqlite://',
        }


def _prepare_postgresql(
        configuration: Configuration, folder: Path, postgresql: PostgreSQL
        ) -> dict[str, str]:
    name = f'test-{_image_name(configuration.modules)}'
    if name not in postgresql.databases():
        Tryton(folder / 'tryton', postgresql=postgresql, name=name).create(
            configuration.modules, cache_folder())
    return {
        # trytond takes what follows the slash as a template database.
        'DB_CACHE': 'postgresql://template',
        'DB_NAME': 'test',
        'TRYTOND_DATABASE_URI': postgresql.uri,
        }


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the paths of tests and the options among `arguments`."""
    paths = [
        argument for argument in arguments
        if not argument.startswith('-')
        and (ROOT / argument.partition('::')[0]).exists()]
    options = [argument for argument in arguments if argument not in paths]
    return paths, options


# Tests of what stands between GNU Health and the modalities
_WIRE = (
    'test_faults', 'test_notification', 'test_worklist_file',
    'test_worklist_plugin', 'test_worklist_rest')
# What takes long and waits for the end of those of the module, by the kind of
# database that those run on
_LATE = {
    BACKENDS[0]: ('test_synchronization', 'test_upgrade'),
    # Those of modalities that are no lane of their own
    BACKENDS[1]: ('test_worklist',),
    }


def _lane(path: Path) -> str:
    """Return which tests a file of tests runs among."""
    if path.is_relative_to(MODULE_TESTS):
        return 'module'
    if path.parent.name != 'integration':
        return 'others'
    if path.name.startswith(_WIRE):
        return 'wire'
    return next(
        (backend for backend, names in _LATE.items()
            if path.name.startswith(names)), 'records')


def _lanes(paths: Sequence[str]) -> dict[str, list[str]]:
    """Return paths in groups that can run side by side, all if there are none.

    They take about as long as each other, if late ones run after those of the
    module.
    """
    lanes: dict[str, list[str]] = {}
    # Unit tests come first: they need none of the databases that others wait
    # for at the beginning
    files = sorted(
        TESTS.rglob('test_*.py'),
        key=lambda path: (path.parent.name != 'unit', path))
    for path in paths or map(str, files):
        file = (ROOT / path.partition('::')[0]).resolve()
        lanes.setdefault(_lane(file), []).append(
            str(path) if paths else str(file.relative_to(ROOT)))
    return lanes


def main(arguments: Sequence[str], backend: str | None = None) -> int:
    """Run tests; those of the module on `backend`, and what waits for their
    end, only if it is given.
    """
    paths, options = _split(arguments)
    runner = Runner(options)
    lanes = _lanes(paths)
    module = lanes.pop('module', [])
    if backend:
        _run_module_tests(runner, backend, module, bool(paths))
        if not paths:
            _run_lane(runner, lanes[backend])
        return runner.close()
    here: list[str] = []
    if not paths:
        runner.check_style()
        here, _ = map(lanes.pop, BACKENDS)
    elif lanes and not module:
        # The last one needs no process of its own
        here = lanes.popitem()[1]
    with ExitStack() as stack:
        if module:
            stack.enter_context(runner.beside(
                    module if paths else [], f'--backend={BACKENDS[1]}'))
        for lane in lanes.values():
            stack.enter_context(runner.beside(lane))
        if module:
            _run_module_tests(runner, BACKENDS[0], module, bool(paths))
        if here:
            _run_lane(runner, here)
    return runner.close()


def _run_lane(runner: Runner, lane: Sequence[str]) -> None:
    title = f'{len(lane)} files' if len(lane) > 3 else ', '.join(lane)
    runner.run(title, lane)


def _run_module_tests(
        runner: Runner, backend: str, paths: Sequence[str], chosen: bool
        ) -> None:
    """Run tests, on every configuration if they were `chosen` by name."""
    with PostgreSQL() as postgresql:
        for configuration in CONFIGURATIONS:
            if configuration.backend == backend:
                run_module_tests(runner, configuration, [
                        path for path in paths
                        if chosen or configuration.includes(path)],
                    postgresql)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--prepare', action='store_true',
        help="fetch what the tests need, and run none")
    parser.add_argument(
        '--backend', choices=BACKENDS,
        help="run the tests of the module on this kind of database only")
    options, arguments = parser.parse_known_args()
    if options.prepare:
        prepare()
    else:
        with stopping_on_signals():
            sys.exit(main(arguments, options.backend))
