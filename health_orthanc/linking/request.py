# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching of studies after an order"""

from trytond.pool import PoolMeta
from trytond.transaction import without_check_access

from .queue import queue_for_orders

__all__ = ['Request']


class Request(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.request'

    @classmethod
    def create(cls, vlist):
        requests = super().create(vlist)
        cls._queue_studies(requests)
        return requests

    @classmethod
    def requested(cls, requests):
        super().requested(requests)
        cls._queue_studies(requests)

    @classmethod
    @without_check_access
    def _queue_studies(cls, requests):
        queue_for_orders([
                r for r in cls.browse(requests) if r.state == 'requested'])
