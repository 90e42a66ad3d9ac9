# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run style checks and all tests.

Most tests are spread over some processes by pytest-xdist.  Beside them run
those of the module, in some lanes: trytond works on one kind of database in a
process, therefore each `Configuration` has a pytest of its own.  What these
print comes last, then the slowest tests of all and one line that sums all up.
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

from . import gtk, javascript, orthanc_releases, predecessor, sao, viewer
from .cache import cache_folder
from .counting import COUNTS_VARIABLE, KINDS
from .postgresql import PostgreSQL
from .predecessor import OLD_VERSION
from .process import Process, StartError, die_with_parent, stopping_on_signals
from .tryton import HASHES, MODULE, ROOT, Tryton, environment

__all__ = [
    'Configuration', 'cache_folder', 'old_wheel', 'predecessor_files']

TESTS = ROOT / 'tests'
# What `--orthanc` makes a difference to
ORTHANC_TESTS = ['tests/integration', 'tests/browser']
# The versions whose answers are compared in each run
EVERYDAY_ORTHANCS = ['1.10', '1.12']
MODULE_TESTS = TESTS / 'module'
PIP_TIMEOUT = 300
RUN_TIMEOUT = 3 * 60 * 60
STOP_TIMEOUT = 60
# How many slow tests are named in the end
SLOWEST = 10
# pytest: no test was collected
NO_TESTS = 5
# More than two cores can do at once: many tests wait for what they started.
# Each one more starts databases and programs of its own.
WORKERS = 4
# How many share the tests of the module meanwhile
LANES = 2
SPREAD = [
    # `tests/conftest.py` puts the files in order, and together
    f'--numprocesses={WORKERS}', '--dist=loadscope',
    '--no-loadscope-reorder']


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
        Which files of tests run on it; all if None, none but on demand if
        empty.
    left_out
        Which of these run on it only on demand.
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


WORKLIST = 'health_imaging_worklist'
# What the other module has a part in
_ORDERS = frozenset({'test_module', 'test_order', 'test_public_names'})
# What is done in SQL of our own: searches and orders of lists, candidates by
# their keys, queues
_SQL = frozenset({
        'test_access_search', 'test_attachment', 'test_audit', 'test_bulk',
        'test_candidates', 'test_companion', 'test_historical',
        'test_matching', 'test_patient', 'test_plain', 'test_study',
        'test_parts', 'test_queue', 'test_time_limit', 'test_turns'})
# Locks and concurrency are a matter of tests/integration.  Who may do what,
# what is shown and in which language is the same on all databases.
CONFIGURATIONS = [
    Configuration('sqlite', left_out=_ORDERS),
    Configuration('postgresql', (WORKLIST,), files=_ORDERS | _SQL),
    Configuration('postgresql', files=frozenset()),
    Configuration('sqlite', (WORKLIST,), files=frozenset()),
    ]


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
    viewer.assemble(cache_folder())
    gtk.install(cache_folder())
    for version in EVERYDAY_ORTHANCS:
        orthanc_releases.prepare(version)
    javascript.install(cache_folder())
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
        self._seconds: dict[str, float] = {}
        self._failed = False
        self._start = time.monotonic()

    def check_style(self) -> None:
        for tool, *arguments in [
                ['ruff', 'check', '--no-cache', '--quiet', '.'],
                ['isort', '--check', '--quiet', '.'],
                ['mypy']]:
            _title(tool)
            if self._call([sys.executable, '-m', tool, *arguments]):
                self._failed = True
                self._counts['errors'] += 1

    def run(self, title: str, paths: Sequence[str], *options: str,
            place: str = '', **variables: str) -> None:
        """Run the tests below `paths` with variables in the environment.

        Parameters
        ----------
        place
            What tells these tests from those of the same name elsewhere.
        """
        _title(title)
        with tempfile.TemporaryDirectory() as folder:
            counts = Path(folder, 'counts.json')
            code = self._call(
                [sys.executable, '-m', 'pytest', '-p', 'devtools.counting',
                    *options, *self._options, *paths],
                **{COUNTS_VARIABLE: str(counts)}, **variables)
            self._add(code, counts, place)

    @contextmanager
    def beside(self, arguments: Sequence[str]) -> Iterator[None]:
        """Run other tests meanwhile, as a command of their own.

        What that prints is printed at the end, however it ends.
        """
        with tempfile.TemporaryDirectory() as folder:
            counts, log = Path(folder, 'counts.json'), Path(folder, 'log')
            process = Process(
                [sys.executable, '-m', 'devtools.testing', *self._options,
                    *arguments],
                log, folder=ROOT,
                environment={**environment(), COUNTS_VARIABLE: str(counts)})
            try:
                yield
                self._add(process.wait(RUN_TIMEOUT), counts)
            finally:
                process.stop(STOP_TIMEOUT)
                print(log.read_text(errors='replace'), end='', flush=True)

    def _add(self, code: int, counts: Path, place: str = '') -> None:
        if counts.exists():
            found = json.loads(counts.read_text())
            self._counts += Counter(found['counts'])
            self._seconds |= {
                ' '.join(filter(None, [name, place])): seconds
                for name, seconds in found['seconds'].items()}
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
        if COUNTS_VARIABLE in os.environ:
            Path(os.environ[COUNTS_VARIABLE]).write_text(json.dumps(
                    {'counts': self._counts, 'seconds': self._seconds}))
        else:
            self._print_slowest()
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
        if failed:
            return 1
        return 0 if self._counts['passed'] else NO_TESTS

    def _print_slowest(self) -> None:
        """Print the slowest tests, with what was started for each."""
        if len(self._seconds) <= SLOWEST:
            return
        _title(f"The {SLOWEST} slowest tests")
        slowest = sorted(
            self._seconds.items(), key=lambda item: item[1], reverse=True)
        for name, seconds in slowest[:SLOWEST]:
            print(f'{seconds:8.2f} s  {name}', flush=True)


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
            place=f'on {configuration}',
            TEST_EXTRAS=' '.join(configuration.extras),
            TRYTOND_PASSWORD__PASSLIB=str(HASHES), **variables)


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


