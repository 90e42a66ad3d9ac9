# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains for the searchers of function fields"""

__all__ = ['boolean_domain']


def boolean_domain(Model, clause, domain):
    """Return the domain for a search on a computed Boolean.

    Parameters
    ----------
    Model : ModelSQL
    clause : tuple
        Name, operator and value of the search.
    domain : list
        The domain of the records whose value is true.

    Returns
    -------
    list
    """
    _, operator, value = clause
    values = value if isinstance(value, (list, tuple)) else [value]
    wanted = {bool(v) for v in values}
    if operator in {'!=', 'not in'}:
        wanted = {True, False} - wanted
    if wanted == {True}:
        return domain
    if wanted == {False}:
        # SQL's NOT would leave out records where a column is NULL
        return [('id', 'not in', Model.search(domain, order=[], query=True))]
    return [] if wanted else [('id', '=', None)]
