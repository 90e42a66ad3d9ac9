# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A made-up hospital in PostgreSQL, and the search of the module in it."""
import contextlib
import datetime as dt
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from trytond.modules.health_orthanc.core.matching.attributes import (
    Candidate, StudyAttributes)

from devtools.postgresql import PostgreSQL
from devtools.process import die_with_parent
from devtools.testing import cache_folder
from devtools.tryton import MODULE, Tryton, environment

from .pairs import TESTS, Hospital, Pair
from .people import Person
from .registry import Registry

NOON = dt.time(12)
_COLUMNS = {
    'party_party': [
        'id', 'code', 'active', 'is_person', 'is_patient', 'ref', 'lastname',
        'name', 'dob', 'est_dob', 'gender'],
    'gnuhealth_patient': ['id', 'party', 'active', 'biological_sex'],
    'gnuhealth_person_name': ['party', 'use', 'family', 'given'],
    'gnuhealth_imaging_test_request': [
        'id', 'patient', 'date', 'requested_test', 'doctor', 'state',
        'study_instance_uid', 'accession_number', 'merge_id',
        'request_line'],
    'gnuhealth_imaging_procedure_step': [
        'request', 'step_id', 'modality', 'station_aetitle', 'scheduled_at',
        'state'],
    }


class DatabaseIndex:
    """Searches as the module does, each time in a transaction of its own.

    Attributes
    ----------
    seconds : float
        How long it took to make the keys of all patients.
    """

    def __init__(self, name: str, hospital: Hospital | Registry):
        self._name = name
        _start(name)
        with self._transaction() as (pool, connection):
            self._shift = _Filling(pool, connection).run(hospital)
        start = time.perf_counter()
        with self._transaction() as (pool, connection):
            pool.get(
                'gnuhealth.imaging_orthanc.patient_key').create_missing()
        self.seconds = time.perf_counter() - start
        with self._transaction() as (_, connection):
            connection.cursor().execute('ANALYZE')

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[tuple]:
        from trytond.pool import Pool
        from trytond.transaction import Transaction
        with Transaction().start(
                self._name, 0,
                context={'_check_access': False}) as transaction:
            yield Pool(), transaction.connection
            transaction.commit()

    def pairs(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        "Yield pairs whose patients are known by their ids"
        for pair in pairs:
            yield pair if pair.patient is None else replace(
                pair, patient=pair.patient + self._shift)

    def candidates(self, study: StudyAttributes) -> list[Candidate]:
        from trytond.modules.health_orthanc.linking.candidates import (
            find_candidates)
        with self._transaction():
            found, = find_candidates([study])
        return found


class _Filling:
    "Copies people and orders to the tables"

    def __init__(self, pool, connection):
        self._pool = pool
        self._cursor = connection.cursor()

    def run(self, hospital: Hospital | Registry) -> int:
        "Return how far the ids of patients are from their keys"
        people = hospital.population.people
        tests, doctor = self._tests(), self._doctor()
        self._cursor.execute(
            'SELECT greatest(max(p.id), (SELECT max(id) FROM '
            'gnuhealth_patient), 0) + 1 FROM party_party p')
        first, = self._cursor.fetchone()
        self._copy('party_party', (
                self._party(p, p.key + first) for p in people))
        self._copy('gnuhealth_patient', (
                (p.key + first, p.key + first, True,
                    p.facts.biological_sex.lower() or None)
                for p in people))
        self._copy('gnuhealth_person_name', (
                row for p in people
                for row in self._names(p, p.key + first)))
        self._order(hospital, first, tests, doctor)
        return first

    def _copy(self, table: str, rows: Iterable[Sequence]) -> None:
        text = io.StringIO()
        for row in rows:
            text.write('\t'.join(map(_field, row)) + '\n')
        text.seek(0)
        columns = ', '.join(_COLUMNS[table])
        self._cursor.copy_expert(f'COPY {table} ({columns}) FROM STDIN', text)

    @staticmethod
    def _party(person: Person, id_: int) -> Sequence:
        facts = person.facts
        name = facts.names[0]
        return (
            id_, f'B{id_}', True, True, True, facts.puid, name.family,
            name.given, facts.birth_date, facts.birth_date_estimated,
            facts.gender.lower() or 'u')

    @staticmethod
    def _names(person: Person, party: int) -> Iterator[Sequence]:
        for number, name in enumerate(person.facts.names):
            use = 'official' if not number else (
                'maiden' if name.family else 'nickname')
            yield party, use, name.family, name.given

    def _order(
            self, hospital: Hospital | Registry, first: int,
            tests: dict[str, int], doctor: int) -> None:
        orders = [
            (c.patient.key + first, c.order)  # type: ignore[operator]
            for c in hospital.orders.values() if c.order]
        self._copy('gnuhealth_imaging_test_request', (
                (order.key, patient, _noon(order.steps[0].date),
                    tests[order.description], doctor, 'requested',
                    order.study_uid, order.accession_number, order.merge_id,
                    order.procedure_id)
                for patient, order in orders))
        self._copy('gnuhealth_imaging_procedure_step', (
                (order.key, step.step_id, step.modality,
                    step.station_aetitle, _noon(step.date), 'scheduled')
                for _, order in orders for step in order.steps))

    def _tests(self) -> dict[str, int]:
        get_id = self._pool.get('ir.model.data').get_id
        return {
            test.name: test.id
            for test in self._pool.get('gnuhealth.imaging.test').create([{
                        'code': f'B{number}', 'name': description,
                        'test_type': get_id(
                            'health_imaging', 'gnuhealth_test_type_ctscan'),
                        'product': get_id(
                            'health_imaging',
                            'product_product_ctscancharges'),
                        } for number, (_, description, _) in enumerate(
                        TESTS)])}

    def _doctor(self) -> int:
        party, = self._pool.get('party.party').create([{
                    'name': "Cora", 'lastname': "Musterfrau",
                    'is_person': True, 'is_healthprof': True, 'gender': 'f',
                    'fed_country': 'XXX'}])
        doctor, = self._pool.get('gnuhealth.healthprofessional').create(
            [{'party': party.id}])
        return doctor.id


def _noon(day: dt.date | None) -> dt.datetime | None:
    return dt.datetime.combine(day, NOON) if day else None


def _field(value: object) -> str:
    if value is None:
        return r'\N'
    return str(value).replace('\\', r'\\').replace('\t', ' ')


def _start(name: str) -> None:
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    Pool.start()
    with Transaction().start(name, 0, readonly=True):
        Pool(name).init()


def run_with_database(arguments: Sequence[str]) -> int:
    """Run the benchmark in a process that has a database.

    trytond works on one kind of database in a process, from the first import
    on.
    """
    with tempfile.TemporaryDirectory(prefix='linking-') as name:
        folder = Path(name)
        # PostgreSQL's system user must pass through
        folder.chmod(0o711)
        with PostgreSQL(folder / 'postgresql') as postgresql:
            tryton = Tryton(
                folder / 'tryton', postgresql=postgresql, name='linking')
            tryton.create([MODULE], cache_folder())
            return subprocess.call(
                [sys.executable, '-m', 'benchmarks.linking', *arguments,
                    '--database', tryton.name],
                env={**environment(), 'TRYTOND_CONFIG': str(
                        tryton.configuration)},
                preexec_fn=die_with_parent())
