# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that uploads images"""

import re
from collections import Counter
from functools import wraps

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.model.exceptions import AccessError
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.transaction import Transaction, check_access, without_check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedWizardMixin
from ..common.exceptions import UploadError, describe, orthanc_errors
from ..core.dicom.file_header import Unusable
from ..core.orthanc.errors import OrthancError
from ..exchange import upload_session
from ..exchange.reception import receive, send_session, take_back
from ..exchange.upload import (
    compare_headers, describe_reason, header_identity, import_studies,
    link_studies, mark_uploaded, record_uploads)
from ..exchange.upload_session import UploadFull, UploadLost
from ..linking.explanations import describe_patient, describe_vetoes
from ..linking.link import find_studies

__all__ = [
    'UploadImageData', 'UploadImageDataFile', 'UploadImageDataKept',
    'UploadImageDataResult', 'UploadImageDataReview', 'UploadImageDataStart',
    'UploadImageDataStudy']

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
    ('canceled', "Deleted"),
    ]
_GOOD_STATES = {'ready', 'stored', 'present'}
# Rows are sorted: what needs attention comes first
_MATCHES = ['contradicts', 'differs', 'fits', None]


def _session_errors(func):
    "Raise errors of upload sessions as messages for the user"
    @wraps(func)
    def wrapper(*args, **kwargs):
        try:
            return func(*args, **kwargs)
        except UploadLost as error:
            raise UploadError(
                gettext('health_orthanc.msg_upload_lost')) from error
        except UploadFull as error:
            raise UploadError(
                gettext('health_orthanc.msg_upload_full')) from error
        except Unusable as error:
            raise UploadError(describe_reason(error.reason)) from error
    return wrapper


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
    differences = fields.Char("Differences", readonly=True)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If((Eval('fits') == 'contradicts')
                    | Eval('state').in_(['refused', 'failed']), 'danger',
                    If(Eval('fits') == 'differs', 'warning',
                        If(Eval('state') == 'skipped', 'muted', ''))),
                ['fits', 'state']),
            ]


class UploadImageDataStudy(ModelView):
    "Uploaded Study"
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.study'

    study = fields.Char("Study", readonly=True)
    place = fields.Char("Linked To", readonly=True)
    order = fields.Char("Order", readonly=True)


class UploadImageDataReview(ModelView):
    "Check Images"
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.review'

    message = fields.Text("Result", readonly=True)
    chosen = fields.Char(
        "Selected Patient", readonly=True,
        states={'invisible': ~Bool(Eval('chosen'))})
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
    studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.upload_image_data.study', None, "Studies",
        readonly=True, states={'invisible': ~Bool(Eval('studies'))})
    files = fields.One2Many(
        'gnuhealth.imaging_orthanc.upload_image_data.file', None, "Files",
        readonly=True)


