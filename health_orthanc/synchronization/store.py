# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage of Orthanc's resources as records

The functions use the transaction of the caller, and check no access.  Each
takes a batch.  The number of SQL statements only grows with the number of
changes.  Storing the same batch again changes nothing.
"""

import json
from collections import Counter

from sql import Null

from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from ..archive.study_modalities import update_modalities
from ..common.bulk import create_rows
from ..common.rows import load_rows, partition_changes, write_rows
from ..common.transaction import now
from ..core.dicom.values import looks_damaged
from ..linking.queue import requeue_changed, without_due
from .damaged_names import with_read_name
from .instances import mark_missing_instances
from .lookup import ids_by_orthanc_id
from .study_digests import write_digests

__all__ = [
    'mark_missing_patients', 'mark_missing_studies', 'store_modalities',
    'store_patients', 'store_series', 'store_studies', 'study_values']


def store_patients(server, resources):
    """Create or update Orthanc patients.

    Parameters
    ----------
    server : Server
    resources : list of PatientResource

    Returns
    -------
    Counter
        By the names of the run's fields, as in all functions here.
    """
    Patient = Pool().get('gnuhealth.orthanc.patient')
    known = load_rows(
        Patient, 'uuid', {r.orthanc_id for r in resources},
        server=[server.id])
    created, updated = partition_changes(
        known, resources, lambda r: _with_read_name(
            known.get(r.orthanc_id), r.tags.name, _patient_values(r)))
    create_rows(Patient, [
            {'server': server.id, 'uuid': r.orthanc_id, **values}
            # In the same order in all transactions, against deadlocks
            for r, values in sorted(created, key=_orthanc_id)])
    write_rows(Patient, updated)
    return Counter(
        patients_created=len(created), patients_updated=len(updated))


def _orthanc_id(created):
    resource, _ = created
    return resource.orthanc_id


def _patient_values(resource):
    tags = resource.tags
    return {
        'name': tags.name or None,
        'display_name': tags.display_name or None,
        'listed_name': None,
        'bd': tags.birth_date,
        'sex': tags.sex or None,
        'ident': tags.patient_id or None,
        'missing_since': None,
        }


def _with_read_name(row, listed, values):
    "Return values with the name that was read, if Orthanc lists the same name"
    if row is None or row.listed_name != listed:
        return values
    return with_read_name(row, values)


def store_studies(server, resources, historical=False, digests=None):
    """Create or update studies, and queue them for matching.

    Their patients must be stored before.

    Parameters
    ----------
    server : Server
    resources : list of StudyResource
    historical : bool
        Whether new studies were there before the server was added.
    digests : dict of str, optional
        What is stored as the digest of each study, by Orthanc id.

    Returns
    -------
    Counter
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Synchronization = pool.get('gnuhealth.orthanc.synchronization')
    resources = Synchronization.without_superseded(server, resources)
    known = load_rows(
        Study, 'orthanc_UID', {r.orthanc_id for r in resources},
        server=[server.id])
    patients = load_rows(
        pool.get('gnuhealth.orthanc.patient'), 'uuid',
        {r.patient_orthanc_id for r in resources}, server=[server.id])
    values = {}
    for resource in resources:
        values[resource.orthanc_id] = _with_read_name(
            known.get(resource.orthanc_id), resource.patient.name,
            study_values(
                resource, patients.get(resource.patient_orthanc_id)))
    requeue_changed(known, values)
    _find_additions(known, values)
    created, updated = partition_changes(
        known, resources, lambda r: values[r.orthanc_id])
    digests = _complete_digests(known, resources, digests or {})
    create_rows(Study, [{
                'server': server.id, 'orthanc_UID': r.orthanc_id,
                'historical': historical,
                'listed_digest': digests.get(r.orthanc_id), **values}
            for r, values in created])
    # This drops their digests
    write_rows(Study, updated)
    changed = {row.id for row, _ in updated}
    write_digests({
            row.id: digests[id_] for id_, row in known.items()
            if id_ in digests and (
                row.id in changed or row.listed_digest != digests[id_])})
    counts = Counter(
        studies_created=len(created), studies_updated=len(updated))
    return counts + _mark_missing_series(known, resources)


