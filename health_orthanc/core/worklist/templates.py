# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of worklist entries: Genshi's text templates, with bounds.

A template reads values and writes text.  It runs no Python of its own, opens
nothing, and ends.  What it inserts is masked: until the text has been parsed
(`dump.parse_dump`, `dump.parse_json`) brackets, quotes and the like of a
value stand for themselves in no grammar, so no value can end its field.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from genshi.core import TEXT
from genshi.template import (
    Context, NewTextTemplate, TemplateRuntimeError, TemplateSyntaxError)
from genshi.template.base import EXPR, SUB, BadDirectiveError
from genshi.template.directives import (
    ChooseDirective, ForDirective, IfDirective, OtherwiseDirective,
    WhenDirective, WithDirective)
from genshi.template.eval import Expression

from .expressions import Refused, argument_of, free_names
from .safety import SAFE_CHARACTERS
from .template_lines import Lines, TemplateError

__all__ = [
    'Template', 'TemplateError', 'UNKNOWN', 'compile_template',
    'render_text', 'unmask']

# Stands for a value that only a record has, where a template is checked
UNKNOWN = '\ufdef'
_MASKED = '[]()#="{}:,\\'
_MASKS = {ord(c): 0xfdd0 + i for i, c in enumerate(_MASKED)}
_INSERTED = SAFE_CHARACTERS | _MASKS | {ord(UNKNOWN): UNKNOWN}
_UNMASKS = {mask: character for character, mask in _MASKS.items()}
_CONTROLS = re.compile(
    '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff'
    '\ufdd0-\ufdef\ufffe\uffff]')

LONGEST_SOURCE = 100_000
LONGEST_RESULT = 200_000
LONGEST_VALUE = 20_000
_ROUNDS = 10_000
_BUDGET = '_budget'
_SIMPLE = (IfDirective, ChooseDirective, WhenDirective, OtherwiseDirective)
# What an expression may do with values that do not suit it
_WRONG = (
    ArithmeticError, AttributeError, LookupError, TemplateRuntimeError,
    TypeError, ValueError)


def unmask(text: str) -> str:
    "Return what was inserted as it was"
    if text.isascii():
        return text
    return text.translate(_UNMASKS)


class Template:
    """A template that has been checked

    Attributes
    ----------
    source : str
    names : frozenset of str
        The variables that it reads.
    """

    def __init__(self, source: str):
        if len(source) > LONGEST_SOURCE:
            raise TemplateError('template_length')
        source = source.replace('\r\n', '\n').replace('\r', '\n')
        _check_characters(source)
        self.source = source
        self._lines = Lines(source)
        self._lines.check()
        self._names: set[str] = set()
        self._text = self._parse()
        self._text.stream[:] = [
            self._guard(event, frozenset()) for event in self._text.stream]
        self.names = frozenset(self._names)

    def _parse(self) -> NewTextTemplate:
        try:
            template = NewTextTemplate(self.source, allow_exec=False)
            template.stream
        except TemplateSyntaxError as error:
            raise TemplateError('template_syntax', error.lineno) from None
        except (BadDirectiveError, AttributeError, IndexError, MemoryError,
                RecursionError, SyntaxError, TypeError, ValueError):
            # Genshi does not expect every mistake
            raise TemplateError('template_syntax') from None
        return template

    def _guard(self, event: tuple, local: frozenset[str]) -> tuple:
        kind, data, position = event
        if kind is EXPR:
            return kind, _Inserted(*self._check(data, local)), position
        if kind is SUB:
            directives, events = data
            for directive in directives:
                local = self._guard_directive(directive, local)
            events = [self._guard(one, local) for one in events]
            return kind, (directives, events), position
        if kind is not TEXT:
            raise TemplateError('template_python', None, str(kind).lower())
        return event

    def _guard_directive(
            self, directive: object, local: frozenset[str]) -> frozenset[str]:
        if isinstance(directive, ForDirective):
            # Genshi puts iter() around it
            directive.expr = _Counted(
                *self._check(directive.expr, local, is_loop=True))
            return local | _targets(
                [directive.assign], directive.expr.line)
        if isinstance(directive, WithDirective):
            for index, (targets, expression) in enumerate(directive.vars):
                # Genshi keeps no source of it
                code = ast.unparse(expression.ast)
                bounded = _Bounded(*self._check(expression, local, code))
                directive.vars[index] = targets, bounded
                local |= _targets(targets, bounded.line)
            return local
        if isinstance(directive, _SIMPLE):
            if directive.expr is not None:
                directive.expr = _Checked(*self._check(directive.expr, local))
            return local
        raise TemplateError(
            'template_python', None, getattr(directive, 'tagname', ''))

    def _check(
            self, expression: Expression, local: frozenset[str],
            code: str | None = None,
            is_loop: bool = False) -> tuple[Expression, str, int | None]:
        code = code or expression.source
        tree, line = expression.ast, self._lines.get(code)
        try:
            if is_loop:
                tree = argument_of('iter', tree)
            names = free_names(tree)
        except Refused as refused:
            raise TemplateError(
                refused.kind, line, refused.detail) from None
        self._names |= names - local
        return expression, code, line

    def line_of(self, name: str) -> int | None:
        "Return where a variable stands first"
        return self._lines.find(name)

    def generate(self, data: dict[str, object]) -> Iterator[str]:
        context = Context()
        context.push({**data, _BUDGET: [_ROUNDS]})
        try:
            for kind, text, _ in self._text.generate(context):
                yield text
        except TemplateError:
            raise
        except _WRONG:
            raise TemplateError('template_value') from None


