# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that uploads images"""

import json
from collections import Counter
from contextlib import contextmanager

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.model.exceptions import AccessError
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.transaction import Transaction, check_access, without_check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedWizardMixin
from ..common.exceptions import UploadError, describe, orthanc_errors
from ..core.dicom.archives import Limits, list_items
from ..core.dicom.file_header import Unusable
from ..core.orthanc.errors import OrthancError
from ..exchange import upload_session
from ..exchange.upload import (
    Outcome, compare_headers, describe_reason, header_identity, import_studies,
    link_studies, send_items)
from ..linking.explanations import describe_vetoes

__all__ = [
    'UploadImageData', 'UploadImageDataFile', 'UploadImageDataKept',
    'UploadImageDataResult', 'UploadImageDataReview', 'UploadImageDataStart']

WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'
# The most files in a list; files with problems come first
ROWS_LIMIT = 1000
STATES = [
    ('ready', "To Upload"),
    ('stored', "Stored"),
    ('present', "Already Stored"),
    ('refused', "Refused"),
    ('skipped', "Skipped"),
    ('failed', "Failed"),
    ]
_GOOD_STATES = {'ready', 'stored', 'present'}


class UploadImageDataStart(ModelView):
    "Upload Images"
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.start'

    server_config = fields.Selection(
        'get_servers', "Server", required=True, sort=False)
    patient = fields.Many2One(
        'gnuhealth.patient', "Patient",
        help="The patient of the images. Leave empty to match them "
        "automatically.")
    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Order",
        domain=[
            ('patient', '=', Eval('patient', -1)),
            ],
        states={'invisible': ~Bool(Eval('patient'))},
        help="The order of the images.")
    data_to_upload = fields.Binary(
        "Files", required=True,
        help="DICOM files, or ZIP archives of DICOM files.")

    @classmethod
    def get_servers(cls):
        """Return the servers as a selection, without access to the model.

        Raises
        ------
        AccessError
            The user may not run the wizard.
        """
        Wizard = Pool().get(WIZARD, type='wizard')
        Wizard.check_access()
        with without_check_access():
            return [
                (str(s.id), s.label)
                for s in Pool().get('gnuhealth.orthanc.config').search([])]

    @classmethod
    def default_server_config(cls):
        try:
            servers = cls.get_servers()
        except AccessError:
            # A user without access gets no default, and no error
            return None
        return servers[0][0] if len(servers) == 1 else None


class UploadImageDataFile(ModelView):
    "File to Upload"
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.file'

    name = fields.Char("File", readonly=True)
    state = fields.Selection(STATES, "State", readonly=True, sort=False)
    reason = fields.Char("Reason", readonly=True)
    size = fields.Integer("Bytes", readonly=True)
    patient_name = fields.Char("Patient Name", readonly=True)
    patient_id = fields.Char("Patient ID", readonly=True)
    birth_date = fields.Date("Birth Date", readonly=True)
    sex = fields.Char("Sex", readonly=True)
    modality = fields.Char("Modality", readonly=True)
    fits = fields.Selection([
            (None, ''),
            ('fits', "Matches"),
            ('differs', "Differs"),
            ('contradicts', "Contradicts"),
            ], "Patient Match", readonly=True, sort=False)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If((Eval('fits') == 'contradicts')
                    | Eval('state').in_(['refused', 'failed']), 'danger',
                    If(Eval('fits') == 'differs', 'warning',
                        If(Eval('state') == 'skipped', 'muted', '')))),
            ]


class UploadImageDataReview(ModelView):
    "Check Images"
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.review'

    message = fields.Text("Result", readonly=True)
    contradictions = fields.Text(
        "Contradictions", readonly=True,
        states={'invisible': ~Bool(Eval('contradictions'))})
    confirmed = fields.Boolean(
        "Link Anyway",
        states={'invisible': ~Bool(Eval('contradictions'))},
        help="Confirm that the images belong to the selected patient. "
        "Otherwise they are uploaded, but must be reviewed.")
    reason = fields.Char(
        "Reason",
        states={
            'invisible': ~Bool(Eval('contradictions')),
            'required': Bool(Eval('confirmed')),
            })
    files = fields.One2Many(
        'gnuhealth.imaging_orthanc.upload_image_data.file', None, "Files",
        readonly=True)