class UploadImageDataKept(ModelView):
    """Upload State

    State of the wizard that is never shown: clients would send it back.
    """
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.kept'

    key = fields.Char("Key", readonly=True)
    left = fields.Integer("Remaining", readonly=True)


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
            Button("Cancel", 'cancel', 'tryton-cancel', validate=False),
            Button("Upload", 'send', 'tryton-ok', default=True),
            ])
    send = StateTransition()
    result = StateView(
        'gnuhealth.imaging_orthanc.upload_image_data.result',
        'health_orthanc.upload_image_data_result_view_form', [
            Button("Cancel", 'cancel', 'tryton-cancel', validate=False,
                states={'invisible': ~Bool(Eval('failed'))}),
            Button("Retry", 'send', 'tryton-refresh', validate=False,
                states={'invisible': ~Bool(Eval('failed'))}),
            Button("Close", 'end', 'tryton-close', default=True),
            ])
    cancel = StateTransition()

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

    @_session_errors
    def transition_check(self):
        """Receive the files, or find the session in which they were sent.

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
        if not key:
            key = self._receive(data or b'')
        upload_session.load_session(key)
        self.kept.left = left
        former = getattr(self.kept, 'key', None)
        if former != key:
            upload_session.delete_session(former)
        self.kept.key = key
        return 'review'

    @staticmethod
    def _receive(data):
        "Begin a session with a file, and return its key"
        key = upload_session.begin_session()
        try:
            found = receive(key, 0, '', [data])
            if len(found) == 1 and found[0].outcome.state in {
                    'refused', 'skipped'}:
                raise UploadError(found[0].outcome.reason)
        except Exception:
            upload_session.delete_session(key)
            raise
        return key

    @_session_errors
    def default_review(self, fields):
        "List the files, and compare them with the chosen patient"
        patient, request = self._chosen()
        files = self._files()
        found = compare_headers(
            (f.outcome.header for f in files if f.outcome.header),
            patient, request) if patient else {}
        rows, vetoes = [], {}
        for file in files:
            row = _file_row(file)
            header = file.outcome.header
            if patient and header:
                row['fits'], vetoed, row['differences'] = found[
                    header_identity(header)]
                vetoes.update(dict.fromkeys(vetoed))
            rows.append(row)
        return {
            'message': _summary(self._count_states(files)),
            'chosen': describe_patient(patient),
            'contradictions': describe_vetoes(vetoes) if vetoes else None,
            'confirmed': False,
            'files': _sorted_rows(rows),
            }

    # Sending

    @orthanc_errors
    @_session_errors
    def transition_send(self):
        """Send the files, then import and link their studies.

        After errors it can be repeated; only failed files are sent again.

        Raises
        ------
        OrthancUserError
            The server cannot be reached.
        UploadError
            The files are not there any more, or the disk is full.
        """
        # The client sends the lists back; they must not stay in the session
        self.review.files = self.result.files = self.result.studies = None
        self._files()
        server = self._server()
        with_instances = server.instances_mode == 'always'
        with server.get_client() as client:
            # End the transaction before the network is used
            Transaction().commit()
            # A failing server raises one error here, not one for each file
            client.system()
            send_session(client, self.kept.key)
            files = self._files()
            studies = _study_ids(files)
            notes = self._import_studies(
                client, server.id, with_instances, studies)
        mark_uploaded(server.id, studies)
        record_uploads(server.id, files)
        notes += self._link(server.id, studies)
        states = self._count_states(files)
        self.result.failed = any(
            f.outcome.state == 'failed' for f in files)
        self.result.message = '\n'.join([_summary(states), *notes])
        return 'result'

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

    def _link(self, server_id, studies):
        "Link studies as chosen, and return messages about those that are not"
        patient, request = self._chosen()
        if not patient:
            return []
        reason = getattr(self.review, 'reason', None)
        if not getattr(self.review, 'confirmed', None):
            reason = None
        return link_studies(
            server_id, studies, patient.id, request.id if request else None,
            reason)

    @_session_errors
    def default_result(self, fields):
        "Show the outcome for each file and each study"
        files = self._files()
        return {
            'message': self.result.message,
            'failed': self.result.failed,
            'studies': self._study_rows(_study_ids(files)),
            'files': _sorted_rows([_file_row(file) for file in files]),
            }

    def _study_rows(self, orthanc_ids):
        found = {
            s.orthanc_UID: s for s in find_studies(
                self._server().id, orthanc_ids)}
        return [
            _study_row(found[id_]) if id_ in found else {
                'place': gettext('health_orthanc.msg_upload_not_imported')}
            for id_ in orthanc_ids]

    @orthanc_errors
    @_session_errors
    def transition_cancel(self):
        """Delete from the server what this upload has stored there.

        Raises
        ------
        OrthancUserError
            The server cannot be reached: it can be repeated.
        """
        self.review.files = self.result.files = self.result.studies = None
        if any(f.outcome.state == 'stored' for f in self._files()):
            server = self._server()
            with server.get_client() as client:
                Transaction().commit()
                studies = take_back(client, self.kept.key)
            Pool().get('gnuhealth.orthanc.notification').schedule_uploaded(
                server.id, studies)
        return 'end'

    def end(self):
        "Delete the session with its files, and reload"
        upload_session.delete_session(getattr(self.kept, 'key', None))
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

    def _files(self):
        "Return the files of the session"
        return upload_session.load_session(getattr(self.kept, 'key', None))

    def _count_states(self, files):
        "Return the number of files in each state, including unsent ones"
        found = Counter(f.outcome.state for f in files)
        found['failed'] += getattr(self.kept, 'left', None) or 0
        return found


def _file_row(file):
    return {
        'name': file.name, 'size': file.size, 'state': file.outcome.state,
        'reason': file.outcome.reason,
        **_identity_values(file.outcome.header)}


def _study_row(study):
    place = gettext(
        f'health_orthanc.msg_upload_study_{study.link_status}',
        patient=describe_patient(study.patient) or '–')
    return {
        'study': study.rec_name,
        'place': place,
        'order': ', '.join(
            order.rec_name for order in study.linked_orders) or None,
        }


def _study_ids(files):
    return list(dict.fromkeys(
            f.outcome.study for f in files
            if f.outcome.study and f.outcome.state != 'canceled'))


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


def _sorted_rows(rows):
    "Return the rows to show, problems first, then by patient and name"
    return sorted(rows, key=lambda row: (
            _has_no_problem(row), _MATCHES.index(row.get('fits')),
            row['state'] == 'skipped', row.get('patient_name') or '',
            row.get('patient_id') or '', _natural(row['name'])))[:ROWS_LIMIT]


def _natural(name):
    "Return a key by which I2 comes before I10"
    return [
        (int(part), '') if part.isdecimal() else (0, part.lower())
        for part in re.split(r'([0-9]{1,18})', name)]


def _has_no_problem(row):
    return (
        row['state'] in _GOOD_STATES | {'skipped'}
        and row.get('fits') != 'contradicts')
