# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Searches by the names of related records

A condition on several tables at once, joined by OR, cannot use the indexes of
any of them.  So the related records are searched first, each table by itself:
few are then named by their ids, which an index of the own table finds.
"""

from sql import Union

from trytond import backend
from trytond.model import fields
from trytond.model.exceptions import AccessError
from trytond.pool import Pool
from trytond.tools.domain_inversion import is_leaf
from trytond.transaction import Transaction, inactive_records

from .indexes import word_clauses
from .rows import fetch_rows

__all__ = ['alternatives', 'any_of', 'name_domain']

# More are not named one by one
_LIMIT = 10_000
_TEXT_OPERATORS = {'=', 'ilike', 'like'}


def name_domain(field, model, operator, value, names=('rec_name',)):
    """Return a domain that finds records by texts of a related one.

    It finds the same as ``(f'{field}.{name}', operator, value)`` of each name,
    joined by OR.

    Parameters
    ----------
    field : str
        The name of a Many2One.
    model : str
        The name of the related model.
    operator : str
    value : str
    names : sequence of str
        The fields of the related model.

    Returns
    -------
    tuple or list
    """
    plain = ['OR', *((f'{field}.{name}', operator, value) for name in names)]
    if operator not in _TEXT_OPERATORS or not isinstance(value, str):
        return plain
    try:
        with inactive_records():
            return any_of(
                field, model, [(name, operator, value) for name in names],
                by_words=True)
    except AccessError:
        # It depends on the number of records whether trytond checks this
        return plain


def any_of(field, model, clauses, by_words=False):
    """Return a domain for relations to records that fulfill a clause.

    Parameters
    ----------
    field : str
        The name of a Many2One.
    model : str
        The name of the related model.
    clauses : list
        Each is searched by itself.
    by_words : bool, optional
        Whether one or two letters find only words that begin with them.

    Returns
    -------
    tuple
    """
    Model = Pool().get(model)
    found = _union([
            Model.search([clause], order=[], query=True)
            for clause in alternatives(Model, clauses, by_words)])
    limit = _LIMIT
    if backend.name == 'sqlite':
        # It takes fewer parameters
        limit = min(limit, Transaction().database.IN_MAX)
    ids = [id_ for id_, in fetch_rows(
            found.select(found.id, limit=limit + 1))]
    return (field, 'in', ids if len(ids) <= limit else found.select(found.id))


def alternatives(Model, clauses, by_words=False):
    """Return the clauses that searches by name consist of.

    Parameters
    ----------
    Model : ModelSQL
    clauses : list
    by_words : bool, optional
        As in `any_of`.

    Returns
    -------
    list
        Each leads to one table as far as possible.
    """
    found = []
    for clause in clauses:
        if is_leaf(clause) and len(clause) == 3 and (
                clause[1] in _TEXT_OPERATORS and isinstance(clause[2], str)):
            found.extend(_expand(Model, *clause, by_words))
        elif clause and clause[0] == 'OR':
            found.extend(alternatives(Model, clause[1:], by_words))
        else:
            found.append(clause)
    return found


def _expand(Model, name, operator, value, by_words):
    if name == 'rec_name':
        domain = Model.search_rec_name(name, (name, operator, value))
        if domain and domain[0] == 'OR':
            return alternatives(Model, domain[1:], by_words)
        return [domain]
    relation = name.removesuffix('.rec_name')
    field = Model._fields.get(relation)
    if isinstance(field, fields.Many2One):
        with inactive_records():
            return [any_of(
                    relation, field.get_target().__name__,
                    [('rec_name', operator, value)], by_words)]
    if not by_words:
        return [(name, operator, value)]
    return word_clauses(name, operator, value)


def _union(queries):
    if len(queries) == 1:
        query, = queries
        return query
    return Union(*queries)
