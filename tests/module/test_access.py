# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import datetime as dt
import json
from unittest.mock import patch

from cryptography.fernet import Fernet

from trytond import backend
from trytond.model import ModelSingleton, ModelStorage
from trytond.pool import Pool, isregisteredby
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction
from trytond.wsgi import app

from tests.unit.fake_orthanc import (
    PNG, SYSTEM, FakeOrthanc, free_port, reply, reply_json)

from .tools import (
    INSTANCE, MODULE, PATIENT, SERIES, SERVER, STUDY, VIEWER, OrthancTestCase,
    Refused, RpcError, RpcTestCase, Told, create_instance, create_order,
    create_orthanc_patient, create_patient, create_result, create_series,
    create_server, create_study, create_user, fernet_keys, record_id)

RUN = 'gnuhealth.orthanc.synchronization'
FAILURE = 'gnuhealth.orthanc.synchronization.failure'
HEALTH_PATIENT = 'gnuhealth.patient'
RESULT = 'gnuhealth.imaging.test.result'
REQUEST = 'gnuhealth.imaging.test.request'
STEP = 'gnuhealth.imaging.procedure.step'
TEMPLATE = 'gnuhealth.imaging_worklist.worklist_template'
CONFIGURATION = 'gnuhealth.imaging.worklist.configuration'
ENTRY = 'gnuhealth.imaging.worklist.entry'
DECISION = 'gnuhealth.imaging_orthanc.study.decision'
CORRECTION = 'gnuhealth.imaging_orthanc.study.correction'
DELETION = 'gnuhealth.imaging_orthanc.deletion'
DOWNLOAD = 'gnuhealth.imaging_orthanc.download'
NOTIFICATION = 'gnuhealth.orthanc.notification'
PLACEMENT = 'gnuhealth.imaging.worklist.placement'
MATCHING = 'gnuhealth.orthanc.matching.configuration'
PATIENT_KEY = 'gnuhealth.imaging_orthanc.patient_key'
STUDY_KEY = 'gnuhealth.imaging_orthanc.study_key'
RULE = 'gnuhealth.imaging_orthanc.dismissal_rule'
UPGRADE_NOTE = 'gnuhealth.orthanc.upgrade.note'
ORDERS = {'gnuhealth.imaging.test', REQUEST}
# Remote calls that tell what fields there are, but of no record
METADATA = {
    'default_get', 'export_data_domain', 'fields_get', 'fields_view_get',
    'get_record_models', 'get_request_states', 'view_toolbar_get'}


def own_models():
    "Yield the models that are ours and not only extended"
    pool = Pool()
    names = {
        m.model for m in pool.get('ir.model').search(
            [('module', '=', MODULE)])}
    # health_imaging_worklist may have brought it first
    names.add(TEMPLATE)
    for name, Model in pool.iterobject():
        if name in names:
            yield name, Model


def own_storages():
    for name, Model in own_models():
        if issubclass(Model, ModelStorage):
            yield name, Model


def own_wizards():
    for name, Wizard in Pool().iterobject(type='wizard'):
        if isregisteredby(Wizard, MODULE, type_='wizard'):
            yield name, Wizard


def granted(access):
    return {
        name for name in [
            'perm_read', 'perm_write', 'perm_create', 'perm_delete']
        if getattr(access, name)}


class CompletenessTestCase(OrthancTestCase):
    "What is added later must say who may use it"

    @with_transaction()
    def test_models_are_denied_to_whoever_has_no_group(self):
        Access = Pool().get('ir.model.access')
        names = set()
        for name, _ in own_storages():
            with self.subTest(model=name):
                rules = Access.search([
                        ('model.model', '=', name),
                        ('group', '=', None),
                        ])
                self.assertTrue(rules)
                for rule in rules:
                    self.assertEqual(granted(rule), set())
            names.add(name)
        self.assertLessEqual(
            {SERVER, VIEWER, PATIENT, STUDY, SERIES, STEP, TEMPLATE}, names)

    @with_transaction()
    def test_fields_in_models_of_others_are_denied(self):
        pool = Pool()
        Field = pool.get('ir.model.field')
        own = {name for name, _ in own_models()}
        fields = [
            f for f in Field.search([('module', '=', MODULE)])
            if f.model.model not in own]
        self.assertIn(
            'orthanc_studies_count', {f.name for f in fields})
        for field in fields:
            # Whoever sees orders at all sees what is ours in them, but for
            # relations to our models; so do results with their merge ID
            if field.relation not in own and (
                    field.model.model in ORDERS or field.name == 'merge_id'):
                self.assertModelDenied(field.model)
                continue
            with self.subTest(
                    model=field.model.model, field=field.name):
                self.assertDenied(field)

    @with_transaction()
    def test_secrets_are_denied_to_everybody(self):
        Field = Pool().get('ir.model.field')
        Access = Pool().get('ir.model.field.access')
        fields = Field.search([
                ('module', '=', MODULE),
                ('name', 'like', 'sealed%'),
                ])
        self.assertEqual(
            {f.name for f in fields}, {'sealed_password', 'sealed_client_key'})
        for field in fields:
            with self.subTest(field=field.name):
                self.assertDenied(field)
                self.assertFalse(Access.search([
                            ('field', '=', field.id),
                            ('group', '!=', None),
                            ]))

    def assertModelDenied(self, model):
        rules = Pool().get('ir.model.access').search([
                ('model', '=', model.id),
                ('group', '=', None),
                ])
        self.assertTrue(rules)
        for rule in rules:
            self.assertEqual(granted(rule), set())

    def assertDenied(self, field):
        rules = Pool().get('ir.model.field.access').search([
                ('field', '=', field.id),
                ('group', '=', None),
                ])
        self.assertTrue(rules)
        for rule in rules:
            self.assertEqual(granted(rule), set())

    @with_transaction()
    def test_wizards_have_groups(self):
        Action = Pool().get('ir.action.wizard')
        names = set()
        for name, Wizard in own_wizards():
            with self.subTest(wizard=name):
                actions = Action.search([('wiz_name', '=', name)])
                self.assertTrue(actions)
                for action in actions:
                    self.assertTrue(action.groups)
                self.assertTrue(hasattr(Wizard, '_check_groups'))
            names.add(name)
        self.assertIn('gnuhealth.imaging_orthanc.get_new_studies', names)

    @with_transaction()
    def test_reports_have_groups(self):
        pool = Pool()
        Action = pool.get('ir.action.report')
        for action in Action.search([('module', '=', MODULE)]):
            with self.subTest(report=action.report_name):
                self.assertTrue(action.groups)
        for name, Report in pool.iterobject(type='report'):
            if isregisteredby(Report, MODULE, type_='report'):
                with self.subTest(report=name):
                    self.assertTrue(
                        Action.search([('report_name', '=', name)]))

    @with_transaction()
    def test_buttons_have_groups(self):
        Button = Pool().get('ir.model.button')
        names = set()
        for name, Model in own_models():
            for button in getattr(Model, '_buttons', {}):
                with self.subTest(model=name, button=button):
                    self.assertTrue(Button.get_groups(name, button))
                names.add(button)
        self.assertIn('remove_config_server', names)

    def test_routes_refuse_whoever_is_not_known(self):
        urls = set()
        for rule in app.url_map.iter_rules():
            if not rule.endpoint.__module__.startswith(
                    f'trytond.modules.{MODULE}'):
                continue
            adapter = app.url_map.bind('localhost')
            url = adapter.build(rule.endpoint, {
                    name: self.db_name if name == 'database_name' else '1'
                    for name in rule.arguments})
            methods = rule.methods - {'OPTIONS'}
            if url.endswith('/orthanc/download'):
                # A page without anything in it
                methods -= {'GET', 'HEAD'}
            for method in methods:
                for authorization in ['', 'Bearer x', 'Basic eDp4', 'x']:
                    with self.subTest(
                            url=url, method=method,
                            authorization=authorization):
                        response = self.client().open(
                            url, method=method, data='{}',
                            headers={'Authorization': authorization})
                        self.assertIn(response.status_code, {401, 403})
            urls.add(url)
        self.assertIn(f'/{self.db_name}/orthanc/worklist', urls)