class UploadImageDataResult(ModelView):
    "Images Uploaded"
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.result'

    message = fields.Text("Result", readonly=True)
    failed = fields.Boolean("Failed", readonly=True)
    files = fields.One2Many(
        'gnuhealth.imaging_orthanc.upload_image_data.file', None, "Files",
        readonly=True)


class UploadImageDataKept(ModelView):
    """Upload State

    State of the wizard that is never shown: clients would send it back.
    """
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.kept'

    key = fields.Char("Key", readonly=True)
    # Whether the key is that of a session
    sent = fields.Boolean("Sent", readonly=True)
    left = fields.Integer("Remaining", readonly=True)
    # State, reason and study of each file so far, as JSON
    outcomes = fields.Text("Outcomes", readonly=True)


class UploadImageData(RestrictedWizardMixin, Wizard):
    """Upload Images

    Sends files to a server, synchronizes their studies and links them to the
    chosen patient and order.  The files are stored by
    `exchange.upload_session` from the first page on: the session of the
    wizard would keep the size that they need in the database.
    """
    __name__ = WIZARD

    start = StateView(
        'gnuhealth.imaging_orthanc.upload_image_data.start',
        'health_orthanc.upload_image_data_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Check", 'check', 'tryton-forward', default=True),
            ])
    check = StateTransition()
    review = StateView(
        'gnuhealth.imaging_orthanc.upload_image_data.review',
        'health_orthanc.upload_image_data_review_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Upload", 'send', 'tryton-ok', default=True),
            ])
    send = StateTransition()
    # The same page after the client has sent the files in a session
    sent = StateView(
        'gnuhealth.imaging_orthanc.upload_image_data.review',
        'health_orthanc.upload_image_data_review_view_form', [
            Button("Close", 'end', 'tryton-close'),
            Button("Continue", 'link', 'tryton-ok', default=True),
            ])
    link = StateTransition()
    result = StateView(
        'gnuhealth.imaging_orthanc.upload_image_data.result',
        'health_orthanc.upload_image_data_result_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            Button("Retry", 'send', 'tryton-refresh', validate=False,
                states={'invisible': ~Bool(Eval('failed'))}),
            ])

    kept = StateView(
        'gnuhealth.imaging_orthanc.upload_image_data.kept', None, [])

    # Checking

    def default_start(self, fields):
        "Choose the patient or the order that the wizard is started from"
        context = Transaction().context
        record = self.record if context.get('active_model') else None
        if isinstance(record, Pool().get('gnuhealth.patient')):
            return {'patient': record.id}
        if isinstance(record, Pool().get('gnuhealth.imaging.test.request')):
            return {'patient': record.patient.id, 'request': record.id}
        return {}

    def transition_check(self):
        """Store the files, or find the session in which they were sent.

        Raises
        ------
        UploadError
            The files cannot be used, or there is no server.
        AccessError
            The user may not read the chosen patient or order.
        """
        # The files must not stay in the session of the wizard
        data, self.start.data_to_upload = self.start.data_to_upload, None
        self._chosen()
        if self._server() is None:
            raise UploadError(gettext('health_orthanc.msg_no_server'))
        key, left = upload_session.parse_reference(data)
        self.kept.sent = bool(key)
        self.kept.left = left
        self.kept.outcomes = None
        if key:
            self._replace_upload(key)
            self._sent_items()
            return 'sent'
        self._replace_upload(upload_session.store_file(data or b''))
        try:
            with self._items():
                pass
        except UploadError:
            upload_session.delete_file(self.kept.key)
            raise
        return 'review'

    def _replace_upload(self, key):
        "Keep the file or session with the key, and delete the former one"
        former = getattr(self.kept, 'key', None)
        if former != key:
            upload_session.delete_file(former)
        self.kept.key = key

    def default_review(self, fields):
        "List the files, and compare them with the chosen patient"
        rows, headers = [], {}
        with self._items() as items:
            for number, item in enumerate(items):
                outcome = Outcome('ready')
                try:
                    headers[number] = item.header()
                except Unusable as error:
                    outcome = Outcome.unusable(error.reason)
                rows.append(_file_row(item, outcome.state, outcome.reason))
        return self._review_values(rows, headers)

    def default_sent(self, fields):
        "List the files of the session, and compare them with the patient"
        items = self._sent_items()
        return self._review_values(
            [_file_row(i, i.outcome.state, i.outcome.reason) for i in items],
            {number: item.outcome.header for number, item in enumerate(items)
                if item.outcome.header})

    def _review_values(self, rows, headers):
        "Return the values of the page that compares files with the patient"
        patient, request = self._chosen()
        for number, header in headers.items():
            rows[number].update(_identity_values(header))
        found = compare_headers(
            headers.values(), patient, request) if patient else {}
        vetoes = {}
        for number, header in headers.items():
            if patient:
                rows[number]['fits'], vetoed = found[header_identity(header)]
                vetoes.update(dict.fromkeys(vetoed))
        return {
            'message': _summary(self._count_states(r['state'] for r in rows)),
            'contradictions': describe_vetoes(vetoes) if vetoes else None,
            'confirmed': False,
            'files': _limit_rows(rows),
            }

    # Sending

    @orthanc_errors
    def transition_send(self):
        """Send the files, then import and link their studies.

        After errors it can be repeated; only failed files are sent again.

        Raises
        ------
        OrthancUserError
            The server cannot be reached.
        """
        # The client sends the list back; it must not stay in the session
        self.review.files = self.result.files = None
        outcomes = json.loads(getattr(self.kept, 'outcomes', None) or '{}')
        server = self._server()
        with_instances = server.instances_mode == 'always'
        with server.get_client() as client:
            # End the transaction before the network is used
            Transaction().commit()
            # A failing server raises one error here, not one for each file
            client.system()
            with self._items() as items:
                self._send(client, items, outcomes)
            studies = _unique_ids(study for _, _, study in outcomes.values())
            notes = self._import_studies(
                client, server.id, with_instances, studies)
        notes += self._link(self.review, server.id, studies)
        states = Counter(state for state, _, _ in outcomes.values())
        self.kept.outcomes = json.dumps(outcomes)
        self.result.failed = bool(states['failed'])
        self.result.message = '\n'.join([_summary(states), *notes])
        return 'result'

    @orthanc_errors
    def transition_link(self):
        """Import and link the studies of the session.

        Raises
        ------
        OrthancUserError, UploadError
        """
        self.sent.files = None
        items = self._sent_items()
        studies = _unique_ids(item.outcome.study for item in items)
        server = self._server()
        with_instances = server.instances_mode == 'always'
        with server.get_client() as client:
            Transaction().commit()
            notes = self._import_studies(
                client, server.id, with_instances, studies)
        notes += self._link(self.sent, server.id, studies)
        # Only the client has the files to send again
        self.result.failed = False
        self.result.message = '\n'.join([
                _summary(self._count_states(i.outcome.state for i in items)),
                *notes])
        return 'result'

    def _send(self, client, items, outcomes):
        "Send the files that were not sent before, and add their outcomes"
        waiting = [
            (str(number), item) for number, item in enumerate(items)
            if outcomes.get(str(number), ['failed'])[0] == 'failed']
        found = send_items(client, [item for _, item in waiting])
        for (number, _), outcome in zip(waiting, found):
            outcomes[number] = [outcome.state, outcome.reason, outcome.study]

    @staticmethod
    def _import_studies(client, server_id, with_instances, studies):
        "Import studies, and return the messages if that fails"
        try:
            import_studies(server_id, client, with_instances, studies)
        except OrthancError as error:
            return [
                gettext('health_orthanc.msg_upload_not_synchronized'),
                describe(error.kind, status=error.status or '')]
        return []

    def _link(self, page, server_id, studies):
        "Link studies as chosen, and return messages about those that are not"
        patient, request = self._chosen()
        if not patient:
            return []
        reason = getattr(page, 'reason', None)
        if not getattr(page, 'confirmed', None):
            reason = None
        return link_studies(
            server_id, studies, patient.id, request.id if request else None,
            reason)

    def default_result(self, fields):
        "Show the outcome for each file"
        if self.kept.sent:
            rows = [
                {**_file_row(i, i.outcome.state, i.outcome.reason),
                    **_identity_values(i.outcome.header)}
                for i in self._sent_items()]
        else:
            outcomes = json.loads(self.kept.outcomes)
            with self._items() as items:
                rows = [
                    _file_row(item, *outcomes[str(number)][:2])
                    for number, item in enumerate(items)]
        return {
            'message': self.result.message,
            'failed': self.result.failed,
            'files': _limit_rows(rows),
            }

    def end(self):
        "Delete the file or session, and reload"
        upload_session.delete_file(getattr(self.kept, 'key', None))
        return 'reload'

    # Input

    def _server(self):
        Server = Pool().get('gnuhealth.orthanc.config')
        value = getattr(self.start, 'server_config', None)
        servers = Server.search([('id', '=', int(value))]) if (
            value and value.isdecimal()) else []
        return servers[0] if servers else None

    def _chosen(self):
        """Return the chosen patient and order.

        Raises
        ------
        AccessError
            The user may not read them.
        UploadError
            The order is of another patient.
        """
        found = []
        for name in ['patient', 'request']:
            record = getattr(self.start, name, None)
            if record:
                with check_access():
                    record.__class__.read([record.id], ['id'])
            found.append(record)
        patient, request = found
        if request and request.patient != patient:
            raise UploadError(gettext('health_orthanc.msg_upload_request'))
        return patient, request

    @contextmanager
    def _items(self):
        """List the stored files.

        Raises
        ------
        UploadError
        """
        try:
            key = getattr(self.kept, 'key', None)
            size = upload_session.maximum_size()
            with upload_session.open_file(key) as file:
                yield list_items(file, limits=Limits(file_size=size))
        except upload_session.UploadLost as error:
            raise UploadError(
                gettext('health_orthanc.msg_upload_lost')) from error
        except Unusable as error:
            raise UploadError(describe_reason(error.reason)) from error

    def _sent_items(self):
        """List the files of the session.

        Raises
        ------
        UploadError
        """
        try:
            return upload_session.load_session(
                self.kept.key, self._server().id)
        except upload_session.UploadLost as error:
            raise UploadError(
                gettext('health_orthanc.msg_upload_lost')) from error

    def _count_states(self, states):
        "Return the number of files in each state, including unsent ones"
        found = Counter(states)
        found['failed'] += getattr(self.kept, 'left', None) or 0
        return found


def _file_row(item, state, reason):
    return {
        'name': item.name, 'size': item.size, 'state': state,
        'reason': reason}


def _unique_ids(studies):
    return list(dict.fromkeys(filter(None, studies)))


def _identity_values(header):
    if not header:
        return {}
    return {
        'patient_name': header.display_name,
        'patient_id': header.patient_id,
        'birth_date': header.birth_date,
        'sex': header.sex,
        'modality': header.modality,
        }


def _summary(states):
    return '\n'.join(
        gettext(f'health_orthanc.msg_upload_count_{state}',
            count=states[state])
        for state, _ in STATES if states[state])


def _limit_rows(rows):
    "Return the rows to show; problems come first if there are too many"
    if len(rows) > ROWS_LIMIT:
        rows = sorted(rows, key=_has_no_problem)[:ROWS_LIMIT]
    return rows


def _has_no_problem(row):
    return row['state'] in _GOOD_STATES and row.get('fits') != 'contradicts'
