# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long lists, tabs, counts and searches take in a large archive.

A database of PostgreSQL is filled with studies, their patients, orders,
steps, results, decisions and an audit trail.  Then each list is opened as the
web client opens it, for each kind of user who may: *list* is the search for
the first 1,000 records and the reading of the first 50 rows with all their
columns, *pages* the number behind them (up to 100,000), *count* the number on
a tab (up to 1,000).  *search* is a list that is narrowed by what a person
types, *order* a list that is ordered by a column.  All goes through the RPC
methods with the user's rights, in transactions of their own.

*ms* is the fastest of the repetitions in milliseconds, *SQL* the part of the
database in it.  *CPU* is the processor time of both, on average, which other
work on the machine disturbs least.  *above* counts the screens that took
longer than 200 ms of it.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from devtools.postgresql import PostgreSQL
from devtools.process import die_with_parent
from devtools.testing import cache_folder
from devtools.tryton import MODULE, Tryton, environment

from .screens_client import Client, Person, Screen, Screens, Statements
from .screens_database import fill_database
from .screens_plans import find_scans
from .screens_processor import Processor

# Server time of a screen in milliseconds
GOAL = 200
ROLES = {
    'radiographer': ['health_imaging.group_health_imaging'],
    'doctor': ['health.group_health_doctor'],
    'clerk': ['health_orthanc.group_imaging_orthanc'],
    'administrator': [
        'health_orthanc.group_imaging_orthanc_admin',
        'health_orthanc.group_imaging_orthanc_privacy'],
    }


def measure(database: str, options: argparse.Namespace) -> list[dict]:
    "Return a row of each screen"
    statements = Statements()
    person, users = _prepare(database)
    processor = _processor(database)
    rows = []
    for role, user in users.items():
        if options.role and role != options.role:
            continue
        client = Client(database, user)
        for screen in Screens(role, client, person):
            if options.only and options.only not in str(screen):
                continue
            rows.append({
                    'role': role, 'kind': screen.kind, 'model': screen.model,
                    'name': screen.name})
            if options.plans:
                rows[-1]['scans'] = _scans(
                    database, screen, client, statements)
                continue
            rows[-1].update(_measure_screen(
                    screen, client, statements, options.repeat, processor))
            if options.explain and rows[-1]['ms'] > options.explain:
                _explain(database, screen, rows[-1])
    return rows


def _measure_screen(
        screen: Screen, client: Client, statements: Statements,
        repeat: int, processor: Processor) -> dict:
    # Caches of views and rights are filled once
    screen.run(client)
    runs = []
    begin = processor.seconds
    for _ in range(repeat):
        with statements.collected() as seen:
            start = time.perf_counter()
            screen.run(client)
            seconds = time.perf_counter() - start
        runs.append((seconds, sum(s for s, _ in seen), seen))
    cpu = (processor.seconds - begin) / repeat
    seconds, sql, seen = min(runs, key=lambda run: run[0])
    print(
        f'{seconds * 1000:8.0f} ms {sql * 1000:8.0f} SQL {cpu * 1000:8.0f} CPU'
        f' {len(seen):4}  {screen}', file=sys.stderr, flush=True)
    return {
        'ms': round(seconds * 1000, 1), 'sql': round(sql * 1000, 1),
        'cpu': round(cpu * 1000, 1),
        'statements': len(seen),
        'slowest': max(seen, default=(0, b''))[1].decode(),
        }


def _processor(database: str) -> Processor:
    from trytond.transaction import Transaction
    with Transaction().start(database, 0, readonly=True) as transaction:
        return Processor(transaction.connection.cursor())


def _explain(database: str, screen: Screen, row: dict) -> None:
    from trytond.transaction import Transaction
    with Transaction().start(database, 0, readonly=True) as transaction:
        cursor = transaction.connection.cursor()
        cursor.execute(
            'EXPLAIN (ANALYZE, BUFFERS) ' + row['slowest'])
        plan = '\n'.join(line for line, in cursor)
    print(screen, row['slowest'], plan, '', sep='\n', file=sys.stderr)


def _scans(
        database: str, screen: Screen, client: Client,
        statements: Statements) -> list[str]:
    from trytond.transaction import Transaction
    with statements.collected() as seen:
        screen.run(client)
    with Transaction().start(database, 0, readonly=True) as transaction:
        return find_scans(
            transaction.connection, [sql.decode() for _, sql in seen])


