# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the files that are installed as one file from their modules.

A built file is the concatenation of its main module and of all modules that
this one imports, in the order in which they depend on each other.  Imports of
the standard library and of other packages come first, each once.
"""
import argparse
import ast
import difflib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import isort

from .tryton import ROOT

__all__ = ['TARGETS', 'BuildError', 'Target', 'build', 'main', 'write']

SPDX = re.compile(r'# SPDX-[A-Za-z-]+: .+')
WIDTH = 72
DEFINITION = re.compile(r'@|(async )?def |class ')


class BuildError(Exception):
    """The modules cannot be joined; the text says which and why."""


@dataclass(frozen=True)
class Target:
    """A file to be built.

    Attributes
    ----------
    path
        Of the built file, below the root of the project.
    main
        Of its main module, which is in a folder with all others.
    executable
        Whether it is a script, which begins with the line of its interpreter.
    """
    path: str
    main: str
    executable: bool = False


TARGETS = [
    Target('orthanc_plugin/health_orthanc.py',
        'orthanc_plugin/src/health_orthanc.py'),
    Target('scripts/sync_orthanc_server.py',
        'scripts/src/sync_orthanc_server.py', executable=True),
    Target('scripts/update_worklists_database.py',
        'scripts/src/update_worklists_database.py', executable=True),
    Target('scripts/health_orthanc_viewer.py',
        'scripts/src/health_orthanc_viewer.py', executable=True),
    ]


class Module:
    """A module taken apart.

    Attributes
    ----------
    spdx
        The lines that name its licence.
    docstring
        Its own, as it is written.
    title
        What the docstring says.
    needed
        The names of the modules beside it that it imports from.
    imports
        Its other imports, as they are written.
    body
        All that follows the imports.
    """

    def __init__(self, path: Path):
        self.path = path
        source = path.read_text(encoding='utf-8')
        lines = source.splitlines()
        self._tree = ast.parse(source, path.name)
        self.spdx = [line for line in lines[:2] if SPDX.fullmatch(line)]
        self.title = ast.get_docstring(self._tree) or ''
        if len(self.spdx) != 2 or not self.title:
            raise BuildError(f"{path.name}: no SPDX lines or no docstring")
        first = self._tree.body[0]
        end = first.end_lineno or first.lineno
        self.docstring = '\n'.join(lines[first.lineno - 1:end])
        self.needed: list[str] = []
        self.imports: list[str] = []
        for node in self._imports():
            if isinstance(node, ast.ImportFrom) and node.level:
                self.needed.append(self._needed(node))
            else:
                self.imports.append(ast.unparse(node))
            end = node.end_lineno or end
        self.body = '\n'.join(lines[end:]).strip('\n')

    def _imports(self) -> Iterator[ast.Import | ast.ImportFrom]:
        kinds = ast.Import, ast.ImportFrom
        others = False
        for node in self._tree.body[1:]:
            if not isinstance(node, kinds):
                others = True
            elif others:
                raise BuildError(
                    f"{self.path.name}: import after other statements, line "
                    f"{node.lineno}")
            else:
                yield node

    def _needed(self, node: ast.ImportFrom) -> str:
        if node.level != 1 or not node.module or '.' in node.module \
                or any(alias.asname or alias.name == '*'
                    for alias in node.names):
            raise BuildError(
                f"{self.path.name}: only names of a module beside it can be "
                f"imported, and as they are: line {node.lineno}")
        return node.module

    def defined(self) -> Iterator[str]:
        """Return the names of its own that are global."""
        for node in self._tree.body:
            if isinstance(node, (
                        ast.AsyncFunctionDef, ast.ClassDef, ast.FunctionDef)):
                yield node.name
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                for part in ast.walk(node):
                    if isinstance(part, ast.Name) and isinstance(
                            part.ctx, ast.Store):
                        yield part.id


def build(target: Target, root: Path = ROOT) -> str:
    """Return what the built file has to hold.

    Raises
    ------
    BuildError
        If the modules import each other in a circle, define a name twice,
        have different licences, or import in a way that cannot be joined.
    """
    modules = _ordered(root / target.main)
    _check(modules)
    main = modules[-1]
    head = ['#!/usr/bin/env python3'] if target.executable else []
    head += main.spdx
    folder = Path(target.main).parent.as_posix()
    head += [
        f"# {_version(root)}",
        f"# Built from {folder} by ./dev build; do not edit"]
    head.append(main.docstring)
    return '\n'.join([*head, _imports(modules)]) + '\n' + '\n\n'.join(
        _section(module, '' if module is main else module.title)
        for module in modules)


def write(target: Target, root: Path = ROOT, folder: Path | None = None
        ) -> bool:
    """Write the built file; return whether that has changed it.

    Parameters
    ----------
    folder
        Where to write it below, if not below the root itself.
    """
    path = (folder or root) / target.path
    content = build(target, root).encode()
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if target.executable:
        path.chmod(0o755)
    return True


def _ordered(main: Path) -> list[Module]:
    """Return the module and all that it needs, those needed first."""
    done: dict[str, Module] = {}
    begun: list[str] = []

    def add(name: str) -> None:
        if name in done:
            return
        if name in begun:
            raise BuildError(
                f"circular imports: {' -> '.join([*begun, name])}")
        begun.append(name)
        module = Module(main.with_name(f'{name}.py'))
        for needed in module.needed:
            add(needed)
        begun.pop()
        done[name] = module

    add(main.stem)
    return list(done.values())


def _check(modules: Sequence[Module]) -> None:
    owners: dict[str, str] = {}
    for module in modules:
        if module.spdx != modules[-1].spdx:
            raise BuildError(
                f"{module.path.name}: not the licence of the built file")
        for name in set(module.defined()):
            other = owners.setdefault(name, module.path.name)
            if other != module.path.name:
                raise BuildError(
                    f"{name} is defined in {other} and {module.path.name}")
    future = {
        any('__future__' in line for line in module.imports)
        for module in modules}
    if len(future) > 1:
        raise BuildError(
            "some modules import from __future__, and some do not")


def _imports(modules: Sequence[Module]) -> str:
    lines = {line for module in modules for line in module.imports}
    # What the style check of the project compares with
    return isort.code(
        '\n'.join(sorted(lines)) + '\n',
        config=isort.Config(settings_path=str(ROOT)))


def _section(module: Module, title: str) -> str:
    lines = [f'# --- {module.path.stem} '.ljust(WIDTH, '-')]
    lines += [f'# {line}'.rstrip() for line in title.splitlines()]
    lines.append('')
    if DEFINITION.match(module.body):
        # As PEP 8 asks for
        lines.append('')
    return '\n'.join([*lines, module.body, ''])


def _version(root: Path) -> str:
    """Return name and version of the distribution."""
    text = (root / 'pyproject.toml').read_text(encoding='utf-8')
    found = [
        re.search(rf'^{key} = "([^"]+)"$', text, re.M)
        for key in ['name', 'version']]
    if not all(found):
        raise BuildError("pyproject.toml: no name or version")
    return ' '.join(match[1] for match in found if match)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog='./dev build', description=__doc__.splitlines()[0])
    parser.add_argument(
        '--check', action='store_true',
        help="write nothing; show what differs and end with 1 if anything "
        "does")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            return _show_differences()
        for target in TARGETS:
            state = "written" if write(target) else "up to date"
            print(f"{target.path}: {state}")
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    return 0


def _show_differences() -> int:
    code = 0
    for target in TARGETS:
        path = ROOT / target.path
        found = path.read_text(encoding='utf-8') if path.exists() else ''
        lines = list(difflib.unified_diff(
                found.splitlines(keepends=True),
                build(target).splitlines(keepends=True),
                target.path, f'{target.path} (built)'))
        sys.stdout.writelines(lines)
        code = code or bool(lines)
    return int(code)


if __name__ == '__main__':
    sys.exit(main())
