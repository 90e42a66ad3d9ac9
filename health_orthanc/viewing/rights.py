# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose images the current user may see at this moment"""

from trytond.pool import Pool
from trytond.transaction import check_access, without_check_access

from ..linking.unconfirmed import is_reviewer

__all__ = ['find_readable', 'find_viewable', 'may_annotate']


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
