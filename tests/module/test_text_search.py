# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Searches that use indexes find the same as those that read all."""

import datetime as dt
from unittest.mock import patch

from trytond import backend
from trytond.model import Index
from trytond.modules.health_orthanc.common import indexes, related
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction, without_check_access

from .access import HEALTH_PATIENT, REQUEST, RESULT, STEP
from .tools import (
    INSTANCE, PATIENT, SERIES, STUDY, OrthancTestCase, create_instance,
    create_order, create_patient, create_result, create_series, create_server,
    create_study, create_user)

LOGGER = 'trytond.modules.health_orthanc.common.indexes'
EXTENSION = "SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'"


class TextSearchTestCase(OrthancTestCase):

    def found(self, model, *domain):
        return set(map(int, Pool().get(model).search(list(domain))))

    def records_of(self, patient):
        "Return the ids of new records of a patient, by their models"
        order = create_order(patient)
        step, = order.steps
        return {
            STUDY: create_study(
                create_server(), patient=patient.id, link_status='manual',
                patient_display_name="Other, Name").id,
            REQUEST: order.id,
            RESULT: create_result(patient).id,
            STEP: step.id,
            }

    @with_transaction()
    def test_records_of_a_patient_are_found_by_all_that_names_the_person(self):
        pool = Pool()
        patient, other = create_patient("Muster", "Erika"), create_patient(
            "Ejemplo", "Juan")
        party = patient.party
        pool.get('gnuhealth.person_name').create([{
                    'party': party.id, 'family': "Geborene", 'given': "Rika",
                    'use': 'maiden'}])
        pool.get('gnuhealth.person_alternative_identification').create([{
                    'party': party.id, 'code': 'PASS-77',
                    'alternative_id_type': 'passport'}])
        records, others = (
            self.records_of(patient), self.records_of(other))
        for text in [
                "Muster", "uste", "Erika", party.ref, "geborene", "Rika",
                "PASS-77"]:
            clause = ('rec_name', 'ilike', f'%{text}%')
            for model, id_ in records.items():
                with self.subTest(text=text, model=model):
                    self.assertEqual(
                        self.found(model, clause) & {id_, others[model]},
                        {id_})
        for model in [STUDY, REQUEST, RESULT, STEP]:
            self.assertEqual(
                self.found(model, ('rec_name', 'ilike', '%Zzyzx%')), set())

    @with_transaction()
    def test_many_patients_are_not_named_one_by_one(self):
        patients = [create_patient("Muster", f"Erika {i}") for i in range(3)]
        studies = {
            create_study(
                create_server(), patient=p.id, link_status='manual').id
            for p in patients}
        steps = {s.id for p in patients for s in create_order(p).steps}
        for limit in [1, 2, 3]:
            with patch.object(related, '_LIMIT', limit):
                for model, expected in [(STUDY, studies), (STEP, steps)]:
                    with self.subTest(limit=limit, model=model):
                        self.assertEqual(
                            self.found(
                                model, ('rec_name', 'ilike', '%Muster%')),
                            expected)

    @with_transaction()
    def test_patients_who_are_not_active_are_found(self):
        patient = create_patient("Muster", "Erika")
        study = create_study(
            create_server(), patient=patient.id, link_status='manual')
        Pool().get(HEALTH_PATIENT).write([patient], {'active': False})
        for field in ['rec_name', 'gnuhealth_patient_name', 'patient']:
            with self.subTest(field=field):
                self.assertEqual(
                    self.found(STUDY, (field, 'ilike', '%Muster%')),
                    {study.id})

    @with_transaction()
    def test_what_does_not_have_a_name_is_found_by_the_others(self):
        patient = create_patient("Muster", "Erika")
        named = create_study(
            create_server(), patient=patient.id, link_status='manual')
        other = create_study(
            create_server(), patient=create_patient("Ejemplo", "Juan").id,
            link_status='manual')
        for operator in ['not ilike', '!=']:
            with self.subTest(operator=operator):
                found = self.found(STUDY, (
                        'gnuhealth_patient_name', operator,
                        patient.rec_name if operator == '!='
                        else '%Muster%'))
                self.assertIn(other.id, found)
                if operator == 'not ilike':
                    self.assertNotIn(named.id, found)

    @with_transaction()
    def test_a_part_of_the_modalities(self):
        server = create_server()
        studies = {
            text: create_study(server, modalities=text).id
            for text in ['CT', 'CR, SR', 'MR', 'CR', None]}
        create_study(server, modalities='US')

        def expected(*texts):
            return {studies[text] for text in texts}
        for operator, value, texts in [
                ('ilike', '%cr%', ['CR, SR', 'CR']),
                ('ilike', '%R%', ['CR, SR', 'CR', 'MR']),
                ('like', '%, SR', ['CR, SR']),
                ('ilike', 'C_', ['CT', 'CR']),
                ('=', 'CR', ['CR']),
                ('in', ['CT', 'MR'], ['CT', 'MR']),
                ('=', None, [None]),
                ('ilike', '%XX%', [])]:
            with self.subTest(operator=operator, value=value):
                self.assertEqual(
                    self.found(STUDY, ('modalities', operator, value)),
                    expected(*texts))
        self.assertEqual(
            self.found(STUDY, ('modalities', 'not ilike', '%R%'))
            & set(studies.values()), expected('CT'))

    @with_transaction()
    def test_modalities_where_there_are_none(self):
        self.assertEqual(
            self.found(STUDY, ('modalities', 'ilike', '%CT%')), set())

    @with_transaction()
    def test_a_whole_uid_is_found_as_such_and_a_part_in_all(self):
        series = create_series(create_study(create_server()))
        one, longer = (
            create_instance(series, sop_instance_UID=uid).id
            for uid in ['1.2.840.77', '1.2.840.77.5'])
        for clause, expected in [
                (('ilike', '%1.2.840.77%'), {one}),
                (('ilike', '% 1.2.840.77.5 %'), {longer}),
                (('ilike', '%2.840.77%'), {one, longer}),
                (('ilike', '1.2.840.7%'), {one, longer}),
                (('ilike', '%'), {one, longer}),
                (('not ilike', '%1.2.840.77%'), set()),
                (('=', '1.2.840.77.5'), {longer}),
                (('in', ['1.2.840.77']), {one}),
                (('ilike', '%1.3%'), set())]:
            for name in ['sop_instance_UID', 'rec_name']:
                with self.subTest(name=name, clause=clause):
                    self.assertEqual(
                        self.found(INSTANCE, (name, *clause)), expected)

    @with_transaction()
    def test_a_uid_in_the_search_box_of_studies(self):
        server = create_server()
        one, longer, letters, _ = (
            create_study(server, study_instance_UID=uid).id
            for uid in ['1.2.840.77', '1.2.840.77.5', 'Study 7.A', None])
        for operator, value, expected in [
                ('ilike', '%1.2.840.77%', {one}),
                ('ilike', '% 1.2.840.77.5 %', {longer}),
                ('ilike', '%.2.840.77%', {one, longer}),
                ('ilike', '1.2.840.%', {one, longer}),
                ('ilike', '1.%.77.5', {longer}),
                ('ilike', '1.2.84%', {one, longer}),
                ('ilike', '%Study 7.A%', {letters}),
                # What can be a date, a number or a name is no part of a UID
                ('ilike', '%1.2.84%', set()),
                ('ilike', '%77%', set()),
                ('ilike', '%Study%', set()),
                ('ilike', '%1.2.840.78%', set()),
                ('=', '1.2.840.77.5', {longer})]:
            with self.subTest(operator=operator, value=value):
                self.assertEqual(
                    self.found(STUDY, ('rec_name', operator, value)),
                    expected)
        self.assertEqual(
            self.found(STUDY, ('study_instance_UID', 'ilike', '%.77%')),
            {one, longer})

    @with_transaction()
    def test_two_letters_find_words_that_begin_with_them(self):
        server = create_server()
        Study = Pool().get(STUDY)
        patient, _ = Pool().get(PATIENT).create([{
                    'server': server.id, 'uuid': f'uuid-{name}',
                    'display_name': name} for name in ["Wang, Li", "Oli"]])
        named, hyphened, described, done, numbered, eastern, other = (
            create_study(server, **values).id for values in [
                {'patient_display_name': "Wang, Li"},
                {'patient_display_name': "Lenz-Lier, Ada"},
                {'study_description': "Lignum left"},
                {'modalities': 'CT, LI'},
                {'accession_number': 'LI77'},
                {'patient_display_name': "Yamada, Taro (山田 太郎)"},
                {'patient_display_name': "Berlin, Oli",
                    'study_description': "Ball", 'accession_number': '7LI'}])
        for value, expected in [
                ('%li%', {named, hyphened, described, done, numbered}),
                ('%LI %', {named, hyphened, described, numbered}),
                ('%li wang%', {named}),
                ('%CT%', {done}),
                ('%l%', {named, hyphened, described, done, numbered}),
                ('%lin%', {other}),
                # With a wildcard of the user, everywhere
                ('%li', {named, hyphened, done, other}),
                ('%山田%', {eastern}), ('%山%', {eastern})]:
            with self.subTest(value=value):
                self.assertEqual(
                    self.found(STUDY, ('rec_name', 'ilike', value)), expected)
        self.assertEqual(
            self.found(
                Study._fields['orthanc_patient'].model_name,
                ('rec_name', 'ilike', '%li%')), {patient.id})
        self.assertEqual(
            self.found(STUDY, ('study_description', 'ilike', '%ef%')),
            {described})

    @with_transaction()
    def test_two_letters_in_other_lists(self):
        patient, other = (
            create_patient(*names) for names in [
                ("Wu", "Erika"), ("Swu", "Erika")])
        records, others = self.records_of(patient), self.records_of(other)
        for model in [REQUEST, RESULT, STEP]:
            with self.subTest(model=model):
                found = self.found(model, ('rec_name', 'ilike', '%wu%'))
                self.assertIn(records[model], found)
                self.assertNotIn(others[model], found)

    def test_a_text_that_is_not_searched(self):
        self.assertEqual(
            indexes.text_clause('ident', 'ilike', '%Li%', words=False),
            ('ident', 'ilike', 'Li%'))
        for operator, value in [
                ('=', '%Li%'), ('ilike', '%Lin%'), ('ilike', '%%'),
                ('ilike', 'Li'), ('in', ['%Li%']), ('not ilike', '%Li%'),
                # Wildcards of the user, also for one letter
                ('ilike', '%Li'), ('ilike', '%L%i%'), ('ilike', '%L_%'),
                ('ilike', '%\\_%'),
                # No words are divided
                ('ilike', '%山田%'), ('ilike', '%小%'), ('ilike', '%นา%'),
                # The beginnings of words
                *(('ilike', clause[2]) for clause in indexes.word_clauses(
                        'name', 'ilike', '%L%'))]:
            with self.subTest(operator=operator, value=value):
                self.assertEqual(
                    indexes.text_clause('name', operator, value),
                    ('name', operator, value))

    def test_a_uid_that_is_not_searched(self):
        for operator, value, expected in [
                ('not ilike', '%77%', ('not ilike', '%77%')),
                ('ilike', '%%', ('ilike', '%%')),
                ('ilike', 'Must%', ('=', 'Must')),
                ('in', ['77'], ('in', ['77'])),
                ('=', None, ('=', None))]:
            with self.subTest(operator=operator, value=value):
                self.assertEqual(
                    indexes.uid_clause('uid', operator, value),
                    ('uid', *expected))

    @with_transaction()
    def test_a_rule_with_a_part_of_a_uid(self):
        "Reading the rule for a search needs no search with the rule"
        pool = Pool()
        seen, hidden = (
            create_study(create_server(), study_instance_UID=uid)
            for uid in ['1.2.276.0.7.1', '1.2.840.5.5.1'])
        pool.get('ir.rule.group').create([{
                    'name': "Roots of UIDs",
                    'model': pool.get('ir.model').search(
                        [('model', '=', STUDY)])[0].id,
                    'global_p': True, 'perm_read': True,
                    'rules': [('create', [{'domain': (
                                        '[["study_instance_UID", "ilike", '
                                        '"%1.2.276.0.7%"]]')}])],
                    }])
        user = create_user(
            'clerk', 'health_orthanc.group_imaging_orthanc')
        with Transaction().set_user(user.id), \
                Transaction().set_context(_check_access=True):
            for domain in [
                    [], [('study_instance_UID', 'ilike', '%1.2.%')],
                    [('study_instance_UID', 'ilike', '%1.2.276.0.7.1%')]]:
                with self.subTest(domain=domain):
                    self.assertEqual(
                        self.found(STUDY, *domain)
                        & {seen.id, hidden.id}, {seen.id})

    @with_transaction()
    def test_parts_of_uids_have_no_index(self):
        for model in [INSTANCE, SERIES]:
            self.assertFalse([
                    usage for index in Pool().get(model)._sql_indexes
                    for _, usage in index.expressions
                    if isinstance(usage, Index.Similarity)])
        Study = Pool().get(STUDY)
        self.assertNotIn('study_instance_UID', {
                column._expression.name
                for column, _ in Study._text_index().expressions})

    @with_transaction()
    def test_an_extension_that_the_role_may_not_create(self):
        if backend.name != 'postgresql':
            indexes._create_extension()
            self.assertFalse(indexes.has_trigrams())
            return
        cursor = Transaction().connection.cursor()
        cursor.execute('DROP EXTENSION IF EXISTS pg_trgm CASCADE')
        cursor.execute('CREATE ROLE plain')
        cursor.execute('SET LOCAL ROLE plain')
        with self.assertLogs(LOGGER, 'WARNING') as logs:
            indexes._create_extension()
        self.assertIn('pg_trgm', logs.output[0])
        cursor.execute('RESET ROLE')
        cursor.execute(EXTENSION)
        self.assertIsNone(cursor.fetchone())
        indexes._create_extension()
        cursor.execute(EXTENSION)
        self.assertIsNotNone(cursor.fetchone())

    @with_transaction()
    def test_without_the_extension_there_is_no_index_for_texts(self):
        Study = Pool().get(STUDY)
        handler = backend.TableHandler
        for available in [True, False]:
            with patch.object(
                    indexes, 'has_trigrams', return_value=available), \
                    patch.object(handler, 'set_indexes') as set_indexes:
                Study._update_sql_indexes()
            (created,), _ = set_indexes.call_args
            self.assertEqual(
                Study._text_index() in list(created), available)
        self.assertNotIn(Study._text_index(), Study._sql_indexes)

    @with_transaction()
    def test_a_column_has_one_index_for_texts(self):
        Patient = Pool().get(PATIENT)
        with patch.object(indexes, 'has_trigrams', return_value=True), \
                patch.object(backend.TableHandler, 'set_indexes') as created:
            Patient._update_sql_indexes()
        (created,), _ = created.call_args
        self.assertEqual([
                i for i in created
                if any(isinstance(u, Index.Similarity)
                    for _, u in i.expressions)], [Patient._text_index()])

    @with_transaction(context={'_check_access': True})
    def test_a_long_list_is_read_once(self):
        "With a client's limit, only ids are read; in the same order"
        transaction = Transaction()
        with without_check_access():
            server = create_server()
            patient = create_patient()
            studies = [
                create_study(
                    server, date=day, patient=patient.id,
                    link_status='manual') for day in [
                    dt.date(2026, 3, 2), dt.date(2026, 3, 4), None,
                    dt.date(2026, 3, 3)]]
        expected = [studies[i].id for i in [1, 3, 0, 2]]
        Study = Pool().get(STUDY)
        limit = transaction.database.IN_MAX
        columns = '_ModelSQL__searched_columns'
        with patch.object(
                Study, columns, wraps=getattr(Study, columns)) as read:
            found = Study.search([], limit=limit)
            read.assert_not_called()
            Study.search([], limit=limit - 1)
            read.assert_called()
        self.assertEqual([s.id for s in found], expected)
        self.assertEqual([
                s.id for s in Study.search(
                    [('date', '!=', None)], 1, limit,
                    [('date', 'ASC'), ('id', 'ASC')])],
            [studies[3].id, studies[1].id])
        self.assertEqual(Study.search([], limit=limit, count=True), 4)
        self.assertEqual(len(Study.search([], limit=2)), 2)

    @with_transaction()
    def test_long_lists_are_the_same_as_short_ones(self):
        records = [
            self.records_of(create_patient("Muster", f"Erika {i}"))
            for i in range(3)]
        limit = Transaction().database.IN_MAX
        for model in [REQUEST, RESULT, STEP]:
            Model = Pool().get(model)
            for domain in [
                    [], ['OR', ('rec_name', 'ilike', '%Erika 1%'),
                        ('id', '=', records[0][model])]]:
                with self.subTest(model=model, domain=domain), \
                        Transaction().set_context(_check_access=True):
                    long, short = (
                        [r.id for r in Model.search(domain, limit=n)]
                        for n in [limit, limit - 1])
                    self.assertEqual(long, short)
                    self.assertGreater(len(long), 1)

    @with_transaction()
    def test_a_long_list_has_what_the_rules_leave(self):
        pool = Pool()
        seen, hidden = (
            create_study(create_server(), notes=notes)
            for notes in ["Seen", "Hidden"])
        pool.get('ir.rule.group').create([{
                    'name': "Notes",
                    'model': pool.get('ir.model').search(
                        [('model', '=', STUDY)])[0].id,
                    'global_p': True, 'perm_read': True,
                    'rules': [('create', [{
                                    'domain': '[["notes", "=", "Seen"]]'}])],
                    }])
        Study = pool.get(STUDY)
        user = create_user(
            'clerk', 'health_orthanc.group_imaging_orthanc')
        limit = Transaction().database.IN_MAX
        with Transaction().set_user(user.id), \
                Transaction().set_context(_check_access=True):
            self.assertEqual(
                {s.id for s in Study.search([], limit=limit)}
                & {seen.id, hidden.id}, {seen.id})
