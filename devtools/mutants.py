# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Break the product on purpose, and see whether its tests notice.

``tests/mutants.md`` lists small changes of the product, one in a file, each
with the tests that have to fail.  Each is made in a temporary copy of the
repository, and these tests are run there: the mutant is *caught* if one
fails, and *survives* if all pass.

A change is found by its old text in any file of the product, whatever the
file is called; line breaks and indentation make no difference.  Where a file
is built from another one, both are changed.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .process import die_with_parent, stopping_on_signals
from .testing import MODULE_TESTS, Configuration, _prepare_sqlite, cache_folder
from .tryton import (
    MODULE, ROOT, SOURCES_VARIABLE, Tryton, environment, sources_hash)

__all__ = ['Mutant', 'read_mutants']

LIST = ROOT / 'tests' / 'mutants.md'
FOLDERS = [MODULE, 'orthanc_plugin', 'scripts', 'sao_custom']
SUFFIXES = {'.js', '.lua', '.py', '.sh', '.xml'}
TIMEOUT = 20 * 60
# pytest: tests were collected and run but some of them failed
TESTS_FAILED = 1
# Lets the copy be imported in place of what the environment has installed
_CUSTOMIZE = """\
import sys
for name, module in list(sys.modules.items()):
    if name.startswith('__editable__'):
        module.MAPPING = {
            key: value.replace(%(root)r, %(copy)r, 1)
            for key, value in module.MAPPING.items()}
"""

_SECTION = re.compile(
    r'^## (?P<number>\d+)\. (?P<title>.+?)\n(?P<body>.*?)(?=^## |\Z)',
    re.M | re.S)
_DIFF = re.compile(r'^```diff\n(.*?)^```$', re.M | re.S)


@dataclass(frozen=True)
class Mutant:
    """A change of the product that tests have to notice.

    Attributes
    ----------
    old, new
        What is written, and what it is replaced by.
    tests
        Paths of the files of tests, which may be in another folder by now.
    """
    number: int
    title: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds the old text, however its lines are broken."""
        return re.compile(r'\s+'.join(map(re.escape, self.old.split())))


def read_mutants(text: str) -> Iterator[Mutant]:
    """Yield the mutants of a list.

    Raises
    ------
    ValueError
        A section is not as the others.
    """
    for section in _SECTION.finditer(text):
        number, body = int(section['number']), section['body']
        diff = _DIFF.search(body)
        tests = re.search(r'^Tests?: (.+(?:\n(?!\n).+)*)', body, re.M)
        if not diff or not tests:
            raise ValueError(f"mutant {number} lacks a change or tests")
        lines = diff[1].splitlines()
        yield Mutant(
            number, section['title'],
            '\n'.join(line[1:] for line in lines if line.startswith('-')),
            '\n'.join(line[1:] for line in lines if line.startswith('+')),
            tuple(re.findall(r'`(tests/[^`]+)`', tests[1])))


# --- The copy -----------------------------------------------------------

def product_files(root: Path = ROOT) -> list[Path]:
    """Return the sources of the product."""
    return sorted(
        path for folder in FOLDERS for path in (root / folder).rglob('*')
        if path.suffix in SUFFIXES)


def _apply(mutant: Mutant, root: Path) -> list[Path]:
    """Change the files below `root` that hold the old text, and return them.

    Raises
    ------
    ValueError
        The text is in no file, in too many, or more than once in one.
    """
    changed = []
    for path in product_files(root):
        text = path.read_text(encoding='utf-8')
        found = mutant.pattern.findall(text)
        if len(found) > 1:
            raise ValueError(
                f"mutant {mutant.number} is {len(found)} times in "
                f"{path.relative_to(root)}")
        if found:
            path.write_text(
                mutant.pattern.sub(lambda _: mutant.new, text),
                encoding='utf-8')
            changed.append(path)
    if len(changed) != 1 and not _is_built(changed, root):
        raise ValueError(
            f"mutant {mutant.number} is in {len(changed)} files")
    return changed


def _is_built(paths: Sequence[Path], root: Path) -> bool:
    """Return whether one of two files is built from the other one."""
    sources = [
        path for path in paths if 'src' in path.relative_to(root).parts]
    folders = {path.relative_to(root).parts[0] for path in paths}
    return len(paths) == 2 and len(sources) == 1 and len(folders) == 1


def _copy(folder: Path) -> Path:
    """Return a copy of the repository as it is, without what git ignores."""
    names = subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others',
            '--exclude-standard'],
        cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    copy = folder / 'copy'
    for name in map(os.fsdecode, filter(None, names.split(b'\0'))):
        if (ROOT / name).is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return copy


def _find_tests(paths: Sequence[str]) -> list[str]:
    """Return paths of tests, of those that have moved the new ones."""
    found = []
    for path in paths:
        file, *name = path.split('::', 1)
        if not (ROOT / file).exists():
            new, = (ROOT / 'tests').rglob(Path(file).name)
            file = str(new.relative_to(ROOT))
        found.append('::'.join([file, *name]))
    return found


# --- Running ------------------------------------------------------------

@dataclass(frozen=True)
class Result:
    """How a run of tests ended.

    Attributes
    ----------
    state
        ``caught``, ``survived`` or ``error``: the tests could not be run.
    test
        The first that failed.
    """
    state: str
    test: str
    seconds: float
    output: str


def _run(mutant: Mutant | None, tests: Sequence[str]) -> Result:
    """Run tests in a copy of the repository with a change in it."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='mutant-') as name:
        folder = Path(name)
        copy = _copy(folder)
        changed = _apply(mutant, copy) if mutant else []
        variables = {
            'DEV_CACHE': str(_private_cache(folder / 'cache')),
            'PYTHONPATH': str(_customize(folder / 'customize', copy)),
            'PYTHONDONTWRITEBYTECODE': '1',
            }
        if all(path.suffix == '.py' for path in changed):
            # The database is the same as that of the original
            variables[SOURCES_VARIABLE] = sources_hash()
        process = subprocess.Popen(
            [sys.executable, '-m', 'devtools.mutants', '--run-tests',
                *_find_tests(tests)],
            cwd=copy, env={**environment(), **variables},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
            preexec_fn=die_with_parent())
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        finally:
            # A mutant may leave behind what never ends
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    failed = re.search(
        r'^(?:SUBFAIL\S*|FAILED|ERROR)\b.*?(tests/\S+)', output, re.M)
    state = {0: 'survived', TESTS_FAILED: 'caught'}.get(
        process.returncode, 'error')
    return Result(
        state, failed[1] if failed else '', time.monotonic() - start, output)


