# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of a series are read when somebody opens it."""

import logging

from trytond.model import ModelView
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction

from ..common.exceptions import orthanc_errors
from ..core.orthanc.errors import OrthancError
from ..core.secrets import SecretUnavailable
from .store import instances_counts

__all__ = ['Series']

logger = logging.getLogger('trytond.modules.health_orthanc.series')

# How many studies are asked for at the most when somebody opens series
STUDIES_LIMIT = 3


class Series(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study_series'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'load_instances': {},
                })

    @classmethod
    def read(cls, ids, fields_names):
        # Somebody opens series: RPC asks for their instances. Code that goes
        # through `series.instances` finds what is recorded.
        if 'instances' not in fields_names or not Transaction().check_access:
            return super().read(ids, fields_names)
        cls._load_for_reading(ids)
        # A new transaction, since this one's snapshot may be older
        with Transaction().new_transaction(readonly=True):
            return super().read(ids, fields_names)

    @classmethod
    def _load_for_reading(cls, ids):
        # The access is checked before anything is fetched
        super().read(ids, ['id'])
        counts = instances_counts(ids)
        waiting = [
            s for s in cls.browse(ids)
            if not s.missing_since
            and (s.instances_count or 0) != counts.get(s.id, 0)]
        try:
            cls._load(waiting)
        except (OrthancError, SecretUnavailable) as error:
            # The form opens with what there is; its button tells why.
            logger.warning(
                "Instances not loaded: %s",
                getattr(error, 'kind', 'secret'))

    @classmethod
    @ModelView.button
    @orthanc_errors
    def load_instances(cls, series):
        "Fetch the lists of instances of the series' studies"
        cls._load(series)

    @classmethod
    def _load(cls, series):
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        studies = dict.fromkeys(s.study for s in series)
        for study in list(studies)[:STUDIES_LIMIT]:
            Synchronization.load_instances(study)