class AccessTestCase(RpcTestCase):
    "What each kind of user gets"

    OUTSIDERS = ['nobody', 'frontdesk', 'nurse']
    # Who sees orders, but no images
    RADIOGRAPHERS = ['radiographer', 'head']
    INSIDERS = ['doctor', 'clerk', 'administrator']

    @classmethod
    def setUpDatabase(cls):
        cls.users = {
            login: create_user(login, *groups).id for login, groups in {
                'nobody': [],
                'frontdesk': ['health.group_health_frontdesk'],
                'nurse': ['health.group_health_nursing'],
                'radiographer': ['health_imaging.group_health_imaging'],
                'head': ['health_imaging.group_health_imaging_admin'],
                'doctor': ['health.group_health_doctor'],
                'clerk': ['health_orthanc.group_imaging_orthanc'],
                'administrator': [
                    'health_orthanc.group_imaging_orthanc_admin'],
                }.items()}
        cls._create_records()
        Transaction().commit()

    @classmethod
    def _create_records(cls):
        pool = Pool()
        cls.server = create_server(
            label="Archive", proxy_domain='http://images.example.org',
            user='reader', password='letmein', client_key='KEY')
        cls.patient = create_patient()
        cls.other_patient = create_patient("Ejemplo", "Juan")
        cls.result = create_result(cls.patient)
        cls.orthanc_patient = create_orthanc_patient(
            cls.server, patient=cls.patient.id)
        cls.unlinked_patient = create_orthanc_patient(cls.server)
        cls.study = create_study(
            cls.server, patient=cls.patient.id, imaging_test=cls.result.id,
            orthanc_patient=cls.orthanc_patient.id, orthanc_UID='abc-1',
            link_status='manual')
        cls.unlinked_study = create_study(
            cls.server, orthanc_patient=cls.orthanc_patient.id)
        cls.series = create_series(cls.study, orthanc_UID='abc-2')
        cls.unlinked_series = create_series(cls.unlinked_study)
        cls.instance = create_instance(cls.series, orthanc_UID='abc-3')
        cls.unlinked_instance = create_instance(cls.unlinked_series)
        cls.viewer = pool.get(VIEWER)(record_id('viewer_explorer_study'))
        cls.run_, = pool.get(RUN).create([{
                    'server': cls.server.id, 'kind': 'full', 'state': 'done'}])
        cls.failure, = pool.get(FAILURE).create([{
                    'server': cls.server.id, 'level': 'study',
                    'orthanc_UID': 'x'}])
        cls.order = create_order(cls.patient, requested=True)
        cls.step, = cls.order.steps
        cls.template = pool.get(TEMPLATE)(record_id(
                'worklist_template_default'))
        cls.entry, = pool.get(ENTRY).create([{
                    'step': cls.step.id, 'version': 1}])
        cls.placement, = pool.get(PLACEMENT).create([{
                    'server': cls.server.id, 'step': cls.step.id,
                    'study_instance_uid': '1.2.3', 'step_id': 'S1'}])
        cls.decision, = pool.get(DECISION).create([{
                    'study': cls.study.id, 'at': dt.datetime(2026, 3, 4)}])
        cls.correction, = pool.get(CORRECTION).create([{
                    'study': cls.study.id, 'server': cls.server.id,
                    'kind': 'correct', 'state': 'done',
                    'asked_at': dt.datetime(2026, 3, 4)}])
        cls.deletion, = pool.get(DELETION).create([{
                    'server': cls.server.id, 'level': 'study',
                    'study': cls.study.id, 'orthanc_UID': 'abc-1',
                    'state': 'failed', 'asked_at': dt.datetime(2026, 3, 4)}])
        cls.notification, = pool.get(NOTIFICATION).create([{
                    'server': cls.server.id, 'event': 'e1', 'kind': 'deleted',
                    'orthanc_UID': 'abc-1',
                    'received_at': dt.datetime(2026, 3, 4)}])
        cls.rule, = pool.get(RULE).create([{
                    'patient_id': 'PHANTOM*', 'reason': "Phantom"}])
        cls.upgrade_note, = pool.get(UPGRADE_NOTE).create([{
                    'at': dt.datetime(2026, 3, 4), 'kind': 'studies',
                    'count': 2}])
        cls.ids = {
            SERVER: cls.server.id,
            VIEWER: cls.viewer.id,
            PATIENT: cls.orthanc_patient.id,
            STUDY: cls.study.id,
            SERIES: cls.series.id,
            INSTANCE: cls.instance.id,
            RUN: cls.run_.id,
            FAILURE: cls.failure.id,
            STEP: cls.step.id,
            TEMPLATE: cls.template.id,
            CONFIGURATION: record_id('worklist_configuration'),
            REQUEST: cls.order.id,
            ENTRY: cls.entry.id,
            PLACEMENT: cls.placement.id,
            DECISION: cls.decision.id,
            MATCHING: record_id('matching_configuration'),
            RULE: cls.rule.id,
            CORRECTION: cls.correction.id,
            DELETION: cls.deletion.id,
            NOTIFICATION: cls.notification.id,
            UPGRADE_NOTE: cls.upgrade_note.id,
            }

    def as_(self, login):
        return self.session(self.users[login])

    def outsiders(self):
        "Yield who sees no images"
        for login in self.OUTSIDERS + self.RADIOGRAPHERS:
            with self.subTest(user=login):
                yield self.as_(login)

    def insiders(self):
        for login in self.INSIDERS:
            with self.subTest(user=login):
                yield self.as_(login)

    def stored(self, model, id_, name):
        "Return what the database holds"
        with Transaction().start(self.db_name, 1):
            value = getattr(Pool().get(model)(id_), name)
            return value.id if hasattr(value, 'id') else value


class OutsidersTestCase(AccessTestCase):
    "Who has none of the groups sees nothing of it"

    def test_no_call_of_a_model_is_answered(self):
        calls = [
            (name, method, arguments)
            for name, Model in self.remote_models()
            for method, arguments in self.remote_calls(name, Model)]
        self.assertGreater(len(calls), 100)
        for login in self.OUTSIDERS + self.RADIOGRAPHERS:
            seen = {STEP, TEMPLATE} if login in self.RADIOGRAPHERS else {}
            for name, method, arguments in calls:
                if name not in seen:
                    with self.subTest(user=login, model=name, method=method):
                        self.assertRefused(
                            self.as_(login), name, method, arguments)

    def test_entries_are_read_by_nobody(self):
        for login in self.users:
            for method, arguments in [
                    ('read', [[self.entry.id], ['dicom']]),
                    ('search', [[]]),
                    ('search', [[('text', 'like', '%')]]),
                    ('write', [[self.entry.id], {'text': "x"}]),
                    ('create', [[{'step': self.step.id, 'version': 2}]]),
                    ('delete', [[self.entry.id]])]:
                with self.subTest(user=login, method=method):
                    with self.assertRaises(Refused):
                        self.as_(login).model(ENTRY, method, *arguments)

    def test_search_keys_are_asked_for_by_nobody(self):
        for login in self.users:
            for model in [PATIENT_KEY, STUDY_KEY, DOWNLOAD]:
                for method, arguments in [
                        ('read', [[1], ['key']]), ('search', [[]]),
                        ('search_read', [[]]), ('delete', [[1]]),
                        ('refresh', [[self.patient.id]])]:
                    with self.subTest(user=login, model=model, method=method):
                        with self.assertRaises(RpcError):
                            self.as_(login).model(model, method, *arguments)

    def assertRefused(self, session, name, method, arguments):
        # A mirrored record cannot be copied by anybody, and that is said.
        error = Told if method == 'copy' else Refused
        with self.assertRaises(error):
            session.model(name, method, *arguments)

    @staticmethod
    def remote_models():
        with Transaction().start(RpcTestCase.db_name.fget(None), 1):
            return [
                (name, Model) for name, Model in own_storages()
                if 'read' in Model.__rpc__]

    def remote_calls(self, name, Model):
        id_ = self.ids[name]
        known = {
            'read': [[id_], ['id']],
            'search': [[]],
            'search_count': [[]],
            'search_read': [[], 0, None, None, ['id', 'rec_name']],
            'export_data': [[id_], ['rec_name']],
            'create': [[{}]],
            'write': [[id_], {}],
            'delete': [[id_]],
            'copy': [[id_]],
            'import_data': [['id'], [[str(id_)]]],
            'resources': [[id_]],
            'history_revisions': [[id_]],
            'on_change': [{'id': id_}, []],
            'on_change_with': [{'id': id_}, []],
            'on_change_notify': [{'id': id_}],
            'on_scan_code': [{'id': id_}, 'x'],
            'pre_validate': [{'id': id_}],
            'autocomplete': ['x'],
            'get_worklist': [],
            }
        if issubclass(Model, ModelSingleton):
            # Its copy is the record itself, changed
            known['copy'] = [[id_], {
                    CONFIGURATION: {'window_before': dt.timedelta(1)},
                    MATCHING: {'margin': 20},
                    }[name]]
        for method in Model.__rpc__.keys() - METADATA:
            if method in Model._buttons:
                yield method, [[id_]]
            elif method.startswith('on_change_') and method not in known:
                yield method, [{'id': id_}]
            else:
                # Say what to call it with when there is one more.
                yield method, known[method]

    def test_other_methods_cannot_be_called(self):
        calls = [
            (SERVER, 'get_client'), (SERVER, 'probe'),
            (SERVER, 'check_connection'), (SERVER, 'synchronize_all'),
            (SERVER, 'reconcile_all'), (SERVER, 'run_synchronization'),
            (SERVER, 'synchronize_later'), (STUDY, 'get_new_studies'),
            (STUDY, 'full_synchronize'), (STUDY, 'assign'),
            (RUN, 'run'), (RUN, 'run_all'), (RUN, 'clean'),
            (RUN, 'load_instances'), (VIEWER, 'offered'),
            (SERVER, 'new_plugin_key'), (STEP, 'reject_because'),
            (STEP, 'served_domain'), (REQUEST, 'identify'),
            (REQUEST, 'follow_steps'), (REQUEST, 'open_recent'),
            (REQUEST, 'get_worklist_template_data'), (ENTRY, 'page'),
            (ENTRY, 'refresh'), (ENTRY, 'preview'), (ENTRY, 'files'),
            (ENTRY, 'served_versions'), (PLACEMENT, 'servers'),
            (PLACEMENT, 'update_server'), (SERVER, 'update_worklist'),
            (SERVER, 'synchronize_worklists'),
            (CONFIGURATION, 'new_accession_number'), (STUDY, 'confirm'),
            (STUDY, 'link_because'), (STUDY, 'unlink_because'),
            (STUDY, 'dismiss_because'), (STUDY, 'dismiss_by_rule'),
            (RULE, 'dismiss'), (CORRECTION, 'ask'), (CORRECTION, 'plan'),
            (CORRECTION, 'process'), (CORRECTION, 'process_pending'),
            (CORRECTION, 'get_client'), (DELETION, 'carry_out'),
            (DELETION, 'carry_on'), (DELETION, 'obstacle'),
            (UPGRADE_NOTE, 'tell')]
        for login in self.users:
            for name, method in calls:
                with self.subTest(user=login, model=name, method=method):
                    with self.assertRaises(Refused):
                        self.as_(login).model(name, method, [])

    def test_nothing_shows_on_the_patient(self):
        names = [
            'orthanc_patients', 'orthanc_studies', 'orthanc_studies_count',
            'orthanc_last_study_date']
        for session in self.outsiders():
            for name in names:
                with self.subTest(field=name):
                    with self.assertRaises(Refused):
                        session.model(
                            HEALTH_PATIENT, 'read', [self.patient.id], [name])
                    with self.assertRaises(Refused):
                        session.model(
                            HEALTH_PATIENT, 'export_data', [self.patient.id],
                            [name])
                    with self.assertRaises(Refused):
                        session.model(
                            HEALTH_PATIENT, 'search', [(name, '!=', None)])
                    self.assertNotIn(
                        name, session.model(HEALTH_PATIENT, 'fields_get'))

    def test_nothing_is_told_by_a_search_of_patients(self):
        for session in self.outsiders():
            for clause in [
                    ('orthanc_studies.patient_id', '=', 'x'),
                    ('orthanc_studies', 'where', [('patient_id', '=', 'x')]),
                    ('orthanc_patients', 'where', [
                            ('server', 'where', [('user', '=', 'x')])]),
                    ]:
                with self.subTest(clause=clause):
                    with self.assertRaises(Refused):
                        session.model(HEALTH_PATIENT, 'search', [clause])

    def test_nothing_shows_on_the_result(self):
        for session in self.outsiders():
            with self.assertRaises(Refused):
                session.model(
                    RESULT, 'read', [self.result.id], ['orthanc_studies'])
            with self.assertRaises(Refused):
                session.model(
                    RESULT, 'search', [('orthanc_studies', '!=', None)])
            self.assertNotIn(
                'orthanc_studies', session.model(RESULT, 'fields_get'))

    def test_patients_open(self):
        for session in self.outsiders():
            view = session.model(
                HEALTH_PATIENT, 'fields_view_get', None, 'form')
            self.assertNotIn('orthanc', view['arch'])
            for name in view['fields']:
                self.assertFalse(name.startswith('orthanc'))

    def test_a_nurse_reads_all_of_a_patient(self):
        session = self.as_('nurse')
        view = session.model(HEALTH_PATIENT, 'fields_view_get', None, 'form')
        row, = session.model(
            HEALTH_PATIENT, 'read', [self.patient.id],
            list(view['fields'].keys() | session.model(
                    HEALTH_PATIENT, 'fields_get').keys()))
        self.assertEqual(row['id'], self.patient.id)
        self.assertIn('party', row)

    def test_a_radiographer_opens_results(self):
        session = self.as_('radiographer')
        view = session.model(RESULT, 'fields_view_get', None, 'form')
        row, = session.model(
            RESULT, 'read', [self.result.id], list(view['fields']))
        self.assertEqual(row['patient'], self.patient.id)
        self.assertNotIn('orthanc', view['arch'])