def _customize(folder: Path, copy: Path) -> Path:
    folder.mkdir()
    (folder / 'sitecustomize.py').write_text(
        _CUSTOMIZE % {'root': str(ROOT), 'copy': str(copy)})
    return folder


def _private_cache(folder: Path) -> Path:
    """Return a folder that shows what is prepared, and keeps what is made.

    A database that a mutant has made must not be taken for a good one.
    """
    folder.mkdir()
    for path in cache_folder().resolve().iterdir():
        if not path.name.startswith('lock-'):
            (folder / path.name).symlink_to(path)
    return folder


def _run_tests(paths: Sequence[str]) -> int:
    """Run tests until the first fails; those of the module on SQLite."""
    module = [
        path for path in paths
        if (ROOT / path.partition('::')[0]).is_relative_to(MODULE_TESTS)]
    others = [path for path in paths if path not in module]
    if others and (code := _call_pytest(others)):
        return code
    if not module:
        return 0
    with tempfile.TemporaryDirectory(prefix='module-tests-') as folder:
        variables = _prepare_sqlite(Configuration('sqlite'), Path(folder))
        return _call_pytest(module, TEST_EXTRAS='', **variables)


def _call_pytest(paths: Sequence[str], **variables: str) -> int:
    return subprocess.run(
        [sys.executable, '-m', 'pytest', '-x', '-q', '-p', 'no:cacheprovider',
            *paths],
        cwd=ROOT, env={**environment(), **variables},
        preexec_fn=die_with_parent()).returncode


# --- The command --------------------------------------------------------

def _prepare() -> None:
    """Make the database of the unchanged module, unless there is one."""
    with tempfile.TemporaryDirectory(prefix='mutants-') as folder:
        Tryton(Path(folder)).create([MODULE], cache_folder())


def _check_unchanged(mutants: Sequence[Mutant]) -> bool:
    """Run the tests of mutants without any, and tell whether they pass."""
    tests = dict.fromkeys(test for m in mutants for test in m.tests)
    result = _run(None, list(tests))
    print(
        f'unchanged: {result.state} in {result.seconds:.0f} s {result.test}',
        flush=True)
    if result.state != 'survived':
        print(result.output)
    return result.state == 'survived'


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='python -m devtools.mutants', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'numbers', nargs='*', type=int, metavar='NUMBER',
        help="of the mutants, by default all")
    parser.add_argument(
        '--find', action='store_true',
        help="only find them, and print the file of each")
    parser.add_argument(
        '--unchanged', action='store_true',
        help="first run their tests without a mutant: they have to pass")
    parser.add_argument(
        '-v', '--verbose', action='store_true',
        help="print what the tests print if they do not fail")
    parser.add_argument(
        '--run-tests', nargs='+', metavar='PATH', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run_tests:
        return _run_tests(options.run_tests)
    mutants = [
        mutant for mutant in read_mutants(LIST.read_text(encoding='utf-8'))
        if not options.numbers or mutant.number in options.numbers]
    if options.find:
        return _find(mutants)
    _prepare()
    if options.unchanged and not _check_unchanged(mutants):
        return 1
    states = []
    for mutant in mutants:
        result = _run(mutant, mutant.tests)
        states.append(result.state)
        print(
            f'{mutant.number:3} {result.state:9} {result.seconds:4.0f} s  '
            f'{mutant.title}  {result.test}', flush=True)
        if result.state != 'caught' and options.verbose:
            print(result.output)
    caught = states.count('caught')
    print(f'{caught} of {len(states)} caught')
    return 0 if caught == len(states) else 1


def _find(mutants: Sequence[Mutant]) -> int:
    with tempfile.TemporaryDirectory(prefix='mutants-') as name:
        copy = _copy(Path(name))
        for mutant in mutants:
            files = ', '.join(
                str(path.relative_to(copy)) for path in _apply(mutant, copy))
            print(f'{mutant.number:3} {files}  {mutant.title}')
            _find_tests(mutant.tests)
    return 0


if __name__ == '__main__':
    with stopping_on_signals():
        sys.exit(main())
