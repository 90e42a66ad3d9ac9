# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching of many studies at once decides and stores what matching of each
of them does, row by row."""

import datetime as dt
import json
import random
from unittest import mock

import pytest
from sql import Null, Table

from trytond import backend
from trytond.model import ModelSQL, fields
from trytond.modules.health_orthanc.common.registration import is_own
from trytond.modules.health_orthanc.common.rows import insert_rows
from trytond.modules.health_orthanc.linking import plain
from trytond.modules.health_orthanc.linking.link import match_orders
from trytond.modules.health_orthanc.linking.plain import match_plain
from trytond.modules.health_orthanc.linking.queue import due_studies
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from benchmarks.pairs import Hospital, Rates
from benchmarks.people import PeopleRates, Population
from benchmarks.slips import make

from .tools import (
    PATIENT, SERIES, STUDY, OrthancTestCase, create_order,
    create_orthanc_patient, create_patient, create_series, create_server,
    create_study, create_test, create_user)

PATIENTS = 150
STUDIES = 150
# Of the records that are stored past the models, far from all others
FIRST = 1_000_000
NOON = dt.time(12)
# Besides ours, what a link changes
CHANGED = {
    'gnuhealth.imaging.test.request', 'gnuhealth.imaging.test.result',
    'gnuhealth.patient', 'ir.queue'}
# Times differ, and so do the ids of new records: no sequence of PostgreSQL is
# rolled back
LEFT_OUT = {'id', 'create_date', 'write_date', 'enqueued_at'}
# From a sequence as well: compared by their order
NUMBERS = {'gnuhealth.imaging.test.result': 'number'}


class _Population:
    "Stores a made-up hospital and its studies past all models"

    def __init__(self, hospital, seed):
        self._random = random.Random(f'plain {seed}')
        self._server = create_server()
        self._insert_people([
                p.facts for p in hospital.population.people])
        # Most studies are of patients without an order
        self._insert_orders([
                o for key, o in hospital.orders.items() if not key % 4])
        Pool().get(
            'gnuhealth.imaging_orthanc.patient_key').create_missing()
        self._insert_studies([pair.study for pair in hospital.pairs])

    @staticmethod
    def _insert(model, rows):
        insert_rows(Pool().get(model), rows)

    def _insert_people(self, people):
        self._insert('party.party', [{
                    'id': p.key + FIRST, 'code': f'B{p.key}',
                    'active': p.active, 'is_person': True,
                    'is_patient': True, 'ref': p.puid or None,
                    'lastname': p.names[0].family, 'name': p.names[0].given,
                    'dob': p.birth_date, 'est_dob': p.birth_date_estimated,
                    'gender': p.gender.lower() or 'u',
                    'deceased': self._random.random() < 0.02,
                    } for p in people])
        self._insert('gnuhealth.patient', [{
                    'id': p.key + FIRST, 'party': p.key + FIRST,
                    'active': self._random.random() > 0.02,
                    'biological_sex': p.biological_sex.lower() or None,
                    } for p in people])
        self._insert('gnuhealth.person_name', [{
                    'party': p.key + FIRST, 'family': name.family,
                    'given': name.given, 'use': (
                        'official' if not number
                        else 'maiden' if name.family else 'nickname'),
                    } for p in people for number, name in enumerate(p.names)])
        self._insert('gnuhealth.person_alternative_identification', [{
                    'party': p.key + FIRST, 'code': code,
                    'alternative_id_type': 'other',
                    } for p in people for code in [
                        *p.other_ids,
                        # Somebody else's PUID, or an insurance's number
                        *([people[-1 - p.key].puid]
                            if self._random.random() < 0.02 else [])]])

    def _insert_orders(self, orders):
        if not orders:
            return
        test = create_test()
        doctor = create_order(create_patient()).doctor
        self._insert('gnuhealth.imaging.test.request', [{
                    'id': o.order.key + FIRST,
                    'patient': o.patient.key + FIRST,
                    'date': dt.datetime.combine(o.order.steps[0].date, NOON),
                    'requested_test': test.id, 'doctor': doctor.id,
                    'state': self._random.choice(
                        ['requested', 'requested', 'done']),
                    'study_instance_uid': o.order.study_uid,
                    'accession_number': o.order.accession_number,
                    'merge_id': o.order.merge_id} for o in orders])
        self._insert('gnuhealth.imaging.procedure.step', [{
                    'request': o.order.key + FIRST, 'step_id': step.step_id,
                    'modality': step.modality,
                    'scheduled_at': dt.datetime.combine(step.date, NOON),
                    'state': 'scheduled'}
                for o in orders for step in o.order.steps])

    def _insert_studies(self, studies):
        patient_ids = sorted({s.patient_id for s in studies})
        self._insert(PATIENT, [{
                    'id': FIRST + n, 'server': self._server.id,
                    'uuid': f'P{n}', 'ident': id_ or None,
                    } for n, id_ in enumerate(patient_ids)])
        self._insert(STUDY, [{
                    'id': FIRST + n, 'server': self._server.id,
                    'orthanc_UID': f'S{n}', 'link_status': 'unlinked',
                    'orthanc_patient': FIRST + patient_ids.index(s.patient_id),
                    'historical': True, **_values(s)}
                for n, s in enumerate(studies)])
        self._insert(SERIES, [{
                    'study': FIRST + n, 'orthanc_UID': f'R{n}{modality}',
                    'modality': modality, 'request_attributes': _requests(s)}
                for n, s in enumerate(studies)
                for modality in sorted(s.modalities) or [None]])


def _values(study):
    text = study.birth_date_text
    return {
        'patient_name': study.patient_name or None,
        'letters_lost': study.letters_lost,
        'patient_id': study.patient_id or None,
        'issuer_of_patient_id': study.issuer or None,
        'other_patient_ids': '\\'.join(study.other_patient_ids) or None,
        'patient_birth_date': study.birth_date,
        'malformed_tags': f'PatientBirthDate: {text}' if text else None,
        'patient_sex': study.sex or None,
        'study_instance_UID': study.study_uid or None,
        'accession_number': study.accession_number or None,
        'study_description': study.description or None,
        'date': study.date,
        'notified_facts': json.dumps({
                'Texts': sorted(study.texts)}) if study.texts else None,
        }


def _requests(study):
    items = [
        {keyword: value} for keyword, values in [
            ('AccessionNumber', study.requested_accession_numbers),
            ('StudyInstanceUID', study.requested_study_uids),
            ('ScheduledProcedureStepID', study.step_ids),
            ('RequestedProcedureID', study.procedure_ids),
            ] for value in sorted(values)]
    return json.dumps(items) if items else None


def _match_each(ids):
    # Studies of one batch do not see which orders the others complete
    for id_ in ids:
        match_orders([id_])


def _match_at_once(ids):
    "Match studies; return how many were not plain"
    rest = match_plain(ids)
    _match_each(rest)
    return len(rest)


class PlainTestCase(OrthancTestCase):
    maxDiff = 3000

    def compare(self, *changes):
        """Compare what both ways store, after each change.

        Parameters
        ----------
        changes : callable
            Changes what was stored by the matching before.

        Returns
        -------
        list of tuple
            How many studies were matched, and how many were not plain.
        """
        cursor = Transaction().connection.cursor()
        found = []
        cursor.execute('SAVEPOINT before')
        expected = [rows for _, rows in self.passes(_match_each, changes)]
        cursor.execute('ROLLBACK TO SAVEPOINT before')
        self.forget()
        for (counts, rows), wanted in zip(
                self.passes(_match_at_once, changes), expected):
            found.append(counts)
            self.assertEqual(rows.keys(), wanted.keys())
            for model in rows:
                self.assertEqual(
                    [row for row in rows[model] if row not in wanted[model]],
                    [row for row in wanted[model] if row not in rows[model]],
                    f'{model} in pass {len(found)}')
                self.assertEqual(rows[model], wanted[model], model)
        return found

    def passes(self, match, changes):
        for change in [lambda: None, *changes]:
            change()
            self.forget()
            ids = due_studies()
            # As the synchronization and the task queue match
            with Transaction().set_context(active_test=False):
                rest = match(ids)
            self.forget()
            yield (len(ids), rest), self.rows()

    @staticmethod
    def forget():
        "Forget what trytond knows of rows that SQL has changed"
        transaction = Transaction()
        for known in [
                transaction.cache, transaction.create_records,
                transaction.delete_records]:
            known.clear()

    def rows(self):
        "Return the rows of all tables that matching may change, by model"
        models = {
            name: Model for name, Model in Pool().iterobject()
            if issubclass(Model, ModelSQL) and not Model.table_query
            and (is_own(Model) or name in CHANGED)}
        ids = {name: self.ids(Model) for name, Model in models.items()}
        found = {
            name: list(self.read(Model, ids))
            for name, Model in models.items()}
        for model, name in NUMBERS.items():
            rank = {value: place for place, value in enumerate(sorted(
                        row[name] for row in found[model]))}
            for row in found[model]:
                row[name] = rank[row[name]]
        return {name: sorted(rows, key=repr) for name, rows in found.items()}

    @staticmethod
    def ids(Model):
        table = Model.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(table.id, order_by=table.id))
        return {id_: number for number, (id_,) in enumerate(cursor)}

    @staticmethod
    def read(Model, ids):
        table = Table(Model._table)
        names = [
            name for name, field in Model._fields.items()
            if name not in LEFT_OUT and field.sql_type()
            # One by one, an Orthanc patient may get a link and lose it
            and (Model.__name__, name) != (PATIENT, 'write_uid')
            and not isinstance(field, fields.Function)]
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(*(
                    getattr(table, name) for name in names)))
        for values in cursor.fetchall():
            yield {
                name: _comparable(Model._fields[name], value, ids)
                for name, value in zip(names, values)}


def _comparable(field, value, ids):
    "Return a value of a row without what differs from run to run"
    if value is None:
        return None
    if isinstance(field, (fields.DateTime, fields.Timestamp)):
        return 'set'
    if isinstance(field, fields.Many2One) and field.model_name in ids:
        return ids[field.model_name].get(value)
    return value


# The cases below run on both kinds of database in each run
@pytest.mark.release if backend.name == 'sqlite' else lambda case: case
class PopulationsTestCase(PlainTestCase):

    def changes(self):
        "Return what happens between two matchings of all studies"
        # Only one: in both ways the decisions are of the same user
        self.decider = create_user('decider').id
        return [self.rename, self.decide, self.queue]

    def queue(self, where=None):
        study = Pool().get(STUDY).__table__()
        self.execute(study.update([study.matched_at], [Null]))

    @staticmethod
    def execute(query):
        Transaction().connection.cursor().execute(*query)

    def rename(self):
        "Some patients are called otherwise, and images have changed"
        pool = Pool()
        party = pool.get('party.party').__table__()
        name = pool.get('gnuhealth.person_name').__table__()
        study = pool.get(STUDY).__table__()
        self.execute(party.update(
                [party.name], ["Anders"], where=party.id % 7 == 1))
        self.execute(name.update(
                [name.given], ["Anders"], where=name.party % 7 == 1))
        self.execute(study.update(
                [study.patient_birth_date], [dt.date(1977, 7, 7)],
                where=study.id % 11 == 1))
        self.execute(study.update(
                [study.accession_number], [Null], where=study.id % 13 == 1))
        self.queue()

    def decide(self):
        "People decide on some Orthanc patients and studies"
        pool = Pool()
        patient = pool.get(PATIENT).__table__()
        study = pool.get(STUDY).__table__()
        user = self.decider
        self.execute(patient.update(
                [patient.decided_by], [user], where=patient.id % 9 == 1))
        self.execute(study.update(
                [study.decided_by], [user], where=study.id % 17 == 1))
        self.execute(study.update(
                [study.link_status, study.patient], ['unlinked', Null],
                where=(study.link_status == 'auto_certain')
                & (study.request == Null) & (study.id % 3 == 1)))
        self.queue()

    def assertCompared(self, hospital, seed):
        _Population(hospital, seed)
        for count, others in self.compare(*self.changes()):
            self.assertGreater(count, STUDIES * 0.8)
            # Otherwise nothing is compared
            self.assertLess(others, count * 0.9)

    @with_transaction()
    def test_a_hospital_of_many_tongues(self):
        self.assertCompared(Hospital(
                Population(5, PATIENTS, PeopleRates()), STUDIES, Rates(), 5),
            5)

    @pytest.mark.release
    @with_transaction()
    def test_numbers_in_sequence_and_families(self):
        self.assertCompared(make(5, PATIENTS, STUDIES), 5)


BORN = dt.date(1980, 5, 17)
CONFIGURATION = 'gnuhealth.orthanc.matching.configuration'


class CasesTestCase(PlainTestCase):
    "Cases that a made-up hospital seldom has"

    def setUp(self):
        super().setUp()
        self.server = None

    def create_person(self, puid, family="Muster", **values):
        return create_patient(family, ref=puid, dob=BORN, **values)

    def create_images(self, puid, family="Muster", known=None, **values):
        "Create a study of a person, in the Orthanc patient of its own or not"
        self.server = self.server or create_server()
        return create_study(self.server, **{
                'patient_id': puid,
                'patient_name': f'{family}^Erika',
                'patient_birth_date': BORN,
                'patient_sex': 'F',
                'orthanc_patient': known or create_orthanc_patient(
                    self.server, ident=puid).id,
                **values})

    def assertCompared(self, count, others, *changes):
        self.assertEqual(self.compare(*changes)[-1], (count, others))

    @with_transaction()
    def test_one_orthanc_patient_of_two_patients(self):
        self.create_person('P1')
        self.create_person('P2')
        known = create_orthanc_patient(create_server(), ident='P1').id
        self.create_images('P1', known=known)
        self.create_images('P2', known=known)
        self.assertCompared(2, 0)

    @with_transaction()
    def test_one_orthanc_patient_with_a_study_in_doubt(self):
        self.create_person('P1')
        known = create_orthanc_patient(create_server(), ident='P1').id
        self.create_images('P1', known=known)
        # Uncertain: an order may be meant
        self.create_images('P1', known=known, patient_sex='M')
        self.assertCompared(2, 1)

    @with_transaction()
    def test_one_orthanc_patient_of_one(self):
        patient = self.create_person('P1')
        known = create_orthanc_patient(create_server(), ident='P1').id
        studies = [self.create_images('P1', known=known) for _ in range(3)]
        self.assertCompared(3, 0)
        self.forget()
        self.assertEqual(
            {s.patient for s in Pool().get(STUDY).browse(studies)}, {patient})
        self.assertEqual(
            Pool().get(PATIENT)(known).patient, patient)

    @with_transaction()
    def test_two_patients_of_one_name(self):
        self.create_person('P1')
        self.create_person('P2')
        for puid in ['P1', 'P2', 'P3', '', 'p1', 'P1 ']:
            self.create_images(puid)
        self.compare()

    @with_transaction()
    def test_replaced_inactive_and_dead(self):
        kept = self.create_person('KEPT')
        gone = self.create_person('GONE')
        self.execute_on(
            'party.party', gone.party.id, replaced_by=kept.party.id)
        self.execute_on('gnuhealth.patient', gone.id, active=False)
        self.execute_on(
            'gnuhealth.patient', self.create_person('OFF').id, active=False)
        dead = self.create_person('DEAD')
        self.execute_on('party.party', dead.party.id, deceased=True)
        for puid in ['KEPT', 'GONE', 'OFF', 'DEAD']:
            for historical in [False, True]:
                self.create_images(puid, historical=historical)
        self.compare(self.queue)

    @with_transaction()
    def test_issuers_and_other_ids(self):
        Configuration = Pool().get(CONFIGURATION)
        Configuration.write([Configuration(1)], {'issuers': 'HOSPITAL'})
        patient = self.create_person('P1')
        Pool().get('gnuhealth.person_alternative_identification').create([{
                    'party': patient.party.id, 'code': 'OLD1',
                    'alternative_id_type': 'other'}])
        for issuer in [None, 'HOSPITAL', 'ELSEWHERE']:
            for puid in ['P1', 'OLD1']:
                self.create_images(puid, issuer_of_patient_id=issuer)
                self.create_images(
                    'X', issuer_of_patient_id=issuer, other_patient_ids=puid)
        self.compare(self.queue)

    @with_transaction()
    def test_rules_and_decisions(self):
        pool = Pool()
        pool.get('gnuhealth.imaging_orthanc.dismissal_rule').create([
                {'patient_id': 'PHANTOM*', 'reason': "Phantom"},
                {'station': 'TESTBENCH*', 'reason': "Bench"}])
        user = create_user('decider').id
        other = self.create_person('P2', "Anders")
        self.create_person('P1')
        self.create_person('PHANTOM1')
        self.create_images('PHANTOM1')
        self.create_images('PHANTOM2')
        create_series(
            self.create_images('Z'), station_name='TESTBENCH1')
        for values in [
                {'decided_by': user, 'link_status': 'manual',
                    'patient': other.id},
                {'decided_by': user, 'link_status': 'unlinked'},
                {'link_status': 'auto_unsure', 'patient': other.id},
                {'link_status': 'auto_certain', 'patient': other.id}]:
            self.create_images('P1', **values)
        for chosen in [None, other.id]:
            known = create_orthanc_patient(
                self.server, ident='P1', patient=chosen, decided_by=user)
            self.create_images('P1', known=known.id)
        self.compare(self.queue)

    @with_transaction()
    def test_a_deactivated_rule(self):
        Pool().get('gnuhealth.imaging_orthanc.dismissal_rule').create([{
                    'patient_id': 'PHANTOM*', 'reason': "Phantom",
                    'active': False}])
        study = self.create_images('PHANTOM1')
        # As the synchronization and the task queue match
        with Transaction().set_context(active_test=False):
            match_orders([study.id])
            self.assertEqual(match_plain([study.id]), [])
        self.forget()
        self.assertEqual(
            Pool().get(STUDY)(study.id).link_status, 'unlinked')

    @with_transaction()
    def test_orders(self):
        for state in [False, True]:
            patient = self.create_person(f'P{state}')
            order = create_order(patient, requested=state)
            self.create_images(f'P{state}')
            self.create_images(f'P{state}', date=dt.date.today())
            self.create_images(f'P{state}', accession_number='X')
            self.create_images(
                f'P{state}', study_instance_UID=order.study_instance_uid)
        self.compare(self.queue)

    @with_transaction()
    def test_only_orders_of_candidates_are_read(self):
        patient = self.create_person('P1')
        study = self.create_images(
            'P1', patient=patient.id, request=create_order(patient).id)
        other = create_server().id
        servers = plain._with_due_links({study.server.id, other})
        self.assertEqual(servers, {study.server.id})
        for found, of, patients in [
                ({patient.id}, servers, {patient.id, patient.id + 1}),
                (set(), servers, {patient.id + 1}),
                (set(), {other}, {patient.id}),
                (set(), set(), {patient.id})]:
            with self.subTest(of=of, patients=patients):
                self.assertEqual(plain._with_due_orders(of, patients), found)

    @with_transaction()
    def test_another_module_decides(self):
        self.create_person('P1')
        study = self.create_images('P1')
        pool = Pool()
        for name, method in [
                (CONFIGURATION, 'decisions'),
                ('gnuhealth.imaging_orthanc.dismissal_rule', 'dismiss'),
                ('gnuhealth.imaging_orthanc.study.decision', 'record'),
                (STUDY, 'write'), (PATIENT, 'write')]:
            extended = type('Extended', (pool.get(name),), {
                    '__module__': 'trytond.modules.hospital.link',
                    '__slots__': (), method: None})
            models = Pool._pool[pool.database_name]['model']
            with self.subTest(name=name), mock.patch.dict(
                    models, {name: extended}):
                self.assertEqual(match_plain([study.id]), [study.id])
        self.assertEqual(match_plain([study.id]), [])

    @staticmethod
    def execute_on(model, id_, **values):
        table = Pool().get(model).__table__()
        Transaction().connection.cursor().execute(*table.update(
                [getattr(table, name) for name in values],
                list(values.values()), where=table.id == id_))

    @staticmethod
    def queue():
        table = Pool().get(STUDY).__table__()
        Transaction().connection.cursor().execute(
            *table.update([table.matched_at], [Null]))