class WizardsTestCase(AccessTestCase):
    "Wizards that are run without the client"

    ALLOWED = {
        'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect': {
            'administrator'},
        'gnuhealth.imaging_orthanc.full_synchronize': {'administrator'},
        'gnuhealth.imaging_orthanc.get_new_studies': {
            'administrator', 'clerk'},
        'gnuhealth.imaging_orthanc.upload_image_data': {
            'administrator', 'clerk'},
        'gnuhealth.imaging_orthanc.open_viewer': {
            'administrator', 'clerk', 'doctor'},
        'gnuhealth.imaging_orthanc.preview': {
            'administrator', 'clerk', 'doctor'},
        'gnuhealth.imaging.procedure.step.reject': {
            'administrator', 'radiographer', 'head'},
        'gnuhealth.orthanc.connect_plugin': {'administrator'},
        'gnuhealth.imaging_orthanc.study.dismiss': {
            'administrator', 'clerk'},
        'gnuhealth.imaging_orthanc.review': {'administrator', 'clerk'},
        'gnuhealth.imaging_orthanc.confirm_suggestions': {
            'administrator', 'clerk'},
        'gnuhealth.imaging_orthanc.correct_identity': {'administrator'},
        'gnuhealth.imaging_orthanc.restore_identity': {'administrator'},
        'gnuhealth.imaging_orthanc.delete_images': {'administrator'},
        'gnuhealth.imaging_orthanc.download_images': {
            'administrator', 'clerk', 'doctor'},
        }

    def contexts(self, login):
        "Return what a client could say it runs the wizard on"
        menu = self.as_(login).model('ir.ui.menu', 'search', [], 0, 1)
        yield {}
        yield {'action_id': 10**6}
        yield {'active_model': 'ir.ui.menu'}
        yield {'active_model': 'ir.ui.menu', 'action_id': 10**6}
        if menu:
            yield {
                'active_model': 'ir.ui.menu', 'active_id': menu[0],
                'active_ids': menu}
        for model, id_ in [
                (HEALTH_PATIENT, self.patient.id), (STUDY, self.study.id)]:
            for action in [None, 10**6]:
                yield {
                    'active_model': model, 'active_id': id_,
                    'active_ids': [id_], 'action_id': action}

    @staticmethod
    def wizards():
        with Transaction().start(RpcTestCase.db_name.fget(None), 1):
            return {
                name: list(Wizard.states) for name, Wizard in own_wizards()}

    def wizard_session(self):
        with Transaction().start(self.db_name, 1) as transaction:
            session, = Pool().get('ir.session.wizard').create([{}])
            transaction.commit()
            return session.id

    def test_all_are_known(self):
        self.assertEqual(self.wizards().keys(), self.ALLOWED.keys())

    def test_they_start_for_nobody_else(self):
        for name, allowed in self.ALLOWED.items():
            for login in self.users.keys() - allowed:
                for context in self.contexts(login):
                    with self.subTest(
                            wizard=name, user=login, context=context):
                        with self.assertRaises(Refused):
                            self.as_(login).wizard(name, 'create', **context)

    def test_they_go_on_for_nobody_else(self):
        id_ = self.wizard_session()
        contexts = [
            {}, {'active_model': 'ir.ui.menu'}, {'action_id': 10**6},
            {'active_model': HEALTH_PATIENT, 'active_id': self.patient.id}]
        for name, states in self.wizards().items():
            for login in self.users.keys() - self.ALLOWED[name]:
                for context, state in [
                        *((context, states[0]) for context in contexts),
                        *((contexts[0], state) for state in states[1:])]:
                    with self.subTest(
                            wizard=name, user=login, context=context,
                            state=state):
                        with self.assertRaises(Refused):
                            self.as_(login).wizard(
                                name, 'execute', id_, {}, state, **context)

    def test_they_start_for_those_who_may(self):
        records = {
            'gnuhealth.imaging_orthanc.open_viewer': (STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.preview': (
                INSTANCE, self.instance.id),
            'gnuhealth.imaging.procedure.step.reject': (STEP, self.step.id),
            'gnuhealth.orthanc.connect_plugin': (SERVER, self.server.id),
            'gnuhealth.imaging_orthanc.study.dismiss': (
                STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.confirm_suggestions': (
                STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.correct_identity': (
                STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.restore_identity': (
                STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.delete_images': (
                SERIES, self.series.id),
            'gnuhealth.imaging_orthanc.download_images': (
                STUDY, self.study.id),
            }
        for name, allowed in self.ALLOWED.items():
            context = {}
            if name in records:
                model, id_ = records[name]
                context = {
                    'active_model': model, 'active_id': id_,
                    'active_ids': [id_]}
            for login in allowed:
                with self.subTest(wizard=name, user=login):
                    self.assertTrue(self.as_(login).wizard(
                            name, 'create', **context))
                    self.assertTrue(self.as_(login).wizard(name, 'create'))

    def test_those_of_a_record_need_one(self):
        for name in [
                'gnuhealth.imaging_orthanc.open_viewer',
                'gnuhealth.imaging_orthanc.preview',
                'gnuhealth.imaging.procedure.step.reject',
                'gnuhealth.imaging_orthanc.study.dismiss',
                'gnuhealth.imaging_orthanc.confirm_suggestions',
                'gnuhealth.orthanc.connect_plugin',
                'gnuhealth.imaging_orthanc.correct_identity',
                'gnuhealth.imaging_orthanc.restore_identity',
                'gnuhealth.imaging_orthanc.delete_images',
                'gnuhealth.imaging_orthanc.download_images']:
            for login in self.ALLOWED[name]:
                session = self.as_(login)
                for context in [
                        {}, {'active_id': 1}, {'active_model': STUDY},
                        {'active_model': HEALTH_PATIENT, 'active_id': 1},
                        {'active_model': 'ir.ui.menu'}]:
                    with self.subTest(
                            wizard=name, user=login, context=context):
                        # Clients create a wizard before they name its record
                        if context.get('active_model'):
                            with self.assertRaises(Refused):
                                session.wizard(name, 'create', **context)
                        with self.assertRaises(Refused):
                            session.wizard(
                                name, 'execute', self.wizard_session(), {},
                                'start', **context)

    def test_a_physician_opens_no_unlinked_study(self):
        for name, model, id_ in [
                ('gnuhealth.imaging_orthanc.open_viewer', STUDY,
                    self.unlinked_study.id),
                ('gnuhealth.imaging_orthanc.open_viewer', SERIES,
                    self.unlinked_series.id),
                ('gnuhealth.imaging_orthanc.download_images', STUDY,
                    self.unlinked_study.id),
                ('gnuhealth.imaging_orthanc.download_images', SERIES,
                    self.unlinked_series.id),
                ('gnuhealth.imaging_orthanc.preview', INSTANCE,
                    self.unlinked_instance.id)]:
            for context in [
                    {'active_id': id_}, {'active_id': id_, 'active_ids': []}]:
                with self.subTest(wizard=name, model=model):
                    with self.assertRaises(Refused):
                        self.as_('doctor').wizard(
                            name, 'create', active_model=model, **context)

    def test_a_physician_opens_a_viewer(self):
        session = self.as_('doctor')
        context = {
            'active_model': STUDY, 'active_id': self.study.id,
            'active_ids': [self.study.id]}
        name = 'gnuhealth.imaging_orthanc.open_viewer'
        id_, state, _ = session.wizard(name, 'create', **context)
        result = session.wizard(name, 'execute', id_, {}, state, **context)
        (action, _), = result['actions']
        self.assertEqual(
            action['url'],
            'http://images.example.org/app/explorer.html#study?uuid=abc-1')

    def test_a_viewer_of_another_level_is_not_opened(self):
        session = self.as_('doctor')
        context = {
            'active_model': STUDY, 'active_id': self.study.id,
            'active_ids': [self.study.id]}
        name = 'gnuhealth.imaging_orthanc.open_viewer'
        id_, *_ = session.wizard(name, 'create', **context)
        with Transaction().start(self.db_name, 1):
            other = record_id('viewer_explorer_series')
        with self.assertRaises(Told):
            session.wizard(
                name, 'execute', id_, {'choose': {'viewer': other}}, 'open_',
                **context)

    def test_forms_of_the_review_tell_nobody_else(self):
        name = 'gnuhealth.imaging_orthanc.review.show'
        values = {
            'id': -1, 'study': self.unlinked_study.id,
            'patient': self.patient.id, 'request': None, 'choices': '[]'}
        for login in self.users:
            calls = [
                ('on_change', [values, ['patient']]),
                ('on_change_patient', [values]),
                ('get_choices', [values]),
                ('fields_view_get', [None, 'form'])]
            for method, arguments in calls:
                with self.subTest(user=login, method=method):
                    session = self.as_(login)
                    if login in {'clerk', 'administrator'}:
                        session.model(name, method, *arguments)
                    else:
                        with self.assertRaises(Refused):
                            session.model(name, method, *arguments)


