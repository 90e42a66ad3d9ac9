# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of rights in doc/access.md says what these calls prove.

``WRITE_RIGHTS=1 ./dev test tests/module/test_rights.py`` writes it anew, and
with it what each role may do with each model, field, button and wizard
(``rights.json``).  A new one is in neither, and fails until somebody has
looked at who gets it.
"""

import base64
import datetime as dt
import json
import os
import xmlrpc.client
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trytond.pool import Pool, isregisteredby
from trytond.transaction import Transaction
from trytond.wsgi import app

from devtools.tryton import ROOT

from .access import (
    AUDIT, CONFIGURATION, FAILURE, HEALTH_PATIENT, MATCHING, OPERATION,
    REPLACEMENT, REQUEST, RESULT, RULE, STEP, TEMPLATE, WARNING, WRONG_PATIENT,
    AccessTestCase, own_models, own_storages, own_wizards)
from .tools import (
    EXTRAS, INSTANCE, MODULE, SERVER, STUDY, VIEWER, Refused, RpcError, Told,
    configured, create_order, create_study, create_user)

PAGE = ROOT / 'doc' / 'access.md'
RECORDED = Path(__file__).with_name('rights.json')
STATISTICS = 'gnuhealth.imaging_orthanc.statistics.'
WRITE = bool(os.environ.get('WRITE_RIGHTS'))
BEGIN = '<!-- written by tests/module/test_rights.py -->'
END = '<!-- end -->'

COLUMNS = {
    'doctor': ("Physician", "Health Doctor"),
    'radiographer': ("Radiographer", "Health Imaging"),
    'head': ("Head of imaging", "Health Imaging Administration"),
    'clerk': ("Imaging clerk", "Health Imaging Orthanc"),
    'administrator': (
        "Imaging administrator", "Health Imaging Orthanc Administration"),
    'privacy': ("Privacy officer", "Imaging Privacy"),
    }
ALL, LINKED, YES, NO = "all", "those linked to a patient", "yes", "–"


@dataclass
class Right:
    """A row of the table

    Attributes
    ----------
    label : str
    calls : list of tuple
        Name, method and arguments: all of them must be allowed.  Names of
        wizards are called to create a session.
    linked, unlinked : list of tuple
        Calls for a record that is linked to a patient, and one that is not.
    """
    label: str
    calls: list = field(default_factory=list)
    linked: list = field(default_factory=list)
    unlinked: list = field(default_factory=list)


def buttons(model, *names):
    "Return calls of buttons with no record, which only check the access"
    return [(model, name, [[]]) for name in names]


def wizards(*names):
    return [
        (f'gnuhealth.{name}', 'create', []) for name in names]


class _RolesTestCase(AccessTestCase):

    @classmethod
    def setUpDatabase(cls):
        super().setUpDatabase()
        cls.users['plugin'] = create_user(
            'plugin', 'health_orthanc.group_orthanc_plugin').id
        cls._create_statistics()
        Transaction().commit()

    @classmethod
    def _create_statistics(cls):
        "Let each of the statistics count something"
        pool = Pool()
        now = dt.datetime.now()
        step, = create_order(requested=True, date=now).steps
        pool.get(STEP).write([step], {
                'state': 'completed', 'study': cls.study.id,
                'ended_at': now})
        rejected, = create_order(requested=True, date=now).steps
        pool.get(STEP).write([rejected], {
                'state': 'rejected', 'ended_at': now})
        create_study(cls.server, date=now.date())
        with Transaction().set_user(cls.users['doctor']):
            own = create_order(date=now)
        for name in [
                'device', 'rejection', 'server', 'study_age', 'study_day',
                'turnaround']:
            found = pool.get(STATISTICS + name).search([], limit=1)
            cls.ids[STATISTICS + name] = found[0].id
        cls.ids[STATISTICS + 'order'] = own.id


class RightsTestCase(_RolesTestCase):

    def rights(self):
        order = {
            'patient': self.patient.id,
            'doctor': self.stored(REQUEST, self.order.id, 'doctor'),
            'requested_test': self.stored(
                REQUEST, self.order.id, 'requested_test'),
            'date': dt.datetime(2026, 3, 4)}
        study, other = [self.study.id], [self.unlinked_study.id]
        instance, unlinked = [self.instance.id], [self.unlinked_instance.id]
        step = [self.step.id]
        attach = buttons(INSTANCE, 'attach_image_to_imaging_test_report')
        return [
            Right("order, cancel, order again", [
                    (REQUEST, 'create', [[order]]),
                    *buttons(REQUEST, 'cancel_order', 'repeat_order')]),
            Right("complete a canceled order by its images, or keep it "
                "canceled", buttons(
                    REQUEST, 'complete_canceled', 'keep_canceled')),
            Right("see scheduled steps", [
                    (STEP, 'search_read', [[], 0, 1, None, ['modality']])]),
            Right("add, reschedule or cancel steps", [
                    (STEP, 'create', [[{'request': self.order.id}]]),
                    (STEP, 'write', [step, {
                                'scheduled_at': dt.datetime(2026, 3, 5)}]),
                    *buttons(STEP, 'cancel', 'reopen')]),
            Right("start, complete, reject steps", buttons(
                    STEP, 'start', 'complete', 'reject')),
            Right("see studies and images, open viewers",
                wizards(
                    'imaging_orthanc.open_viewer',
                    'imaging_orthanc.view_images',
                    'imaging_orthanc.all_images'),
                [(STUDY, 'read', [study, ['date']]),
                    (INSTANCE, 'read', [instance, ['image']])],
                [(STUDY, 'read', [other, ['date']]),
                    (INSTANCE, 'read', [unlinked, ['image']])]),
            Right("write notes", [],
                [(STUDY, 'write', [study, {'notes': "x"}])],
                [(STUDY, 'write', [other, {'notes': "x"}])]),
            Right("link to a patient, order or result, unlink, review the "
                "queue, confirm several studies, dismiss, upload images", [
                    (STUDY, 'write', [other, {'patient': None}]),
                    *wizards(
                        'imaging_orthanc.review',
                        'imaging_orthanc.confirm_suggestions',
                        'imaging_orthanc.study.dismiss',
                        'imaging_orthanc.upload_image_data')]),
            Right("attach an image to the report", attach,
                [(INSTANCE, 'read', [instance, ['id']])],
                [(INSTANCE, 'read', [unlinked, ['id']])]),
            Right("download images",
                wizards('imaging_orthanc.download_images'),
                [(STUDY, 'read', [study, ['id']])],
                [(STUDY, 'read', [other, ['id']])]),
            Right("get new studies",
                wizards('imaging_orthanc.get_new_studies')),
            Right("delete studies, series, instances", wizards(
                    'imaging_orthanc.delete_images')),
            Right("report images of the wrong patient, which quarantines them",
                wizards('imaging_orthanc.mark_wrong_patient')),
            Right("move them to the right patient, undo or confirm it, end "
                "the quarantine", [
                    *wizards('imaging_orthanc.move_study'),
                    *buttons(
                        WRONG_PATIENT, 'undo_move', 'confirm_move',
                        'take_back')]),
            Right("undo the replacement of a patient",
                buttons(REPLACEMENT, 'undo')),
            Right("servers, worklists, matching, dismissal rules, viewers, "
                "full synchronization, review of historical studies, "
                "failures, patient reconciliation, health, warnings, retries",
                [
                    *((model, 'write', [[self.ids[model]], {}])
                        for model in [
                            SERVER, TEMPLATE, CONFIGURATION, MATCHING, RULE,
                            VIEWER, OPERATION]),
                    (WARNING, 'read', [[self.ids[WARNING]], ['since']]),
                    *buttons(SERVER, 'retry_failures'),
                    *buttons(FAILURE, 'retry'),
                    *wizards(
                        'imaging_orthanc.full_synchronize',
                        'imaging_orthanc.review_historical',
                        'imaging_orthanc.wizard.orthanc_new_connect',
                        'imaging_orthanc.correct_identity')]),
            Right("see who saw what", [(AUDIT, 'search_read', [
                            [], 0, 1, None, ['at', 'user', 'patient_name']])]),
            ]

    def is_allowed(self, login, call):
        name, method, arguments = call
        session = self.as_(login)
        try:
            if method == 'create' and not arguments:
                session.wizard(name, method)
            else:
                session.model(name, method, *arguments)
        except Refused:
            return False
        except (Told, RpcError):
            # The user may, and is told what is missing
            return True
        return True

    def cell(self, login, right):
        "Return what a role may do"
        found = {
            name: {self.is_allowed(login, call) for call in calls}
            for name, calls in [
                ('calls', right.calls), ('linked', right.linked),
                ('unlinked', right.unlinked)]}
        for allowed in found.values():
            self.assertLessEqual(
                len(allowed), 1, f"{login} may do only a part: {right.label}")
        if False in found['calls'] or False in found['linked']:
            return NO
        if not right.linked:
            return YES
        return ALL if True in found['unlinked'] else LINKED

    def table(self):
        rows = [
            ['', *(title for title, _ in COLUMNS.values())],
            ['---'] * (len(COLUMNS) + 1),
            ['group', *(f'*{group}*' for _, group in COLUMNS.values())]]
        for right in self.rights():
            rows.append(
                [right.label, *(self.cell(login, right) for login in COLUMNS)])
        return '\n'.join(
            '| ' + ' | '.join(row) + ' |' for row in rows).replace(
            '|  |', '| |')

    def test_the_table(self):
        text = PAGE.read_text()
        before, _, rest = text.partition(BEGIN)
        written, _, after = rest.partition(END)
        table = self.table()
        if WRITE:
            PAGE.write_text(f'{before}{BEGIN}\n{table}\n{END}{after}')
        else:
            self.assertEqual(written.strip(), table)

    def test_administrators_may_do_what_clerks_may(self):
        for right in self.rights():
            with self.subTest(right=right.label):
                if self.cell('clerk', right) != NO:
                    self.assertEqual(
                        self.cell('administrator', right),
                        self.cell('clerk', right))

    def test_others_may_do_nothing(self):
        for login in [*self.OUTSIDERS, 'plugin']:
            for right in self.rights():
                for call in right.calls + right.linked + right.unlinked:
                    if call[:2] == (REQUEST, 'create'):
                        continue
                    with self.subTest(user=login, call=call[:2]):
                        self.assertFalse(self.is_allowed(login, call))


def recorded():
    return json.loads(RECORDED.read_text())


class WalkTestCase(_RolesTestCase):
    "Every model, field, button, wizard, report and route, as every role"

    def setUp(self):
        super().setUp()
        self.ids = {
            HEALTH_PATIENT: self.patient.id, RESULT: self.result.id,
            'gnuhealth.imaging.test': self.stored(
                REQUEST, self.order.id, 'requested_test'),
            **self.ids}
        with Transaction().start(self.db_name, 1):
            self.models = {
                name: (sorted(Model._fields), self._buttons(Model))
                for name, Model in own_models()}
            self.storages = {
                name for name, Model in own_storages()
                if 'read' in Model.__rpc__}
            for name, fields in self._extended().items():
                Model = Pool().get(name)
                self.models[name] = (sorted(fields), self._buttons(Model))
                self.storages.add(name)
            self.wizards = sorted(name for name, _ in own_wizards())
            self.reports = sorted(
                name for name, Report in Pool().iterobject(type='report')
                if isregisteredby(Report, MODULE, type_='report'))
            if EXTRAS:
                # The other module has some of the fields, and makes others
                for name, values in recorded()['models'].items():
                    Model = Pool().get(name)
                    self.models[name] = ([
                            n for n in values['fields']
                            if n in Model._fields], values['buttons'])

    @staticmethod
    def _buttons(Model):
        return sorted(getattr(Model, '_buttons', {}))

    def _extended(self):
        "Return our fields in models of GNU Health that hold patients' data"
        found = {}
        own = {name for name, _ in own_models()}
        for line in Pool().get('ir.model.field').search(
                [('module', '=', MODULE)]):
            if line.model.model not in own and line.model.model in self.ids:
                found.setdefault(line.model.model, set()).add(line.name)
        return found

    def call(self, login, protocol, kind, name, method, *arguments):
        "Return whether a call of a method is allowed"
        if protocol == 'xml':
            return self.call_xml(
                login, f'{kind}.{name}.{method}', *arguments)
        try:
            getattr(self.as_(login), kind)(name, method, *arguments)
        except Refused:
            return False
        except (Told, RpcError):
            # It was let in, and failed for what it was given
            return True
        return True

    def call_xml(self, login, method, *arguments):
        user = self.users[login]
        self.as_(login)
        token = base64.b64encode(
            f'user:{user}:{self._keys[user]}'.encode()).decode()
        response = self.client().post(
            f'/{self.db_name}/',
            data=xmlrpc.client.dumps(
                (*arguments, {}), method, allow_none=True),
            headers={'Authorization': f'Session {token}'},
            content_type='text/xml')
        if response.status_code in {401, 403}:
            return False
        try:
            xmlrpc.client.loads(response.data)
        except xmlrpc.client.Fault as fault:
            return 'not allowed' not in fault.faultString
        return True

    def rights(self, protocol):
        "Return what each role may do, in an order that does not change"
        return {
            login: {
                'models': self.model_rights(login, protocol),
                'wizards': [
                    name for name in self.wizards if self.call(
                        login, protocol, 'wizard', name, 'create')],
                'reports': [
                    name for name in self.reports if self.call(
                        login, protocol, 'report', name, 'execute', [], {})],
                } for login in self.users}

    def all_routes(self):
        "Return the routes that answer each role, those for monitoring on"
        with configured('monitoring_key', 'a key of no session'):
            return {login: self.routes(login) for login in self.users}

    def routes(self, login):
        "Return the routes that answer a session of a role"
        self.as_(login)
        user = self.users[login]
        token = base64.b64encode(
            f'user:{user}:{self._keys[user]}'.encode()).decode()
        found = set()
        for rule in app.url_map.iter_rules():
            if not rule.endpoint.__module__.startswith(
                    f'trytond.modules.{MODULE}'):
                continue
            url = app.url_map.bind('localhost').build(rule.endpoint, {
                    name: self.db_name if name == 'database_name' else '1'
                    for name in rule.arguments})
            for method in sorted(rule.methods - {'OPTIONS', 'HEAD'}):
                response = self.client().open(
                    url, method=method, data='{}',
                    headers={'Authorization': f'Session {token}'})
                if response.status_code not in {401, 403}:
                    found.add(f'{method} {rule.rule}')
        return sorted(found)

    def model_rights(self, login, protocol):
        found = {}
        for model, (names, buttons) in sorted(self.models.items()):
            rights = {}
            if model in self.storages:
                hidden = self.hidden_fields(login, protocol, model, names)
                if hidden is not None:
                    rights['not read'] = hidden
            pressed = [
                name for name in buttons if self.call(
                    login, protocol, 'model', model, name, [])]
            if pressed:
                rights['buttons'] = pressed
            if rights:
                found[model] = rights
        return found

    def hidden_fields(self, login, protocol, model, names):
        "Return the fields that a role may not read, None for all of them"
        def reads(*some):
            return self.call(
                login, protocol, 'model', model, 'read', [self.ids[model]],
                list(some))
        if not reads('id'):
            return None
        if reads(*names):
            return []
        return [name for name in names if not reads(name)]

    def test_who_may_do_what(self):
        found = {
            'models': {
                name: {'fields': fields, 'buttons': buttons}
                for name, (fields, buttons) in self.models.items()},
            'wizards': self.wizards,
            'reports': self.reports,
            'routes': self.all_routes(),
            'rights': self.rights('json'),
            }
        if WRITE:
            RECORDED.write_text(json.dumps(
                    found, indent=1, sort_keys=True) + '\n')
        for name, values in found.items():
            with self.subTest(kind=name):
                self.assertEqual(recorded()[name], values)

    @pytest.mark.release
    def test_xml_rpc_is_no_other_door(self):
        self.assertEqual(self.rights('xml'), recorded()['rights'])
