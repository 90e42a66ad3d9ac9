# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the benchmark `scale`, in a process of its own."""
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psycopg2
import requests

from .measure import NOBODY, PAGE, TABLES, TIMEOUT, Copy, Job, measured

BULK = 1000
# With a number after it
LABEL = "Benchmark"
ROWS = {
    **TABLES,
    'history': 'gnuhealth_imaging_orthanc_study_decision',
    'keys': 'gnuhealth_imaging_orthanc_study_key',
    }
_COLUMNS = {
    'party_party': [
        'id', 'code', 'active', 'is_person', 'is_patient', 'ref', 'lastname',
        'name', 'dob', 'gender'],
    'gnuhealth_patient': ['id', 'party', 'active', 'biological_sex'],
    'gnuhealth_person_name': ['party', 'use', 'family', 'given'],
    }


class ScaleJob(Job):
    """A job with a made-up archive."""

    def fill(self, patients: int, workers: int) -> dict:
        """Register patients and the server.

        Parameters
        ----------
        patients
            Of the archive; some of them are registered.
        workers
            How many may share a run.
        """
        with self._transaction() as (pool, transaction):
            Server = pool.get('gnuhealth.orthanc.config')
            servers = Server.create([{
                        'label': f"{LABEL} {number}", 'domain': url,
                        'sync_workers': workers,
                        } for number, url in enumerate(self._urls)])
            Server.create([
                    {'label': "Nobody", 'domain': NOBODY, 'retries': 0}])
            Server.check_connection(servers)
            transaction.commit()
            count = _register(transaction.connection.cursor(), patients)
            transaction.commit()
        start = time.perf_counter()
        with self._transaction() as (pool, transaction):
            pool.get(
                'gnuhealth.imaging_orthanc.patient_key').create_missing()
            transaction.commit()
        seconds = time.perf_counter() - start
        with closing(psycopg2.connect(self._uri)) as connection:
            connection.autocommit = True
            connection.cursor().execute('ANALYZE')
        return {'patients': count, 'seconds_for_keys': seconds}

    def begin(self, kind: str) -> dict:
        """Queue a run."""
        with self._transaction() as (pool, transaction):
            Server = pool.get('gnuhealth.orthanc.config')
            Server.synchronize_in_turn(
                Server.search([('label', 'like', LABEL + '%')]), kind)
            transaction.commit()
        return {}

    def floor(self) -> dict:
        """Read all, and copy the rows of this database to empty tables."""
        with closing(psycopg2.connect(self._uri)) as connection, \
                tempfile.TemporaryDirectory() as folder:
            copy = Copy(connection, Path(folder), ROWS)
            with measured() as figures:
                self._read_all()
                copy.run()
            copy.drop()
        return {**figures, 'statements': copy.statements}

    def listing(self) -> dict:
        """Read what a comparison of everything reads."""
        with measured() as figures:
            self._read_all()
        return figures

    def listing_of_studies(self) -> dict:
        """Read what a comparison reads if nothing has changed."""
        with measured() as figures:
            for url in self._urls:
                Reader(url).read_studies()
        return figures

    def _read_all(self) -> None:
        for url in self._urls:
            Reader(url).read_all()

    @property
    def _urls(self) -> list[str]:
        return self._orthanc['url'].split()

    @staticmethod
    def _stored(pool) -> int:
        return pool.get('gnuhealth.imaging_orthanc.study').search(
            [('missing_since', '=', None)], count=True)


def _register(cursor, patients: int) -> int:
    "Copy some of the patients of the archive to GNU Health"
    # It imports trytond, which has to be configured before
    from .archive import STRANGERS, Person
    every, own = STRANGERS
    cursor.execute(
        'SELECT greatest(max(p.id), (SELECT max(id) FROM gnuhealth_patient), '
        '0) + 1 FROM party_party p')
    first, = cursor.fetchone()
    numbers = [n for n in range(patients) if n % every < own]
    rows = {table: io.StringIO() for table in _COLUMNS}
    for number in numbers:
        person, id_ = Person.make(number), first + number
        sex = person.sex.lower()
        for table, values in [
                ('party_party', [
                    id_, f'B{id_}', 't', 't', 't', person.puid,
                    person.family, person.given, person.birth_date, sex]),
                ('gnuhealth_patient', [id_, id_, 't', sex]),
                ('gnuhealth_person_name', [
                    id_, 'official', person.family, person.given])]:
            rows[table].write('\t'.join(map(str, values)) + '\n')
    for table, text in rows.items():
        text.seek(0)
        cursor.copy_expert(
            f"COPY {table} ({', '.join(_COLUMNS[table])}) FROM STDIN", text)
    return len(numbers)


class Reader:
    """Reads what a first synchronization reads.

    Patients are asked for by their ids, as their studies name them.
    """

    def __init__(self, url: str):
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def read_all(self) -> None:
        for page in self._pages('studies'):
            self._bulk({study['ParentPatient'] for study in page})
        for _ in self._pages('series'):
            pass

    def read_studies(self) -> None:
        for _ in self._pages('studies'):
            pass

    def _pages(self, level: str) -> Iterator[list[dict]]:
        since = 0
        while page := self._session.get(
                f'{self._url}/{level}?expand&since={since}&limit={PAGE}',
                timeout=TIMEOUT).json():
            yield page
            since += PAGE

    def _bulk(self, orthanc_ids: Iterable[str]) -> None:
        self._session.post(
            f'{self._url}/tools/bulk-content',
            json={'Resources': sorted(orthanc_ids)}, timeout=TIMEOUT).json()


def main(arguments: Sequence[str]) -> None:
    task, = arguments
    job, options = json.load(sys.stdin)
    print(json.dumps(getattr(ScaleJob(**job), task)(**options)))


if __name__ == '__main__':
    main(sys.argv[1:])