class PhysicianTestCase(AccessTestCase):

    def test_sees_linked_records_only(self):
        session = self.as_('doctor')
        for model, id_ in [
                (PATIENT, self.orthanc_patient.id),
                (STUDY, self.study.id),
                (SERIES, self.series.id),
                (INSTANCE, self.instance.id)]:
            with self.subTest(model=model):
                self.assertEqual(session.model(model, 'search', []), [id_])
                self.assertEqual(
                    session.model(model, 'search_count', []), 1)

    def test_reads_no_unlinked_record(self):
        session = self.as_('doctor')
        for model, record in [
                (PATIENT, self.unlinked_patient),
                (STUDY, self.unlinked_study),
                (SERIES, self.unlinked_series),
                (INSTANCE, self.unlinked_instance)]:
            for method, arguments in [
                    ('read', [[record.id], ['rec_name']]),
                    ('export_data', [[record.id], ['rec_name']]),
                    ('on_change', [{'id': record.id}, []]),
                    ('resources', [[record.id]])]:
                with self.subTest(model=model, method=method):
                    with self.assertRaises(Refused):
                        session.model(model, method, *arguments)

    def test_finds_no_unlinked_record_through_a_linked_one(self):
        session = self.as_('doctor')
        row, = session.model(
            PATIENT, 'read', [self.orthanc_patient.id],
            ['studies', 'studies.rec_name'])
        self.assertEqual(list(row['studies']), [self.study.id])
        self.assertEqual(
            [r['id'] for r in row['studies.']], [self.study.id])

    def test_writes_notes(self):
        session = self.as_('doctor')
        session.model(STUDY, 'write', [self.study.id], {'notes': "Seen"})
        session.model(SERIES, 'write', [self.series.id], {'notes': "Blurred"})
        self.assertEqual(self.stored(STUDY, self.study.id, 'notes'), "Seen")
        self.assertEqual(
            self.stored(SERIES, self.series.id, 'notes'), "Blurred")

    def test_writes_notes_of_a_series_in_its_study(self):
        self.as_('doctor').model(STUDY, 'write', [self.study.id], {
                'series': [('write', [self.series.id], {'notes': "Noisy"})]})
        self.assertEqual(
            self.stored(SERIES, self.series.id, 'notes'), "Noisy")

    def test_writes_nothing_else(self):
        session = self.as_('doctor')
        for model, names in [
                (STUDY, self.writable(STUDY) - {'notes', 'series'}),
                (SERIES, self.writable(SERIES) - {'notes'}),
                (INSTANCE, self.writable(INSTANCE)),
                (PATIENT, self.writable(PATIENT))]:
            self.assertGreater(len(names), 3)
            for name in names:
                with self.subTest(model=model, field=name):
                    with self.assertRaises(Told):
                        session.model(
                            model, 'write', [self.ids[model]], {name: None})

    def test_relinks_nothing(self):
        session = self.as_('doctor')
        for model, values in [
                (STUDY, {'patient': self.other_patient.id}),
                (STUDY, {'imaging_test': None}),
                (STUDY, {'patient': None, 'notes': "x"}),
                (PATIENT, {'patient': self.other_patient.id}),
                (HEALTH_PATIENT, {
                        'orthanc_studies': [
                            ('add', [self.unlinked_study.id])]}),
                (HEALTH_PATIENT, {
                        'orthanc_studies': [('remove', [self.study.id])]}),
                (HEALTH_PATIENT, {
                        'orthanc_patients': [
                            ('add', [self.unlinked_patient.id])]}),
                (RESULT, {
                        'orthanc_studies': [
                            ('add', [self.unlinked_study.id])]}),
                ]:
            ids = {
                **self.ids, HEALTH_PATIENT: self.patient.id,
                RESULT: self.result.id}
            with self.subTest(model=model, values=values):
                with self.assertRaises(Refused):
                    session.model(model, 'write', [ids[model]], values)
        self.assertEqual(
            self.stored(STUDY, self.study.id, 'patient'), self.patient.id)

    def test_attaches_images_of_linked_studies_only(self):
        button = 'attach_image_to_imaging_test_report'
        session = self.as_('doctor')
        with self.assertRaises(Refused):
            session.model(INSTANCE, button, [self.unlinked_instance.id])
        # Nobody listens at the server
        with self.assertRaises(Told) as raised:
            session.model(INSTANCE, button, [self.instance.id])
        self.assertNotIsInstance(raised.exception, Refused)

    def test_reads_no_server(self):
        with self.assertRaises(Refused):
            self.as_('doctor').model(
                SERVER, 'read', [self.server.id], ['label'])

    def test_sees_images_without_access_to_the_server(self):
        with FakeOrthanc() as orthanc:
            orthanc.script('/tools/bulk-content', reply_json([{
                            'ID': 'abc-2',
                            'Type': 'Series',
                            'Instances': ['abc-3'],
                            }]))
            orthanc.script(
                '/instances/abc-3/frames/0/rendered',
                reply(PNG, headers={'Content-Type': 'image/png'}))
            self.move_server(orthanc.url)
            session = self.as_('doctor')
            study, = session.model(
                STUDY, 'read', [self.study.id], ['thumbnail'])
            instance, = session.model(
                INSTANCE, 'read', [self.instance.id], ['image'])
        self.assertEqual(study['thumbnail'], PNG)
        self.assertEqual(instance['image'], PNG)

    def move_server(self, url):
        with Transaction().start(self.db_name, 1) as transaction:
            Pool().get(SERVER).write(
                [self.server], {'domain': url, 'validated': True})
            transaction.commit()

    def writable(self, model):
        "Return the fields that have a column or a setter"
        with Transaction().start(self.db_name, 1):
            Model = Pool().get(model)
            return {
                name for name, field in Model._fields.items()
                if (not hasattr(field, 'getter') or field.setter)
                and name not in {
                    'id', 'create_uid', 'create_date', 'write_uid',
                    'write_date'}}


