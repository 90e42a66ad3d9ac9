# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of records that a template reads.

They are found without rendering it, so that also the branches are checked
that no sample reaches.
"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from genshi.template.base import EXPR, SUB
from genshi.template.directives import ForDirective, WithDirective

from .template import Template
from .template_error import TemplateError

__all__ = ['Reach', 'check_reach']

# Of each record
_ALWAYS = frozenset({'id', 'rec_name'})
# Functions that return what they are given, or a part of it
_SAME = frozenset({'list', 'max', 'min', 'sorted'})


@dataclass(frozen=True, slots=True)
class Reach:
    """What templates may read of records

    Attributes
    ----------
    roots : mapping
        The models of the variables that are records.
    fields : mapping
        By model its fields; each with the model of its records, or None. Of
        models that are not listed only the name can be read.
    """
    roots: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Mapping[str, str | None]] = field(
        default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Records:
    """The models of the records that a value may be or hold

    Attributes
    ----------
    models : frozenset of str
    parts : tuple of _Records
        Of a value that is unpacked into several.
    """
    models: frozenset[str] = frozenset()
    parts: tuple['_Records', ...] = ()

    def __getitem__(self, index: int) -> '_Records':
        return self.parts[index] if index < len(self.parts) else self

    @classmethod
    def join(cls, values: Iterable['_Records']) -> '_Records':
        found: set[str] = set()
        for value in values:
            found |= value.models | cls.join(value.parts).models
        return cls(frozenset(found))


_NOTHING = _Records()


def check_reach(template: Template, reach: Reach) -> None:
    """Check that a template reads only what it may.

    Parameters
    ----------
    template : Template
    reach : Reach

    Raises
    ------
    TemplateError
        It names the expression that reads something else.
    """
    known = {
        name: _Records(frozenset({model}))
        for name, model in reach.roots.items()}
    _Walk(reach).events(template.text.stream, known)


class _Walk:

    def __init__(self, reach: Reach):
        self._fields = reach.fields

    def events(
            self, events: Iterable[tuple],
            known: Mapping[str, _Records]) -> None:
        for kind, data, _ in events:
            if kind is EXPR:
                self._expression(data, known)
            elif kind is SUB:
                directives, inner = data
                names: dict[str, Any] = dict(known)
                for directive in directives:
                    self._directive(directive, names)
                self.events(inner, names)

    def _directive(self, directive: Any, names: dict[str, Any]) -> None:
        if isinstance(directive, ForDirective):
            directive.assign(names, self._expression(directive.expr, names))
        elif isinstance(directive, WithDirective):
            for targets, expression in directive.vars:
                value = self._expression(expression, names)
                for assign in targets:
                    assign(names, value)
        elif directive.expr is not None:
            self._expression(directive.expr, names)

    def _expression(
            self, expression: Any, known: Mapping[str, Any]) -> _Records:
        return self._records(expression.tree, known, expression.line)

    def _records(
            self, node: ast.AST, known: Mapping[str, Any],
            line: int | None) -> _Records:
        def records(node: ast.AST) -> _Records:
            return self._records(node, known, line)

        match node:
            case ast.Name(id=name):
                return known.get(name, _NOTHING)
            case ast.Attribute(value=value):
                return self._attribute(node, records(value), line)
            case ast.Expression(body=value):
                return records(value)
            case ast.Subscript(value=value):
                found = records(value)
                return _Records.join([found, *found.parts])
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return _called(name, [records(a) for a in arguments])
            case ast.Call(func=ast.Attribute(value=value), args=arguments):
                for part in [value, *arguments]:
                    records(part)
                return _NOTHING
            case ast.IfExp(test=test, body=body, orelse=other):
                records(test)
                return _Records.join([records(body), records(other)])
            case ast.Compare() | ast.UnaryOp():
                for child in ast.iter_child_nodes(node):
                    records(child)
                return _NOTHING
        # Sums, lists and the like may be or hold each of their parts
        return _Records.join(list(map(records, ast.iter_child_nodes(node))))

    def _attribute(
            self, node: ast.Attribute, value: _Records,
            line: int | None) -> _Records:
        found = set()
        for model in value.models:
            fields = self._fields.get(model, {})
            if node.attr not in fields and node.attr not in _ALWAYS:
                raise TemplateError(
                    'template_reach', line, ast.unparse(node))
            found.add(fields.get(node.attr))
        return _Records(frozenset(name for name in found if name))


def _called(name: str, arguments: list[_Records]) -> _Records:
    if name == 'zip':
        return _Records(parts=tuple(arguments))
    if name == 'enumerate':
        return _Records(parts=(_NOTHING, *arguments[:1]))
    if name in _SAME:
        if len(arguments) == 1:
            return arguments[0]
        return _Records.join(arguments)
    return _NOTHING
