# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attached images of a study in quarantine

They are taken off the result or patient, so that nobody sees or prints them,
and are handed back when the quarantine ends, to whoever they belong.
"""

from trytond.model import ModelSQL, fields
from trytond.pool import Pool
from trytond.transaction import without_check_access

__all__ = ['Withheld', 'hand_back_attachments', 'withhold_attachments']


class Withheld(ModelSQL):
    """Withheld Attachment

    An attached image of a study in quarantine.  Nobody may read these, and so
    nobody may read the attachments.
    """
    __name__ = 'gnuhealth.imaging_orthanc.wrong_patient.withheld'

    wrong_patient = fields.Many2One(
        'gnuhealth.imaging_orthanc.wrong_patient', "Wrong Patient",
        required=True, readonly=True, ondelete='CASCADE')
    attachment = fields.Many2One(
        'ir.attachment', "Attachment", required=True, readonly=True,
        ondelete='CASCADE')
    place = fields.Char("Former Place", required=True, readonly=True)
    series_UID = fields.Char("Series UID", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # Clients do not use it
        cls.__rpc__.clear()


@without_check_access
def withhold_attachments(wrong):
    """Take the attached images of a study off its result and patient.

    Key images are deleted: they are attached anew when the quarantine ends.

    Parameters
    ----------
    wrong : WrongPatient
    """
    pool = Pool()
    Attachment = pool.get('ir.attachment')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Withheld = pool.get('gnuhealth.imaging_orthanc.wrong_patient.withheld')
    study = Study(wrong.study.id)
    key_image = study.key_image
    Study.write([study], {'key_image': None, 'key_image_at': None})
    if key_image:
        Attachment.delete([key_image])
    found = Attachment.search([
            ('resource', 'in', [str(p) for p in _places(study)])])
    series = _series_by_name(study, [a.name for a in found])
    withheld = Withheld.create([{
                'wrong_patient': wrong.id,
                'attachment': attachment.id,
                'place': str(attachment.resource),
                'series_UID': series[attachment.name],
                } for attachment in found if attachment.name in series])
    for record in withheld:
        Attachment.write([record.attachment], {'resource': str(record)})


def _series_by_name(study, names):
    "Return the series UIDs of the study's images that attachments name"
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    return {
        i.sop_instance_UID or i.orthanc_UID: i.series.series_UID
        for i in Instance.search([
                ('series.study', '=', study.id),
                ['OR',
                    ('sop_instance_UID', 'in', names),
                    ('orthanc_UID', 'in', names)],
                ])}


def _places(study):
    "Return the records that images of a study may be attached to"
    Result = Pool().get('gnuhealth.imaging.test.result')
    places = [study.imaging_test, study.settled_result, study.patient]
    places += Result.search([('orthanc_studies', '=', study.id)])
    return {p for p in places if p}


@without_check_access
def hand_back_attachments(wrong, confirmed):
    """Attach the withheld images where they belong.

    Parameters
    ----------
    wrong : WrongPatient
    confirmed : bool
        Whether the images were moved to the right patient.
    """
    pool = Pool()
    Attachment = pool.get('ir.attachment')
    Withheld = pool.get('gnuhealth.imaging_orthanc.wrong_patient.withheld')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    records = Withheld.search([('wrong_patient', '=', wrong.id)])
    study = Study(wrong.moved_study.id)
    for record in records:
        place = record.place
        if confirmed and (
                not wrong.chosen_series
                or record.series_UID in wrong.chosen_series):
            place = str(study.imaging_test or study.patient)
        elif not _exists(place):
            place = str(wrong.study.imaging_test or wrong.study.patient)
        Attachment.write([record.attachment], {'resource': place})
    Withheld.delete(records)


def _exists(place):
    "Return whether the record of a former place still exists"
    name, _, id_ = place.partition(',')
    return bool(Pool().get(name).search([('id', '=', int(id_))]))