class ClerkTestCase(AccessTestCase):
    "Imaging users link, and change nothing of what Orthanc says"

    LOGINS = ['clerk', 'administrator']

    def staff(self):
        for login in self.LOGINS:
            with self.subTest(user=login):
                yield self.as_(login)

    def test_sees_all(self):
        for session in self.staff():
            for model, count in [
                    (PATIENT, 2), (STUDY, 2), (SERIES, 2), (INSTANCE, 2)]:
                with self.subTest(model=model):
                    self.assertEqual(
                        session.model(model, 'search_count', []), count)

    def test_links(self):
        for session in self.staff():
            session.model(
                STUDY, 'write', [self.unlinked_study.id],
                {'patient': self.patient.id, 'merge_comment': "By name"})
            self.assertEqual(
                self.stored(STUDY, self.unlinked_study.id, 'link_status'),
                'manual')
            session.model(
                STUDY, 'write', [self.unlinked_study.id], {'patient': None})
            self.assertEqual(
                self.stored(STUDY, self.unlinked_study.id, 'link_status'),
                'unlinked')
            session.model(
                PATIENT, 'write', [self.unlinked_patient.id],
                {'patient': self.patient.id})
            session.model(
                PATIENT, 'write', [self.unlinked_patient.id],
                {'patient': None})

    def test_cannot_say_who_decided(self):
        for session in self.staff():
            for values in [
                    {'link_status': 'auto_certain'},
                    {'decided_by': self.users['doctor']},
                    {'patient': None, 'link_status': 'manual'},
                    {'patient': None, 'decided_by': None},
                    {'decided_at': dt.datetime(2020, 1, 1)}]:
                with self.subTest(values=values):
                    with self.assertRaises(Told):
                        session.model(
                            STUDY, 'write', [self.study.id], values)

    def test_writes_nothing_of_orthanc(self):
        writable = PhysicianTestCase.writable
        for session in self.staff():
            for model, names in [
                    (STUDY, writable(self, STUDY) - {
                            'notes', 'series', 'patient', 'imaging_test',
                            'request', 'merge_comment'}),
                    (SERIES, writable(self, SERIES) - {'notes'}),
                    (INSTANCE, writable(self, INSTANCE)),
                    (PATIENT, writable(self, PATIENT) - {'patient'})]:
                for name in names:
                    with self.subTest(model=model, field=name):
                        with self.assertRaises(Told):
                            session.model(
                                model, 'write', [self.ids[model]],
                                {name: None})

    def test_changes_no_series_through_its_study(self):
        new = {'orthanc_UID': 'x', 'modality': 'MR'}
        for session in self.staff():
            for action in [
                    ('write', [self.series.id], {'modality': 'MR'}),
                    ('write', [self.series.id], {
                            'instances': [('delete', [self.instance.id])]}),
                    ('create', [new]),
                    ('delete', [self.series.id]),
                    ('add', [self.unlinked_series.id]),
                    ('remove', [self.series.id]),
                    ('copy', [self.series.id], {})]:
                with self.subTest(action=action[0]):
                    with self.assertRaises(Told):
                        session.model(
                            STUDY, 'write', [self.study.id],
                            {'series': [action]})
            self.assertEqual(
                self.stored(SERIES, self.series.id, 'modality'), 'CT')

    def test_creates_deletes_and_copies_nothing(self):
        for session in self.staff():
            for model in [PATIENT, STUDY, SERIES, INSTANCE]:
                for method, arguments in [
                        ('create', [[{'notes': "x"}]]),
                        ('create', [[{}]]),
                        ('delete', [[self.ids[model]]]),
                        ('copy', [[self.ids[model]]]),
                        ('import_data', [['rec_name'], [["x"]]])]:
                    with self.subTest(model=model, method=method):
                        with self.assertRaises(Told):
                            session.model(model, method, *arguments)

    def test_runs_and_failures_are_for_administrators(self):
        for model in [RUN, FAILURE, SERVER, PLACEMENT, UPGRADE_NOTE]:
            with self.subTest(model=model):
                with self.assertRaises(Refused):
                    self.as_('clerk').model(model, 'search', [])
                self.assertTrue(
                    self.as_('administrator').model(model, 'search', []))

    def test_upgrade_notes_are_changed_by_nobody(self):
        for login in self.users:
            for method, arguments in [
                    ('write', [[self.upgrade_note.id], {'count': 1}]),
                    ('create', [[{'kind': 'studies'}]]),
                    ('delete', [[self.upgrade_note.id]])]:
                with self.subTest(user=login, method=method):
                    with self.assertRaises(Refused):
                        self.as_(login).model(
                            UPGRADE_NOTE, method, *arguments)

    def test_what_was_sent_where_is_changed_by_nobody(self):
        for login in self.users:
            for method, arguments in [
                    ('write', [[self.placement.id], {'version': 2}]),
                    ('create', [[{
                                    'server': self.server.id,
                                    'study_instance_uid': '1.2',
                                    'step_id': 'S2'}]]),
                    ('copy', [[self.placement.id]]),
                    ('delete', [[self.placement.id]])]:
                with self.subTest(user=login, method=method):
                    with self.assertRaises(Refused):
                        self.as_(login).model(PLACEMENT, method, *arguments)

    def test_server_is_found_by_label(self):
        for session in self.insiders():
            for model in [PATIENT, STUDY, SERIES, INSTANCE]:
                with self.subTest(model=model):
                    self.assertTrue(session.model(
                            model, 'search',
                            [('server_label', '=', "Archive")]))
                    self.assertFalse(session.model(
                            model, 'search', [('server_label', '=', "x")]))

    def test_viewers_are_changed_by_administrators(self):
        for login in ['doctor', 'clerk']:
            with self.subTest(user=login):
                for method, arguments in [
                        ('write', [[self.viewer.id], {'name': "x"}]),
                        ('delete', [[self.viewer.id]]),
                        ('create', [[{'name': "x"}]])]:
                    with self.assertRaises(Refused):
                        self.as_(login).model(VIEWER, method, *arguments)
        self.as_('administrator').model(
            VIEWER, 'write', [self.viewer.id], {'sequence': 61})

    def test_server_buttons_are_for_administrators(self):
        for login in ['doctor', 'clerk']:
            for button in [
                    'check', 'synchronize', 'reconcile',
                    'remove_config_server']:
                with self.subTest(user=login, button=button):
                    with self.assertRaises(Refused):
                        self.as_(login).model(
                            SERVER, button, [self.server.id])