def _complete_digests(known, resources, digests):
    "Leave out the studies whose names are still to be read from images"
    return {
        r.orthanc_id: digests[r.orthanc_id] for r in resources
        if r.orthanc_id in digests and (
            not looks_damaged(r.patient.name)
            or getattr(known.get(r.orthanc_id), 'listed_name', None)
            == r.patient.name)}


def _find_additions(known, values):
    "Studies to which images were added are no longer historical"
    for id_, found in values.items():
        study = known.get(id_)
        # Studies of version 5.0 have no time yet
        if study and study.historical and study.last_update and (
                study.last_update != found['last_update']):
            found['historical'] = False


def study_values(resource, orthanc_patient):
    """Return the field values of a study.

    Parameters
    ----------
    resource : StudyResource
    orthanc_patient : OrthancPatient or None
        The record or row of its patient.

    Returns
    -------
    dict
    """
    patient = resource.patient
    return {
        'orthanc_patient': orthanc_patient.id if orthanc_patient else None,
        'patient_name': patient.name or None,
        'patient_display_name': patient.display_name or None,
        'listed_name': None,
        'letters_lost': None,
        'patient_id': patient.patient_id or None,
        'issuer_of_patient_id': resource.issuer_of_patient_id or None,
        'other_patient_ids': patient.other_patient_ids or None,
        'patient_birth_date': patient.birth_date,
        'patient_sex': patient.sex or None,
        'study_instance_UID': resource.study_instance_uid or None,
        'date': resource.date,
        'study_time': _without_fraction(resource.time),
        'study_description': resource.description or None,
        'requested_procedure_description': (
            resource.requested_procedure_description or None),
        'study_id': resource.study_id or None,
        'accession_number': resource.accession_number or None,
        'institution': resource.institution_name or None,
        'referring_physician_name': (
            resource.referring_physician_name or None),
        'requesting_physician': resource.requesting_physician or None,
        'performing_physician_name': (
            resource.performing_physician_name or None),
        'malformed_tags': _malformed_tags(resource),
        'labels': ', '.join(resource.labels) or None,
        'last_update': resource.last_update,
        'stable': resource.is_stable,
        'missing_since': None,
        }


def _without_fraction(time):
    # Tryton stores no fractions of seconds
    return time.replace(microsecond=0) if time else None


def _malformed_tags(resource):
    return '\n'.join(
        f'{keyword}: {text}' for keyword, text in resource.malformed) or None


def _mark_missing_series(known, resources):
    "Mark recorded series that their studies no longer hold"
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    listed = {
        known[r.orthanc_id].id: set(r.series_ids)
        for r in resources if r.orthanc_id in known}
    if not listed:
        return Counter()
    table = Series.__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(
            table.id, table.study, table.orthanc_UID,
            where=reduce_ids(table.study, list(listed))
            & (table.missing_since == Null)))
    gone = [
        id_ for id_, study, orthanc_id in cursor
        if orthanc_id not in listed[study]]
    return Counter(series_missing=_mark_series(gone))


def _mark_series(ids):
    pool = Pool()
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    Instance = pool.get('gnuhealth.imaging_orthanc.series_instances')
    if not ids:
        return 0
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    for sub_ids in grouped_slice(ids):
        cursor.execute(*table.update(
                [table.missing_since], [now()],
                where=reduce_ids(table.series, sub_ids)
                & (table.missing_since == Null)))
    return Series.mark_missing(ids)


