# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading of the instances of a series on demand"""

import logging

from trytond.model import ModelView
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval, Len
from trytond.transaction import Transaction

from ..common.exceptions import orthanc_errors
from ..core.orthanc.errors import OrthancError
from ..core.secrets import SecretUnavailable
from .instances import count_instances

__all__ = ['Series']

logger = logging.getLogger('trytond.modules.health_orthanc.series')

# The most studies that are requested when a user opens series
STUDIES_LIMIT = 3


class Series(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study_series'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'load_instances': {
                    'invisible': (
                        (Eval('instances_count', 0) > 0)
                        & (Len(Eval('instances', []))
                            >= Eval('instances_count', 0))),
                    'depends': ['instances', 'instances_count'],
                    },
                })

    @classmethod
    def read(cls, ids, fields_names):
        # A client that opens a series reads its instances through RPC. Code
        # that uses `series.instances` gets what is recorded.
        if 'instances' not in fields_names or not Transaction().check_access:
            return super().read(ids, fields_names)
        cls._load_for_reading(ids)
        # The snapshot of this transaction may be older than the instances
        with Transaction().new_transaction(readonly=True):
            return super().read(ids, fields_names)

    @classmethod
    def _load_for_reading(cls, ids):
        # Check the access before the network is used
        super().read(ids, ['id'])
        counts = count_instances(ids)
        waiting = [
            s for s in cls.browse(ids)
            if not s.missing_since
            and (s.instances_count or 0) != counts.get(s.id, 0)]
        try:
            cls._load(waiting)
        except (OrthancError, SecretUnavailable) as error:
            # The form still opens; its button shows the error
            logger.warning(
                "Instances not loaded: %s",
                getattr(error, 'kind', 'secret'))

    @classmethod
    @ModelView.button
    @orthanc_errors
    def load_instances(cls, series):
        """Fetch the instances of the studies of series.

        Raises
        ------
        OrthancUserError
        """
        cls._load(series)

    @classmethod
    def _load(cls, series):
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        studies = dict.fromkeys(s.study for s in series)
        for study in list(studies)[:STUDIES_LIMIT]:
            Synchronization.load_instances(study)
