# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migration of orders from 5.0"""

from sql import Null

from trytond.transaction import Transaction

from ..common.registration import around_registration
from ..core.dicom.values import is_uid

__all__ = []


@around_registration('gnuhealth.imaging.test.request')
def _adapt_requests(Request, module_name):
    table_h = Request.__table_handler__(module_name)
    new = not table_h.column_exist('study_instance_uid')
    published = table_h.column_exist('merge_id')
    yield
    if new and published:
        # Migration from 5.0: health_imaging_worklist used the order number as
        # accession number and the merge ID as study UID
        _keep_published(Request)


def _keep_published(Request):
    table = Request.__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.update(
            [table.accession_alias], [table.request],
            where=table.state != 'draft'))
    cursor.execute(*table.select(
            table.id, table.merge_id, where=table.merge_id != Null,
            order_by=table.id))
    seen = set()
    for id_, merge_id in cursor.fetchall():
        # The copy of an order had the same merge ID
        if is_uid(merge_id) and merge_id not in seen:
            seen.add(merge_id)
            cursor.execute(*table.update(
                    [table.study_instance_uid], [merge_id],
                    where=table.id == id_))
