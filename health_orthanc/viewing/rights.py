# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose images the current user may see at this moment"""

from contextlib import contextmanager

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.transaction import Transaction, check_access, without_check_access

from ..common.exceptions import OrthancUserError
from ..linking.unconfirmed import check_confirmed, is_reviewer

__all__ = [
    'check_viewable', 'find_readable', 'find_viewable', 'in_name_of',
    'may_annotate']


@contextmanager
def in_name_of(user):
    "Have the user, and the context that clients send, in the transaction"
    User = Pool().get('res.user')
    with Transaction().set_user(user):
        context = User.get_preferences(context_only=True)
        with Transaction().set_context(context):
            yield


@without_check_access
def check_viewable(studies):
    """Check that the current user may see the images of studies now.

    Parameters
    ----------
    studies : list of Study
        All of one server.

    Raises
    ------
    AccessError
        The user may not read the studies.
    QuarantineError
    UnconfirmedStudyWarning
        The images may belong to somebody else.
    OrthancUserError
        There are no images to see, or they are on several servers.
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    with check_access():
        Study.check_read(studies)
    for study in studies:
        study.check_released()
    check_confirmed(studies)
    if not studies or not all(
            s.viewable and s.study_instance_UID for s in studies):
        raise OrthancUserError(gettext('health_orthanc.msg_viewing_nothing'))
    if len({s.server for s in studies}) > 1:
        raise OrthancUserError(gettext('health_orthanc.msg_viewing_servers'))
    uids = {s.study_instance_UID for s in studies}
    if find_viewable(studies[0].server, uids) != uids:
        raise OrthancUserError(gettext('health_orthanc.msg_viewing_refused'))


@without_check_access
def find_viewable(server, uids):
    """Return the studies whose images the current user may see.

    Physicians see those linked to a patient whom they may read. If a server
    holds two studies with one UID, Orthanc does not tell them apart: the user
    must be allowed to see both.

    Parameters
    ----------
    server : Server
    uids : iterable of str
        Study Instance UIDs.

    Returns
    -------
    set of str
        Those of the UIDs.
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    if not server.active:
        return set()
    studies = Study.search([
            ('server', '=', server.id),
            ('study_instance_UID', 'in', list(uids)),
            ('missing_since', '=', None),
            ])
    refused = (
        Study.find_withheld(studies)
        | {s for s in studies if s.quarantined}
        | (set(studies) - find_readable(studies)))
    return {s.study_instance_UID for s in studies} - {
        s.study_instance_UID for s in refused}


@without_check_access
def find_readable(studies):
    """Return the studies that the rules let the current user see.

    Parameters
    ----------
    studies : list of Study

    Returns
    -------
    set of Study
        For physicians, those of patients whom they may read.
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    if not _may(Study, 'read'):
        return set()
    found = set(_search(Study, [s.id for s in studies]))
    if is_reviewer():
        return found
    Patient = pool.get('gnuhealth.patient')
    patients = {s.patient.id for s in found if s.patient}
    if not _may(Patient, 'read'):
        return set()
    readable = set(_search(Patient, patients))
    return {s for s in found if s.patient in readable}


def _may(Model, mode):
    Access = Pool().get('ir.model.access')
    with check_access():
        return Access.check(Model.__name__, mode, raise_exception=False)


def _search(Model, ids):
    with check_access():
        return Model.search([('id', 'in', list(ids))])


def may_annotate():
    """Return whether the current user may add to studies that they see.

    Returns
    -------
    bool
    """
    return _may(Pool().get('gnuhealth.imaging_orthanc.study'), 'write')
