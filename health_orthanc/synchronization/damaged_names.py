# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patient names that Orthanc lists without some of their letters

They are read once from the header of an instance.  The name that was listed
then is kept: as long as Orthanc lists the same, the name that was read stays.
"""

import logging

from trytond.pool import Pool

from ..common.transaction import in_transaction
from ..core.dicom.charsets import is_defined_charset
from ..core.dicom.file_header import Unusable
from ..core.dicom.values import display_names, looks_damaged
from ..core.orthanc.errors import OrthancError

__all__ = ['read_names', 'unread_studies', 'with_read_name']

logger = logging.getLogger('trytond.modules.health_orthanc.engine')

STUDY = 'gnuhealth.imaging_orthanc.study'
# The fields that a name which was read sets
_STUDY_FIELDS = [
    'patient_name', 'patient_display_name', 'letters_lost', 'listed_name']
_PATIENT_FIELDS = ['name', 'display_name', 'listed_name']
_NAME_TAGS = {'PatientName', 'SpecificCharacterSet'}


def with_read_name(row, values):
    """Return the values of a study or patient with the name that was read.

    Parameters
    ----------
    row : SimpleNamespace
        The stored values.
    values : dict
        The values of the resource.

    Returns
    -------
    dict
    """
    names = _STUDY_FIELDS if 'patient_name' in values else _PATIENT_FIELDS
    values = {**values, **{name: getattr(row, name) for name in names}}
    if 'malformed_tags' in values:
        values['malformed_tags'] = _join_malformed(
            values['malformed_tags'], [
                line for line in (row.malformed_tags or '').splitlines()
                if line.partition(': ')[0] in _NAME_TAGS])
    return values


def _join_malformed(text, lines):
    own = [
        line for line in (text or '').splitlines()
        if line.partition(': ')[0] not in _NAME_TAGS]
    return '\n'.join(own + lines) or None


def unread_studies(server, resources, only_damaged=True):
    """Return the studies whose names are to be read from their images.

    Parameters
    ----------
    server : Server
    resources : list of StudyResource
    only_damaged : bool
        Whether to leave out names that look complete.  Letters may have been
        dropped from them without a trace.

    Returns
    -------
    list of StudyResource
    """
    doubtful = {
        r.orthanc_id: r for r in resources
        if looks_damaged(r.patient.name)
        or not only_damaged and r.patient.name and r.patient.name.isascii()}
    if not doubtful:
        return []
    for study in _stored(server.id, doubtful):
        if study.listed_name == doubtful[study.orthanc_UID].patient.name:
            del doubtful[study.orthanc_UID]
    return list(doubtful.values())


def read_names(client, server_id, studies):
    """Read names from the images, and store them.

    The network is used outside of transactions.  A name that cannot be read
    for now is read the next time.

    Parameters
    ----------
    client : OrthancClient
    server_id : int
    studies : list of StudyResource
    """
    for study in studies:
        try:
            header = _read_header(client, study)
        except OrthancError as error:
            logger.warning(
                "Orthanc server %s: name of study %s not read: %s", server_id,
                study.orthanc_id, error.kind)
            if not error.transient:
                continue
            break
        in_transaction(_store_name, server_id, study, header)


def _read_header(client, study):
    "Return the header of an instance of a study, or None"
    for series in client.bulk_content(study.series_ids[:1]):
        for instance in (series.get('Instances') or [])[:1]:
            try:
                return client.instance_header(instance)
            except Unusable:
                return None


def _store_name(server_id, resource, header):
    listed = resource.patient.name
    for study in _stored(server_id, [resource.orthanc_id]):
        values = _name_values(listed, header)
        patient = study.orthanc_patient
        if patient and (patient.listed_name or patient.name) == listed:
            patient.__class__.write([patient], {
                    'name': values['patient_name'],
                    'display_name': values['patient_display_name'],
                    'listed_name': listed,
                    })
        malformed = values.pop('malformed')
        if malformed:
            values['malformed_tags'] = _join_malformed(
                study.malformed_tags, malformed)
        if values['patient_name'] != study.patient_name or (
                bool(values['letters_lost']) != bool(study.letters_lost)):
            values['matched_at'] = None
        study.__class__.write([study], values)


def _stored(server_id, orthanc_ids):
    Study = Pool().get(STUDY)
    return Study.search([
            ('server', '=', server_id),
            ('orthanc_UID', 'in', list(orthanc_ids)),
            ], order=[])


def _name_values(listed, header):
    "Return the values of a study from the header of one of its images"
    text = header.patient_name if header else listed
    lost = looks_damaged(listed) if header is None else (
        not header.is_name_complete)
    malformed = []
    if header and text != listed and not is_defined_charset(header.charset):
        malformed.append(f'SpecificCharacterSet: {header.charset}')
    if lost:
        malformed.append(f'PatientName: {listed}')
    display = display_names(text)
    return {
        'patient_name': text or None,
        'patient_display_name': display or None,
        'letters_lost': True if lost else None,
        'listed_name': listed,
        'malformed': malformed,
        }
