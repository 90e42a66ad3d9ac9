# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The timeline of a patient's studies"""

from trytond.model import ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import without_check_access

from ..common.rows import fetch_rows
from ..orders.result import REPORT_STATES

__all__ = ['Patient', 'Study', 'get_tabs']


class Study(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study'

    report_state = fields.Function(
        fields.Selection([(None, ''), *REPORT_STATES], "Report", sort=False,
            help="Whether somebody has read the images and written the "
            "finding. Empty if there is no result for the study."),
        'get_report_state')

    @classmethod
    @without_check_access
    def get_report_state(cls, studies, name):
        """Return the report states; a study of several orders has the worst.
        """
        pool = Pool()
        table = cls.__table__()
        further = pool.get(
            'gnuhealth.imaging_orthanc.study.order').__table__()
        result = pool.get('gnuhealth.imaging.test.result').__table__()
        states = dict.fromkeys(map(int, studies))
        for sub_ids in grouped_slice(list(states)):
            for link, study_id, result_id in [
                    (table, table.id, table.imaging_test),
                    (further, further.study, further.result)]:
                for id_, unreported in fetch_rows(link.join(
                            result, condition=result_id == result.id).select(
                            study_id, result.orthanc_unreported,
                            where=reduce_ids(study_id, sub_ids))):
                    if unreported:
                        states[id_] = 'unreported'
                    elif states[id_] is None:
                        states[id_] = 'reported'
        return states


class Patient(metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient'
    _hidden_buttons = frozenset({'orthanc_all_images'})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['orthanc_all_images'] = {}

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_all_images')
    def orthanc_all_images(cls, patients):
        "Open the timeline of a patient"
        pass


def get_tabs(patient):
    """Return the modalities and years of a patient's studies.

    Parameters
    ----------
    patient : Patient

    Returns
    -------
    modalities : list of str
    years : list of int
        The latest first.
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    modalities, years = set(), set()
    for found, date in fetch_rows(table.select(
                table.modalities, table.date,
                where=(table.patient == patient.id)
                & (table.link_status != 'auto_unsure'))):
        modalities.update(found.split(', ') if found else [])
        if date:
            years.add(int(str(date)[:4]))
    return sorted(modalities), sorted(years, reverse=True)
