# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tables of a database hold, past all models."""
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from devtools.tryton import Tryton

__all__ = ['connect', 'dump', 'schema']

TABLES = {
    'sqlite': "SELECT name FROM sqlite_master WHERE type = 'table'",
    'postgresql': "SELECT tablename FROM pg_tables "
    "WHERE schemaname = 'public'",
    }
SCHEMA = {
    'sqlite': [
        "SELECT name, type FROM pragma_table_info('{table}')",
        "SELECT name FROM pragma_index_list('{table}')",
        ],
    'postgresql': [
        "SELECT column_name, data_type, is_nullable, column_default "
        "FROM information_schema.columns WHERE table_name = '{table}'",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = '{table}'::regclass",
        "SELECT indexname FROM pg_indexes WHERE tablename = '{table}'",
        ],
    }


def dump(tryton: Tryton) -> dict[str, dict[int, dict]]:
    """Return the rows of all tables, as dictionaries by their id."""
    with closing(connect(tryton)) as connection:
        cursor = connection.cursor()
        cursor.execute(TABLES[_backend(tryton)])
        names = [name for name, in cursor.fetchall()]
        return {
            name: {row['id']: row for row in _rows(cursor, name)}
            for name in names if not name.startswith('sqlite_')}


def schema(tryton: Tryton, tables: list[str]) -> set[tuple]:
    """Return columns with their types, and what PostgreSQL watches over."""
    with closing(connect(tryton)) as connection:
        cursor = connection.cursor()
        found = set()
        for name in tables:
            for query in SCHEMA[_backend(tryton)]:
                cursor.execute(query.format(table=name))
                found |= {(name, *row) for row in cursor.fetchall()}
        return found


def _backend(tryton: Tryton) -> str:
    return 'postgresql' if tryton.postgresql else 'sqlite'


def connect(tryton: Tryton):
    if tryton.postgresql:
        return tryton.postgresql.connect(tryton.name)
    return sqlite3.connect(tryton.sqlite_file)


def _rows(cursor, name: str) -> Iterator[dict]:
    cursor.execute(f'SELECT * FROM "{name}"')
    columns = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(columns, row))