class OrderTestCase(AccessTestCase):
    "Who orders, and who carries out"

    BUTTONS = ['start', 'complete', 'reject', 'cancel', 'reopen']
    STAFF = ['radiographer', 'head', 'administrator']

    def setUp(self):
        with Transaction().start(self.db_name, 1) as transaction:
            order = create_order(self.patient, requested=True)
            draft = create_order(self.patient)
            self.request, self.draft = order.id, draft.id
            self.open_step = order.steps[0].id
            self.test = order.requested_test.id
            self.doctor = order.doctor.id
            transaction.commit()

    def values(self):
        return {
            'patient': self.patient.id, 'requested_test': self.test,
            'doctor': self.doctor, 'date': dt.datetime(2026, 3, 4, 10, 30)}

    def test_orders_have_steps_whoever_orders(self):
        for login in ['doctor', 'radiographer', 'head']:
            with self.subTest(user=login):
                session = self.as_(login)
                id_, = session.model(REQUEST, 'create', [self.values()])
                session.model(REQUEST, 'requested', [id_])
                row, = session.model(REQUEST, 'read', [id_], [
                        'steps', 'state', 'accession_number'])
                self.assertEqual(len(row['steps']), 1)
                self.assertEqual(row['state'], 'requested')
                self.assertTrue(row['accession_number'])

    def test_steps_are_added_and_moved(self):
        for login in ['doctor', *self.STAFF]:
            with self.subTest(user=login):
                session = self.as_(login)
                id_, = session.model(STEP, 'create', [{
                            'request': self.request, 'modality': 'CT',
                            'station_aetitle': 'CT1'}])
                session.model(STEP, 'write', [id_], {
                        'scheduled_at': dt.datetime(2027, 1, 1, 9),
                        'station_aetitle': 'CT2'})
                self.assertEqual(
                    self.stored(STEP, id_, 'station_aetitle'), 'CT2')
                self.assertEqual(self.stored(STEP, id_, 'number'), 1 + len(
                        session.model(STEP, 'search', [
                                ('request', '=', self.request),
                                ('id', '<', id_)])))

    def test_steps_are_edited_in_their_order(self):
        for login in ['doctor', 'radiographer', 'head']:
            with self.subTest(user=login):
                session = self.as_(login)
                session.model(REQUEST, 'write', [self.request], {
                        'steps': [
                            ('create', [{'modality': 'MR'}]),
                            ('write', [self.open_step], {
                                    'description': login}),
                            ]})
                self.assertEqual(
                    self.stored(STEP, self.open_step, 'description'), login)

    def test_clerks_read(self):
        session = self.as_('clerk')
        row, = session.model(
            STEP, 'read', [self.open_step], ['modality', 'patient'])
        self.assertEqual(row['patient'], self.patient.id)
        for model, method, arguments in [
                (STEP, 'write', [[self.open_step], {'description': "x"}]),
                (STEP, 'create', [[{'request': self.request}]]),
                (STEP, 'delete', [[self.open_step]]),
                (REQUEST, 'write', [[self.request], {
                            'steps': [('delete', [self.open_step])]}])]:
            with self.subTest(model=model, method=method):
                with self.assertRaises(Refused):
                    session.model(model, method, *arguments)

    def test_steps_are_deleted_by_those_who_delete_orders(self):
        for login in ['radiographer', 'administrator']:
            with self.subTest(user=login):
                with self.assertRaises(Refused):
                    self.as_(login).model(STEP, 'delete', [self.open_step])
        for login in ['doctor', 'head']:
            with self.subTest(user=login):
                session = self.as_(login)
                id_, = session.model(
                    STEP, 'create', [{'request': self.request}])
                session.model(STEP, 'delete', [id_])

    def test_buttons(self):
        allowed = {
            **{login: set(self.BUTTONS) for login in self.STAFF},
            'doctor': {'cancel', 'reopen'},
            }
        for login in self.users:
            for button in self.BUTTONS:
                with self.subTest(user=login, button=button):
                    if button in allowed.get(login, set()):
                        self.press(login, button)
                    else:
                        with self.assertRaises(Refused):
                            self.press(login, button)

    def press(self, login, button):
        self.setUp()
        return self.as_(login).model(STEP, button, [self.open_step])

    def test_buttons_of_orders(self):
        for login in self.users:
            for button in ['cancel_order', 'repeat_order']:
                self.setUp()
                if button == 'repeat_order':
                    self.reject('radiographer', "Blurred")
                with self.subTest(user=login, button=button):
                    if login in {'doctor', 'radiographer', 'head'}:
                        self.as_(login).model(
                            REQUEST, button, [self.request])
                    else:
                        with self.assertRaises(Refused):
                            self.as_(login).model(
                                REQUEST, button, [self.request])

    def test_reject(self):
        for login in self.STAFF:
            self.setUp()
            with self.subTest(user=login):
                self.reject(login, "Blurred")
                self.assertEqual(
                    self.stored(STEP, self.open_step, 'state'), 'rejected')
                self.assertEqual(
                    self.stored(STEP, self.open_step, 'rejected_by'),
                    self.users[login])

    def test_reject_needs_a_reason(self):
        with self.assertRaises(Told):
            self.reject('radiographer', " ")
        self.assertEqual(
            self.stored(STEP, self.open_step, 'state'), 'scheduled')

    def reject(self, login, reason):
        session = self.as_(login)
        name = 'gnuhealth.imaging.procedure.step.reject'
        context = {
            'active_model': STEP, 'active_id': self.open_step,
            'active_ids': [self.open_step]}
        id_, state, _ = session.wizard(name, 'create', **context)
        session.wizard(name, 'execute', id_, {}, state, **context)
        return session.wizard(
            name, 'execute', id_, {'start': {'reason': reason}}, 'reject',
            **context)

    def test_what_follows_is_not_written(self):
        for login in ['doctor', *self.STAFF]:
            for name, value in [
                    ('state', 'completed'), ('step_id', 'X'), ('number', 9),
                    ('started_at', dt.datetime(2026, 1, 1)),
                    ('ended_at', dt.datetime(2026, 1, 1)),
                    ('rejection_reason', "x"), ('rejected_by', 1),
                    ('customised', False), ('request', self.draft)]:
                with self.subTest(user=login, field=name):
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            STEP, 'write', [self.open_step], {name: value})
                    if name not in {'request', 'customised'}:
                        with self.assertRaises(Told):
                            self.as_(login).model(STEP, 'create', [{
                                        'request': self.request,
                                        name: value}])

    def test_an_order_is_not_forged(self):
        other = {'requested_test': self.test}
        for login in ['doctor', 'radiographer', 'head']:
            for name, value in [
                    ('accession_number', 'X'), ('accession_alias', 'X'),
                    ('study_instance_uid', '1.2.3'), ('merge_id', '1.2.3'),
                    ('to_repeat', True), ('replaces', self.draft),
                    ('replaced_by', self.draft),
                    ('requested_at', dt.datetime(2026, 1, 1))]:
                with self.subTest(user=login, field=name):
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            REQUEST, 'write', [self.request], {name: value})
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            REQUEST, 'write', [self.request], {name: None})
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            REQUEST, 'write', [self.request], other,
                            [self.request], {name: value})
                    with self.assertRaises(Told):
                        self.as_(login).model(REQUEST, 'create', [
                                {**self.values(), name: value}])
            for state in ['draft', 'requested', 'done', 'canceled']:
                with self.subTest(user=login, state=state):
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            REQUEST, 'write', [self.draft], {'state': state})

    def test_steps_are_not_moved_to_another_order(self):
        with Transaction().start(self.db_name, 1):
            other = Pool().get(REQUEST)(self.draft).steps[0].id
        for login in ['doctor', 'radiographer', 'head']:
            for action in [
                    ('add', [other]), ('remove', [self.open_step]),
                    ('write', [self.open_step], {'request': self.draft})]:
                with self.subTest(user=login, action=action):
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            REQUEST, 'write', [self.request],
                            {'steps': [action]})

    def test_the_patient_stays_that_of_the_images(self):
        for login in ['doctor', 'radiographer', 'head']:
            self.setUp()
            session = self.as_(login)
            with self.subTest(user=login):
                session.model(REQUEST, 'write', [self.request], {
                        'patient': self.other_patient.id})
                self.as_('radiographer').model(STEP, 'start', [self.open_step])
                with self.assertRaises(Told):
                    session.model(REQUEST, 'write', [self.request], {
                            'patient': self.patient.id})
                session.model(REQUEST, 'write', [self.request], {
                        'patient': self.other_patient.id, 'comment': "x"})
                self.assertEqual(
                    self.stored(REQUEST, self.request, 'patient'),
                    self.other_patient.id)

    def test_closed_steps_are_not_edited(self):
        for login in ['doctor', *self.STAFF]:
            self.setUp()
            self.as_('radiographer').model(STEP, 'complete', [self.open_step])
            with self.subTest(user=login):
                for values in [
                        {'description': "x"},
                        {'scheduled_at': dt.datetime(2027, 1, 1)}]:
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            STEP, 'write', [self.open_step], values)
                with self.assertRaises(Told):
                    self.as_(login).model(STEP, 'delete', [self.open_step])
        with self.assertRaises(Told):
            self.as_('doctor').model(REQUEST, 'write', [self.request], {
                    'steps': [('write', [self.open_step], {
                                    'description': "x"})]})
        with self.assertRaises(Told):
            self.as_('doctor').model(REQUEST, 'delete', [self.request])

    def test_templates_are_changed_by_administrators(self):
        for login in self.users:
            for method, arguments in [
                    ('write', [[self.template.id], {'comment': "x"}]),
                    ('create', [[{'name': "x"}]]),
                    ('copy', [[self.template.id]])]:
                with self.subTest(user=login, method=method):
                    if login == 'administrator':
                        self.as_(login).model(TEMPLATE, method, *arguments)
                    else:
                        with self.assertRaises(Refused):
                            self.as_(login).model(
                                TEMPLATE, method, *arguments)

    def test_templates_of_study_types_are_chosen_by_administrators(self):
        for login in self.users:
            with self.subTest(user=login):
                session = self.as_(login)
                values = {'imaging_worklist_template': self.template.id}
                if login == 'head':
                    session.model(
                        'gnuhealth.imaging.test', 'write', [self.test],
                        values)
                else:
                    with self.assertRaises(Refused):
                        session.model(
                            'gnuhealth.imaging.test', 'write', [self.test],
                            values)

    def test_the_list_for_scripts(self):
        page = {'since': 0}
        for login in self.users:
            with self.subTest(user=login), \
                    patch.object(self.pool_class(ENTRY), 'refresh'), \
                    patch.object(
                        self.pool_class(ENTRY), 'page', return_value=page):
                if login in {*self.STAFF, 'clerk'}:
                    self.assertEqual(
                        self.as_(login).model(STEP, 'get_worklist'), page)
                else:
                    with self.assertRaises(Refused):
                        self.as_(login).model(STEP, 'get_worklist')

    def pool_class(self, name):
        return Pool(self.db_name).get(name)