class _Checked:
    "An expression whose failure is told by its place"
    __slots__ = ('_expression', 'line', 'source')

    def __init__(
            self, expression: Expression, source: str, line: int | None):
        self._expression = expression
        self.source = source
        self.line = line

    def evaluate(self, context: Context) -> object:
        try:
            return self._expression.evaluate(context)
        except _WRONG:
            raise self._error('template_value') from None

    def _error(self, kind: str) -> TemplateError:
        return TemplateError(kind, self.line, self.source)


class _Bounded(_Checked):
    "The value of a ``with``, which may be built upon"

    def evaluate(self, context: Context) -> object:
        value = super().evaluate(context)
        if _exceeds(value):
            raise self._error('template_length')
        return value


class _Counted(_Checked):
    "What a ``for`` goes through; all rounds of a rendering count"

    def evaluate(self, context: Context) -> Iterator[object]:
        return self._count(super().evaluate(context), context.get(_BUDGET))

    def _count(
            self, values: Iterator[object],
            budget: list[int]) -> Iterator[object]:
        for value in values:
            budget[0] -= 1
            if budget[0] < 0:
                raise self._error('template_length')
            yield value


class _Inserted(_Checked):
    "An expression whose value is written into the text"

    def evaluate(self, context: Context) -> str:
        text = _written(super().evaluate(context))
        if text is None:
            raise self._error('template_value')
        if len(text) > LONGEST_VALUE:
            raise self._error('template_length')
        return text.translate(_INSERTED)


def _written(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if value is None:
        return ''
    if isinstance(value, list | tuple):
        parts = [
            None if isinstance(one, list | tuple) else _written(one)
            for one in value]
        return None if None in parts else '\\'.join(filter(None, parts))
    # Views of records tell their names; methods and the like have none
    if isinstance(value, int | float) or (
            type(value).__str__ is not object.__str__):
        return str(value)
    return None


def _exceeds(value: object) -> bool:
    left, count = [value], 0
    while left and count <= LONGEST_VALUE:
        value = left.pop()
        if isinstance(value, str):
            count += len(value)
        elif isinstance(value, list | tuple):
            count += len(value)
            left.extend(value)
    return count > LONGEST_VALUE


class _Anything:
    "Gives itself for each of its items"

    def __getitem__(self, index: int) -> '_Anything':
        return self


def _targets(
        assignments: list[Callable], line: int | None) -> set[str]:
    "Return the names that Genshi's assignments bind"
    frame: dict[str, object] = {}
    for assign in assignments:
        assign(frame, _Anything())
    for name in frame:
        if name is None or name.startswith('_'):
            raise TemplateError('template_name', line, name or '')
    return set(frame)


def _check_characters(source: str) -> None:
    found = _CONTROLS.search(source)
    if found:
        line = source.count('\n', 0, found.start()) + 1
        raise TemplateError(
            'template_character', line, f'U+{ord(found.group()):04X}')


@lru_cache(maxsize=128)
def compile_template(source: str) -> Template:
    """Return a template to render many times.

    Raises
    ------
    TemplateError
        The template does not parse, runs Python, includes, defines
        functions, or reaches what it is not given.
    """
    return Template(source)


def render_text(
        template: Template, variables: Mapping[str, str],
        my: object = None) -> str:
    """Return the text of a template, inserted values masked.

    Parameters
    ----------
    variables : mapping
        Safe text by name.
    my : object, optional
        A view of the request that shows no more than templates may read.

    Raises
    ------
    TemplateError
        A variable is unknown, a value cannot be written or the text is too
        long.
    """
    data = {**variables, 'my': my}
    for name in sorted(template.names - data.keys()):
        raise TemplateError(
            'template_name', template.line_of(name), name)
    parts: list[str] = []
    size = 0
    for text in template.generate(data):
        size += len(text)
        if size > LONGEST_RESULT:
            raise TemplateError('template_length')
        parts.append(text)
    return ''.join(parts)
