# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build of ``sao_custom/custom.js`` from the modules in ``sao_custom/src``.

The modules are joined into one function, for the web client loads one script.
Imports and the word ``export`` are removed, so all modules share one scope:
they import names as they are called, and no two of them declare the same one.
"""
import argparse
import configparser
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .tryton import MODULE, ROOT

__all__ = ['BUILT', 'SOURCES', 'BuildError', 'build', 'main']

SOURCES = ROOT / 'sao_custom' / 'src'
BUILT = ROOT / 'sao_custom' / 'custom.js'
ENTRY = 'custom.mjs'

_HEADER = """\
/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later

   health_orthanc {version} for Tryton's web client
   License: GNU General Public License, version 3 or later

   Built from sao_custom/src by ./dev build; do not edit. */
(function() {{
'use strict';
"""
_FOOTER = '}());\n'
_LICENSE = re.compile(
    r'\A/\* SPDX-FileCopyrightText: [^*]*'
    r'SPDX-License-Identifier: GPL-3\.0-or-later \*/\n+')
_IMPORT = re.compile(
    r"^import \{(\s*\w+(?:,\s*\w+)*,?\s*)\} "
    r"from '(\.{1,2}/[\w./]+\.mjs)';\n", re.MULTILINE)
_DECLARATION = re.compile(
    r'^(export )?(?:const|let|class|(?:async )?function\*?) (\w+)',
    re.MULTILINE)
# What is left of imports and exports in another form
_UNKNOWN = re.compile(r'^(?:import|export)\b.*', re.MULTILINE)


class BuildError(Exception):
    """The modules cannot be joined."""


class _Module:
    """A module, taken apart."""

    def __init__(self, folder: Path, path: Path):
        self.name = path.relative_to(folder).as_posix()
        text = path.read_text(encoding='utf-8')
        self.declared = [name for _, name in _DECLARATION.findall(text)]
        self.exported = {
            name for export, name in _DECLARATION.findall(text) if export}
        self.imports = {
            (path.parent / target).resolve().relative_to(
                folder.resolve()).as_posix(): re.findall(r'\w+', names)
            for names, target in _IMPORT.findall(text)}
        if not _LICENSE.match(text):
            raise BuildError(f"{self.name}: the SPDX header is missing")
        self.code = self._strip(text)

    def _strip(self, text: str) -> str:
        text = _IMPORT.sub('', _LICENSE.sub('', text))
        text = _DECLARATION.sub(
            lambda match: match[0].removeprefix('export '), text)
        unknown = _UNKNOWN.search(text)
        if unknown:
            raise BuildError(f"{self.name}: not supported: {unknown[0]}")
        # Without the gap where the imports were
        return re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'


def build(folder: Path) -> str:
    """Return the script that the modules below a folder are joined to.

    It depends on nothing but the modules and the version of health_orthanc.

    Parameters
    ----------
    folder
        The folder with ``custom.mjs``, which imports all other modules,
        directly or not.

    Raises
    ------
    BuildError
        If a module uses a form of ``import`` or ``export`` that cannot be
        removed, imports a name that is not exported, imports itself in a
        circle, is imported by none, or declares a name of another one.
    """
    modules = {
        module.name: module for module in (
            _Module(folder, path) for path in sorted(folder.rglob('*.mjs')))}
    _check_names(modules)
    order = list(_sort(modules, ENTRY, []))
    unused = sorted(modules.keys() - order)
    if unused:
        raise BuildError(f"not imported: {', '.join(unused)}")
    parts = [_HEADER.format(version=_version())]
    for name in order:
        parts.append(f'// --- {name}\n\n{modules[name].code}')
    return '\n'.join([*parts, _FOOTER])


def _check_names(modules: dict[str, _Module]) -> None:
    owners: dict[str, str] = {}
    for module in modules.values():
        for name in module.declared:
            if name in owners:
                raise BuildError(
                    f"{name} is declared in {owners[name]} and {module.name}")
            owners[name] = module.name
        for target, names in module.imports.items():
            if target not in modules:
                raise BuildError(f"{module.name}: no module {target}")
            for name in names:
                if name not in modules[target].exported:
                    raise BuildError(
                        f"{module.name}: {target} does not export {name}")


def _sort(modules: dict[str, _Module], name: str, parents: list[str],
        done: set[str] | None = None) -> Iterator[str]:
    """Yield a module after all those that it imports."""
    done = set() if done is None else done
    if name in parents:
        raise BuildError(
            f"circular import: {' → '.join([*parents, name])}")
    if name in done:
        return
    for target in modules[name].imports:
        yield from _sort(modules, target, [*parents, name], done)
    done.add(name)
    yield name


def _version() -> str:
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / MODULE / 'tryton.cfg', encoding='utf-8')
    return configuration['tryton']['version']


def main(arguments: list[str] | None = None) -> int:
    """Write ``sao_custom/custom.js``, or only check that it is fresh.

    Returns
    -------
    int
        The exit status: 1 if a check has failed.
    """
    parser = argparse.ArgumentParser(description=main.__doc__.split('\n')[0])
    parser.add_argument(
        '--check', action='store_true',
        help="change nothing; fail unless the file is fresh")
    options = parser.parse_args(arguments)
    built = build(SOURCES).encode()
    if options.check:
        if BUILT.read_bytes() == built:
            return 0
        print(f"{BUILT}: not fresh, run ./dev build", file=sys.stderr)
        return 1
    BUILT.write_bytes(built)
    return 0


if __name__ == '__main__':
    sys.exit(main())
