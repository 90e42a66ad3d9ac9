# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist templates: Genshi's text templates with limits.

A template reads values and writes text.  It runs no Python code of its own,
opens nothing, and always ends.  This file is ordered as a template passes
through it: the lines of the source, compiling, evaluating, rendering.  Its
expressions are evaluated by `expressions`.

All checks are made once, when a template is compiled.  What is inserted is
masked: until the text has been parsed (`dump.parse_dump`,
`dump.parse_json`), each bracket, quote or other delimiter in a value is
replaced by a noncharacter of Unicode, so that no value can end its field.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from genshi.core import TEXT
from genshi.template import (
    Context, NewTextTemplate, TemplateRuntimeError, TemplateSyntaxError)
from genshi.template.base import EXPR, SUB, BadDirectiveError
from genshi.template.directives import (
    ChooseDirective, ForDirective, IfDirective, OtherwiseDirective,
    WhenDirective, WithDirective)
from genshi.template.eval import Expression
from genshi.template.interpolation import lex

from .element_values import SAFE_CHARACTERS
from .expressions import MAX_VALUE, Budget, Exceeded, evaluate, read_names
from .template_error import TemplateError, Unreachable

__all__ = [
    'BUDGET', 'Template', 'TemplateError', 'UNKNOWN', 'compile_template',
    'mask', 'render_text', 'unmask']

# A value that only a record has, where a template is checked without one
UNKNOWN = '\ufdef'
# In characters
_MAX_SOURCE = 100_000
_MAX_RESULT = 200_000
# Of one expression or directive; white space in it
_MAX_PIECE = 4_000
_MAX_SPACE = 200
# Directives within each other
_MAX_DEPTH = 30


# --- The lines of the source ---------------------------------------------

_PIECE = re.compile(
    r'(?<!\\)\{%\s*(\w+)\s*(.*?)\s*%\}|(?<!\\)\{#.*?#\}', re.DOTALL)
_OPENING = re.compile(r'(?<!\\)\{[%#]')
_SPACE = re.compile(r'\s{%d}' % _MAX_SPACE)
_ESCAPE = re.compile(r'\\(?:\\|(?=\{[%#])|(?=\n))')
_CASES = {'when', 'otherwise'}
_WITHOUT_VALUE = {'choose', 'otherwise'}
# They run any code, or without end
_REFUSED = {'python', 'include', 'def'}
_DIRECTIVES = {*_CASES, 'choose', 'for', 'if', 'with'}
_CONTROLS = re.compile(
    '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff'
    '\ufdd0-\ufdef\ufffe\uffff]')


def _check_characters(source: str) -> None:
    found = _CONTROLS.search(source)
    if found:
        line = source.count('\n', 0, found.start()) + 1
        raise TemplateError(
            'template_character', line, f'U+{ord(found.group()):04X}')