def _prepare(database: str) -> tuple[Person, dict[str, int]]:
    "Return somebody to search for, and the ids of the users"
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    Pool.start()
    with Transaction().start(database, 0, readonly=True):
        Pool(database).init()
    with Transaction().start(
            database, 0, context={'_check_access': False}) as transaction:
        users = {role: _user(role, groups) for role, groups in ROLES.items()}
        person = Person(transaction)
        transaction.commit()
    return person, users


def _user(role: str, groups: Sequence[str]) -> int:
    from trytond.pool import Pool
    pool = Pool()
    User = pool.get('res.user')
    get_id = pool.get('ir.model.data').get_id
    found = User.search([('login', '=', role)])
    if not found:
        found = User.create([{
                    'name': role, 'login': role,
                    'groups': [('add', [
                                get_id(*group.split('.'))
                                for group in groups])]}])
    return found[0].id


def _fill(tryton: Tryton, studies: int) -> None:
    "Fill a new database and create the indexes after it"
    process = [
        sys.executable, '-m', 'benchmarks.screens', '--fill', str(studies),
        '--database', tryton.name]
    subprocess.run(
        process, check=True, env={**environment(), 'TRYTOND_CONFIG': str(
                tryton.configuration)}, preexec_fn=die_with_parent())


def run_with_database(
        options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Run the benchmark in a process that has a database.

    trytond works on one kind of database in a process, from the first import
    on.
    """
    with tempfile.TemporaryDirectory(prefix='screens-') as name:
        folder = Path(options.folder or name)
        folder.mkdir(exist_ok=True)
        # PostgreSQL's system user must pass through
        folder.chmod(0o711)
        with PostgreSQL(folder / 'postgresql') as postgresql:
            tryton = Tryton(
                folder / 'tryton', postgresql=postgresql, name='screens')
            if not tryton.exists():
                tryton.create([MODULE], cache_folder())
                _fill(tryton, options.studies)
            elif options.update:
                tryton.update(MODULE)
            return subprocess.call(
                [sys.executable, '-m', 'benchmarks.screens', *arguments,
                    '--database', tryton.name],
                env={**environment(), 'TRYTOND_CONFIG': str(
                        tryton.configuration)},
                preexec_fn=die_with_parent())


def summary(rows: list[dict], studies: int) -> dict:
    load = os.getloadavg()
    return {
        'studies': studies,
        'machine': f'{os.cpu_count()} cores, {platform.machine()}',
        'load': [round(value, 1) for value in load],
        'median': statistics.median(row['cpu'] for row in rows),
        'above': sum(row['cpu'] > GOAL for row in rows),
        'screens': rows,
        }


def print_table(result: dict) -> None:
    for row in sorted(
            result['screens'], key=lambda row: row['cpu'], reverse=True):
        mark = '*' if row['cpu'] > GOAL else ' '
        model = row['model'].rpartition('.')[2]
        print(
            f"{mark}{row['cpu']:8.0f} {row['ms']:8.0f} {row['sql']:8.0f}"
            f" {row['statements']:4}  {row['role']:13} {row['kind']:6}"
            f" {model:9} {row['name']}")
    print(
        f"{result['studies']} studies, {len(result['screens'])} screens,"
        f" {result['above']} above {GOAL} ms, median"
        f" {result['median']:.0f} ms, load {result['load']},"
        f" {result['machine']}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='./dev bench screens', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--studies', type=int, default=100_000)
    parser.add_argument('--repeat', type=int, default=5)
    parser.add_argument('--role', choices=ROLES)
    parser.add_argument(
        '--only', metavar='TEXT', help="only screens with TEXT in their names")
    parser.add_argument(
        '--explain', type=float, metavar='MS',
        help="print the plan of the slowest statement of slower screens")
    parser.add_argument(
        '--plans', action='store_true',
        help="print where a large table is read as a whole, as JSON")
    parser.add_argument(
        '--folder', help="keep the filled database there, and use it again")
    parser.add_argument(
        '--update', action='store_true',
        help="update the module in a database that was kept")
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--database', help=argparse.SUPPRESS)
    parser.add_argument('--fill', type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    if options.fill:
        fill_database(options.database, options.fill)
        return 0
    if not options.database:
        return run_with_database(options, arguments)
    rows = measure(options.database, options)
    if options.plans:
        print(json.dumps(rows, indent=2))
        return 0
    result = summary(rows, options.studies)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
