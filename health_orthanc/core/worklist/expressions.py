# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of Python that expressions in templates may use.

Genshi evaluates whatever it is given, with every builtin of Python within
reach.  What is let through here can read values and put text together, but
neither call what it was not given nor grow without bounds.
"""

import ast
import re
from collections.abc import Callable

__all__ = ['FUNCTIONS', 'Refused', 'argument_of', 'free_names']

FUNCTIONS = frozenset({
        'abs', 'all', 'any', 'bool', 'enumerate', 'float', 'int', 'len',
        'list', 'max', 'min', 'round', 'sorted', 'str', 'zip'})
_NODES = (
    ast.Expression, ast.Load, ast.Constant, ast.Name, ast.Attribute,
    ast.Subscript, ast.Slice, ast.Call, ast.IfExp, ast.BoolOp, ast.And,
    ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Add, ast.Sub,
    ast.Mod, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt,
    ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.List, ast.Tuple)
_LARGEST = 400
_WIDEST = 64


class Refused(ValueError):
    """An expression that a template may not hold

    Attributes
    ----------
    kind : str
        ``'template_name'``, ``'template_call'`` or ``'template_python'``.
    detail : str
        The name or construct.
    """

    def __init__(self, kind: str, detail: str):
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


def free_names(tree: ast.AST) -> set[str]:
    """Return the variables that an expression reads.

    Raises
    ------
    Refused
    """
    nodes = list(ast.walk(tree))
    if len(nodes) > _LARGEST:
        raise Refused('template_python', "...")
    called = set()
    for node in nodes:
        if not isinstance(node, _NODES):
            raise Refused('template_python', type(node).__name__)
        _CHECKS.get(type(node), _accept)(node)
        if isinstance(node, ast.Call):
            called.add(id(node.func))
    return {
        node.id for node in nodes
        if isinstance(node, ast.Name) and id(node) not in called}


def argument_of(name: str, tree: ast.Expression) -> ast.expr:
    """Return what a function that is the whole expression is called with.

    Raises
    ------
    Refused
        The expression is something else.
    """
    call = tree.body
    if (not isinstance(call, ast.Call) or len(call.args) != 1
            or getattr(call.func, 'id', None) != name):
        raise Refused('template_python', name)
    return call.args[0]


def _accept(node: ast.AST) -> None:
    pass


def _check_name(node: ast.Name) -> None:
    if node.id.startswith('_'):
        raise Refused('template_name', node.id)


def _check_attribute(node: ast.Attribute) -> None:
    if node.attr.startswith('_') or node.attr.startswith('format'):
        raise Refused('template_name', node.attr)


def _check_constant(node: ast.Constant) -> None:
    if not isinstance(node.value, str | int | float | None):
        raise Refused('template_python', type(node.value).__name__)


def _check_subscript(node: ast.Subscript) -> None:
    # Genshi takes a text for the name of an attribute
    parts = [node.slice]
    if isinstance(node.slice, ast.Slice):
        parts = [node.slice.lower, node.slice.upper, node.slice.step]
    if not all(part is None or _is_integer(part) for part in parts):
        raise Refused('template_python', 'Subscript')


def _is_integer(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _check_operation(node: ast.BinOp) -> None:
    if isinstance(node.op, ast.Mod):
        text = _text(node.left)
        if text is None or not _is_plain_format(text):
            raise Refused('template_python', '%')


def _is_plain_format(text: str) -> bool:
    left = re.sub('%(?:%|s|0?[0-9]?d)', '', text)
    return '%' not in left


def _check_call(node: ast.Call) -> None:
    name = getattr(node.func, 'id', None) or getattr(node.func, 'attr', '')
    starred = any(isinstance(arg, ast.Starred) for arg in node.args)
    if node.keywords or starred:
        raise Refused('template_call', name)
    if isinstance(node.func, ast.Name):
        allowed = node.func.id in FUNCTIONS
    elif name == 'join':
        # Many times a long text would be very long
        allowed = _text(node.func.value) is not None
    elif isinstance(node.func, ast.Attribute):
        allowed = name in _METHODS and _METHODS[name](node.args)
    else:
        allowed = False
    if not allowed:
        raise Refused('template_call', name)


def _text(node: ast.AST) -> str | None:
    value = getattr(node, 'value', None)
    return value if isinstance(value, str) else None


def _anything(arguments: list[ast.expr]) -> bool:
    return True


def _texts(arguments: list[ast.expr]) -> bool:
    """Whether all are written out, and the first is not empty.

    What replaces nothing grows with its square.
    """
    texts = list(map(_text, arguments))
    return bool(texts and texts[0]) and None not in texts


def _widths(arguments: list[ast.expr]) -> bool:
    first = getattr(arguments[0], 'value', None) if arguments else None
    return isinstance(first, int) and first <= _WIDEST


def _time_format(arguments: list[ast.expr]) -> bool:
    texts = list(map(_text, arguments))
    return len(texts) == 1 and texts[0] is not None and (
        not re.search('%[^%a-zA-Z]', texts[0]))


_METHODS: dict[str, Callable[[list[ast.expr]], bool]] = {
    **dict.fromkeys([
            'capitalize', 'count', 'endswith', 'find', 'isalnum', 'isalpha',
            'isdigit', 'isoformat', 'isspace', 'lower', 'lstrip',
            'partition', 'removeprefix', 'removesuffix', 'rpartition',
            'rsplit', 'rstrip', 'split', 'startswith', 'strip', 'title',
            'upper'], _anything),
    **dict.fromkeys(['center', 'ljust', 'rjust', 'zfill'], _widths),
    'replace': _texts,
    'strftime': _time_format,
    }
_CHECKS: dict[type, Callable] = {
    ast.Name: _check_name,
    ast.Attribute: _check_attribute,
    ast.Constant: _check_constant,
    ast.Subscript: _check_subscript,
    ast.BinOp: _check_operation,
    ast.Call: _check_call,
    }
