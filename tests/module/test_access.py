# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each model, field and menu shows to whom."""

import datetime as dt

from trytond.model import ModelSingleton
from trytond.pool import Pool, isregisteredby
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction
from trytond.wsgi import app

from .access import (
    AUDIT, AUDIT_CHAIN, AUDIT_PENDING, CONFIGURATION, CORRECTION, DATABASE,
    DELETION, DOWNLOAD, ENTRY, FAILURE, HEALTH_PATIENT, MATCHING, METADATA,
    NOTICE, OPERATION, ORDERS, PART, PATIENT_KEY, PLACEMENT, REPLACEMENT,
    REQUEST, RESULT, RULE, RUN, STEP, STUDY_KEY, TEMPLATE, UPGRADE_NOTE,
    WARNING, WRONG_PATIENT, AccessTestCase, granted, own_models, own_storages,
    own_wizards)
from .tools import (
    INSTANCE, MODULE, PATIENT, SERIES, SERVER, STUDY, VIEWER, OrthancTestCase,
    Refused, RpcError, RpcTestCase, Told)


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
            if url.endswith((
                        '/orthanc/download', '/orthanc/view',
                        '/orthanc/view.js')):
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
                        # Those for monitoring are switched off, and there
                        # is no viewer
                        off = url.endswith(('/metrics', '/health')) or (
                            '/orthanc/viewer/' in url)
                        self.assertIn(
                            response.status_code,
                            {404} if off else {401, 403})
            urls.add(url)
        self.assertIn(f'/{self.db_name}/orthanc/worklist', urls)


STATISTICS = 'gnuhealth.imaging_orthanc.statistics.'


