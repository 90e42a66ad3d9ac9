# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of studies that 4.x and 5.0.x have stored.

They did not tell who had made a link: it is found out, or left in doubt.
"""

from sql import Literal, Null
from sql.conditionals import Case, Coalesce
from sql.functions import CharLength
from sql.operators import Concat, Exists

from trytond.pool import Pool

from .patients import patients_of
from .tables import execute

__all__ = ['convert_links', 'take_links']

# Shorter patient IDs were not taken for PUIDs by 5.0
_PUID_LENGTH = 9


def convert_links(table, module_name, of=None, puid_length=_PUID_LENGTH):
    """Tell the links that the machine has made from those of people.

    5.0 gave a study to the patient with the PUID, to the result with the
    merge id and to its patient.

    Parameters
    ----------
    of : Select, optional
        The ids of the studies, all by default.
    puid_length : int
        Of the shortest patient ID that was taken for a PUID.
    """
    Result = Pool().get('gnuhealth.imaging.test.result')
    result = Result.__table__()
    meant = table.id.in_(of) if of else Literal(True)
    # Later results took their studies, but not for their patients
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


def take_links(table, others, prefix=''):
    """Give studies the links of other records of them, where they have none.

    A link that another one keeps out is told in the comment.

    Parameters
    ----------
    others : Select
        ``kept``, the id of a study; ``patient`` and ``imaging_test``.
    prefix : str
        Of what is told in the comment.

    Returns
    -------
    list of (int, str)
        The studies that are linked otherwise, and to whom in the other record.
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
        (id_, prefix + told) for id_, told in _linked_otherwise(table, others)]
    for id_, told in kept_out:
        comment = Case(
            (Coalesce(table.merge_comment, '') == '', told),
            else_=Concat(table.merge_comment, f'; {told}'))
        execute(table.update(
                [table.merge_comment], [comment], where=table.id == id_))
    return kept_out


def _linked_otherwise(table, others):
    "Return studies, and PUID and number of result of a link that differs"
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
        (id_, ', '.join(map(str, filter(None, told)))) for id_, *told in rows]


def _differ(other, kept):
    return (other != Null) & ((kept == Null) | (kept != other))
