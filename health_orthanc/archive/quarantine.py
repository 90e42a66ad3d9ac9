# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quarantine of studies that are another patient's

Nobody sees the images of a study in quarantine: no viewer, preview, thumbnail,
download or attachment.  Whatever shows or hands out images asks `quarantined`
or calls `check_released`.
"""

from sql import Null

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from ..common.exceptions import QuarantineError

__all__ = ['QuarantineMixin', 'find_quarantined_patients']


class QuarantineMixin:
    "Fields of a study in quarantine"
    __slots__ = ()

    quarantined_at = fields.DateTime(
        "In Quarantine Since", readonly=True,
        states={'invisible': ~Bool(Eval('quarantined_at'))},
        help="The images were reported to be another patient's. Nobody can "
        "open, preview, download or attach them until this is settled.")
    quarantined_by = fields.Many2One(
        'res.user', "Reported By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('quarantined_by'))})
    quarantine_reason = fields.Text(
        "Reason for Quarantine", readonly=True,
        states={'invisible': ~Bool(Eval('quarantine_reason'))})

    @property
    def quarantined(self):
        "Whether the images must not be shown"
        return bool(self.quarantined_at)

    def raise_quarantined(self):
        """Raise the error that says why the images are not shown.

        Raises
        ------
        QuarantineError
        """
        raise QuarantineError(gettext(
                'health_orthanc.msg_study_quarantined',
                study=self.rec_name))


def find_quarantined_patients(patients):
    """Return which Orthanc patients have a study in quarantine.

    Parameters
    ----------
    patients : list of OrthancPatient

    Returns
    -------
    dict of bool
        By the id of the patient.
    """
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    cursor = Transaction().connection.cursor()
    found = dict.fromkeys(map(int, patients), False)
    for sub_ids in grouped_slice(list(found)):
        cursor.execute(*study.select(
                study.orthanc_patient,
                where=study.orthanc_patient.in_(list(sub_ids))
                & (study.quarantined_at != Null),
                group_by=study.orthanc_patient))
        found.update((id_, True) for id_, in cursor)
    return found
