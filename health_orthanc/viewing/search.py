# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search for studies by a viewer

The database finds the studies, under the rights of the user.  Orthanc is only
asked to describe them: its own search knows neither rights nor patients.
"""

from trytond.pool import Pool
from trytond.transaction import check_access, without_check_access

from ..core.dicom.values import parse_date
from .rights import find_viewable

__all__ = ['find_studies']

# Studies that one search looks at
_MOST = 5000
_FIELDS = {
    'PatientName': 'patient_name', 'AccessionNumber': 'accession_number',
    'StudyDescription': 'study_description', 'StudyID': 'study_id'}


def find_studies(server, search, opened):
    """Return the studies that a search finds for the current user.

    A search by PatientID finds what is linked to the patient of GNU Health
    whose study is open: others may have the same PatientID, and the patient's
    other studies another one.

    Parameters
    ----------
    server : Server
    search : StudySearch
    opened : list of int
        The ids of the studies that were opened.

    Returns
    -------
    list of str
        Study Instance UIDs, the newest first, `search.limit` at most.
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    domain = [
        ('server', '=', server.id),
        ('missing_since', '=', None),
        ('study_instance_UID', '!=', None),
        *_filters(search.filters),
        ]
    if search.uids:
        domain.append(('study_instance_UID', 'in', list(search.uids)))
    if 'PatientID' in search.filters:
        domain.append(_same_patient(
                server, search.filters['PatientID'], opened))
    if not _may_search(Study):
        return []
    with check_access():
        found = Study.search(domain, limit=_MOST)
    uids = list(dict.fromkeys(s.study_instance_UID for s in found))
    viewable = find_viewable(server, uids)
    uids = [uid for uid in uids if uid in viewable]
    return uids[search.offset:search.offset + search.limit]


def _may_search(Study):
    Access = Pool().get('ir.model.access')
    with check_access():
        return Access.check(Study.__name__, 'read', raise_exception=False)


def _filters(filters):
    for name, field in _FIELDS.items():
        if name in filters:
            yield (field, 'ilike', _pattern(filters[name]))
    if 'ModalitiesInStudy' in filters:
        modality = _escaped(filters['ModalitiesInStudy'])
        yield ('modalities', 'ilike', f'%{modality}%')
    if 'StudyDate' in filters:
        first, dash, last = filters['StudyDate'].partition('-')
        if first:
            yield ('date', '>=' if dash else '=', parse_date(first))
        if last:
            yield ('date', '<=', parse_date(last))


def _escaped(text):
    return text.replace('%', r'\%').replace('_', r'\_')


def _pattern(text):
    "Return the pattern of a text with DICOM's wildcards (PS3.4 C.2.2.2.4)"
    return _escaped(text).replace('*', '%').replace('?', '_')


@without_check_access
def _same_patient(server, patient_id, opened):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    studies = Study.search([
            ('id', 'in', opened),
            ('server', '=', server.id),
            ('patient_id', '=', patient_id),
            ])
    patients = {s.patient.id for s in studies if s.patient}
    return ['OR',
        ('id', 'in', [s.id for s in studies]),
        ('patient', 'in', list(patients)),
        ]
