# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The print of a result

It takes the place of GNU Health's, which fails if nobody has evaluated the
study yet.
"""

from trytond.i18n import gettext
from trytond.report import Report

from ..common.printing import PrintMixin

__all__ = ['ImagingResultReport']


class ImagingResultReport(PrintMixin, Report):
    "Medical Imaging Study"
    __name__ = 'patient.imaging_report_results'

    @classmethod
    def get_context(cls, records, header, data):
        context = super().get_context(records, header, data)
        context['records'] = [_Result(r) for r in records]
        context['record'] = context['records'][0] if records else None
        return context


def describe_reader(result):
    """Return who has read a result, as prints name it.

    Parameters
    ----------
    result : TestResult

    Returns
    -------
    str
    """
    if result.orthanc_unreported:
        return gettext('health_orthanc.msg_result_unreported')
    for reader in [result.doctor, result.orthanc_reported_by]:
        if reader:
            return reader.rec_name
    return ''


class _Reader:
    """What templates find in *Evaluated by* if it holds nobody

    Those that a hospital has changed print its name, too.
    """

    def __init__(self, name):
        self.rec_name = name

    def __getattr__(self, name):
        return None


class _Result:
    "A result of which a template can print who has read it"

    def __init__(self, result):
        self._result = result

    @property
    def doctor(self):
        doctor = self._result.doctor
        if doctor and not self._result.orthanc_unreported:
            return doctor
        return _Reader(describe_reader(self._result))

    def __getattr__(self, name):
        return getattr(self._result, name)

    def __int__(self):
        return int(self._result)

    def __str__(self):
        return str(self._result)
