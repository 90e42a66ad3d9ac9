# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage of Orthanc's resources as records

The functions use the transaction of the caller, and check no access.  Each
takes a batch.  The number of SQL statements only grows with the number of
changes.  Storing the same batch again changes nothing.
"""

from collections import Counter, defaultdict

from sql import Literal, Null
from sql.aggregate import Count
from sql.functions import CurrentTimestamp

from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from ..common.rows import (
    insert_rows, load_rows, partition_changes, write_column, write_rows)
from ..common.transaction import now
from ..linking.queue import requeue_changed
from .damaged_names import with_read_name

__all__ = [
    'count_instances', 'find_unknown_instances', 'mark_missing_patients',
    'mark_missing_studies', 'store_instances', 'store_patients',
    'store_series', 'store_studies', 'store_study_instances', 'study_values',
    'update_modalities']


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
    Patient.create([
            {'server': server.id, 'uuid': r.orthanc_id, **values}
            for r, values in created])
    write_rows(Patient, updated)
    return Counter(
        patients_created=len(created), patients_updated=len(updated))


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


def store_studies(server, resources, historical=False):
    """Create or update studies, and queue them for matching.

    Their patients must be stored before.

    Parameters
    ----------
    server : Server
    resources : list of StudyResource
    historical : bool
        Whether new studies were there before the server was added.

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
    Study.create([{
                'server': server.id, 'orthanc_UID': r.orthanc_id,
                'historical': historical, **values}
            for r, values in created])
    write_rows(Study, updated)
    counts = Counter(
        studies_created=len(created), studies_updated=len(updated))
    return counts + _mark_missing_series(known, resources)


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


def store_series(server, resources):
    """Create or update series of stored studies.

    Series of other studies are skipped.

    Parameters
    ----------
    server : Server
    resources : list of SeriesResource

    Returns
    -------
    Counter
    """
    pool = Pool()
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    studies = _ids_by_orthanc_id(
        server, 'gnuhealth.imaging_orthanc.study',
        {r.study_orthanc_id for r in resources})
    resources = [r for r in resources if r.study_orthanc_id in studies]
    known = load_rows(
        Series, 'orthanc_UID', {r.orthanc_id for r in resources},
        study=set(studies.values()))
    created, updated = partition_changes(
        known, resources,
        lambda r: _series_values(r, studies[r.study_orthanc_id]))
    # New series have no values of users: SQL is enough
    insert_rows(Series, [
            {'orthanc_UID': r.orthanc_id, **values} for r, values in created])
    write_rows(Series, updated)
    update_modalities(studies.values())
    counts = Counter(
        series_created=len(created), series_updated=len(updated))
    return counts + _mark_missing_instances(known, resources)


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
        'malformed_tags': _malformed_tags(resource),
        'instances_count': len(resource.instance_ids),
        'last_update': resource.last_update,
        'stable': resource.is_stable,
        'missing_since': None,
        }