class OutsidersTestCase(AccessTestCase):
    "Who has none of the groups sees nothing of it"

    def test_no_call_of_a_model_is_answered(self):
        calls = [
            (name, method, arguments)
            for name, Model in self.remote_models()
            for method, arguments in self.remote_calls(name, Model)]
        self.assertGreater(len(calls), 100)
        for login in self.OUTSIDERS + self.RADIOGRAPHERS:
            # Who may read statistics: see test_dashboard
            seen = {STEP, TEMPLATE} | {
                name for name, *_ in calls if name.startswith(STATISTICS)
                } if login in self.RADIOGRAPHERS else {}
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
            for model in [
                    AUDIT_CHAIN, AUDIT_PENDING, PART, PATIENT_KEY, STUDY_KEY,
                    DOWNLOAD]:
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
        # Statistics have no records of their own
        id_ = self.ids.get(name, 1)
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
                    OPERATION: {'queue_time': dt.timedelta(1)},
                    }[name]]
        unheard = METADATA
        if name.startswith(STATISTICS):
            # They cannot be written, whoever asks
            unheard = METADATA | {'create', 'write', 'import_data'}
        for method in Model.__rpc__.keys() - unheard:
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
            (SERVER, 'synchronize_later'), (SERVER, 'synchronize_in_turn'),
            (SERVER, 'continue_synchronization'),
            (SERVER, 'help_synchronization'),
            (SERVER, 'resume_synchronizations'), (RUN, 'continue_run'),
            (RUN, 'help'), (STUDY, 'get_new_studies'),
            (STUDY, 'full_synchronize'), (STUDY, 'assign'),
            (RUN, 'run'), (RUN, 'run_all'), (RUN, 'clean'),
            (RUN, 'load_instances'), (VIEWER, 'offered'),
            (SERVER, 'new_plugin_key'), (STEP, 'reject_because'),
            (REQUEST, 'assign_identifiers'), (REQUEST, 'update_from_steps'),
            (REQUEST, 'create_recent_steps'),
            (REQUEST, 'get_worklist_template_data'), (ENTRY, 'page'),
            (ENTRY, 'refresh'), (ENTRY, 'preview'), (ENTRY, 'files'),
            (ENTRY, 'get_served_versions'), (PLACEMENT, 'servers'),
            (PLACEMENT, 'update_server'), (SERVER, 'update_worklist'),
            (SERVER, 'synchronize_worklists'),
            (CONFIGURATION, 'new_accession_number'), (STUDY, 'confirm'),
            (STUDY, 'link_because'), (STUDY, 'unlink_because'),
            (STUDY, 'dismiss_because'), (STUDY, 'dismiss_by_rule'),
            (RULE, 'dismiss'), (CORRECTION, 'queue_corrections'),
            (CORRECTION, 'plan'),
            (CORRECTION, 'process'), (CORRECTION, 'process_pending'),
            (CORRECTION, 'get_client'), (DELETION, 'delete_records'),
            (DELETION, 'resume_pending'), (DELETION, 'find_obstacle'),
            (UPGRADE_NOTE, 'add'), (REPLACEMENT, 'follow'),
            (REPLACEMENT, 'resume'),
            (WRONG_PATIENT, 'mark'),
            (WRONG_PATIENT, 'start_move'), (WRONG_PATIENT, 'complete_move'),
            (WRONG_PATIENT, 'complete_undo'), (WRONG_PATIENT, 'refuse'),
            (NOTICE, 'tell'), (CORRECTION, 'queue_move'),
            (DATABASE, 'remember'), (DATABASE, 'decide'),
            (SERVER, 'separate')]
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
            STEP, TEMPLATE, REQUEST, CONFIGURATION, MATCHING, OPERATION,
            WARNING, RULE, DELETION, UPGRADE_NOTE, REPLACEMENT, DATABASE],
        'privacy': [AUDIT],
        }

    def test_lists_and_forms_open(self):
        for login, models in self.MODELS.items():
            for model in models:
                for kind in ['tree', 'form']:
                    if model in {CONFIGURATION, MATCHING, OPERATION} and (
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
        'orthanc_menu', 'menu_orthanc_patient_linked', 'menu_study_linked',
        'menu_imaging_test_result_unreported', 'menu_my_orders',
        'menu_wrong_patient_notice_form', 'menu_dashboards',
        'menu_board_physician'}
    FOR_CLERKS = {
        'orthanc_menu', 'menu_orthanc_patient_form', 'menu_study_form',
        'menu_study_review', 'menu_review', 'menu_step_form',
        'menu_step_calendar', 'menu_print_daily_schedule',
        'menu_upload_image_data',
        'menu_get_new_studies', 'menu_imaging_test_result_unreported',
        'menu_wrong_patient_form', 'menu_wrong_patient_notice_form',
        'menu_dashboards', 'menu_board_clerk'}
    FOR_PRIVACY = {'orthanc_config_menu', 'menu_audit_form'}
    FOR_RADIOGRAPHERS = {
        'orthanc_menu', 'menu_step_form', 'menu_step_calendar',
        'menu_print_daily_schedule', 'menu_dashboards',
        'menu_board_radiographer'}
    FOR_HEADS = FOR_RADIOGRAPHERS | {'menu_board_department'}

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
                ('radiographer', self.FOR_RADIOGRAPHERS),
                ('head', self.FOR_HEADS),
                ('doctor', self.FOR_PHYSICIANS),
                ('clerk', self.FOR_CLERKS),
                ('administrator', (
                        set(menus) - self.FOR_PHYSICIANS - self.FOR_PRIVACY
                        - {'menu_board_radiographer'} | self.FOR_CLERKS
                        | {'orthanc_config_menu'})),
                ('privacy', self.FOR_PRIVACY)]:
            with self.subTest(user=login):
                self.assertEqual(self.visible(login, menus), expected)

    def test_outsiders_read_none(self):
        menus = self.menus()
        for login in self.OUTSIDERS + self.RADIOGRAPHERS:
            hidden = menus.keys()
            if login == 'radiographer':
                hidden -= self.FOR_RADIOGRAPHERS
            if login == 'head':
                hidden -= self.FOR_HEADS
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
