# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains for searchers of fields."""

__all__ = ['boolean_domain']


def boolean_domain(Model, clause, domain):
    "Return the domain for a Boolean that is true where `domain` holds"
    _, operator, value = clause
    values = value if isinstance(value, (list, tuple)) else [value]
    wanted = {bool(v) for v in values}
    if operator in {'!=', 'not in'}:
        wanted = {True, False} - wanted
    if wanted == {True}:
        return domain
    if wanted == {False}:
        # SQL's "not" would leave out what is unknown
        return [('id', 'not in', Model.search(domain, order=[], query=True))]
    return [] if wanted else [('id', '=', None)]
