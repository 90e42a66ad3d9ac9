# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links of the studies of 4.x and 5.0

These versions did not record whether a user or the system had made a link:
it is derived, otherwise the link is marked for review.
"""

from sql import Literal, Null
from sql.conditionals import Case, Coalesce
from sql.functions import CharLength
from sql.operators import Concat, Exists

from trytond.pool import Pool

from .patients import patients_of
from .tables import execute

__all__ = ['convert_links', 'copy_links']

# Version 5.0 did not compare shorter patient IDs with PUIDs
_PUID_LENGTH = 9


def convert_links(table, module_name, of=None, puid_length=_PUID_LENGTH):
    """Set the link status: made by the system, or by users.

    Version 5.0 linked a study to the patient with its PUID, to the result with
    its merge ID and to the patient of the result.

    Parameters
    ----------
    table : Table
        Of the studies.
    module_name : str
    of : Select, optional
        The ids of the studies, all by default.
    puid_length : int
        The length of the shortest patient ID that was compared with PUIDs.
    """
    Result = Pool().get('gnuhealth.imaging.test.result')
    result = Result.__table__()
    meant = table.id.in_(of) if of else Literal(True)
    # Results created later got their studies, but not the patient
    execute(table.update(
            [table.patient], [result.select(
                    result.patient, where=result.id == table.imaging_test)],
            where=meant & (table.patient == Null)
            & (table.imaging_test != Null)))
    linked = (table.patient != Null) | (table.imaging_test != Null)
    by_machine = ((table.imaging_test == Null)
        & table.patient.in_(patients_of(table.patient_id))
        & (CharLength(table.patient_id) >= puid_length))
    if Result.__table_handler__(module_name).column_exist('merge_id'):
        by_machine |= _by_merge_id(table, result)
    execute(table.update(
            [table.link_status], [Case(
                    (~linked, 'unlinked'), (by_machine, 'auto_unsure'),
                    else_='manual')],
            where=meant))


def _by_merge_id(table, result):
    return Exists(result.select(
            Literal(1),
            where=(result.id == table.imaging_test)
            & (result.merge_id == table.merge_id)
            & ((result.patient == table.patient)
                | table.patient.in_(patients_of(table.patient_id)))))


def copy_links(table, others, prefix=''):
    """Copy the links of duplicate records to studies that have none.

    A link that differs from the existing one is added to the comment.

    Parameters
    ----------
    table : Table
        Of the studies.
    others : Select
        ``kept``, the id of a study; ``patient`` and ``imaging_test``.
    prefix : str
        Precedes the link in the comment.

    Returns
    -------
    list of (int, str)
        The ids of studies whose links differ, and the other link.
    """
    execute(table.update(
            [table.patient, table.imaging_test],
            [others.patient, others.imaging_test], from_=[others],
            where=(table.id == others.kept)
            & (table.patient == Null) & (table.imaging_test == Null)))
    execute(table.update(
            [table.imaging_test], [others.imaging_test], from_=[others],
            where=(table.id == others.kept) & (table.imaging_test == Null)
            & (table.patient == others.patient)))
    kept_out = [
        (id_, prefix + text) for id_, text in _linked_otherwise(table, others)]
    for id_, text in kept_out:
        comment = Case(
            (Coalesce(table.merge_comment, '') == '', text),
            else_=Concat(table.merge_comment, f'; {text}'))
        execute(table.update(
                [table.merge_comment], [comment], where=table.id == id_))
    return kept_out


def _linked_otherwise(table, others):
    "Return ids of studies, with PUID and result number of the other link"
    pool = Pool()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    result = pool.get('gnuhealth.imaging.test.result').__table__()
    rows = execute(others
        .join(table, condition=table.id == others.kept)
        .join(patient, 'LEFT', condition=patient.id == others.patient)
        .join(party, 'LEFT', condition=party.id == patient.party)
        .join(result, 'LEFT', condition=result.id == others.imaging_test)
        .select(
            table.id, party.ref, result.number,
            where=_differ(others.patient, table.patient)
            | _differ(others.imaging_test, table.imaging_test),
            order_by=table.id))
    return [
        (id_, ', '.join(map(str, filter(None, text)))) for id_, *text in rows]


def _differ(other, kept):
    return (other != Null) & ((kept == Null) | (kept != other))
