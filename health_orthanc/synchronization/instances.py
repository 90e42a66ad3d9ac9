# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage of Orthanc's instances as records, as in `store`"""

from collections import Counter, defaultdict

from sql import Literal, Null
from sql.aggregate import Count
from sql.functions import CurrentTimestamp

from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from ..common.bulk import insert_values
from ..common.rows import in_slices, is_one_of, write_column
from .lookup import ids_by_orthanc_id
from .study_digests import drop_digests

__all__ = [
    'count_instances', 'find_unknown_instances', 'mark_missing_instances',
    'store_instances', 'store_study_instances']


def mark_missing_instances(known, resources):
    """Mark recorded instances that their series no longer hold.

    Parameters
    ----------
    known : dict
        Rows of series by Orthanc id, from `load_rows`.
    resources : list of SeriesResource

    Returns
    -------
    Counter
    """
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


def find_new_series(server, resources):
    """Return the series of stored studies that are not recorded.

    Parameters
    ----------
    server : Server
    resources : list of SeriesResource

    Returns
    -------
    list of SeriesResource
    """
    known = ids_by_orthanc_id(
        server, 'gnuhealth.imaging_orthanc.study_series',
        [r.orthanc_id for r in resources])
    new = [r for r in resources if r.orthanc_id not in known]
    studies = ids_by_orthanc_id(
        server, 'gnuhealth.imaging_orthanc.study',
        {r.study_orthanc_id for r in new})
    return [r for r in new if r.study_orthanc_id in studies]


def find_unknown_instances(server, resources):
    """Return the instances of series that are not recorded.

    Parameters
    ----------
    server : Server
    resources : list of SeriesResource

    Returns
    -------
    dict of list
        Orthanc ids, by that of their series.
    """
    series = ids_by_orthanc_id(
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
    names = {id_: orthanc_id for orthanc_id, id_ in series.items()}
    return {
        names[id_]: unknown for id_ in differing
        if (unknown := [one for one in listed[id_] if one not in recorded])}


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
    series = ids_by_orthanc_id(
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
    insert_values(
        Pool().get('gnuhealth.imaging_orthanc.series_instances'),
        _INSTANCE_COLUMNS, created)
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
    if by_count:
        drop_digests([study.id])
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
    for sub_ids in in_slices(orthanc_ids):
        cursor.execute(*table.select(
                table.id, *columns, table.missing_since,
                where=is_one_of(table.orthanc_UID, sub_ids)))
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
