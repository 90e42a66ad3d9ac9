# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a text without a field name finds in a list"""

import datetime as dt

from trytond.pool import Pool

__all__ = ['date_clauses', 'read_date']


def read_date(text):
    """Return the date that a text is, in the user's language or ISO 8601.

    Parameters
    ----------
    text : str

    Returns
    -------
    date or None
    """
    Lang = Pool().get('ir.lang')
    text = text.strip()
    for pattern in [Lang.get().date, '%Y-%m-%d', '%Y%m%d']:
        try:
            return dt.datetime.strptime(text, pattern).date()
        except ValueError:
            continue


def date_clauses(names, operator, value):
    """Return clauses for fields with the date that is searched for.

    Parameters
    ----------
    names : list of str
        The fields.
    operator : str
    value : str
        What is searched for, for example ``%2026-03-04%``.

    Returns
    -------
    list of tuple
        Empty if the text is no date.
    """
    date = read_date(value.strip('%')) if isinstance(value, str) else None
    if date is None:
        return []
    compare = '!=' if operator.startswith(('!', 'not ')) else '='
    return [(name, compare, date) for name in names]
