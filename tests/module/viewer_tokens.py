# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of viewers, and what the authorization plugin asks about them."""

import base64
import datetime as dt
import json
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from trytond.modules.health_orthanc.common import client_session
from trytond.modules.health_orthanc.viewing import (
    authorization, session, viewer_token)
from trytond.pool import Pool
from trytond.transaction import Transaction

from .access import AUDIT, AccessTestCase
from .tools import (
    STUDY, create_instance, create_patient, create_series, create_server,
    create_study)

TOKEN = 'gnuhealth.imaging_orthanc.viewer_token'
_WITH_CLOCK = [authorization, session, viewer_token]


class TokenTestCase(AccessTestCase):

    @classmethod
    def _create_records(cls):
        super()._create_records()
        cls.doubtful = create_study(
            cls.server, patient=create_patient("Muster", "Ernst").id,
            link_status='auto_unsure')
        create_series(cls.doubtful)
        cls.stranger = create_study(
            cls.server, patient=cls.other_patient.id, link_status='manual')
        cls.foreign_series = create_series(cls.stranger)
        cls.foreign_instance = create_instance(cls.foreign_series)
        cls.other_server = create_server(user='reader', password='letmein')
        cls.elsewhere = create_study(
            cls.other_server, patient=cls.patient.id, orthanc_UID='abc-1',
            study_instance_UID=cls.study.study_instance_UID,
            link_status='manual')
        create_series(cls.elsewhere)
        cls.uid = cls.study.study_instance_UID
        cls.names = {
            'series': cls.series.series_UID,
            'stranger': {
                'dicom-uid': cls.stranger.study_instance_UID,
                'orthanc-id': cls.stranger.orthanc_UID},
            'doubtful': {
                'dicom-uid': cls.doubtful.study_instance_UID,
                'orthanc-id': cls.doubtful.orthanc_UID},
            'foreign series': {'orthanc-id': cls.foreign_series.orthanc_UID},
            'foreign instance': {
                'orthanc-id': cls.foreign_instance.orthanc_UID},
            'patient': {
                'orthanc-id': cls.orthanc_patient.uuid,
                'dicom-uid': cls.orthanc_patient.ident},
            }
        cls.identifiers = {
            s.id: s.identifier for s in [cls.server, cls.other_server]}
        cls.access_keys = {
            s.id: s.new_authorization_key()
            for s in [cls.server, cls.other_server]}
        for server in [cls.server, cls.other_server]:
            server.__class__.write([server], {
                    'plugins': 'authorization\nstone-webviewer\nohif'
                    '\northanc-explorer-2\nweb-viewer'})

    def setUp(self):
        super().setUp()
        # A client logs in for each test
        self._keys.clear()

    def transaction(self, user=1):
        return Transaction().start(self.db_name, user, context={
                '_check_access': user != 1})

    def issue(self, login, study, key=None):
        "Return a token, as Open in Viewer does"
        user = self.users[login]
        self.session(user)
        with self.transaction(user) as transaction, (
                client_session.session_key(key or self._keys[user])):
            token = Pool().get(TOKEN).issue(
                Pool().get(STUDY)(study.id), "Stone Web Viewer")
            transaction.commit()
        return token

    def ask(self, path, body, server=None, key=None, method='POST', **user):
        "Return status and answer, as the plugin gets them"
        server = server or self.server
        data = body if isinstance(body, bytes) else json.dumps(body)
        login = user.get('identifier', self.identifiers.get(server.id))
        credentials = base64.b64encode(
            f'{login}:{key or self.access_keys[server.id]}'.encode()).decode()
        response = self.client().open(
            f'/{self.db_name}/orthanc/authorization/{path}', method=method,
            data=data, content_type='application/json',
            headers={'Authorization': f'Basic {credentials}', 'Expect': ''})
        # Sizes are refused before
        return response.status_code, (
            json.loads(response.data) if response.is_json else None)

    def question(self, token, level='study', method='get', **values):
        values = {
            'orthanc-id': 'abc-1', 'dicom-uid': self.uid, **values,
            } if level == 'study' else values
        shown = {
            'token-key': 'Authorization', 'token-value': f'Bearer {token}',
            } if token else {}
        return {
            'method': method, 'level': level, 'server-id': None,
            **shown, **values}

    def is_granted(
            self, token, level='study', method='get', server=None, **values):
        status, answer = self.ask(
            'tokens/validate',
            self.question(token, level, method, **values), server)
        self.assertEqual(status, 200)
        self.assertEqual(answer.keys(), {'granted', 'validity'})
        self.assertIs(type(answer['granted']), bool)
        self.assertIs(type(answer['validity']), int)
        self.assertTrue(0 < answer['validity'] <= 60)
        return answer['granted']

    def write(self, model, id_, **values):
        with self.transaction() as transaction:
            Model = Pool().get(model)
            Model.write([Model(id_)], values)
            transaction.commit()

    @contextmanager
    def later(self, **duration):
        "Have a later time"
        later = dt.datetime.now().replace(
            microsecond=0) + dt.timedelta(**duration)
        with ExitStack() as stack:
            for module in _WITH_CLOCK:
                stack.enter_context(patch.object(module, 'now', lambda: later))
            yield

    def events(self, action):
        with self.transaction():
            return [
                (e.user_id, e.outcome, e.study_id, e.study_uid, e.detail)
                for e in Pool().get(AUDIT).search(
                    [('action', '=', action)], order=[('number', 'ASC')])]
