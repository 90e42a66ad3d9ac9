# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migration of Orthanc patients from 4.x"""

from sql import Null
from sql.conditionals import Coalesce, NullIf

from trytond.pool import Pool

from ..common.registration import around_registration
from .tables import (
    add_note, count_rows, empty_to_null, execute, fill_display_names, is_older)

__all__ = ['convert_patients', 'patients_of', 'prepare_patients']

_ADMIN = 1


def prepare_patients(Patient, module_name):
    "Return whether `convert_patients` must be called"
    return is_older(Patient, module_name, 'display_name')


def convert_patients(Patient):
    """Complete the patients of 4.x.

    Parameters
    ----------
    Patient : OrthancPatient
        The class.
    """
    table = Patient.__table__()
    add_note('patients', count_rows(table))
    empty_to_null(table, ['name', 'ident'])
    fill_display_names(table, table.name, table.display_name)
    # The system made links to the patient with the PUID; users the others
    who = Coalesce(
        NullIf(table.write_uid, 0), NullIf(table.create_uid, 0), _ADMIN)
    execute(table.update(
            [table.decided_by], [who],
            where=(table.patient != Null)
            & ~table.patient.in_(patients_of(table.ident))))


def patients_of(patient_id):
    "Return a query for the patients whose PUID is in a column"
    pool = Pool()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    return patient.join(
        party, condition=patient.party == party.id).select(
        patient.id, where=party.ref == patient_id)


@around_registration('gnuhealth.orthanc.patient')
def _adapt_patients(OrthancPatient, module_name):
    # Migration from 4.x
    old = prepare_patients(OrthancPatient, module_name)
    yield
    if old:
        convert_patients(OrthancPatient)
