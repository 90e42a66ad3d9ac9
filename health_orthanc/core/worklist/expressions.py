# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The expressions of worklist templates: a small part of Python.

They can read values and combine text.  They are not run by Python, but
evaluated here: each step costs something of a `Budget`, and a text or list
that would become too long is never made.
"""

import ast
import datetime as dt
import operator
import re
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from .template_error import TemplateError

__all__ = ['Budget', 'Exceeded', 'MAX_VALUE', 'evaluate', 'read_names']

# Characters of a value
MAX_VALUE = 20_000
# What an item of a list counts as, in characters
_ITEM = 8
# Characters and steps of one rendering together
_MAX_WORK = 300_000
_MAX_SECONDS = 10
# Nodes of one expression
_MAX_NODES = 400
# Characters to which a value may be padded
_MAX_WIDTH = 64
# Digits to which a number is rounded
_MAX_DIGITS = 20
# Numbers with more digits take long to be written
_MAX_EXPONENT = 400
# The longest that a character becomes by repr() or in another case
_LONGEST = 10


class Exceeded(Exception):
    """A rendering that needs too much

    Attributes
    ----------
    kind : str
        As of `TemplateError`.
    """

    def __init__(self, kind: str = 'template_length'):
        super().__init__(kind)
        self.kind = kind


class Budget:
    """What is left for one rendering

    Parameters
    ----------
    clock : callable, optional
        It returns the time in seconds.
    """
    __slots__ = ('_clock', '_end', '_left')

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._end = clock() + _MAX_SECONDS
        self._left = _MAX_WORK

    def charge(self, amount: int) -> None:
        """Use a part of the budget.

        Parameters
        ----------
        amount : int
            Characters or steps.

        Raises
        ------
        Exceeded
        """
        self._left -= amount
        if self._left < 0:
            raise Exceeded
        if self._clock() > self._end:
            raise Exceeded('template_time')


# --- What an expression may hold -----------------------------------------

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (
        abs, all, any, bool, enumerate, float, int, len, list, max, min,
        round, sorted, str, zip)}
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


def read_names(tree: ast.AST, line: int | None) -> set[str]:
    """Check an expression, and return the variables that it reads.

    Parameters
    ----------
    tree : AST
    line : int or None
        Its line in the template.

    Returns
    -------
    set of str

    Raises
    ------
    TemplateError
        It is more than templates may say.
    """
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
            return _literal(node.func.value) is not None
        case 'replace':
            return len(texts) == 2 and bool(texts[0]) and None not in texts
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


# --- Evaluating ----------------------------------------------------------


def evaluate(
        tree: ast.AST, lookup: Callable[[str], Any],
        budget: Budget) -> Any:
    """Return the value of an expression.

    Parameters
    ----------
    tree : AST
        It has passed `read_names`.
    lookup : callable
        It returns the value of a variable.
    budget : Budget

    Raises
    ------
    Exceeded
    Exception
        As Python raises them if a value is not as the expression expects.
    """
    return _Evaluation(lookup, budget).value(tree)


class _Evaluation:

    def __init__(self, lookup: Callable[[str], Any], budget: Budget):
        self._lookup = lookup
        self._budget = budget

    def value(self, node: ast.AST) -> Any:
        self._budget.charge(1)
        return _EVALUATORS[type(node)](self, node)

    def values(self, nodes: Iterable[ast.AST]) -> list:
        return [self.value(node) for node in nodes]

    def made(self, value: Any) -> Any:
        "Count a value that has been made"
        self._budget.charge(_weigh(value))
        return value

    def expression(self, node: Any) -> Any:
        return self.value(node.body)

    def constant(self, node: Any) -> Any:
        return node.value

    def name(self, node: Any) -> Any:
        return self._lookup(node.id)

    def attribute(self, node: Any) -> Any:
        value = getattr(self.value(node.value), node.attr)
        if callable(value) and not isinstance(value, str):
            raise AttributeError(node.attr)
        if isinstance(value, Decimal) and (
                abs(value.adjusted()) > _MAX_EXPONENT):
            raise ValueError(node.attr)
        return self.made(value) if isinstance(value, list | tuple) else value

    def subscript(self, node: Any) -> Any:
        value = self.value(node.value)
        index = self.value(node.slice)
        if not isinstance(value, str | list | tuple):
            raise TypeError('index')
        if isinstance(index, slice):
            length = len(range(*index.indices(len(value))))
            _check_length(
                length if isinstance(value, str) else length * _ITEM)
        found = value[index]
        return self.made(found) if isinstance(index, slice) else found

    def slice(self, node: Any) -> slice:
        return slice(*(
                None if part is None else self.value(part)
                for part in (node.lower, node.upper, node.step)))

    def condition(self, node: Any) -> Any:
        return self.value(
            node.body if self.value(node.test) else node.orelse)

    def boolean(self, node: Any) -> Any:
        wanted = isinstance(node.op, ast.Or)
        value = None
        for part in node.values:
            value = self.value(part)
            if bool(value) is wanted:
                break
        return value

    def unary(self, node: Any) -> Any:
        value = self.value(node.operand)
        return not value if isinstance(node.op, ast.Not) else -value

    def binary(self, node: Any) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        weights = _weigh(left), _weigh(right)
        if isinstance(node.op, ast.Add):
            _check_length(sum(weights))
            return self.made(left + right)
        if isinstance(node.op, ast.Sub):
            return left - right
        self._budget.charge(_LONGEST * sum(weights))
        return self.made(left % right)

    def compare(self, node: Any) -> Any:
        left = self.value(node.left)
        result: Any = True
        for kind, part in zip(node.ops, node.comparators):
            right = self.value(part)
            if isinstance(kind, ast.Is | ast.IsNot):
                result = (left is right) is isinstance(kind, ast.Is)
            else:
                self._budget.charge(_weigh(left) + _weigh(right))
                result = _COMPARISONS[type(kind)](left, right)
            if not result:
                break
            left = right
        return result

    def sequence(self, node: Any) -> Any:
        values = self.values(node.elts)
        return self.made(
            values if isinstance(node, ast.List) else tuple(values))

    def call(self, node: Any) -> Any:
        arguments = self.values(node.args)
        if isinstance(node.func, ast.Name):
            name, function = node.func.id, _FUNCTIONS[node.func.id]
            weight = sum(map(_weigh, arguments))
        else:
            name, subject = node.func.attr, self.value(node.func.value)
            if not isinstance(subject, str | dt.date | dt.time):
                raise AttributeError(name)
            function = getattr(subject, name)
            weight = _weigh(subject) + sum(map(_weigh, arguments))
            if isinstance(subject, str):
                _check_growth(name, subject, arguments)
        if name in {'round', 'sorted', 'max', 'min'}:
            _check_numbers(name, arguments)
            # Comparing each with each other, about
            weight *= _LONGEST
        if name in {'str', 'upper', 'title', 'capitalize', 'lower'}:
            _check_length(weight)
            weight *= _LONGEST
        self._budget.charge(weight)
        result = function(*arguments)
        if isinstance(result, enumerate | zip):
            result = list(result)
        return self.made(result)


_EVALUATORS: dict[type, Callable[[_Evaluation, Any], Any]] = {
    ast.Expression: _Evaluation.expression,
    ast.Constant: _Evaluation.constant,
    ast.Name: _Evaluation.name,
    ast.Attribute: _Evaluation.attribute,
    ast.Subscript: _Evaluation.subscript,
    ast.Slice: _Evaluation.slice,
    ast.Call: _Evaluation.call,
    ast.IfExp: _Evaluation.condition,
    ast.BoolOp: _Evaluation.boolean,
    ast.UnaryOp: _Evaluation.unary,
    ast.BinOp: _Evaluation.binary,
    ast.Compare: _Evaluation.compare,
    ast.List: _Evaluation.sequence,
    ast.Tuple: _Evaluation.sequence,
    }
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
    ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    }


def _weigh(value: Any) -> int:
    """Return the size of a value in characters, lists with all in them.

    Raises
    ------
    Exceeded
        It is too long: what holds one list many times ends here.
    """
    if isinstance(value, str):
        size = len(value)
        _check_length(size)
        return size
    if not isinstance(value, list | tuple):
        return 1
    left, size = [value], 0
    while left:
        value = left.pop()
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, list | tuple):
            size += _ITEM * len(value)
            _check_length(size)
            left.extend(value)
        _check_length(size)
    return size


def _check_length(length: int) -> None:
    if length > MAX_VALUE:
        raise Exceeded


def _check_growth(name: str, text: str, arguments: list) -> None:
    """Check the length of what a method of a text returns."""
    if name == 'replace':
        old, new = arguments
        _check_length(len(text) + text.count(old) * (len(new) - len(old)))
    elif name == 'join' and arguments:
        _check_length(
            _weigh(arguments[0]) + len(text) * len(arguments[0]))
    elif name in {'split', 'rsplit'}:
        separator = arguments[0] if arguments else None
        # White space separates one word for every other character at most
        parts = text.count(separator) if separator else len(text) // 2
        if len(arguments) > 1 and arguments[1] >= 0:
            parts = min(parts, arguments[1])
        _check_length(len(text) + _ITEM * parts)


def _check_numbers(name: str, arguments: list) -> None:
    if name == 'round' and len(arguments) > 1 and (
            abs(arguments[1] or 0) > _MAX_DIGITS):
        raise ValueError(name)
