# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching resources again that could not be stored"""

import datetime as dt
import logging

from trytond.model import ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import without_check_access

from ..common.diagnostics import log_unexpected
from ..common.transaction import in_transaction, now
from ..core.orthanc.errors import OrthancError
from ..core.secrets import SecretUnavailable
from ..synchronization.engine import Engine

__all__ = ['Failure', 'Server']

logger = logging.getLogger('trytond.modules.health_orthanc.retry')

FAILURE = 'gnuhealth.orthanc.synchronization.failure'
# The most resources of a server that one task fetches
RETRY_LIMIT = 500
# Hours after which a task that was requested counts as lost
_LOST = 1


class Failure(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.synchronization.failure'

    retry_at = fields.DateTime(
        "Retry Requested", readonly=True,
        help="When somebody requested to fetch the resource again. Empty once "
        "this was done.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'retry': {
                    'invisible': Bool(Eval('resolved')),
                    'readonly': Bool(Eval('retry_at')),
                    'depends': ['resolved', 'retry_at'],
                    },
                })

    @classmethod
    @ModelView.button
    def retry(cls, failures):
        "Queue the fetch of the failed resources"
        cls.check_read(failures)
        cls.request_retry([
                ('id', 'in', [f.id for f in failures]),
                ])

    @classmethod
    @without_check_access
    def request_retry(cls, domain):
        """Queue the fetch of open failures, unless it is queued already.

        Parameters
        ----------
        domain : list
            Of the failures.  Of each server, at most `RETRY_LIMIT` are
            fetched.
        """
        Server = Pool().get('gnuhealth.orthanc.config')
        lost = now() - dt.timedelta(hours=_LOST)
        by_server = {}
        for failure in cls.search([
                    domain,
                    ('resolved', '=', None),
                    ('orthanc_UID', '!=', None),
                    ['OR',
                        ('retry_at', '=', None),
                        ('retry_at', '<', lost)],
                    ], order=[('last_seen', 'ASC')]):
            found = by_server.setdefault(failure.server.id, [])
            if len(found) < RETRY_LIMIT:
                found.append(failure)
        for server_id, found in by_server.items():
            cls.write(found, {'retry_at': now()})
            Server.__queue__.fetch_failed([Server(server_id)])


class Server(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.config'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'retry_failures': {
                    'invisible': ~Eval('failures_count', 0),
                    'depends': ['failures_count'],
                    },
                })

    @classmethod
    @ModelView.button
    def retry_failures(cls, servers):
        "Queue the fetch of all resources that could not be stored"
        cls.check_read(servers)
        Pool().get(FAILURE).request_retry([
                ('server', 'in', [s.id for s in servers]),
                ])

    @classmethod
    def fetch_failed(cls, servers):
        "Fetch the resources of which this was requested (queue)"
        for server_id in [s.id for s in servers]:
            cls._fetch_failed(server_id)

    @classmethod
    def _fetch_failed(cls, server_id):
        ids = in_transaction(cls._requested_retries, server_id)
        try:
            client, with_instances = in_transaction(
                cls._connect_retry, server_id)
            with client:
                Engine(server_id, None, client, with_instances).retry(
                    list(ids.values()))
            cls.record_contact(server_id)
        except OrthancError as error:
            cls.record_failure(server_id, error.kind, single=True)
        except SecretUnavailable:
            cls.record_failure(server_id, 'secret')
        except Exception as error:
            # The failures stay open, and can be retried
            log_unexpected(
                logger, error, "Orthanc server %s: retry", server_id)
        finally:
            in_transaction(cls._finish_retry, list(ids))

    @classmethod
    def _requested_retries(cls, server_id):
        "Return the Orthanc ids of what is to be fetched, by failure"
        return {
            f.id: f.orthanc_UID for f in Pool().get(FAILURE).search([
                    ('server', '=', server_id),
                    ('resolved', '=', None),
                    ('retry_at', '!=', None),
                    ], limit=RETRY_LIMIT, order=[('retry_at', 'ASC')])}

    @classmethod
    def _connect_retry(cls, server_id):
        server = cls(server_id)
        return server.get_client(), server.instances_mode == 'always'

    @classmethod
    def _finish_retry(cls, ids):
        Failure = Pool().get(FAILURE)
        Failure.write(Failure.browse(ids), {'retry_at': None})
