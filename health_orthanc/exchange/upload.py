# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on their way to an Orthanc, and their studies on their way here."""

import logging
from dataclasses import dataclass, replace

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.transaction import Transaction

from ..common.exceptions import LinkVetoError
from ..common.transaction import in_transaction
from ..core.dicom.headers import Header, Reason, Unusable
from ..core.matching.attributes import StudyAttributes
from ..core.matching.verdicts import Verdict
from ..core.orthanc.client import Unreadable
from ..core.orthanc.errors import (
    ConnectionFailed, ConnectionRefused, Forbidden, InstanceRefused,
    OrthancError, TimedOut, Unauthorized)
from ..linking.link import assess_choice
from ..synchronization.engine import Engine

__all__ = [
    'Outcome', 'import_studies', 'compare', 'describe_reason', 'identity',
    'link_studies', 'send_file', 'send_item', 'send_items']

logger = logging.getLogger('trytond.modules.health_orthanc.upload')

# After these no other file would fare better
_NO_REFUSALS = (
    ConnectionFailed, ConnectionRefused, Forbidden, TimedOut, Unauthorized)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file

    Attributes
    ----------
    state : str
        ``'stored'``, ``'present'`` (it was there before), ``'refused'``,
        ``'skipped'`` (no image, but what comes along with them) or
        ``'failed'`` (to be sent again).
    message, status : str
        The message that says why, and the HTTP status in it.
    detail : str
        What the server says.
    study : str or None
        The Orthanc id of the study it is now in.
    hopeless : bool
        Whether no other file would fare better now.
    header : Header or None
        What the file says it is.
    """
    state: str
    message: str = ''
    status: str = ''
    detail: str = ''
    study: str | None = None
    hopeless: bool = False
    header: Header | None = None

    @classmethod
    def unusable(cls, reason):
        "Return what becomes of a file that is not sent"
        return cls(
            'skipped' if reason.passenger else 'refused',
            f'upload_{reason.value}')

    @property
    def reason(self):
        "Why, in the user's language"
        if not self.message:
            return ''
        text = gettext(
            f'health_orthanc.msg_{self.message}', status=self.status)
        return f'{text} ({self.detail})' if self.detail else text


def describe_reason(reason):
    return Outcome.unusable(reason).reason


def send_items(client, items):
    """Send files one after the other.

    Those that are left when the server fails are not sent.

    Yields
    ------
    Outcome
        Of each.
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
    "Send a file and return what became of it"
    try:
        header = item.header()
        with item.open() as file:
            return send_file(client, file, item.size, header)
    except Unusable as error:
        return Outcome.unusable(error.reason)


def send_file(client, file, size, header):
    "Send what is known to be an instance, and return what became of it"
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
        study=stored.study_orthanc_id)


def compare(headers, patient, request=None):
    """Compare what files say with whom they are said to be of.

    Parameters
    ----------
    headers : iterable of Header

    Returns
    -------
    dict
        ``'contradicts'``, ``'differs'`` or ``'fits'`` and the vetoes, by
        what `identity` returns for a header.
    """
    found = {}
    for header in headers:
        key = identity(header)
        if key not in found:
            found[key] = _compare(header, patient, request)
    return found


def identity(header):
    "Return what of a header tells whose it is"
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
    if assessment.vetoes:
        return 'contradicts', assessment.vetoes
    if Verdict.DIFFERS in assessment.identity:
        return 'differs', ()
    return 'fits', ()


def import_studies(server_id, client, with_instances, orthanc_ids):
    """Synchronise studies and match them to their orders.

    Raises
    ------
    OrthancError
    """
    engine = Engine(server_id, None, client, with_instances)
    for orthanc_id in orthanc_ids:
        engine.study(orthanc_id)
    in_transaction(_match, server_id, orthanc_ids)


def _match(server_id, orthanc_ids):
    pool = Pool()
    Server = pool.get('gnuhealth.orthanc.config')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Study.match_received(Server(server_id), orthanc_ids)


def link_studies(
        server_id, orthanc_ids, patient_id, request_id=None, reason=None):
    """Link studies to whom the current user has chosen for them.

    What another person has decided on stays as it is, and so does what is
    contradicted without a reason.

    Returns
    -------
    list of str
        Why studies are not linked, in the user's language.
    """
    user = Transaction().user
    return [
        refusal for refusal in (
            in_transaction(
                _link, user, server_id, orthanc_id, patient_id, request_id,
                reason)
            for orthanc_id in orthanc_ids)
        if refusal]


def _link(user, server_id, orthanc_id, patient_id, request_id, reason):
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    server = pool.get('gnuhealth.orthanc.config')(server_id)
    patient = pool.get('gnuhealth.patient')(patient_id)
    request = pool.get('gnuhealth.imaging.test.request')(
        request_id) if request_id else None
    with Transaction().set_user(user):
        for study in Study.search_orthanc_ids(server, [orthanc_id]):
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