def main(
        arguments: Sequence[str], everything: bool, module: bool,
        lane: int | None = None) -> int:
    """Run the tests that are named in `arguments`, or else all.

    Parameters
    ----------
    everything
        Whether nothing of it is kept for releases.
    module
        Whether no other tests are run than those of the module.
    lane
        Of these, run one of `LANES` shares.
    """
    paths, options = _split(arguments)
    # What is named is run in each way
    everything = everything or bool(paths)
    runner = Runner([*options, *['--all'] * everything])
    if os.environ.get(orthanc_releases.ORTHANC_VARIABLE):
        paths = paths or ORTHANC_TESTS
    ours, others = _divide(paths or [str(TESTS)])
    if module:
        _run_module_tests(runner, ours, everything, lane)
        return runner.close()
    with ExitStack() as stack:
        if ours and others and paths:
            stack.enter_context(runner.beside(['--module', *ours]))
        elif ours and others:
            for number in range(LANES):
                stack.enter_context(runner.beside([
                            '--module', f'--lane={number}']))
        elif ours:
            _run_module_tests(runner, ours, everything)
        if not paths:
            runner.check_style()
        if others:
            _run_other_tests(runner, others)
    return runner.close()


def _divide(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return which of `paths` hold tests of the module, and which others.

    A folder that holds both kinds is divided.
    """
    ours: list[str] = []
    others: list[str] = []
    for path in paths:
        file = (ROOT / path.partition('::')[0]).resolve()
        if file.is_relative_to(MODULE_TESTS):
            ours.append(path)
        elif MODULE_TESTS.is_relative_to(file):
            ours.append(str(MODULE_TESTS.relative_to(ROOT)))
            others += [
                str(folder.relative_to(ROOT))
                for folder in sorted(TESTS.iterdir())
                if folder != MODULE_TESTS and any(folder.glob('test_*.py'))]
        else:
            others.append(path)
    return ours, others


def _run_other_tests(runner: Runner, paths: Sequence[str]) -> None:
    """Run tests, in several processes if they are of several files."""
    several = len(paths) > 1 or (ROOT / paths[0]).is_dir()
    runner.run(', '.join(paths), paths, *(SPREAD if several else []))


def _run_module_tests(
        runner: Runner, paths: Sequence[str], everything: bool,
        lane: int | None = None) -> None:
    """Run tests of the module, one configuration after the other."""
    with PostgreSQL() as postgresql:
        for configuration in CONFIGURATIONS:
            chosen = paths if everything else [
                str(file) for path in paths for file in _files(path)
                if configuration.includes(str(file))]
            if lane is not None:
                chosen = [
                    str(file) for path in chosen for file in _files(path)
                    ][lane::LANES]
            if chosen:
                run_module_tests(runner, configuration, chosen, postgresql)


def _files(path: str) -> list[Path]:
    """Return the files of tests below a path."""
    folder = ROOT / path
    return sorted(folder.glob('test_*.py')) if folder.is_dir() else [folder]


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False)
    parser.add_argument(
        '--prepare', action='store_true',
        help="fetch what the tests need, and run none")
    parser.add_argument(
        '--all', action='store_true',
        help="run all tests in all configurations, as for a release")
    parser.add_argument(
        '--module', action='store_true',
        help="run the tests of the module only")
    parser.add_argument(
        '--lane', type=int, choices=range(LANES),
        help="run one share of them only")
    options, arguments = parser.parse_known_args()
    if options.prepare:
        try:
            prepare()
        except StartError as error:
            sys.exit(f"dev: {error}")
    else:
        with stopping_on_signals():
            sys.exit(main(
                    arguments, options.all, options.module, options.lane))
