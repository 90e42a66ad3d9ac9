# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things stand in a template."""

import ast
import re

from genshi.template import TemplateSyntaxError
from genshi.template.interpolation import lex

from .expressions import Refused, free_names

__all__ = ['Lines', 'TemplateError']


class TemplateError(ValueError):
    """A template that cannot be used, or its result

    Attributes
    ----------
    kind : str
        ``'template_…'`` for the template, ``'result_…'`` for what came of it.
    line : int or None
        From 1, in the template or in the result.
    detail : str
        A name, tag or piece of the template.
    """

    def __init__(
            self, kind: str, line: int | None = None, detail: str = ''):
        super().__init__(kind, line, detail)
        self.kind = kind
        self.line = line
        self.detail = detail


_PIECE = re.compile(
    r'(?<!\\)\{%\s*(\w+)\s*(.*?)\s*%\}|(?<!\\)\{#.*?#\}', re.DOTALL)
_OPEN = re.compile(r'(?<!\\)\{[%#]')
_ESCAPE = re.compile(r'\\(?:\\|(?=\{[%#])|(?=\n))')


_CASES = {'when', 'otherwise'}
_ALONE = {'choose', 'otherwise'}
# They run what they like, or without end
_REFUSED = {'python', 'include', 'def'}
_DIRECTIVES = {*_CASES, 'choose', 'for', 'if', 'with'}


class Lines:
    """The lines of the expressions of a template

    Genshi counts them in its own way once there are directives.
    """

    def __init__(self, source: str):
        self._source = source
        self._where: dict[str, int] = {}

    def get(self, code: str) -> int | None:
        return self._where.get(code.strip())

    def find(self, name: str) -> int | None:
        for code, line in self._where.items():
            if re.search(rf'\b{re.escape(name)}\b', code):
                return line
        return None

    def check(self) -> None:
        """Find all expressions.

        Raises
        ------
        TemplateError
            One of them is no Python, or a directive has no end.
        """
        end, line, opened = 0, 1, []
        for piece in _PIECE.finditer(self._source):
            self._check_text(self._source[end:piece.start()], line)
            line += self._source.count('\n', end, piece.start())
            command, value = piece.groups()
            if command == 'end':
                if not opened:
                    raise TemplateError('template_syntax', line, 'end')
                opened.pop()
            elif command:
                self._check_directive(command, value, line)
                if command in _CASES and (
                        not opened or opened[-1][0] != 'choose'):
                    raise TemplateError('template_syntax', line, command)
                opened.append((command, line))
            line += piece.group().count('\n')
            end = piece.end()
        self._check_text(self._source[end:], line)
        if opened:
            command, line = opened.pop()
            raise TemplateError('template_syntax', line, command)

    def _check_text(self, text: str, line: int) -> None:
        found = _OPEN.search(text)
        if found:
            line += text.count('\n', 0, found.start())
            raise TemplateError('template_syntax', line, found.group())
        # Without taking away line ends
        text = _ESCAPE.sub(' ', text)
        try:
            for is_expression, chunk in lex(text, [None, line, 0], None):
                if is_expression and chunk:
                    self._check_code(chunk.strip(), line)
                line += chunk.count('\n')
        except TemplateSyntaxError:
            raise TemplateError('template_syntax', line, '${') from None

    def _check_directive(self, command: str, value: str, line: int) -> None:
        if command in _REFUSED:
            raise TemplateError('template_python', line, command)
        if command not in _DIRECTIVES or not value and command not in _ALONE:
            raise TemplateError('template_syntax', line, command)
        if command == 'for':
            loop = self._parse(f'for {value}: pass', line).body[0]
            self._check_code(ast.unparse(loop.iter), line)
            iterated = value.partition(' in ')[2].strip()
            self._where.setdefault(f'iter({iterated})', line)
        elif command == 'with':
            for statement in self._parse(value, line).body:
                if not isinstance(statement, ast.Assign):
                    raise TemplateError('template_syntax', line, value)
                self._check_code(ast.unparse(statement.value), line)
        elif value:
            self._check_code(value, line)

    def _check_code(self, code: str, line: int) -> None:
        tree = self._parse(code, line, 'eval')
        try:
            free_names(tree)
        except Refused as refused:
            raise TemplateError(refused.kind, line, refused.detail) from None
        self._where.setdefault(code, line)

    def _parse(self, code: str, line: int, mode: str = 'exec') -> ast.AST:
        try:
            return ast.parse(code, mode=mode)
        except (MemoryError, RecursionError, SyntaxError, ValueError):
            raise TemplateError('template_syntax', line, code) from None
