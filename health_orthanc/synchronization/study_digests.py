# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of studies as they were listed when they were compared

A study that is listed with the digest of its record need not be compared: the
record, its patient and its series are what Orthanc holds.  Only a full
synchronization stores a digest, after it has compared all of that.  Whoever
writes to one of these records otherwise drops it.
"""

from functools import lru_cache

from sql import Literal, Null
from sql.aggregate import Count, Sum
from sql.conditionals import Coalesce
from sql.functions import Substring

from trytond.model import fields
from trytond.modules import get_module_info
from trytond.pool import Pool, PoolMeta
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from ..common.bulk import update_rows
from ..common.rows import fetch_rows, is_one_of

__all__ = [
    'OrthancPatient', 'Series', 'Study', 'confirm_digests', 'count_present',
    'drop_digests', 'find_known', 'program_version', 'unconfirmed',
    'write_digests']

STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
PATIENT = 'gnuhealth.orthanc.patient'
# What a synchronization stores of Orthanc's resources
PATIENT_FIELDS = frozenset({
        'server', 'uuid', 'name', 'display_name', 'listed_name', 'bd', 'sex',
        'ident', 'missing_since'})
STUDY_FIELDS = frozenset({
        'server', 'orthanc_UID', 'orthanc_patient', 'patient_name',
        'patient_display_name', 'listed_name', 'letters_lost', 'patient_id',
        'issuer_of_patient_id', 'other_patient_ids', 'patient_birth_date',
        'patient_sex', 'study_instance_UID', 'date', 'study_time',
        'study_description', 'requested_procedure_description', 'study_id',
        'accession_number', 'institution', 'referring_physician_name',
        'requesting_physician', 'performing_physician_name',
        'malformed_tags', 'labels', 'last_update', 'stable', 'missing_since',
        'modalities'})
SERIES_FIELDS = frozenset({
        'study', 'orthanc_UID', 'series_UID', 'series_number',
        'series_description', 'modality', 'body_part_examined',
        'protocol_name', 'station_name', 'manufacturer', 'operators_name',
        'series_date', 'series_time', 'request_attributes', 'malformed_tags',
        'instances_count', 'last_update', 'stable', 'missing_since'})
# Before the digest of a study whose series are not stored yet
_UNCONFIRMED = '~'


class Study(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study'

    listed_digest = fields.Char("Listed Digest", readonly=True)

    @classmethod
    def write(cls, *args):
        super().write(*args)
        drop_digests(_find_written(args, STUDY_FIELDS))


class Series(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study_series'

    @classmethod
    def write(cls, *args):
        written = _find_written(args, SERIES_FIELDS)
        # Of the studies that they belonged to, too
        _drop_of_series(written)
        super().write(*args)
        _drop_of_series(written)

    @classmethod
    def delete(cls, series):
        _drop_of_series([s.id for s in series])
        super().delete(series)


class OrthancPatient(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.patient'

    @classmethod
    def write(cls, *args):
        super().write(*args)
        table = Pool().get(STUDY).__table__()
        for ids in grouped_slice(_find_written(args, PATIENT_FIELDS)):
            _drop(table, is_one_of(table.orthanc_patient, ids))


def _find_written(args, names):
    "Return the ids of the records of which some of the fields are written"
    actions = iter(args)
    return sorted({
            record.id for records, values in zip(actions, actions)
            if not names.isdisjoint(values) for record in records})


def drop_digests(study_ids):
    """Let studies be compared by the next full synchronization.

    Parameters
    ----------
    study_ids : iterable of int
    """
    table = Pool().get(STUDY).__table__()
    for ids in grouped_slice(list(study_ids)):
        _drop(table, is_one_of(table.id, ids))


def _drop_of_series(ids):
    pool = Pool()
    table = pool.get(STUDY).__table__()
    series = pool.get(SERIES).__table__()
    for some in grouped_slice(ids):
        _drop(table, table.id.in_(series.select(
                    series.study, where=is_one_of(series.id, some))))


def _drop(table, where):
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.update(
            [table.listed_digest], [Null],
            where=where & (table.listed_digest != Null)))


@lru_cache(1)
def program_version():
    "Return the version of this module: another one may read tags otherwise"
    return get_module_info('health_orthanc')['version']


def find_known(server_id, orthanc_ids):
    """Return the digests of studies that are recorded with all they have.

    Parameters
    ----------
    server_id : int
    orthanc_ids : iterable of str

    Returns
    -------
    dict of tuple
        The digest of each present study with a present patient, the Orthanc
        id of the patient, and the number of present series.
    """
    pool = Pool()
    study, series, patient = (
        pool.get(name).__table__() for name in [STUDY, SERIES, PATIENT])
    count = series.select(
        Count(Literal('*')),
        where=(series.study == study.id) & (series.missing_since == Null))
    query = study.join(
        patient, condition=study.orthanc_patient == patient.id).select(
        study.orthanc_UID, study.listed_digest, patient.uuid, count)
    found = {}
    for ids in grouped_slice(list(orthanc_ids)):
        query.where = (
            is_one_of(study.orthanc_UID, ids) & (study.server == server_id)
            & (study.listed_digest != Null) & (study.missing_since == Null)
            & (patient.missing_since == Null))
        found.update((id_, tuple(rest)) for id_, *rest in fetch_rows(query))
    return found


def count_present(server_id):
    """Return how many series of a server are recorded as present.

    Parameters
    ----------
    server_id : int

    Returns
    -------
    series, instances : int
        The number of series, and of the instances that they have.
    """
    pool = Pool()
    study, series = pool.get(STUDY).__table__(), pool.get(SERIES).__table__()
    (count, instances), = fetch_rows(series.join(
            study, condition=series.study == study.id).select(
            Count(series.id), Coalesce(Sum(series.instances_count), 0),
            where=(study.server == server_id)
            & (study.missing_since == Null)
            & (series.missing_since == Null)))
    return count, int(instances)


def write_digests(digests):
    """Store digests of studies.

    Parameters
    ----------
    digests : dict of str
        By the ids of the records.
    """
    update_rows(
        Pool().get(STUDY), ['listed_digest'], list(digests.items()), None)


def unconfirmed(digests):
    """Return digests as they are stored until the series are, too.

    Parameters
    ----------
    digests : dict of str

    Returns
    -------
    dict of str
    """
    return {id_: _UNCONFIRMED + digest for id_, digest in digests.items()}


def confirm_digests(server_id, digests):
    """Confirm the digests of studies whose series have been stored.

    Those that were dropped meanwhile stay away.

    Parameters
    ----------
    server_id : int
    digests : dict of str
        By the Orthanc ids of the studies, as `unconfirmed` returns them.
    """
    table = Pool().get(STUDY).__table__()
    cursor = Transaction().connection.cursor()
    for ids in grouped_slice(list(digests)):
        ids = list(ids)
        cursor.execute(*table.update(
                [table.listed_digest], [Substring(table.listed_digest, 2)],
                where=is_one_of(table.orthanc_UID, ids)
                & (table.server == server_id)
                & is_one_of(
                    table.listed_digest, [digests[id_] for id_ in ids])))