class PluginTestCase(AccessTestCase):
    "The plugin inside an Orthanc reads the worklist and nothing else"

    @property
    def url(self):
        return f'/{self.db_name}/orthanc/worklist'

    def setUp(self):
        self.key = self.new_key()

    def new_key(self):
        with Transaction().start(self.db_name, 1) as transaction:
            key = Pool().get(SERVER)(self.server.id).new_plugin_key()
            transaction.commit()
        return key

    def get(self, key, url=None, scheme='Bearer'):
        return self.client().get(
            url or self.url, headers={'Authorization': f'{scheme} {key}'})

    def own_key(self, user, **values):
        with Transaction().start(self.db_name, 1) as transaction:
            application, = Pool().get('res.user.application').create([{
                        'user': user, 'application': 'health_orthanc',
                        **values}])
            transaction.commit()
            return application.key

    @with_transaction()
    def user(self):
        user, = Pool().get('res.user').search([
                ('login', '=', f'orthanc-plugin-{self.server.id}')])
        return user.id

    def test_its_key_is_let_in(self):
        response = self.get(self.key)
        self.assertEqual(response.status_code, 200)
        self.assertEqual(json.loads(response.data)['since'], 0)

    def test_others_are_not(self):
        for name, key in {
                'none': '', 'unknown': 'x', 'part': self.key[:-1],
                'wildcard': '%', 'more': self.key + 'x',
                'administrator': self.own_key(self.users['administrator']),
                'root of all': self.own_key(1),
                'not validated': self.own_key(self.user(), state='requested'),
                'canceled': self.own_key(self.user(), state='cancelled'),
                }.items():
            with self.subTest(key=name):
                self.assertIn(self.get(key).status_code, {401, 403})
        self.assertEqual(
            self.get(self.key, scheme='Basic').status_code, 403)

    def test_an_old_key_stops_working(self):
        new = self.new_key()
        self.assertEqual(self.get(self.key).status_code, 403)
        self.assertEqual(self.get(new).status_code, 200)

    def test_nobody_gives_himself_a_key(self):
        for login in ['nobody', 'clerk', 'administrator']:
            with self.subTest(user=login):
                response = self.client().post(
                    f'/{self.db_name}/user/application/',
                    json={'user': login, 'application': 'health_orthanc'})
                key = response.json
                self.assertEqual(self.get(key).status_code, 403)
                session = self.as_(login)
                id_, = session.model('res.user.application', 'search', [
                        ('key', '=', key)])
                session.model('res.user.application', 'validate_', [id_])
                self.assertEqual(self.get(key).status_code, 403)

    def test_a_request_for_its_user_is_not_enough(self):
        response = self.client().post(
            f'/{self.db_name}/user/application/', json={
                'user': f'orthanc-plugin-{self.server.id}',
                'application': 'health_orthanc'})
        self.assertEqual(self.get(response.json).status_code, 403)

    def test_a_server_that_is_removed_takes_its_key_along(self):
        for method, arguments in [
                ('write', ({'active': False},)), ('delete', ())]:
            with Transaction().start(self.db_name, 1) as transaction:
                server = create_server()
                key = server.new_plugin_key()
                transaction.commit()
            self.assertEqual(self.get(key).status_code, 200)
            with self.subTest(method=method):
                with Transaction().start(self.db_name, 1) as transaction:
                    Server = Pool().get(SERVER)
                    getattr(Server, method)([Server(server.id)], *arguments)
                    transaction.commit()
                self.assertEqual(self.get(key).status_code, 403)

    def test_a_user_who_was_deactivated_is_not_let_in(self):
        user = self.user()
        with Transaction().start(self.db_name, 1) as transaction:
            User = Pool().get('res.user')
            User.write([User(user)], {'active': False})
            transaction.commit()
        self.assertEqual(self.get(self.key).status_code, 403)

    def test_it_is_let_in_nowhere_else(self):
        for url in [
                f'/{self.db_name}/', f'/{self.db_name}/data/res.user',
                f'/{self.db_name}/export_data/{STUDY}',
                f'/{self.db_name}/data/{STUDY}']:
            with self.subTest(url=url):
                self.assertGreaterEqual(
                    self.get(self.key, url).status_code, 400)
        response = self.client().post(
            f'/{self.db_name}/',
            data=json.dumps({
                    'id': 1, 'params': [[], {}],
                    'method': 'model.gnuhealth.patient.search'}),
            headers={'Authorization': f'Bearer {self.key}'},
            content_type='application/json')
        self.assertEqual(response.status_code, 401)

    def test_its_user_reads_nothing(self):
        session = self.session(self.user())
        for name in [*self.ids, RESULT]:
            with self.subTest(model=name):
                with self.assertRaises(Refused):
                    session.model(name, 'search', [])

    def test_its_user_cannot_log_in(self):
        for password in ['', None, 'x', self.key]:
            response = self.client().post(
                f'/{self.db_name}/',
                data=json.dumps({
                        'id': 1, 'method': 'common.db.login', 'params': [
                            f'orthanc-plugin-{self.server.id}',
                            {'password': password}, 'en']}),
                content_type='application/json')
            with self.subTest(password=password):
                self.assertNotEqual(response.status_code, 200)

    def test_a_database_without_the_module(self):
        with patch(
                'trytond.modules.health_orthanc.routes._is_active',
                return_value=False):
            self.assertEqual(self.get(self.key).status_code, 404)
            # Nobody else learns which databases have it
            self.assertEqual(self.get('x').status_code, 403)
            self.assertEqual(
                self.client().get(self.url).status_code, 401)

    def test_the_key_comes_from_the_wizard(self):
        session = self.as_('administrator')
        name = 'gnuhealth.orthanc.connect_plugin'
        context = {
            'active_model': SERVER, 'active_id': self.server.id,
            'active_ids': [self.server.id]}
        id_, state, _ = session.wizard(name, 'create', **context)
        answer = session.wizard(name, 'execute', id_, {
                'start': {'url': 'http://his.example.org/ '}}, 'make',
            **context)
        configuration = json.loads(
            answer['view']['defaults']['configuration'])['HealthOrthanc']
        self.assertEqual(configuration['Url'], 'http://his.example.org')
        self.assertEqual(configuration['Database'], self.db_name)
        self.assertEqual(
            configuration['Server'],
            self.stored(SERVER, self.server.id, 'identifier'))
        self.assertEqual(self.get(configuration['Key']).status_code, 200)


class ViewsTestCase(AccessTestCase):
    "Lists and forms open for those who may see them"

    MODELS = {
        'radiographer': [STEP, TEMPLATE, REQUEST],
        'head': [STEP, TEMPLATE, REQUEST],
        'doctor': [
            PATIENT, STUDY, SERIES, INSTANCE, VIEWER, STEP, TEMPLATE,
            REQUEST],
        'clerk': [
            PATIENT, STUDY, SERIES, INSTANCE, VIEWER, STEP, TEMPLATE,
            REQUEST],
        'administrator': [
            PATIENT, STUDY, SERIES, INSTANCE, VIEWER, SERVER, RUN, FAILURE,
            STEP, TEMPLATE, REQUEST, CONFIGURATION, MATCHING,
            RULE, DELETION, UPGRADE_NOTE],
        }

    def test_lists_and_forms_open(self):
        for login, models in self.MODELS.items():
            for model in models:
                for kind in ['tree', 'form']:
                    if model in {CONFIGURATION, MATCHING} and (
                            kind == 'tree'):
                        continue
                    with self.subTest(user=login, model=model, kind=kind):
                        self.open(self.as_(login), model, kind)

    def open(self, session, model, kind):
        view = session.model(model, 'fields_view_get', None, kind)
        names = self.names(view['fields'])
        self.assertGreater(len(names), 2)
        rows = session.model(model, 'search_read', [], 0, None, None, names)
        self.assertIn(self.ids[model], [row['id'] for row in rows])

    @staticmethod
    def names(fields):
        "Return what a client reads to fill a view"
        names = list(fields)
        names += [
            f'{name}.rec_name' for name, field in fields.items()
            if field['type'] == 'many2one']
        return names

    def test_everything_is_read(self):
        for login, models in self.MODELS.items():
            for model in models:
                with self.subTest(user=login, model=model):
                    session = self.as_(login)
                    fields = session.model(model, 'fields_get')
                    row, = session.model(
                        model, 'read', [self.ids[model]], list(fields))
                    self.assertEqual(row['id'], self.ids[model])

    def test_patients_and_results_show_their_studies(self):
        for session in self.insiders():
            view = session.model(
                HEALTH_PATIENT, 'fields_view_get', None, 'form')
            row, = session.model(
                HEALTH_PATIENT, 'read', [self.patient.id],
                list(view['fields']))
            self.assertEqual(list(row['orthanc_studies']), [self.study.id])
            self.assertEqual(row['orthanc_studies_count'], 1)
            view = session.model(RESULT, 'fields_view_get', None, 'form')
            row, = session.model(
                RESULT, 'read', [self.result.id], ['orthanc_studies'])
            self.assertIn('orthanc_studies', view['fields'])
            self.assertEqual(list(row['orthanc_studies']), [self.study.id])

    def test_patients_and_results_are_chosen(self):
        session = self.as_('clerk')
        for model in [HEALTH_PATIENT, RESULT]:
            with self.subTest(model=model):
                self.assertTrue(session.model(
                        model, 'search_read', [('rec_name', 'ilike', '%')], 0,
                        10, None, ['rec_name']))

    def test_the_server_is_hidden(self):
        for login in ['doctor', 'clerk']:
            for model in [PATIENT, STUDY, SERIES, INSTANCE]:
                with self.subTest(user=login, model=model):
                    self.assertNotIn('server', self.as_(login).model(
                            model, 'fields_get'))


