# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upload of files to Orthanc, and link of their studies"""

import logging
from collections import Counter
from dataclasses import dataclass, replace

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

from ..archive.audited import study_events
from ..audit.trail import AuditEvent, record_events
from ..common.exceptions import LinkVetoError
from ..common.transaction import in_transaction
from ..core.dicom.file_header import Header, Reason, Unusable
from ..core.matching.attributes import StudyAttributes
from ..core.matching.verdicts import Verdict
from ..core.orthanc.errors import (
    ConnectionFailed, ConnectionRefused, Forbidden, InstanceRefused,
    OrthancError, TimedOut, Unauthorized)
from ..core.orthanc.upload import Unreadable
from ..linking.explanations import format_comparison
from ..linking.history import serialize_comparisons
from ..linking.link import assess_choice, find_studies, match_received
from ..synchronization.engine import Engine

__all__ = [
    'Outcome', 'compare_headers', 'describe_reason', 'header_identity',
    'import_studies', 'link_studies', 'mark_uploaded', 'record_uploads',
    'send_file', 'send_item', 'send_items']

logger = logging.getLogger('trytond.modules.health_orthanc.upload')

# Errors that would affect the other files too
_NO_REFUSALS = (
    ConnectionFailed, ConnectionRefused, Forbidden, TimedOut, Unauthorized)
