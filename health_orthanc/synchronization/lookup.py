# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of Orthanc's resources, by their ids there"""

from trytond.pool import Pool
from trytond.transaction import Transaction

from ..common.rows import in_slices, is_one_of

__all__ = ['ids_by_orthanc_id']


def ids_by_orthanc_id(server, model, orthanc_ids):
    """Return the record ids of studies or series.

    Parameters
    ----------
    server : Server
    model : str
        The name of the model.
    orthanc_ids : iterable of str

    Returns
    -------
    dict of int
        By Orthanc id.
    """
    Model = Pool().get(model)
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Model.__table__()
    study = table if Model is Study else Study.__table__()
    source = table if Model is Study else table.join(
        study, condition=table.study == study.id)
    cursor = Transaction().connection.cursor()
    found = {}
    for sub_ids in in_slices(orthanc_ids):
        cursor.execute(*source.select(
                table.orthanc_UID, table.id,
                where=is_one_of(table.orthanc_UID, sub_ids)
                & (study.server == server.id)))
        found.update(cursor)
    return found
