# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How PostgreSQL executes the statements of a screen."""
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from .screens_database import BIG_TABLES

__all__ = ['find_scans']

# The share of a table that a statement may read in vain
_SHARE = 0.4


def find_scans(connection: Any, statements: Sequence[str]) -> list[str]:
    """Return where statements read a large table from begin to end.

    PostgreSQL is told to avoid sequential scans: where there is one, no index
    can be used.  An index that is read whole and filtered or sorted is no
    better.

    Parameters
    ----------
    connection
        Of psycopg2.
    statements
        As they were executed.
    """
    cursor = connection.cursor()
    cursor.execute('SET LOCAL enable_seqscan = off')
    # The plans would seem worth compiling
    cursor.execute('SET LOCAL jit = off')
    cursor.execute(
        'SELECT relname, reltuples FROM pg_class WHERE relname = ANY(%s)',
        (BIG_TABLES,))
    sizes = dict(cursor.fetchall())
    found = []
    for statement in statements:
        if not statement.lstrip('( ').upper().startswith(('SELECT', 'WITH')):
            continue
        # Executed without parameters: nothing in it is a placeholder
        cursor.execute(f'EXPLAIN (ANALYZE, FORMAT JSON) {statement}')
        (plan, ), = cursor.fetchall()
        if isinstance(plan, str):
            plan = json.loads(plan)
        nodes = list(_nodes(plan[0]['Plan']))
        found += [
            f'{problem}: {statement}' for node in nodes
            if (problem := _problem(node, sizes))]
        if problem := _sort_problem(nodes, statement, sizes):
            found.append(f'{problem}: {statement}')
    return found


def _nodes(node: dict) -> Iterator[dict]:
    yield node
    for child in node.get('Plans', []):
        yield from _nodes(child)


def _problem(node: dict, sizes: dict[str, float]) -> str | None:
    table = node.get('Relation Name')
    if table not in sizes:
        return None
    kind = node['Node Type']
    if kind == 'Seq Scan':
        # A count up to a limit reads no more rows than it counts
        if 'Filter' in node:
            return f'{kind} of {table}'
        return None
    removed = node['Actual Loops'] * (
        node.get('Rows Removed by Filter', 0)
        + node.get('Rows Removed by Index Recheck', 0))
    if removed > _SHARE * sizes[table]:
        return f'{kind} of {table} that filters {removed} rows'
    return None


def _sort_problem(
        nodes: list[dict], statement: str,
        sizes: dict[str, float]) -> str | None:
    found = re.search(r'FROM "(\w+)" AS "a"', statement)
    size = sizes.get(found[1]) if found else None
    for node in nodes if size else []:
        # An index that has the first columns of the order may help it
        if node['Node Type'] == 'Sort':
            rows = sum(
                child['Actual Rows'] * child['Actual Loops']
                for child in node['Plans'])
            if rows > _SHARE * size:
                return f'Sort of {rows} rows'
    return None
