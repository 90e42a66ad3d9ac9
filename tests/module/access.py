# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of each kind, and what is ours, for the tests of access."""

import datetime as dt

from trytond.model import ModelStorage
from trytond.modules.health_orthanc.archive.audited import study_events
from trytond.modules.health_orthanc.audit.trail import record_events
from trytond.pool import Pool, isregisteredby
from trytond.transaction import Transaction

from .tools import (
    INSTANCE, MODULE, PATIENT, SERIES, SERVER, STUDY, VIEWER, RpcTestCase,
    create_instance, create_order, create_orthanc_patient, create_patient,
    create_result, create_series, create_server, create_study, create_user,
    record_id)

__all__ = [
    'AUDIT', 'AUDIT_CHAIN', 'AUDIT_PENDING', 'AccessTestCase',
    'CONFIGURATION', 'CORRECTION', 'DATABASE', 'DECISION', 'DELETION',
    'DOWNLOAD', 'ENTRY', 'FAILURE', 'HEALTH_PATIENT', 'MATCHING',
    'METADATA', 'NOTICE', 'NOTIFICATION', 'OPERATION', 'ORDERS', 'PART',
    'PATIENT_KEY', 'PLACEMENT', 'REPLACEMENT', 'REQUEST', 'RESULT', 'RULE',
    'RUN', 'STEP', 'STUDY_KEY', 'STUDY_ORDER', 'TEMPLATE', 'UPGRADE_NOTE',
    'WARNING',
    'WRONG_PATIENT', 'granted', 'own_models', 'own_storages', 'own_wizards']

AUDIT = 'gnuhealth.imaging_orthanc.audit'
AUDIT_CHAIN = 'gnuhealth.imaging_orthanc.audit.chain'
AUDIT_PENDING = 'gnuhealth.imaging_orthanc.audit.pending'
DATABASE = 'gnuhealth.orthanc.database'
RUN = 'gnuhealth.orthanc.synchronization'
PART = 'gnuhealth.orthanc.synchronization.part'
FAILURE = 'gnuhealth.orthanc.synchronization.failure'
HEALTH_PATIENT = 'gnuhealth.patient'
RESULT = 'gnuhealth.imaging.test.result'
REQUEST = 'gnuhealth.imaging.test.request'
STEP = 'gnuhealth.imaging.procedure.step'
TEMPLATE = 'gnuhealth.imaging_worklist.worklist_template'
CONFIGURATION = 'gnuhealth.imaging.worklist.configuration'
ENTRY = 'gnuhealth.imaging.worklist.entry'
STUDY_ORDER = 'gnuhealth.imaging_orthanc.study.order'
DECISION = 'gnuhealth.imaging_orthanc.study.decision'
CORRECTION = 'gnuhealth.imaging_orthanc.study.correction'
DELETION = 'gnuhealth.imaging_orthanc.deletion'
DOWNLOAD = 'gnuhealth.imaging_orthanc.download'
NOTIFICATION = 'gnuhealth.orthanc.notification'
PLACEMENT = 'gnuhealth.imaging.worklist.placement'
MATCHING = 'gnuhealth.orthanc.matching.configuration'
OPERATION = 'gnuhealth.orthanc.operation'
WARNING = 'gnuhealth.orthanc.operation.warning'
PATIENT_KEY = 'gnuhealth.imaging_orthanc.patient_key'
STUDY_KEY = 'gnuhealth.imaging_orthanc.study_key'
RULE = 'gnuhealth.imaging_orthanc.dismissal_rule'
REPLACEMENT = 'gnuhealth.imaging_orthanc.replacement'
UPGRADE_NOTE = 'gnuhealth.orthanc.upgrade.note'
WRONG_PATIENT = 'gnuhealth.imaging_orthanc.wrong_patient'
NOTICE = 'gnuhealth.imaging_orthanc.wrong_patient.notice'
ORDERS = {'gnuhealth.imaging.test', REQUEST}
# Remote calls that tell what fields there are, but of no record
METADATA = {
    'default_get', 'export_data_domain', 'fields_get', 'fields_view_get',
    'get_record_models', 'get_request_states', 'get_states',
    'view_toolbar_get'}


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
    "Yield the wizards of the module, not those that it goes on with"
    for name, Wizard in Pool().iterobject(type='wizard'):
        if isregisteredby(Wizard, MODULE, type_='wizard') and (
                not isregisteredby(
                    Wizard, 'health_imaging', type_='wizard')):
            yield name, Wizard


def granted(access):
    return {
        name for name in [
            'perm_read', 'perm_write', 'perm_create', 'perm_delete']
        if getattr(access, name)}


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
                'privacy': ['health_orthanc.group_imaging_orthanc_privacy'],
                }.items()}
        cls._create_records()
        # Recorded when it is committed
        record_events(study_events('download', [cls.study]))
        Transaction().commit()
        entry, = Pool().get(AUDIT).search([])
        cls.ids[AUDIT] = entry.id

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
        cls.further_order = create_order(cls.patient, requested=True)
        cls.study_order, = pool.get(STUDY_ORDER).create([{
                    'study': cls.study.id, 'request': cls.further_order.id,
                    'linked_at': dt.datetime(2026, 3, 4)}])
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
        cls.replacement, = pool.get(REPLACEMENT).create([{
                    'source': cls.other_patient.party.id,
                    'target': cls.patient.party.id, 'state': 'undone',
                    'at': dt.datetime(2026, 3, 4)}])
        cls.wrong_patient, = pool.get(WRONG_PATIENT).create([{
                    'study': cls.study.id, 'state': 'released',
                    'marked_at': dt.datetime(2026, 3, 4), 'reason': "Other",
                    'patient_from': cls.patient.id}])
        cls.notice, = pool.get(NOTICE).create([{
                    'wrong_patient': cls.wrong_patient.id,
                    'user': cls.users['doctor'],
                    'told_at': dt.datetime(2026, 3, 4)}])
        cls.warning, = pool.get(WARNING).create([{
                    'kind': 'contact', 'server': cls.server.id,
                    'since': dt.datetime(2026, 3, 4),
                    'noticed_at': dt.datetime(2026, 3, 4),
                    'ended_at': dt.datetime(2026, 3, 5)}])
        # Stored with the server
        cls.database_identity, = pool.get(DATABASE).search([])
        cls.ids = {
            OPERATION: record_id('operation'),
            WARNING: cls.warning.id,
            DATABASE: cls.database_identity.id,
            WRONG_PATIENT: cls.wrong_patient.id,
            NOTICE: cls.notice.id,
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
            STUDY_ORDER: cls.study_order.id,
            MATCHING: record_id('matching_configuration'),
            RULE: cls.rule.id,
            CORRECTION: cls.correction.id,
            DELETION: cls.deletion.id,
            NOTIFICATION: cls.notification.id,
            UPGRADE_NOTE: cls.upgrade_note.id,
            REPLACEMENT: cls.replacement.id,
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