# The states of files that Orthanc has
_IN_ORTHANC = {'stored', 'present'}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of sending a file

    Attributes
    ----------
    state : str
        ``'ready'`` (it was received, and can be sent), ``'stored'``,
        ``'present'`` (it existed before), ``'refused'``, ``'skipped'`` (an
        accompanying file, not an image), ``'failed'`` (it can be sent again)
        or ``'canceled'`` (it was stored, and taken back).
    message, status : str
        The id of the message with the reason, and the HTTP status in it.
    detail : str
        The reason that the server gives.
    study, instance : str or None
        The Orthanc ids of the study and the instance of the file.
    hopeless : bool
        Whether the error would affect the other files too.
    header : Header or None
        The attributes of the file.
    """
    state: str
    message: str = ''
    status: str = ''
    detail: str = ''
    study: str | None = None
    instance: str | None = None
    hopeless: bool = False
    header: Header | None = None

    @classmethod
    def unusable(cls, reason):
        "Return the outcome for a file that is not sent, for a `Reason`"
        return cls(
            'skipped' if reason.passenger else 'refused',
            f'upload_{reason.value}')

    @property
    def reason(self):
        "The reason, in the user's language"
        if not self.message:
            return ''
        text = gettext(
            f'health_orthanc.msg_{self.message}', status=self.status)
        return f'{text} ({self.detail})' if self.detail else text


def describe_reason(reason):
    "Return the message for the reason why a file cannot be used"
    return Outcome.unusable(reason).reason


def send_items(client, items):
    """Send files one after the other.

    After an error that affects all, the remaining ones are not sent.

    Parameters
    ----------
    client : OrthancClient
    items : iterable of Item

    Yields
    ------
    Outcome
        One for each file.
    """
    failed = None
    for item in items:
        if failed and not item.reason:
            yield failed
            continue
        outcome = send_item(client, item)
        yield outcome
        if outcome.hopeless:
            failed = replace(outcome, header=None)


def send_item(client, item):
    "Send a file, and return its Outcome"
    try:
        header = item.header()
        with item.open() as file:
            return send_file(client, file, item.size, header)
    except Unusable as error:
        return Outcome.unusable(error.reason)


def send_file(client, file, size, header):
    """Send a DICOM file.

    Parameters
    ----------
    client : OrthancClient
    file : file object
    size : int
    header : Header
        The attributes of the file.

    Returns
    -------
    Outcome
    """
    return replace(_send_file(client, file, size), header=header)


def _send_file(client, file, size):
    try:
        stored = client.store_instance(file, size)
    except InstanceRefused as error:
        if error.detail == 'filtered':
            return Outcome('refused', 'upload_filtered')
        return Outcome('refused', f'orthanc_{error.kind}', detail=error.detail)
    except Unreadable:
        return Outcome.unusable(Reason.DAMAGED)
    except OrthancError as error:
        logger.warning("Instance not sent: %s", error.kind)
        return Outcome(
            'failed', f'orthanc_{error.kind}', str(error.status or ''),
            hopeless=isinstance(error, _NO_REFUSALS))
    return Outcome(
        'stored' if stored.is_new else 'present',
        study=stored.study_orthanc_id, instance=stored.orthanc_id)


def compare_headers(headers, patient, request=None):
    """Compare the identity in files with a patient.

    Parameters
    ----------
    headers : iterable of Header
    patient : Patient
    request : Request, optional

    Returns
    -------
    dict of tuple
        ``'contradicts'``, ``'differs'`` or ``'fits'``, the vetoes, and what
        differs as text, by the `header_identity` of each header.
    """
    found = {}
    for header in headers:
        key = header_identity(header)
        if key not in found:
            found[key] = _compare(header, patient, request)
    return found


def header_identity(header):
    "Return the attributes of a header that identify the patient, as a tuple"
    return (
        header.patient_id, header.issuer, header.patient_name,
        header.birth_date, header.sex)


def _compare(header, patient, request):
    sex = header.sex.upper()
    assessment = assess_choice(
        StudyAttributes(
            study_uid=header.study_uid,
            accession_number=header.accession_number,
            patient_name=header.patient_name, patient_id=header.patient_id,
            issuer=header.issuer, birth_date=header.birth_date,
            sex=sex if sex in {'M', 'F'} else ''),
        patient, request)
    differences = '; '.join(
        format_comparison(c) for c in serialize_comparisons(assessment)
        if c['verdict'] == Verdict.DIFFERS.value)
    if assessment.vetoes:
        fits = 'contradicts'
    elif Verdict.DIFFERS in assessment.identity:
        fits = 'differs'
    else:
        fits = 'fits'
    return fits, assessment.vetoes, differences


def import_studies(server_id, client, with_instances, orthanc_ids):
    """Synchronize studies and match them to their orders.

    Parameters
    ----------
    server_id : int
    client : OrthancClient
    with_instances : bool
        Whether the instances are recorded too.
    orthanc_ids : list of str

    Raises
    ------
    OrthancError
    """
    Engine(server_id, None, client, with_instances).studies(orthanc_ids)
    in_transaction(match_received, server_id, orthanc_ids)


def mark_uploaded(server_id, orthanc_ids):
    """Record on studies that the current user has uploaded images of them.

    Parameters
    ----------
    server_id : int
    orthanc_ids : list of str
        Those that are not imported yet are passed over.
    """
    in_transaction(
        _mark_uploaded, Transaction().user, server_id, orthanc_ids)


def _mark_uploaded(user, server_id, orthanc_ids):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    with Transaction().set_user(user):
        Study.mark_uploaded(find_studies(server_id, orthanc_ids))


@without_check_access
def record_uploads(server_id, files):
    """Record the studies of files that are in Orthanc in the audit trail.

    Parameters
    ----------
    server_id : int
    files : iterable of SentFile
    """
    counts, uids = Counter(), {}
    for outcome in (file.outcome for file in files):
        if outcome.study and outcome.state in _IN_ORTHANC:
            counts[outcome.study] += 1
            if outcome.header:
                uids[outcome.study] = outcome.header.study_uid
    known = {s.orthanc_UID: s for s in find_studies(server_id, list(counts))}
    events = []
    for orthanc_id, count in counts.items():
        if orthanc_id in known:
            event, = study_events('upload', [known[orthanc_id]])
        else:
            # It is synchronized later
            event = AuditEvent(
                'upload', server_id=server_id,
                study_uid=uids.get(orthanc_id))
        events.append(replace(event, detail=f'images: {count}'))
    record_events(events)


def link_studies(
        server_id, orthanc_ids, patient_id, request_id=None, reason=None):
    """Link studies to the patient that the current user has chosen.

    Studies that another user has decided on are not changed.  Studies that
    contradict the patient are only linked with a reason.

    Parameters
    ----------
    server_id : int
    orthanc_ids : list of str
    patient_id : int
    request_id : int, optional
    reason : str, optional

    Returns
    -------
    list of str
        Why studies are not linked, in the user's language.
    """
    user = Transaction().user
    return [
        refusal for refusal in (
            in_transaction(
                _link_study, user, server_id, orthanc_id, patient_id,
                request_id, reason)
            for orthanc_id in orthanc_ids)
        if refusal]


def _link_study(user, server_id, orthanc_id, patient_id, request_id, reason):
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    patient = pool.get('gnuhealth.patient')(patient_id)
    request = pool.get('gnuhealth.imaging.test.request')(
        request_id) if request_id else None
    with Transaction().set_user(user):
        for study in find_studies(server_id, [orthanc_id]):
            if study.link_status == 'dismissed' or study.decided_by and (
                    study.patient != patient):
                return gettext(
                    'health_orthanc.msg_upload_decided', study=study.rec_name)
            if study.decided_by and (
                    not request or study.request == request):
                continue
            try:
                Study.link_because(study, patient, request, reason)
            except LinkVetoError:
                return gettext(
                    'health_orthanc.msg_upload_vetoed', study=study.rec_name)
    return None