class MenusTestCase(AccessTestCase):

    FOR_PHYSICIANS = {
        'orthanc_menu', 'menu_orthanc_patient_linked', 'menu_study_linked'}
    FOR_CLERKS = {
        'orthanc_menu', 'menu_orthanc_patient_form', 'menu_study_form',
        'menu_study_review', 'menu_review', 'menu_step_form',
        'menu_step_calendar', 'menu_upload_image_data',
        'menu_get_new_studies'}
    FOR_RADIOGRAPHERS = {
        'orthanc_menu', 'menu_step_form', 'menu_step_calendar'}

    @with_transaction()
    def menus(self):
        "Return the ids of our menus by their XML id"
        return {
            d.fs_id: d.db_id for d in Pool().get('ir.model.data').search([
                    ('module', '=', MODULE),
                    ('model', '=', 'ir.ui.menu'),
                    ])}

    def visible(self, login, menus):
        found = self.as_(login).model('ir.ui.menu', 'search', [])
        return {name for name, id_ in menus.items() if id_ in found}

    def test_each_sees_their_own(self):
        menus = self.menus()
        self.assertGreater(len(menus), 8)
        for login, expected in [
                *((login, set()) for login in self.OUTSIDERS),
                *((login, self.FOR_RADIOGRAPHERS)
                    for login in self.RADIOGRAPHERS),
                ('doctor', self.FOR_PHYSICIANS),
                ('clerk', self.FOR_CLERKS),
                ('administrator', (
                        set(menus) - self.FOR_PHYSICIANS
                        | {'orthanc_menu'}))]:
            with self.subTest(user=login):
                self.assertEqual(self.visible(login, menus), expected)

    def test_outsiders_read_none(self):
        menus = self.menus()
        for login in self.OUTSIDERS + self.RADIOGRAPHERS:
            hidden = menus.keys()
            if login in self.RADIOGRAPHERS:
                hidden -= self.FOR_RADIOGRAPHERS
            for name in hidden:
                with self.subTest(user=login, menu=name):
                    with self.assertRaises(Refused):
                        self.as_(login).model(
                            'ir.ui.menu', 'read', [menus[name]], ['name'])

    def test_outsiders_find_no_action(self):
        for session in self.outsiders():
            for model in ['ir.action.act_window', 'ir.action.wizard']:
                with self.subTest(model=model):
                    for row in session.model(
                            model, 'search_read', [], 0, None, None,
                            ['name', 'groups']):
                        self.assertNotIn(row['name'], {
                                "Add Orthanc Server", "Get New Studies",
                                "Connect Plugin"})


class SecretsTestCase(AccessTestCase):
    "The password and the client's key come back to nobody"

    SECRETS = ['letmein', 'KEY']
    MASK = '••••••••'

    def everybody(self):
        for login in self.users:
            with self.subTest(user=login):
                yield login, self.as_(login)

    def test_the_administrator_reads_a_mask(self):
        names = ['password', 'client_key']
        session = self.as_('administrator')
        row, = session.model(SERVER, 'read', [self.server.id], names)
        self.assertEqual([row[n] for n in names], [self.MASK] * 2)
        self.assertEqual(
            session.model(SERVER, 'export_data', [self.server.id], names),
            [[self.MASK] * 2])
        row, = session.model(
            STUDY, 'read', [self.study.id],
            [f'server.{name}' for name in names])
        self.assertEqual([row['server.'][n] for n in names], [self.MASK] * 2)
        self.assertEqual(
            session.model(
                STUDY, 'export_data', [self.study.id], ['server/password']),
            [[self.MASK]])

    def test_the_column_is_read_by_nobody(self):
        for _, session in self.everybody():
            for name in ['sealed_password', 'sealed_client_key']:
                for model, method, arguments in [
                        (SERVER, 'read', [[self.server.id], [name]]),
                        (SERVER, 'search_read', [
                                [], 0, None, None, [name]]),
                        (SERVER, 'export_data', [[self.server.id], [name]]),
                        (SERVER, 'search', [[], 0, None, [(name, 'ASC')]]),
                        (SERVER, 'write', [[self.server.id], {name: 'x'}]),
                        (STUDY, 'read', [
                                [self.study.id], [f'server.{name}']]),
                        (STUDY, 'export_data', [
                                [self.study.id], [f'server/{name}']]),
                        (STUDY, 'search', [
                                [], 0, None, [(f'server.{name}', 'ASC')]]),
                        (PATIENT, 'read', [
                                [self.orthanc_patient.id],
                                [f'server.{name}']]),
                        (RUN, 'export_data', [
                                [self.run_.id], [f'server/{name}']]),
                        ]:
                    with self.subTest(
                            model=model, method=method, field=name):
                        with self.assertRaises(Refused):
                            session.model(model, method, *arguments)

    def test_the_column_is_compared_by_nobody(self):
        for _, session in self.everybody():
            for name in ['sealed_password', 'sealed_client_key']:
                leaf = (name, 'like', 'p%')
                for model, clause in [
                        (SERVER, leaf),
                        (SERVER, ['OR', leaf, ('id', '=', 0)]),
                        (SERVER, ('synchronizations.server', 'where', [leaf])),
                        (SERVER, ('last_run', 'where', [
                                    ('server', 'where', [leaf])])),
                        (STUDY, (f'server.{name}', 'like', 'p%')),
                        (STUDY, ('server', 'where', [leaf])),
                        (STUDY, ('server', 'not where', [leaf])),
                        (STUDY, ('orthanc_patient', 'where', [
                                    ('server', 'where', [leaf])])),
                        (PATIENT, ('server', 'where', [leaf])),
                        (SERIES, ('server', 'where', [leaf])),
                        (SERIES, ('study.server', 'where', [leaf])),
                        (SERIES, (f'study.server.{name}', 'like', 'p%')),
                        (INSTANCE, ('server', 'where', [leaf])),
                        (VIEWER, ('servers', 'where', [leaf])),
                        (RUN, ('server', 'where', [leaf])),
                        (FAILURE, ('server', 'where', [leaf])),
                        (HEALTH_PATIENT, ('orthanc_studies', 'where', [
                                    ('server', 'where', [leaf])])),
                        ('gnuhealth.imaging.test.request', (
                                'patient', 'where', [
                                    ('orthanc_studies', 'where', [
                                            ('server', 'where', [leaf])])])),
                        ]:
                    with self.subTest(model=model, clause=clause):
                        with self.assertRaises(Told):
                            session.model(model, 'search', [clause])

    def test_a_clerk_compares_no_setting_of_a_server(self):
        for login in ['doctor', 'clerk']:
            for model in [PATIENT, STUDY, SERIES, INSTANCE]:
                for clause in [
                        ('server', 'where', [('user', 'like', 'r%')]),
                        ('server.user', 'like', 'r%')]:
                    with self.subTest(
                            user=login, model=model, clause=clause):
                        with self.assertRaises(Refused):
                            self.as_(login).model(model, 'search', [clause])

    def test_forms_do_not_compute_it(self):
        session = self.as_('administrator')
        for method, arguments in [
                ('default_get', [[]]),
                ('default_get', [['password', 'sealed_password']]),
                ('on_change', [
                        {'id': self.server.id}, ['password', 'domain']]),
                ('on_change_with', [
                        {'id': self.server.id}, ['link', 'link_base_url']]),
                ('fields_view_get', [None, 'form']),
                ('fields_get', [])]:
            with self.subTest(method=method):
                self.assertSecret(
                    session.model(SERVER, method, *arguments))
                self.assertNotIn('sealed_password', session.model(
                        SERVER, 'fields_get'))

    def assertSecret(self, answer):
        for secret in self.SECRETS:
            self.assertNotIn(secret, repr(answer))

    def test_nothing_keeps_it(self):
        answers = []
        with fernet_keys(Fernet.generate_key().decode()), \
                FakeOrthanc() as orthanc, \
                self.assertLogs(level='INFO') as logs:
            orthanc.script('/system', reply_json(SYSTEM))
            orthanc.script('/plugins', reply_json([]))
            for url in [f'http://127.0.0.1:{free_port()}', orthanc.url]:
                answers.extend(self.add_server(url))
            answers.append(self.change_secrets(orthanc.url))
            self.assertTrue(orthanc.received)
        self.assertNotIn(self.PASSWORD, repr(answers))
        self.assertNotIn(self.PASSWORD, '\n'.join(logs.output))
        rows = list(self.database())
        self.assertGreater(len(rows), 1000)
        self.assertEqual([r for r in rows if self.PASSWORD in repr(r)], [])

    PASSWORD = 'sesame-3141'

    def add_server(self, url):
        "Yield what the wizard answers"
        name = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'
        session = self.as_('administrator')
        id_, state, _ = session.wizard(name, 'create')
        yield session.wizard(name, 'execute', id_, {}, state)
        answer = session.wizard(name, 'execute', id_, {
                'start': {
                    'label': "New", 'domain': url, 'user': 'reader',
                    'password': self.PASSWORD},
                }, 'connect')
        yield answer
        if answer['view']['state'] == 'failure':
            yield session.wizard(name, 'execute', id_, {}, 'start')
        else:
            self.assertEqual(answer['view']['state'], 'success')

    def change_secrets(self, url):
        session = self.as_('administrator')
        id_, = session.model(SERVER, 'search', [('domain', '=', url)])
        session.model(SERVER, 'write', [id_], {
                'password': self.PASSWORD + 'b',
                'client_key': f'-----BEGIN PRIVATE KEY-----{self.PASSWORD}'})
        return session.model(
            SERVER, 'read', [id_], ['password', 'client_key'])

    @with_transaction()
    def database(self):
        "Return all rows of all tables"
        cursor = Transaction().connection.cursor()
        cursor.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            if backend.name == 'sqlite' else
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE'")
        rows = []
        for table, in cursor.fetchall():
            cursor.execute(f'SELECT * FROM "{table}"')
            rows.extend(cursor.fetchall())
        return rows
