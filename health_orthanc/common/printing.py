# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports that say why they cannot be printed"""

import logging
import subprocess

from trytond.i18n import gettext

from .exceptions import ReportError

__all__ = ['PrintMixin']

logger = logging.getLogger('trytond.modules.health_orthanc.report')


class PrintMixin:
    "A report whose conversion ends in the format asked for, or in words"
    __slots__ = ()

    @classmethod
    def convert(cls, report, data, **kwargs):
        """Convert a print, for instance to PDF.

        Raises
        ------
        ReportError
            There is no converter, or it has failed.
        """
        try:
            extension, content = super().convert(report, data, **kwargs)
        except (FileNotFoundError, PermissionError) as error:
            logger.error("Report not converted: %s", type(error).__name__)
            raise ReportError(
                gettext('health_orthanc.msg_report_no_converter')) from error
        except subprocess.TimeoutExpired as error:
            raise ReportError(
                gettext('health_orthanc.msg_report_not_converted')) from error
        # trytond returns the template's format after a failure
        if extension != (report.extension or report.template_extension) and (
                extension == report.template_extension):
            raise ReportError(
                gettext('health_orthanc.msg_report_not_converted'))
        return extension, content