def update_modalities(study_ids):
    """Write the modalities of studies from their present series.

    Parameters
    ----------
    study_ids : iterable of int
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    table = Series.__table__()
    cursor = Transaction().connection.cursor()
    modalities = {id_: set() for id_ in study_ids}
    for sub_ids in grouped_slice(list(modalities)):
        cursor.execute(*table.select(
                table.study, table.modality,
                where=reduce_ids(table.study, sub_ids)
                & (table.missing_since == Null) & (table.modality != Null),
                group_by=[table.study, table.modality]))
        for study, modality in cursor:
            modalities[study].add(modality)
    study = Study.__table__()
    by_text = defaultdict(list)
    for sub_ids in grouped_slice(list(modalities)):
        cursor.execute(*study.select(
                study.id, study.modalities,
                where=reduce_ids(study.id, sub_ids)))
        for id_, stored in cursor:
            text = ', '.join(sorted(modalities[id_])) or None
            if stored != text:
                by_text[text].append(id_)
    write_column(Study, 'modalities', by_text)


def _mark_missing_instances(known, resources):
    "Mark recorded instances that their series no longer hold"
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    listed = {
        known[r.orthanc_id].id: set(r.instance_ids)
        for r in resources if r.orthanc_id in known}
    counts = count_instances(listed)
    # Orthanc updates the time stamp of a series when an instance is added, but
    # not when one is deleted. If stamp and count are equal, the instances are
    # the same; otherwise they are compared.
    stamped = {
        known[r.orthanc_id].id for r in resources if r.orthanc_id in known
        and known[r.orthanc_id].last_update != r.last_update}
    doubtful = {
        id_: found for id_, found in listed.items()
        if counts.get(id_) and (
            id_ in stamped or counts[id_] != len(found))}
    gone = [
        id_ for id_, series, orthanc_id in _present_instances(doubtful)
        if orthanc_id not in doubtful[series]]
    return Counter(instances_missing=Instance.mark_missing(gone))


def count_instances(series_ids):
    """Return the number of present instances that are recorded.

    Parameters
    ----------
    series_ids : iterable of int

    Returns
    -------
    dict of int
        By the id of each series that has some.
    """
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    counts = {}
    for sub_ids in grouped_slice(list(series_ids)):
        cursor.execute(*table.select(
                table.series, Count(Literal('*')),
                where=reduce_ids(table.series, sub_ids)
                & (table.missing_since == Null),
                group_by=table.series))
        counts.update(cursor)
    return counts


def _present_instances(series_ids):
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    for sub_ids in grouped_slice(list(series_ids)):
        cursor.execute(*table.select(
                table.id, table.series, table.orthanc_UID,
                where=reduce_ids(table.series, sub_ids)
                & (table.missing_since == Null)))
        yield from cursor.fetchall()


def find_unknown_instances(server, resources):
    """Return the instances of series that are not recorded.

    Parameters
    ----------
    server : Server
    resources : list of SeriesResource

    Returns
    -------
    list of str
        Orthanc ids.
    """
    series = _ids_by_orthanc_id(
        server, 'gnuhealth.imaging_orthanc.study_series',
        [r.orthanc_id for r in resources])
    listed = {
        series[r.orthanc_id]: r.instance_ids
        for r in resources if r.orthanc_id in series}
    counts = count_instances(listed)
    differing = [
        id_ for id_, found in listed.items()
        if counts.get(id_, 0) != len(found)]
    recorded = {
        orthanc_id for _, _, orthanc_id in _present_instances(
            [id_ for id_ in differing if counts.get(id_)])}
    return [
        orthanc_id for id_ in differing for orthanc_id in listed[id_]
        if orthanc_id not in recorded]


def store_instances(server, resources):
    """Create or update instances of stored series.

    Users cannot write any field of instances.  Therefore SQL is used, which
    keeps the rules of the model (unique in the series, user and time).

    Parameters
    ----------
    server : Server
    resources : list of InstanceResource

    Returns
    -------
    Counter
    """
    series = _ids_by_orthanc_id(
        server, 'gnuhealth.imaging_orthanc.study_series',
        {r.series_orthanc_id for r in resources})
    resources = {
        r.orthanc_id: r for r in resources if r.series_orthanc_id in series}
    if not resources:
        return Counter()
    _lock_series(list(series.values()))
    known = _known_instances(series.values(), resources)
    rows = {
        id_: _instance_row(r, series[r.series_orthanc_id])
        for id_, r in resources.items()}
    created = [row for id_, row in rows.items() if id_ not in known]
    changed = [
        (known[id_][0], row) for id_, row in rows.items()
        if id_ in known and known[id_][1:-1] != row]
    found = [
        known[id_][0] for id_, row in rows.items()
        if id_ in known and known[id_][1:-1] == row and known[id_][-1]]
    insert_rows(
        Pool().get('gnuhealth.imaging_orthanc.series_instances'),
        [dict(zip(_INSTANCE_COLUMNS, row)) for row in created])
    _update_instances(changed)
    _unmark_instances(found)
    return Counter(
        instances_created=len(created),
        instances_updated=len(changed) + len(found))


def store_study_instances(server, study, resources):
    """Store all instances of a study, and mark others as missing.

    Parameters
    ----------
    server : Server
    study : Study
    resources : list of InstanceResource

    Returns
    -------
    Counter
    """
    pool = Pool()
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    Instance = pool.get('gnuhealth.imaging_orthanc.series_instances')
    series = Series.search([('study', '=', study.id)])
    listed = {s.orthanc_UID: set() for s in series}
    for resource in resources:
        listed.get(resource.series_orthanc_id, set()).add(resource.orthanc_id)
    by_id = {s.id: listed[s.orthanc_UID] for s in series}
    missing = Instance.mark_missing([
            id_ for id_, series_id, orthanc_id in _present_instances(by_id)
            if orthanc_id not in by_id[series_id]])
    by_count = defaultdict(list)
    for one in series:
        if one.instances_count != len(by_id[one.id]):
            by_count[len(by_id[one.id])].append(one.id)
    write_column(Series, 'instances_count', by_count)
    return Counter(instances_missing=missing) + store_instances(
        server, resources)


_INSTANCE_COLUMNS = [
    'series', 'orthanc_UID', 'sop_instance_UID', 'instance_number',
    'image_position_patient', 'number_of_frames']


def _instance_row(resource, series):
    return (
        series, resource.orthanc_id, resource.sop_instance_uid or None,
        resource.number,
        resource.image_position_patient.replace('\\', ', ') or None,
        resource.number_of_frames)


def _lock_series(ids):
    "Lock series, so that no other transaction stores their instances"
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    table = Series.__table__()
    cursor = Transaction().connection.cursor()
    for sub_ids in grouped_slice(sorted(ids)):
        cursor.execute(*table.update(
                [table.id], [table.id], where=reduce_ids(table.id, sub_ids)))


def _known_instances(series_ids, orthanc_ids):
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    series_ids = set(series_ids)
    columns = [getattr(table, name) for name in _INSTANCE_COLUMNS]
    known = {}
    for sub_ids in grouped_slice(list(orthanc_ids)):
        cursor.execute(*table.select(
                table.id, *columns, table.missing_since,
                where=table.orthanc_UID.in_(list(sub_ids))))
        known.update(
            (row[2], tuple(row)) for row in cursor if row[1] in series_ids)
    return known


def _update_instances(updated):
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    columns = [getattr(table, name) for name in _INSTANCE_COLUMNS]
    for id_, row in updated:
        cursor.execute(*table.update(
                [*columns, table.missing_since, table.write_uid,
                    table.write_date],
                [*row, Null, 0, CurrentTimestamp()], where=table.id == id_))


def _unmark_instances(ids):
    "Unmark instances that the server holds again"
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    for sub_ids in grouped_slice(ids):
        cursor.execute(*table.update(
                [table.missing_since, table.write_uid, table.write_date],
                [Null, 0, CurrentTimestamp()],
                where=reduce_ids(table.id, sub_ids)))


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
    ids = list(_ids_by_orthanc_id(
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
    pool = Pool()
    Patient = pool.get('gnuhealth.orthanc.patient')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    table, study = Patient.__table__(), Study.__table__()
    cursor = Transaction().connection.cursor()
    present = study.select(
        study.orthanc_patient,
        where=(study.server == server.id) & (study.missing_since == Null)
        & (study.orthanc_patient != Null))
    cursor.execute(*table.update(
            [table.missing_since], [now()],
            where=(table.server == server.id)
            & (table.missing_since == Null) & ~table.id.in_(present)))


def _ids_by_orthanc_id(server, model, orthanc_ids):
    "Return the record ids of studies or series, by their Orthanc ids"
    Model = Pool().get(model)
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Model.__table__()
    study = table if Model is Study else Study.__table__()
    source = table if Model is Study else table.join(
        study, condition=table.study == study.id)
    cursor = Transaction().connection.cursor()
    found = {}
    for sub_ids in grouped_slice(list(orthanc_ids)):
        cursor.execute(*source.select(
                table.orthanc_UID, table.id,
                where=table.orthanc_UID.in_(list(sub_ids))
                & (study.server == server.id)))
        found.update(cursor)
    return found
