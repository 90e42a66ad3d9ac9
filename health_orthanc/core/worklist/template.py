# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist templates: Genshi's text templates with limits.

A template reads values and writes text.  It runs no Python code of its own,
opens nothing, and always ends.  This file is ordered as a template passes
through it: errors, the Python that expressions may use, the lines of the
source, compiling, evaluating, rendering.

All checks are made once, when a template is compiled.  What is inserted is
masked: until the text has been parsed (`dump.parse_dump`,
`dump.parse_json`), each bracket, quote or other delimiter in a value is
replaced by a noncharacter of Unicode, so that no value can end its field.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

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

__all__ = [
    'Template', 'TemplateError', 'UNKNOWN', 'compile_template',
    'render_text', 'unmask']

# A value that only a record has, where a template is checked without one
UNKNOWN = '\ufdef'
# In characters
_MAX_SOURCE = 100_000
_MAX_RESULT = 200_000
_MAX_VALUE = 20_000
# Iterations of all loops of one rendering together
_MAX_ITERATIONS = 10_000
# Nodes of one expression
_MAX_NODES = 400
# Characters to which a value may be padded
_MAX_WIDTH = 64


class TemplateError(ValueError):
    """A template, or the text rendered from it, that cannot be used

    Attributes
    ----------
    kind : str
        ``'template_…'`` if the template is wrong, ``'result_…'`` if the text
        rendered from it is.
    line : int or None
        From 1, in the template or in the rendered text.
    detail : str
        A name, a tag or a part of the template.
    """

    def __init__(
            self, kind: str, line: int | None = None, detail: str = ''):
        super().__init__(kind, line, detail)
        self.kind = kind
        self.line = line
        self.detail = detail


# --- The Python that expressions may use ---------------------------------
#
# Genshi evaluates any expression, with all builtins in reach.  Those that
# pass here can read values and combine text, but can neither call anything
# else nor make values of unlimited size.

_FUNCTIONS = frozenset({
        'abs', 'all', 'any', 'bool', 'enumerate', 'float', 'int', 'len',
        'list', 'max', 'min', 'round', 'sorted', 'str', 'zip'})
_NODES = (
    ast.Expression, ast.Load, ast.Constant, ast.Name, ast.Attribute,
    ast.Subscript, ast.Slice, ast.Call, ast.IfExp, ast.BoolOp, ast.And,
    ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Add, ast.Sub,
    ast.Mod, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt,
    ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.List, ast.Tuple)
_METHODS = frozenset({
        'capitalize', 'count', 'endswith', 'find', 'isalnum', 'isalpha',
        'isdigit', 'isoformat', 'isspace', 'lower', 'lstrip', 'partition',
        'removeprefix', 'removesuffix', 'rpartition', 'rsplit', 'rstrip',
        'split', 'startswith', 'strip', 'title', 'upper'})


def _read_names(tree: ast.AST, line: int | None) -> set[str]:
    """Check an expression, and return the variables that it reads."""
    nodes = list(ast.walk(tree))
    if len(nodes) > _MAX_NODES:
        raise TemplateError('template_python', line, "...")
    functions = set()
    for node in nodes:
        problem = _find_problem(node)
        if problem:
            kind, detail = problem
            raise TemplateError(kind, line, detail)
        if isinstance(node, ast.Call):
            functions.add(id(node.func))
    return {
        node.id for node in nodes
        if isinstance(node, ast.Name) and id(node) not in functions}


def _find_problem(node: ast.AST) -> tuple[str, str] | None:
    if not isinstance(node, _NODES):
        return 'template_python', type(node).__name__
    if isinstance(node, ast.Name):
        if node.id.startswith('_'):
            return 'template_name', node.id
    elif isinstance(node, ast.Attribute):
        if node.attr.startswith(('_', 'format')):
            return 'template_name', node.attr
    elif isinstance(node, ast.Constant):
        if not isinstance(node.value, str | int | float | None):
            return 'template_python', type(node.value).__name__
    elif isinstance(node, ast.Subscript):
        if not _is_index(node.slice):
            return 'template_python', 'Subscript'
    elif isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Mod) and not _is_plain_format(node.left):
            return 'template_python', '%'
    elif isinstance(node, ast.Call):
        if not _is_allowed_call(node):
            return 'template_call', _called_name(node)
    return None


