# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One measured run, in a process of its own.

Reads what to do as JSON from standard input, so that no password is among the
arguments, and prints a JSON object.
"""
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import patch

import psycopg2
import requests

__all__ = ['Job']

PAGE = 1000
TIMEOUT = 120
# Where nothing listens
NOBODY = 'http://127.0.0.1:1'
TABLES = {
    'patients': 'gnuhealth_orthanc_patient',
    'studies': 'gnuhealth_imaging_orthanc_study',
    'series': 'gnuhealth_imaging_orthanc_study_series',
    'instances': 'gnuhealth_imaging_orthanc_series_instances',
    }


class Memory:
    """How far the resident memory of this process has grown, in bytes.

    The kernel is told to forget the peak that was before.
    """

    def __init__(self):
        Path('/proc/self/clear_refs').write_text('5')
        self._start = self._read('VmRSS')

    @property
    def growth(self) -> int:
        return max(0, self._read('VmHWM') - self._start)

    @staticmethod
    def _read(name: str) -> int:
        status = Path('/proc/self/status').read_text()
        kilobytes, = re.findall(rf'^{name}:\s+(\d+) kB$', status, re.M)
        return int(kilobytes) * 1024


class Job:
    """What is measured, and where.

    Parameters
    ----------
    configuration
        The file of trytond's.
    database
        The name of the database; its user is the administrator.
    uri
        Where psycopg2 connects to.
    orthanc
        `url`, `user` and `password`.
    """

    def __init__(
            self, configuration: str, database: str, uri: str,
            orthanc: dict[str, str]):
        self._configuration = configuration
        self._database = database
        self._uri = uri
        self._orthanc = orthanc

    def prepare(self) -> dict:
        """Record the server, as somebody does who adds it."""
        with self._transaction() as (pool, transaction):
            Server = pool.get('gnuhealth.orthanc.config')
            server, _ = Server.create([{
                        'label': "Benchmark",
                        'domain': self._orthanc['url'],
                        'user': self._orthanc['user'],
                        'password': self._orthanc['password'],
                        'instances_mode': 'always',
                        }, {
                        'label': "Nobody",
                        'domain': NOBODY,
                        'retries': 0,
                        }])
            Server.check_connection([server])
            transaction.commit()
            return {'validated': server.validated}

    def full(self) -> dict:
        return self._synchronize('full')

    def incremental(self) -> dict:
        return self._synchronize('incremental')

    def listing(self) -> dict:
        """Read the listings of all levels."""
        reader = Reader(**self._orthanc)
        with measured() as figures:
            reader.read_all()
        return {**figures, 'requests': reader.requests}

    def listing_without_instances(self) -> dict:
        """Read the listings as far as a comparison with the records must.

        The list of each series names its instances.
        """
        reader = Reader(**self._orthanc)
        with measured() as figures:
            reader.read_parents()
        return {**figures, 'requests': reader.requests}

    def floor(self) -> dict:
        """Read all, and copy the rows of this database to empty tables."""
        reader = Reader(**self._orthanc)
        with closing(psycopg2.connect(self._uri)) as connection, \
                tempfile.TemporaryDirectory() as folder:
            copy = Copy(connection, Path(folder))
            with measured() as figures:
                reader.read_all()
                copy.run()
        return {
            **figures, 'requests': reader.requests,
            'statements': copy.statements}

    def _synchronize(self, kind: str) -> dict:
        with self._transaction() as (pool, _):
            Synchronization = pool.get('gnuhealth.orthanc.synchronization')
            server, nobody = pool.get('gnuhealth.orthanc.config').search([])
            # Fills what trytond caches: access rights, messages
            Synchronization.run(nobody)
            with without_thumbnails(), counted_statements() as statements, \
                    measured() as figures:
                run = Synchronization.run(server, kind)
        # That transaction is older than what the run has stored
        with self._transaction() as (pool, _):
            run = pool.get('gnuhealth.orthanc.synchronization')(run.id)
            if run.state != 'done' or run.failures_count:
                raise RuntimeError(
                    f"the run is {run.state}: {run.error or run.result}")
            return {
                **figures, 'requests': run.requests,
                'statements': statements[0], 'stored': self._stored(pool)}

    @staticmethod
    def _stored(pool) -> dict[str, int]:
        models = [
            'gnuhealth.orthanc.patient', 'gnuhealth.imaging_orthanc.study',
            'gnuhealth.imaging_orthanc.study_series',
            'gnuhealth.imaging_orthanc.series_instances']
        return {
            name: pool.get(model).search(
                [('missing_since', '=', None)], count=True)
            for name, model in zip(TABLES, models)}

    @contextmanager
    def _transaction(self) -> Iterator[tuple]:
        from trytond.config import config
        config.update_etc(self._configuration)
        from trytond.pool import Pool
        from trytond.transaction import Transaction
        if self._database not in Pool.database_list():
            Pool.start()
            with Transaction().start(self._database, 0):
                Pool(self._database).init()
        pool = Pool(self._database)
        with Transaction().start(self._database, 1) as transaction:
            yield pool, transaction


@contextmanager
def measured() -> Iterator[dict]:
    """Put what was used into the dictionary that it yields.

    Seconds, those of the processor (*cpu*), and bytes of growth.
    """
    figures: dict = {}
    memory = Memory()
    start, used = time.perf_counter(), time.process_time()
    yield figures
    figures['seconds'] = time.perf_counter() - start
    figures['cpu'] = time.process_time() - used
    figures['memory'] = memory.growth


@contextmanager
def without_thumbnails() -> Iterator[None]:
    """Let synchronizations make no thumbnails: there is nothing like them.

    Neither the floor nor the predecessor has any.
    """
    from trytond.modules.health_orthanc.viewing import thumbnail
    with patch.object(thumbnail, 'make_thumbnails', lambda *_: None):
        yield


@contextmanager
def counted_statements() -> Iterator[list[int]]:
    """Count what trytond executes; COMMIT and ROLLBACK are no statements."""
    from trytond.backend.postgresql.database import LoggingCursor
    count = [0]
    execute = LoggingCursor.execute

    def counting(cursor, *args):
        count[0] += 1
        return execute(cursor, *args)
    LoggingCursor.execute = counting
    try:
        yield count
    finally:
        LoggingCursor.execute = execute


class Reader:
    """Reads an archive with the fewest requests.

    Attributes
    ----------
    requests : int
        How many were sent.
    """

    def __init__(self, url: str, user: str, password: str):
        self.requests = 0
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (user, password)

    def read_all(self) -> None:
        instances = self.read_parents()
        for since in range(0, instances, PAGE):
            self._page('instances', since)

    def read_parents(self) -> int:
        """Read patients, studies and series; return how many instances.

        Each level tells how many there are of the one below it.
        """
        studies = self._level('patients', 'Studies')
        series = self._level('studies', 'Series', studies)
        return self._level('series', 'Instances', series)

    def _level(
            self, level: str, children: str, count: int | None = None
            ) -> int:
        found = since = 0
        while count is None or since < count:
            page = self._page(level, since)
            found += sum(len(resource[children]) for resource in page)
            since += PAGE
            if len(page) < PAGE:
                break
        return found

    def _page(self, level: str, since: int) -> list[dict]:
        self.requests += 1
        response = self._session.get(
            f'{self._url}/{level}?expand&since={since}&limit={PAGE}',
            timeout=TIMEOUT)
        response.raise_for_status()
        return response.json()


class Copy:
    """Copies the rows of our tables into tables with the same indexes.

    Attributes
    ----------
    statements : int
        How many were executed.
    """

    def __init__(
            self, connection, folder: Path,
            tables: Mapping[str, str] = TABLES):
        self.statements = 0
        self._connection = connection
        self._cursor = connection.cursor()
        self._folder = folder
        self._tables = list(tables.values())
        for table in self._tables:
            with self._file(table).open('wb') as stream:
                self._cursor.copy_expert(f'COPY {table} TO STDOUT', stream)
            self._cursor.execute(
                f'CREATE TABLE floor_{table} (LIKE {table} INCLUDING ALL)')
        connection.commit()

    def _file(self, table: str) -> Path:
        return self._folder / table

    def run(self) -> None:
        for table in self._tables:
            with self._file(table).open('rb') as stream:
                self.statements += 1
                self._cursor.copy_expert(
                    f'COPY floor_{table} FROM STDIN', stream)
        self._connection.commit()

    def drop(self) -> None:
        """Drop the copies."""
        for table in self._tables:
            self._cursor.execute(f'DROP TABLE floor_{table}')
        self._connection.commit()


def main(arguments: Sequence[str]) -> None:
    task, = arguments
    job = Job(**json.load(sys.stdin))
    print(json.dumps(getattr(job, task)()))


if __name__ == '__main__':
    main(sys.argv[1:])