class _Lines:
    """The line of each expression, by its code

    Genshi's own numbers are wrong behind directives, and its errors name no
    expression: mistakes are found here first.
    """

    def __init__(self, source: str):
        self._source = source
        self._lines: dict[str, int] = {}
        self._scan()

    def get(self, code: str) -> int | None:
        return self._lines.get(code.strip())

    def find(self, name: str) -> int | None:
        for code, line in self._lines.items():
            if re.search(rf'\b{re.escape(name)}\b', code):
                return line
        return None

    def _scan(self) -> None:
        self._check_pieces()
        end, line = 0, 1
        # Directives that have no end yet, and their lines
        opened: list[tuple[str, int]] = []
        for piece in _PIECE.finditer(self._source):
            self._scan_text(self._source[end:piece.start()], line)
            line += self._source.count('\n', end, piece.start())
            command, value = piece.groups()
            if command == 'end':
                if not opened:
                    raise TemplateError('template_syntax', line, 'end')
                opened.pop()
            elif command:
                self._scan_directive(command, value, line)
                if command in _CASES and (
                        not opened or opened[-1][0] != 'choose'):
                    raise TemplateError('template_syntax', line, command)
                opened.append((command, line))
                if len(opened) > _MAX_DEPTH:
                    raise TemplateError('template_length', line)
            line += piece.group().count('\n')
            end = piece.end()
        self._scan_text(self._source[end:], line)
        if opened:
            command, line = opened.pop()
            raise TemplateError('template_syntax', line, command)

    def _check_pieces(self) -> None:
        """Check that each directive and comment is closed and short.

        Otherwise the patterns, which are Genshi's too, take very long.
        """
        source = self._source
        found = _OPENING.search(source)
        while found:
            start = found.start()
            line = source.count('\n', 0, start) + 1
            end = source.find(
                '%}' if found.group() == '{%' else '#}', found.end())
            if end < 0:
                raise TemplateError('template_syntax', line, found.group())
            if found.group() == '{%' and (
                    end - start > _MAX_PIECE
                    or _SPACE.search(source, start, end)):
                raise TemplateError('template_length', line)
            found = _OPENING.search(source, end + 2)

    def _scan_text(self, text: str, line: int) -> None:
        found = _OPENING.search(text)
        if found:
            line += text.count('\n', 0, found.start())
            raise TemplateError('template_syntax', line, found.group())
        # Without removing line ends
        text = _ESCAPE.sub(' ', text)
        try:
            for is_expression, chunk in lex(text, [None, line, 0], None):
                if is_expression and chunk:
                    self._add(chunk.strip(), line)
                line += chunk.count('\n')
        except TemplateSyntaxError:
            raise TemplateError('template_syntax', line, '${') from None

    def _scan_directive(self, command: str, value: str, line: int) -> None:
        if command in _REFUSED:
            raise TemplateError('template_python', line, command)
        if command not in _DIRECTIVES or (
                not value and command not in _WITHOUT_VALUE):
            raise TemplateError('template_syntax', line, command)
        if command == 'for':
            loop = _parse_python(f'for {value}: pass', line).body[0]
            self._add(ast.unparse(loop.iter), line)
            iterated = value.partition(' in ')[2].strip()
            self._lines.setdefault(f'iter({iterated})', line)
        elif command == 'with':
            for statement in _parse_python(value, line).body:
                if not isinstance(statement, ast.Assign):
                    raise TemplateError('template_syntax', line, value)
                self._add(ast.unparse(statement.value), line)
        elif value:
            self._add(value, line)

    def _add(self, code: str, line: int) -> None:
        if len(code) > _MAX_PIECE:
            raise TemplateError('template_length', line)
        if code not in self._lines:
            read_names(_parse_python(code, line, 'eval'), line)
            self._lines[code] = line


def _parse_python(code: str, line: int, mode: str = 'exec') -> Any:
    try:
        return ast.parse(code, mode=mode)
    except (MemoryError, RecursionError, SyntaxError, ValueError):
        raise TemplateError('template_syntax', line, code) from None


# --- Compiling -----------------------------------------------------------

_CONDITIONS = (
    IfDirective, ChooseDirective, WhenDirective, OtherwiseDirective)


