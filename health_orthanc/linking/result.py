# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies of a result"""

from trytond.model import fields
from trytond.pool import PoolMeta
from trytond.pyson import Eval

__all__ = ['TestResult']


class TestResult(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.result'
    _hidden_fields = frozenset({'orthanc_studies', 'orthanc_images_unlinked'})
    _technical_fields = frozenset({'orthanc_studies'})

    orthanc_studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.study', 'imaging_test', "Studies",
        readonly=True)
    orthanc_images_unlinked = fields.Boolean(
        "Images Unlinked", readonly=True,
        states={'invisible': ~Eval('orthanc_images_unlinked')},
        help="The images of this result were unlinked from its order after "
        "the report was written. Check the report.")

    @classmethod
    def copy(cls, results, default=None):
        default = default.copy() if default is not None else {}
        for name in ['orthanc_studies', 'orthanc_images_unlinked']:
            default.setdefault(name, None)
        return super().copy(results, default=default)
