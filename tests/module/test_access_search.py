# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A search tells nothing of records that one may not read."""

from trytond.pool import Pool
from trytond.transaction import Transaction

from .access import (
    HEALTH_PATIENT, REQUEST, RESULT, STEP, AccessTestCase, own_storages)
from .tools import INSTANCE, STUDY, Refused, create_instance

EXTENDED = [HEALTH_PATIENT, REQUEST, RESULT]
EVERYBODY = (
    AccessTestCase.OUTSIDERS + AccessTestCase.RADIOGRAPHERS
    + AccessTestCase.INSIDERS)


class OracleTestCase(AccessTestCase):

    def relations(self, login):
        """Yield models with their relations that a user may read to models
        that the same user may not read."""
        with Transaction().start(self.db_name, self.users[login]):
            ModelAccess = Pool().get('ir.model.access')
            FieldAccess = Pool().get('ir.model.field.access')
            names = [name for name, _ in own_storages()] + EXTENDED
            found = []
            for model in names:
                if not ModelAccess.get_access([model])[model]['read']:
                    continue
                Model = Pool().get(model)
                for name, field in Model._fields.items():
                    if (hasattr(field, 'get_target')
                            and name not in {'create_uid', 'write_uid'}
                            and FieldAccess.check(
                                model, [name], 'read', raise_exception=False)):
                        target = field.get_target().__name__
                        if not ModelAccess.get_access([target])[
                                target]['read']:
                            found.append((model, name))
        return found

    def test_there_are_such_relations(self):
        self.assertIn((STEP, 'study'), self.relations('radiographer'))

    def test_no_text_is_compared_with_what_is_not_read(self):
        for login in EVERYBODY:
            session = self.as_(login)
            for model, name in self.relations(login):
                for clause in [
                        (name, 'like', 'a%'), (name, 'not ilike', 'a%'),
                        (name, '=', 'a'), (name, 'in', ['a', 'b']),
                        (f'{name}.rec_name', 'like', 'a%')]:
                    for method in ['search', 'search_count']:
                        with self.subTest(
                                user=login, model=model, clause=clause):
                            with self.assertRaises(Refused):
                                session.model(model, method, [
                                        ['OR', clause, ('id', '=', 0)]])

    def test_nothing_is_ordered_by_what_is_not_read(self):
        for login in EVERYBODY:
            session = self.as_(login)
            for model, name in self.relations(login):
                for order in [name, f'{name}.id', f'{name}.rec_name']:
                    with self.subTest(user=login, model=model, order=order):
                        with self.assertRaises(Refused):
                            session.model(
                                model, 'search', [], 0, None,
                                [(order, 'ASC')])

    def test_what_is_read_is_compared_and_ordered(self):
        session = self.as_('clerk')
        self.assertEqual(
            session.model(STUDY, 'search', [('patient', 'ilike', 'Muster%')]),
            [self.study.id])
        found = session.model(
            STUDY, 'search', [], 0, None, [('patient', 'ASC')])
        self.assertIn(self.study.id, found)
        self.assertIn(
            self.step.id, self.as_('administrator').model(
                STEP, 'search', [], 0, None, [('study', 'DESC')]))

    def test_an_order_tells_nothing_of_records_that_a_rule_hides(self):
        with self.assertRaises(Refused):
            self.as_('doctor').model(
                STEP, 'search', [], 0, None, [('study', 'ASC')])

    def test_a_uid_tells_nothing_of_a_record_that_a_rule_hides(self):
        with Transaction().start(self.db_name, 1) as transaction:
            pool = Pool()
            hidden, shown = (
                create_instance(self.series, sop_instance_UID=uid)
                for uid in ['1.2.77', '1.2.77.5'])
            group, = pool.get('ir.rule.group').create([{
                        'name': "Hides one", 'global_p': True,
                        'model': pool.get('ir.model').search(
                            [('model', '=', INSTANCE)])[0].id,
                        'rules': [('create', [{
                                        'domain':
                                        f'[["id", "!=", {hidden.id}]]',
                                        }])]}])
            transaction.commit()

        def remove():
            with Transaction().start(self.db_name, 1) as transaction:
                Pool().get('ir.rule.group').delete([group])
                Pool().get(INSTANCE).delete([hidden, shown])
                transaction.commit()
        self.addCleanup(remove)
        self.assertEqual(
            self.as_('doctor').model(
                INSTANCE, 'search',
                [('sop_instance_UID', 'ilike', '%1.2.77%')]),
            [shown.id])