class Template:
    """A compiled template

    Parameters
    ----------
    source : str
        The text that the user has written.

    Attributes
    ----------
    source : str
        The same with the line ends of Unix.
    text : NewTextTemplate
        Genshi's template, with expressions of our own.
    names : frozenset of str
        The variables that it reads.

    Raises
    ------
    TemplateError
        As for `compile_template`.
    """

    def __init__(self, source: str):
        if len(source) > _MAX_SOURCE:
            raise TemplateError('template_length')
        source = source.replace('\r\n', '\n').replace('\r', '\n')
        _check_characters(source)
        self.source = source
        self._lines = _Lines(source)
        self._names: set[str] = set()
        self.text = self._parse()
        self.text.stream[:] = [
            self._limit(event, frozenset()) for event in self.text.stream]
        self.names = frozenset(self._names)

    def _parse(self) -> NewTextTemplate:
        try:
            template = NewTextTemplate(self.source, allow_exec=False)
            template.stream
        except TemplateSyntaxError as error:
            raise TemplateError('template_syntax', error.lineno) from None
        except (BadDirectiveError, AttributeError, IndexError, MemoryError,
                RecursionError, SyntaxError, TypeError, ValueError):
            # Genshi does not handle every mistake
            raise TemplateError('template_syntax') from None
        return template

    def _limit(self, event: tuple, local: frozenset[str]) -> tuple:
        """Replace the expressions of an event of Genshi by our own.

        What Genshi has understood is checked, not what `_Lines` has read.
        """
        kind, data, position = event
        if kind is EXPR:
            return kind, self._insertion(data, local), position
        if kind is SUB:
            directives, events = data
            size = _count_events(events)
            for directive in directives:
                local = self._limit_directive(directive, local, size)
            events = [self._limit(one, local) for one in events]
            return kind, (directives, events), position
        if kind is not TEXT:
            raise TemplateError('template_python', None, str(kind).lower())
        return event

    def _limit_directive(
            self, directive: object, local: frozenset[str],
            size: int) -> frozenset[str]:
        if isinstance(directive, ForDirective):
            # Genshi puts iter() around it
            directive.expr = loop = _Loop(*self._check(
                    directive.expr, local, _iterated))
            targets = _targets([directive.assign], loop.line)
            loop.size = size + len(targets)
            return local | targets
        if isinstance(directive, WithDirective):
            for index, (targets, expression) in enumerate(directive.vars):
                # Genshi keeps no source of it
                limited = _Condition(*self._check(
                        expression, local,
                        source=ast.unparse(expression.ast)))
                directive.vars[index] = targets, limited
                local |= _targets(targets, limited.line)
            return local
        if isinstance(directive, _CONDITIONS):
            if directive.expr is not None:
                directive.expr = _Condition(
                    *self._check(directive.expr, local))
            return local
        raise TemplateError(
            'template_python', None, getattr(directive, 'tagname', ''))

    def _insertion(
            self, expression: Expression,
            local: frozenset[str]) -> '_Insertion':
        return _Insertion(*self._check(expression, local))

    def _check(
            self, expression: Expression, local: frozenset[str],
            part: Callable[[ast.AST], ast.AST | None] = lambda tree: tree,
            source: str = '') -> tuple[ast.AST, str, int | None]:
        source = source or expression.source
        line = self._lines.get(source)
        tree = part(expression.ast)
        if tree is None:
            raise TemplateError('template_python', line, source)
        self._names |= read_names(tree, line) - local
        return tree, source, line

    def find_line(self, name: str) -> int | None:
        """Return the line on which a variable is read first.

        Returns
        -------
        int or None
            From 1; None if the template does not read it.
        """
        return self._lines.find(name)


def _count_events(events: Iterable[tuple]) -> int:
    """Return the number of events, including those of directives."""
    count = 0
    left = [events]
    while left:
        for kind, data, _ in left.pop():
            count += 1
            if kind is SUB:
                left.append(data[1])
    return count


def _iterated(tree: ast.AST) -> ast.AST | None:
    """Return what ``iter`` is called with, if that is the expression."""
    call = getattr(tree, 'body', None)
    if (isinstance(call, ast.Call) and len(call.args) == 1
            and getattr(call.func, 'id', None) == 'iter'):
        return call.args[0]
    return None


class _Item:
    """An item that can be unpacked into any targets"""

    def __getitem__(self, index: int) -> '_Item':
        return self


def _targets(
        assignments: Iterable[Callable], line: int | None) -> set[str]:
    """Return the names that Genshi's assignments bind."""
    frame: dict[str | None, object] = {}
    for assign in assignments:
        assign(frame, _Item())
    names = set()
    for name in frame:
        if name is None or name.startswith('_'):
            raise TemplateError('template_name', line, name or '')
        names.add(name)
    return names


@lru_cache(maxsize=128)
def compile_template(source: str) -> Template:
    """Return a template that can be rendered many times.

    Parameters
    ----------
    source : str
        At most 100,000 characters.

    Raises
    ------
    TemplateError
        The template does not parse, runs Python code, includes files,
        defines functions, or calls what it must not.
    """
    return Template(source)


# --- Evaluating ----------------------------------------------------------
#
# These stand in Genshi's stream in place of its own expressions.

# The variable with the budget; no template can read it
BUDGET = '_budget'
# What expressions raise when a value is not as they expect
_FAILURES = (
    ArithmeticError, AttributeError, LookupError, TemplateRuntimeError,
    TypeError, ValueError)
