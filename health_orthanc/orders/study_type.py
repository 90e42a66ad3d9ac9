# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Study types and the defaults of their steps"""

import datetime as dt

from sql import Literal, Null

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction

from ..common.access import (
    GuardedSearchMixin, HiddenFieldsMixin, must_ask, warning_name)
from ..common.exceptions import StudyTypeWarning
from ..common.registration import LayeredMixin
from ..core.dicom.modalities import from_type_code
from .step import MODALITY_SELECTION, check_ae_titles

__all__ = ['ImagingTest', 'HideDuplicatesMixin']


class HideDuplicatesMixin:
    """Remove elements that `health_imaging_worklist` adds to a form again

    An inheriting view cannot remove them: it fails while that module is being
    activated or removed, when the elements do not exist.
    """
    __slots__ = ()
    _duplicate_elements = ''

    @classmethod
    def parse_view(cls, tree, *args, **kwargs):
        for element in tree.xpath(cls._duplicate_elements):
            element.getparent().remove(element)
        return super().parse_view(tree, *args, **kwargs)


class ImagingTest(
        LayeredMixin, HideDuplicatesMixin, GuardedSearchMixin,
        HiddenFieldsMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test'
    _duplicate_elements = (
        "//separator[@id='orthanc_step']/preceding-sibling::*"
        "[@name='aetitle' or @name='imaging_worklist_template']")

    aetitle = fields.Char(
        "AE Title",
        help="AE title of the modality that performs this study and queries "
        "the worklist. Separate several with a backslash.")
    orthanc_modality = fields.Selection(
        MODALITY_SELECTION, "DICOM Modality", translate=False,
        help="Leave empty to derive it from the code of the study type.")
    orthanc_station_name = fields.Char("Station Name", size=16)
    orthanc_location = fields.Char("Step Location", size=16)
    orthanc_step_description = fields.Char(
        "Step Description", size=64,
        help="Leave empty to use the name of the study.")
    orthanc_duration = fields.TimeDelta(
        "Step Duration",
        domain=['OR', ('orthanc_duration', '=', None),
            ('orthanc_duration', '>=', dt.timedelta())])

    @fields.depends('test_type', '_parent_test_type.code', 'orthanc_modality')
    def on_change_test_type(self):
        if self.test_type and not self.orthanc_modality:
            self.orthanc_modality = from_type_code(self.test_type.code)

    def step_defaults(self):
        """Return the default values of steps for this study type.

        Returns
        -------
        dict
        """
        return {
            'modality': self.orthanc_modality or from_type_code(
                self.test_type.code),
            'station_aetitle': self.aetitle,
            'station_name': self.orthanc_station_name,
            'location': self.orthanc_location,
            'description': (self.orthanc_step_description
                or self.name or '')[:64],
            'duration': self.orthanc_duration or dt.timedelta(minutes=15),
            }

    @classmethod
    def device_titles(cls):
        """Return the AE titles of all devices that study types name.

        Returns
        -------
        list of str
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(
                table.aetitle, group_by=table.aetitle,
                where=(table.active == Literal(True))
                & (table.aetitle != Null)))
        return sorted({
                title for titles, in cursor for title in titles.split('\\')
                if title})

    @classmethod
    def create(cls, vlist):
        tests = super().create(vlist)
        cls._clear_device_tabs()
        return tests

    @classmethod
    def delete(cls, tests):
        super().delete(tests)
        cls._clear_device_tabs()

    @staticmethod
    def _clear_device_tabs():
        Pool().get('ir.action.act_window').clear_device_tabs()

    @classmethod
    def write(cls, *args):
        before = {
            test: set(test.missing_defaults())
            for tests, values in zip(args[::2], args[1::2])
            if values.keys() & {'aetitle', 'orthanc_modality', 'test_type'}
            for test in tests}
        super().write(*args)
        cls._clear_device_tabs()
        for test in cls.browse(list(before)):
            cleared = [
                name for name in test.missing_defaults()
                if name not in before[test]]
            if cleared and test.active:
                test._warn_of_missing(cleared)

    def missing_defaults(self):
        """Return what keeps steps of this study type off the worklist.

        Returns
        -------
        list of str
            The fields that are empty.
        """
        values = self.step_defaults()
        return [
            name for name, value in [
                ('orthanc_modality', values['modality']),
                ('aetitle', values['station_aetitle'])]
            if not value]

    def _warn_of_missing(self, names):
        key = warning_name(f'study_type_{"_".join(names)}', [self])
        if must_ask(key):
            raise StudyTypeWarning(key, gettext(
                    'health_orthanc.msg_study_type_incomplete',
                    study=self.rec_name,
                    fields=', '.join(
                        self.__names__(name)['field'] for name in names)))

    @classmethod
    def validate_fields(cls, tests, field_names):
        super().validate_fields(tests, field_names)
        if not field_names or 'aetitle' in field_names:
            check_ae_titles(tests, 'aetitle')
