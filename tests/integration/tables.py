# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tables of a database hold, past all models."""
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from devtools.tryton import Tryton

__all__ = ['dump']

TABLES = {
    'sqlite': "SELECT name FROM sqlite_master WHERE type = 'table'",
    'postgresql': "SELECT tablename FROM pg_tables "
    "WHERE schemaname = 'public'",
    }


def dump(tryton: Tryton) -> dict[str, dict[int, dict]]:
    """Return the rows of all tables, as dictionaries by their id."""
    with closing(_connect(tryton)) as connection:
        cursor = connection.cursor()
        cursor.execute(
            TABLES['postgresql' if tryton.postgresql else 'sqlite'])
        names = [name for name, in cursor.fetchall()]
        return {
            name: {row['id']: row for row in _rows(cursor, name)}
            for name in names if not name.startswith('sqlite_')}


def _connect(tryton: Tryton):
    if tryton.postgresql:
        return tryton.postgresql.connect(tryton.name)
    return sqlite3.connect(tryton.sqlite_file)


def _rows(cursor, name: str) -> Iterator[dict]:
    cursor.execute(f'SELECT * FROM "{name}"')
    columns = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(columns, row))