_TOO_MUCH = (MemoryError, RecursionError)
_DELIMITERS = '[]()#="{}:,\\'
_MASKS = {ord(c): 0xfdd0 + i for i, c in enumerate(_DELIMITERS)}
_MASKED = {mask: character for character, mask in _MASKS.items()}
_INSERTED = SAFE_CHARACTERS | _MASKS | {ord(UNKNOWN): UNKNOWN}


class _Condition:
    """An expression whose errors name its source and line"""
    __slots__ = ('line', 'source', 'tree')

    def __init__(self, tree: ast.AST, source: str, line: int | None):
        self.tree = tree
        self.source = source
        self.line = line

    def evaluate(self, context: Context) -> Any:
        try:
            return evaluate(self.tree, context.get, context[BUDGET])
        except Exceeded as error:
            raise self._error(error.kind) from None
        except _TOO_MUCH:
            raise self._error('template_length') from None
        except Unreachable:
            raise self._error('template_reach') from None
        except _FAILURES:
            raise self._error('template_value') from None

    def _error(self, kind: str) -> TemplateError:
        return TemplateError(kind, self.line, self.source)


class _Loop(_Condition):
    """What a ``for`` iterates over

    Attributes
    ----------
    size : int
        What each iteration costs at least.
    """
    __slots__ = ('size',)
    size: int

    def evaluate(self, context: Context) -> Iterator[object]:
        values = super().evaluate(context)
        if not isinstance(values, str | list | tuple):
            raise self._error('template_value')
        return self._count(values, context[BUDGET])

    def _count(
            self, values: Iterable[object],
            budget: Budget) -> Iterator[object]:
        for value in values:
            try:
                budget.charge(self.size)
            except Exceeded as error:
                raise self._error(error.kind) from None
            yield value


class _Insertion(_Condition):
    """An expression whose value is inserted into the text"""
    __slots__ = ()

    def evaluate(self, context: Context) -> str:
        value = super().evaluate(context)
        text = value if isinstance(value, str) else _to_text(value)
        if text is None:
            raise self._error('template_value')
        if len(text) > MAX_VALUE:
            raise self._error('template_length')
        return mask(text)


def _to_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if value is None:
        return ''
    if isinstance(value, list | tuple):
        parts = [
            None if isinstance(one, list | tuple) else _to_text(one)
            for one in value]
        texts = [part for part in parts if part is not None]
        if len(texts) < len(parts):
            return None
        return '\\'.join(filter(None, texts))
    # Views of records have a text of their own; methods and the like do not
    if isinstance(value, int | float) or (
            type(value).__str__ is not object.__str__):
        return str(value)
    return None


# --- Rendering -----------------------------------------------------------


def render_text(
        template: Template, variables: Mapping[str, str],
        my: object = None, budget: Budget | None = None) -> str:
    """Return the text of a template, inserted values masked.

    Parameters
    ----------
    template : Template
    variables : mapping
        Safe text by name.
    my : object, optional
        A view of the request, restricted to what templates may read.
    budget : Budget, optional
        What the rendering may use.

    Raises
    ------
    TemplateError
        A variable is unknown, a value cannot be written, or the rendering
        needs too much memory or time.
    """
    data = {**variables, 'my': my}
    for name in sorted(template.names - data.keys()):
        raise TemplateError('template_name', template.find_line(name), name)
    parts: list[str] = []
    size = 0
    for text in _generate(template, data, budget or Budget()):
        size += len(text)
        if size > _MAX_RESULT:
            raise TemplateError('template_length')
        parts.append(text)
    return ''.join(parts)


def _generate(
        template: Template, variables: Mapping[str, object],
        budget: Budget) -> Iterator[str]:
    context = Context()
    context.push({**variables, BUDGET: budget})
    try:
        for _, text, _ in template.text.generate(context):
            budget.charge(1 + len(text))
            yield text
    except TemplateError:
        raise
    except Exceeded as error:
        raise TemplateError(error.kind) from None
    except _TOO_MUCH:
        raise TemplateError('template_length') from None
    except _FAILURES:
        raise TemplateError('template_value') from None


def mask(text: str) -> str:
    """Return text as it is inserted into the result of a template."""
    return text.translate(_INSERTED)


def unmask(text: str) -> str:
    """Return text with its delimiters as they were inserted."""
    if text.isascii():
        return text
    return text.translate(_MASKED)