def _is_index(node: ast.AST) -> bool:
    # Genshi takes a text for the name of an attribute
    parts: list[ast.AST | None] = [node]
    if isinstance(node, ast.Slice):
        parts = [node.lower, node.upper, node.step]
    return all(part is None or _is_integer(part) for part in parts)


def _is_integer(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _is_plain_format(node: ast.AST) -> bool:
    text = _literal(node)
    return text is not None and (
        '%' not in re.sub('%(?:%|s|0?[0-9]?d)', '', text))


def _called_name(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return getattr(node.func, 'attr', '')


def _is_allowed_call(node: ast.Call) -> bool:
    if node.keywords or any(
            isinstance(argument, ast.Starred) for argument in node.args):
        return False
    if isinstance(node.func, ast.Name):
        return node.func.id in _FUNCTIONS
    if not isinstance(node.func, ast.Attribute):
        return False
    texts = list(map(_literal, node.args))
    match node.func.attr:
        case 'join':
            # The length of a separator is multiplied
            return _literal(node.func.value) is not None
        case 'replace':
            # An empty text to replace would square the length
            return bool(texts and texts[0]) and None not in texts
        case 'strftime':
            return len(texts) == 1 and texts[0] is not None and (
                not re.search('%[^%a-zA-Z]', texts[0]))
        case 'center' | 'ljust' | 'rjust' | 'zfill':
            width = getattr(node.args[0], 'value', None) if texts else None
            return isinstance(width, int) and width <= _MAX_WIDTH
        case name:
            return name in _METHODS


def _literal(node: ast.AST) -> str | None:
    value = getattr(node, 'value', None)
    return value if isinstance(value, str) else None


# --- The lines of the source ---------------------------------------------

_PIECE = re.compile(
    r'(?<!\\)\{%\s*(\w+)\s*(.*?)\s*%\}|(?<!\\)\{#.*?#\}', re.DOTALL)
_OPENING = re.compile(r'(?<!\\)\{[%#]')
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
            line += piece.group().count('\n')
            end = piece.end()
        self._scan_text(self._source[end:], line)
        if opened:
            command, line = opened.pop()
            raise TemplateError('template_syntax', line, command)

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
        if code not in self._lines:
            _read_names(_parse_python(code, line, 'eval'), line)
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
        Genshi's template, whose expressions have limits.
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
        """Replace the expressions of an event of Genshi by limited ones.

        What Genshi has understood is checked, not what `_Lines` has read.
        """
        kind, data, position = event
        if kind is EXPR:
            return kind, self._insertion(data, local), position
        if kind is SUB:
            directives, events = data
            for directive in directives:
                local = self._limit_directive(directive, local)
            events = [self._limit(one, local) for one in events]
            return kind, (directives, events), position
        if kind is not TEXT:
            raise TemplateError('template_python', None, str(kind).lower())
        return event

    def _limit_directive(
            self, directive: object, local: frozenset[str]) -> frozenset[str]:
        if isinstance(directive, ForDirective):
            # Genshi puts iter() around it
            directive.expr = _Loop(*self._check(
                    directive.expr, local, _iterated))
            return local | _targets([directive.assign], directive.expr.line)
        if isinstance(directive, WithDirective):
            for index, (targets, expression) in enumerate(directive.vars):
                # Genshi keeps no source of it
                limited = _Assigned(*self._check(
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
        arguments = self._check(expression, local)
        if isinstance(expression.ast.body, ast.Name):
            return _Variable(expression.ast.body.id, *arguments)
        return _Insertion(*arguments)

    def _check(
            self, expression: Expression, local: frozenset[str],
            part: Callable[[ast.AST], ast.AST | None] = lambda tree: tree,
            source: str = '') -> tuple[Expression, str, int | None]:
        source = source or expression.source
        line = self._lines.get(source)
        tree = part(expression.ast)
        if tree is None:
            raise TemplateError('template_python', line, source)
        self._names |= _read_names(tree, line) - local
        return expression, source, line

    def find_line(self, name: str) -> int | None:
        """Return the line on which a variable is read first.

        Returns
        -------
        int or None
            From 1; None if the template does not read it.
        """
        return self._lines.find(name)


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

# The variable with the iterations that are left; no template can read it
_ITERATIONS = '_iterations'
# What expressions raise when a value is not as they expect
_FAILURES = (
    ArithmeticError, AttributeError, LookupError, TemplateRuntimeError,
    TypeError, ValueError)
_DELIMITERS = '[]()#="{}:,\\'
_MASKS = {ord(c): 0xfdd0 + i for i, c in enumerate(_DELIMITERS)}
_MASKED = {mask: character for character, mask in _MASKS.items()}
_INSERTED = SAFE_CHARACTERS | _MASKS | {ord(UNKNOWN): UNKNOWN}


class _Condition:
    """An expression whose errors name its source and line"""
    __slots__ = ('_expression', 'line', 'source')

    def __init__(
            self, expression: Expression, source: str, line: int | None):
        self._expression = expression
        self.source = source
        self.line = line

    def evaluate(self, context: Context) -> object:
        try:
            return self._expression.evaluate(context)
        except _FAILURES:
            raise self._error('template_value') from None

    def _error(self, kind: str) -> TemplateError:
        return TemplateError(kind, self.line, self.source)


class _Assigned(_Condition):
    """The value of a ``with``; others may be made of it"""
    __slots__ = ()

    def evaluate(self, context: Context) -> object:
        value = super().evaluate(context)
        if _is_too_long(value):
            raise self._error('template_length')
        return value


class _Loop(_Condition):
    """What a ``for`` iterates over"""
    __slots__ = ()

    def evaluate(self, context: Context) -> Iterator[object]:
        # Genshi has put iter() around it
        values = cast(Iterator[object], super().evaluate(context))
        left = context[_ITERATIONS]
        return self._count(values, left)

    def _count(
            self, values: Iterator[object],
            left: list[int]) -> Iterator[object]:
        for value in values:
            left[0] -= 1
            if left[0] < 0:
                raise self._error('template_length')
            yield value


class _Insertion(_Condition):
    """An expression whose value is inserted into the text"""
    __slots__ = ()

    def evaluate(self, context: Context) -> str:
        return self._mask(super().evaluate(context))

    def _mask(self, value: object) -> str:
        text = value if isinstance(value, str) else _to_text(value)
        if text is None:
            raise self._error('template_value')
        if len(text) > _MAX_VALUE:
            raise self._error('template_length')
        return text.translate(_INSERTED)


class _Variable(_Insertion):
    """A variable that is inserted as it is"""
    __slots__ = ('_name',)

    def __init__(
            self, name: str, expression: Expression, source: str,
            line: int | None):
        super().__init__(expression, source, line)
        self._name = name

    def evaluate(self, context: Context) -> str:
        return self._mask(context.get(self._name))


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


def _is_too_long(value: object) -> bool:
    left, count = [value], 0
    while left and count <= _MAX_VALUE:
        value = left.pop()
        if isinstance(value, str):
            count += len(value)
        elif isinstance(value, list | tuple):
            count += len(value)
            left.extend(value)
    return count > _MAX_VALUE


# --- Rendering -----------------------------------------------------------


def render_text(
        template: Template, variables: Mapping[str, str],
        my: object = None) -> str:
    """Return the text of a template, inserted values masked.

    Parameters
    ----------
    template : Template
    variables : mapping
        Safe text by name.
    my : object, optional
        A view of the request, restricted to what templates may read.

    Raises
    ------
    TemplateError
        A variable is unknown, a value cannot be written, or the text is too
        long.
    """
    data = {**variables, 'my': my}
    for name in sorted(template.names - data.keys()):
        raise TemplateError('template_name', template.find_line(name), name)
    parts: list[str] = []
    size = 0
    for text in _generate(template, data):
        size += len(text)
        if size > _MAX_RESULT:
            raise TemplateError('template_length')
        parts.append(text)
    return ''.join(parts)


def _generate(
        template: Template, variables: Mapping[str, object]) -> Iterator[str]:
    context = Context()
    context.push({**variables, _ITERATIONS: [_MAX_ITERATIONS]})
    try:
        for _, text, _ in template.text.generate(context):
            yield text
    except TemplateError:
        raise
    except _FAILURES:
        raise TemplateError('template_value') from None


def unmask(text: str) -> str:
    """Return text with its delimiters as they were inserted."""
    if text.isascii():
        return text
    return text.translate(_MASKED)
