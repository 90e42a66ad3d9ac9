# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attachments and notes follow the record that they belong to."""

from contextlib import contextmanager
from importlib import import_module
from unittest.mock import patch

from trytond import backend
from trytond.ir.resource import ResourceAccessMixin
from trytond.modules.health_orthanc.common.attachments import (
    ResourceGuardMixin, guarded_models)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .access import STEP, AccessTestCase, own_storages
from .tools import INSTANCE, SERIES, STUDY, Refused, RpcError

# One of each kind: there are many models
USERS = ['nobody', 'radiographer', 'doctor', 'clerk']
ATTACHMENT, NOTE = 'ir.attachment', 'ir.note'
SECRET = "Secret text"


class AttachmentsTestCase(AccessTestCase):

    @classmethod
    def _create_records(cls):
        super()._create_records()
        cls.records = sorted({
                *cls.ids.items(), (STUDY, cls.unlinked_study.id),
                (SERIES, cls.unlinked_series.id),
                (INSTANCE, cls.unlinked_instance.id)})
        cls.attached, cls.noted = {}, {}
        for model, id_ in cls.records:
            resource = f'{model},{id_}'
            attachment, = Pool().get(ATTACHMENT).create([{
                        'resource': resource, 'name': f"{SECRET} {resource}",
                        'type': 'data', 'data': b'Image',
                        'description': SECRET}])
            note, = Pool().get(NOTE).create([{
                        'resource': resource, 'message': SECRET}])
            cls.attached[model, id_] = attachment.id
            cls.noted[model, id_] = note.id

    def is_read(self, session, model, id_):
        try:
            session.model(model, 'read', [id_], ['id'])
        except RpcError:
            return False
        return True

    def hidden(self):
        """Yield session and record, for each that the user may not read."""
        for login in USERS:
            session = self.as_(login)
            for model, id_ in self.records:
                if not self.is_read(session, model, id_):
                    with self.subTest(user=login, model=model, id=id_):
                        yield session, (model, id_)

    def test_all_models_are_guarded(self):
        with Transaction().start(self.db_name, 1):
            self.assertEqual(
                {name for name, Model in own_storages()
                    if hasattr(Model, '__table__')} - set(guarded_models()),
                set())

    def test_all_that_belongs_to_records_is_guarded(self):
        with Transaction().start(self.db_name, 1):
            for name, Model in Pool().iterobject():
                if issubclass(Model, ResourceAccessMixin):
                    self.assertTrue(
                        issubclass(Model, ResourceGuardMixin), name)

    def test_physicians_do_not_read_those_of_unlinked_studies(self):
        key = STUDY, self.unlinked_study.id
        with self.assertRaises(Refused):
            self.as_('doctor').model(
                ATTACHMENT, 'read', [self.attached[key]], ['data'])
        key = STUDY, self.study.id
        read, = self.as_('doctor').model(
            ATTACHMENT, 'read', [self.attached[key]], ['description'])
        self.assertEqual(read['description'], SECRET)

    def test_clerks_work_with_them(self):
        session = self.as_('clerk')
        key = STUDY, self.unlinked_study.id
        for model, ids, values in [
                (ATTACHMENT, self.attached, {'description': SECRET}),
                (NOTE, self.noted, {'unread': True})]:
            with self.subTest(model=model):
                domain = [('resource', '=', '{},{}'.format(*key))]
                self.assertEqual(
                    session.model(model, 'search', domain), [ids[key]])
                session.model(model, 'write', [ids[key]], values)
                copied, = session.model(model, 'copy', [ids[key]])
                self.assertEqual(
                    session.model(model, 'search_count', domain), 2)
                session.model(model, 'delete', [copied])

    def test_nothing_is_read(self):
        for session, key in self.hidden():
            for model, ids, name in [
                    (ATTACHMENT, self.attached, 'description'),
                    (ATTACHMENT, self.attached, 'data'),
                    (NOTE, self.noted, 'message')]:
                id_ = ids[key]
                for method, arguments in [
                        ('read', [[id_], [name]]),
                        ('export_data', [[id_], [name]]),
                        ('copy', [[id_]]),
                        ('on_change_with', [
                                {'id': id_}, [f'{name}_wrapped'
                                    if model == NOTE else 'summary']]),
                        ('get_copy_to_resources', [{'id': id_}]),
                        ('resources', [[id_]])]:
                    with self.assertRaises(RpcError, msg=method):
                        session.model(model, method, *arguments)

    def test_nothing_is_found_or_counted(self):
        for session, key in self.hidden():
            for model, ids, name in [
                    (ATTACHMENT, self.attached, 'description'),
                    (NOTE, self.noted, 'message')]:
                id_ = ids[key]
                domain = [('id', '=', id_), (name, '=', SECRET)]
                self.assertEqual(session.model(model, 'search', domain), [])
                self.assertEqual(
                    session.model(model, 'search_count', domain), 0)

    def test_no_way_to_search_finds_them(self):
        key = STUDY, self.unlinked_study.id
        session = self.as_('doctor')
        for model, ids, name in [
                (ATTACHMENT, self.attached, 'description'),
                (NOTE, self.noted, 'message')]:
            id_ = ids[key]
            for domain in [
                    [('id', '=', id_)], [(name, '=', SECRET)],
                    [('resource', '=', '{},{}'.format(*key))],
                    ['OR', ('id', '=', id_), ('id', '=', 0)]]:
                with self.subTest(model=model, domain=domain):
                    self.assertNotIn(
                        id_, session.model(model, 'search', domain))
                    self.assertNotIn(id_, [
                            r['id'] for r in session.model(
                                model, 'search_read', domain, 0, None, None,
                                ['id'])])
                    self.assertNotIn(
                        [id_], session.model(
                            model, 'export_data_domain', domain, ['id']))

    def test_a_page_tells_nothing_of_what_is_left_out(self):
        session = self.as_('doctor')
        own = self.attached[STUDY, self.study.id]
        other = self.attached[STUDY, self.unlinked_study.id]
        domain = [('id', 'in', [own, other])]
        for order in ['ASC', 'DESC']:
            with self.subTest(order=order):
                self.assertEqual(session.model(
                        ATTACHMENT, 'search', domain, 0, 1,
                        [('id', order)]), [own])
                self.assertEqual(session.model(
                        ATTACHMENT, 'search', domain, 1, 1,
                        [('id', order)]), [])

    def test_nothing_is_changed(self):
        for session, key in self.hidden():
            for model, ids, values in [
                    (ATTACHMENT, self.attached, {'description': "x"}),
                    (NOTE, self.noted, {'message': "x"}),
                    (NOTE, self.noted, {'unread': False}),
                    (NOTE, self.noted, {'unread': True})]:
                with self.assertRaises(Refused):
                    session.model(model, 'write', [ids[key]], values)
                with self.assertRaises(Refused):
                    session.model(model, 'delete', [ids[key]])
            self.assertEqual(self.stored(
                    ATTACHMENT, self.attached[key], 'description'), SECRET)

    def test_nothing_is_added(self):
        for session, key in self.hidden():
            resource = '{},{}'.format(*key)
            for model, values in [
                    (ATTACHMENT, {'name': "x", 'type': 'link'}),
                    (NOTE, {'message': "x"}), ('ir.email', {}),
                    ('ir.avatar', {'uuid': 'x'})]:
                with self.assertRaises(RpcError):
                    session.model(
                        model, 'create', [{'resource': resource, **values}])

    def test_nothing_is_moved(self):
        session = self.as_('doctor')
        own = self.attached[STUDY, self.study.id]
        for id_ in [self.unlinked_study.id, 999999]:
            with self.assertRaises(RpcError):
                session.model(ATTACHMENT, 'write', [own], {
                        'resource': f'{STUDY},{id_}'})

    def test_no_condition_on_the_record_tells_what_is_not_read(self):
        session = self.as_('radiographer')
        for clause in [
                ('resource.study.patient_name', 'like', 'M%', STEP),
                ('resource.study', 'like', 'M%', STEP),
                ('resource.study', 'where', [('id', '>', 0)], STEP),
                ('resource.patient_name', 'like', 'M%', STUDY)]:
            for model in [ATTACHMENT, NOTE]:
                with self.subTest(clause=clause, model=model):
                    with self.assertRaises(Refused):
                        session.model(
                            model, 'search_count', ['OR', clause, (
                                    'id', '=', 0)])

    @with_transaction()
    def test_statements_do_not_grow_with_records(self):
        Attachment = Pool().get(ATTACHMENT)
        attachments = Attachment.create([{
                    'resource': str(self.study), 'name': f"Image {number}",
                    'type': 'link'} for number in range(40)])
        ids = [a.id for a in attachments]
        doctor = self.users['doctor']
        with Transaction().set_user(doctor), Transaction().set_context(
                _check_access=True):

            def work(ids):
                with statements() as count:
                    Attachment.read(ids, ['name'])
                    Attachment.search([('id', 'in', ids)])
                    Attachment.search([('id', 'in', ids)], count=True)
                    Attachment.write(
                        Attachment.browse(ids), {'description': "x"})
                    return count()

            work(ids[:2])
            few, many = work(ids[:4]), work(ids)
        self.assertGreater(few, 0)
        self.assertLessEqual(many, few)


@contextmanager
def statements():
    "Yield what returns the number of SQL statements so far"
    number = 0

    def counting(self, *args):
        nonlocal number
        number += 1
        return execute(self, *args)

    Cursor = getattr(
        import_module(backend.Database.__module__),
        'SQLiteCursor' if backend.name == 'sqlite' else 'LoggingCursor')
    execute = Cursor.execute
    with patch.object(Cursor, 'execute', counting, create=True):
        yield lambda: number