def store_series(server, resources, with_modalities=True):
    """Create or update series of stored studies.

    Series of other studies are skipped.

    Parameters
    ----------
    server : Server
    resources : list of SeriesResource
    with_modalities : bool
        Whether the modalities of the studies are updated, too.

    Returns
    -------
    Counter
    """
    pool = Pool()
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    studies = ids_by_orthanc_id(
        server, 'gnuhealth.imaging_orthanc.study',
        {r.study_orthanc_id for r in resources})
    resources = [r for r in resources if r.study_orthanc_id in studies]
    known = load_rows(
        Series, 'orthanc_UID', {r.orthanc_id for r in resources},
        study=set(studies.values()))
    created, updated = partition_changes(
        known, resources,
        lambda r: _series_values(r, studies[r.study_orthanc_id]))
    create_rows(Series, [
            {'orthanc_UID': r.orthanc_id, **values} for r, values in created])
    write_rows(Series, updated)
    if with_modalities:
        update_modalities(studies.values())
    counts = Counter(
        series_created=len(created), series_updated=len(updated))
    return counts + mark_missing_instances(known, resources)


def store_modalities(server, resources, with_due=True):
    """Update the modalities of the studies of stored series.

    Parameters
    ----------
    server : Server
    resources : list of SeriesResource
    with_due : bool
        Whether also those of studies in the queue, which get them as well
        when they leave it.

    Returns
    -------
    Counter
    """
    ids = ids_by_orthanc_id(
        server, 'gnuhealth.imaging_orthanc.study',
        {r.study_orthanc_id for r in resources}).values()
    update_modalities(ids if with_due else without_due(ids))
    return Counter()


def _series_values(resource, study):
    return {
        'study': study,
        'series_UID': resource.series_instance_uid or None,
        'series_number': (
            None if resource.number is None else str(resource.number)),
        'series_description': resource.description or None,
        'modality': resource.modality or None,
        'body_part_examined': resource.body_part or None,
        'protocol_name': resource.protocol_name or None,
        'station_name': resource.station_name or None,
        'manufacturer': resource.manufacturer or None,
        'operators_name': resource.operators_name or None,
        'series_date': resource.date,
        'series_time': _without_fraction(resource.time),
        'request_attributes': _request_attributes(resource),
        'malformed_tags': _malformed_tags(resource),
        'instances_count': len(resource.instance_ids),
        'last_update': resource.last_update,
        'stable': resource.is_stable,
        'missing_since': None,
        }


def _request_attributes(resource):
    named = [a.tags for a in resource.request_attributes if a.tags]
    return json.dumps(named) if named else None


def mark_missing_studies(server, orthanc_ids):
    """Mark studies, their series and instances as missing.

    Parameters
    ----------
    server : Server
    orthanc_ids : iterable of str

    Returns
    -------
    Counter
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    ids = list(ids_by_orthanc_id(
            server, 'gnuhealth.imaging_orthanc.study', orthanc_ids).values())
    if not ids:
        return Counter()
    table = Series.__table__()
    cursor = Transaction().connection.cursor()
    series = []
    for sub_ids in grouped_slice(ids):
        cursor.execute(*table.select(
                table.id, where=reduce_ids(table.study, sub_ids)))
        series.extend(id_ for id_, in cursor)
    return Counter(
        series_missing=_mark_series(series),
        studies_missing=Study.mark_missing(ids))


def mark_missing_patients(server):
    """Mark the patients of whom the server no longer holds a study.

    Parameters
    ----------
    server : Server
    """
    table = Pool().get('gnuhealth.orthanc.patient').__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*_without_studies(server))
    for ids in grouped_slice([id_ for id_, in cursor.fetchall()]):
        cursor.execute(*table.update(
                [table.missing_since], [now()],
                where=reduce_ids(table.id, ids)))


def _without_studies(server):
    "Return the query for the patients who are present without a study"
    pool = Pool()
    table = pool.get('gnuhealth.orthanc.patient').__table__()
    study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
    # Of more studies than PostgreSQL expects, or than fit into its memory,
    # NOT IN and NOT EXISTS would read all for each patient
    return table.select(
        table.id,
        where=(table.server == server.id) & (table.missing_since == Null)
        ) - study.select(
        study.orthanc_patient,
        where=(study.server == server.id) & (study.missing_since == Null)
        & (study.orthanc_patient != Null))
