# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes for monitoring: metrics for Prometheus, and a health check

They do not exist unless ``monitoring_key`` is set in the section
``health_orthanc`` of the Tryton configuration, and answer only to this key.
They hold counts and times, and names of servers, but nothing of patients.
"""

import hmac
from functools import wraps
from http import HTTPStatus

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from trytond.config import config
from trytond.protocols.wrappers import with_pool, with_transaction
from trytond.transaction import without_check_access
from trytond.wsgi import app

from ..common.application import MODULE
from ..common.routes import is_active, json_response, known_database
from .figures import collect_figures
from .health import find_troubles, is_scheduler_late

__all__ = ['health', 'metrics']

# The shortest key that is accepted
KEY_LENGTH = 16
_PREFIX = 'health_orthanc_'


def _for_monitoring(func):
    "Answer 404 unless there is a key, and 403 to whoever does not send it"
    @wraps(func)
    def wrapper(request, *args, **kwargs):
        key = config.get(MODULE, 'monitoring_key', default='').strip()
        if len(key) < KEY_LENGTH:
            abort(HTTPStatus.NOT_FOUND)
        scheme, _, sent = request.headers.get(
            'Authorization', '').partition(' ')
        if scheme.lower() != 'bearer' or not hmac.compare_digest(
                sent.strip().encode(), key.encode()):
            abort(HTTPStatus.FORBIDDEN)
        return func(request, *args, **kwargs)
    return wrapper


@app.route('/<database_name>/orthanc/metrics', methods={'GET'})
@_for_monitoring
@known_database
@with_pool
def metrics(request, pool):
    """Return figures of the operation to Prometheus.

    ``GET /<database>/orthanc/metrics``, with the key as bearer token.

    Parameters
    ----------
    request : Request
    pool : Pool

    Returns
    -------
    Response
        In Prometheus' text format.
    """
    return Response(
        _read_metrics(request, pool), content_type=CONTENT_TYPE_LATEST,
        headers={'Cache-Control': 'no-store'})


@app.route('/<database_name>/orthanc/health', methods={'GET'})
@_for_monitoring
@known_database
@with_pool
def health(request, pool):
    """Return whether everything works.

    ``GET /<database>/orthanc/health``, with the key as bearer token.

    Parameters
    ----------
    request : Request
    pool : Pool

    Returns
    -------
    Response
        JSON: ``healthy``, and ``warnings`` of ``kind``, ``server`` (its id)
        and ``since``.  200 if everything works, else 503.
    """
    moment, troubles = _read_troubles(request, pool)
    response = json_response(request, {
            'healthy': not troubles,
            'checked_at': _iso(moment),
            'warnings': [
                {'kind': kind, 'server': server, 'since': _iso(since)}
                for (kind, server), since in troubles.items()],
            })
    if troubles:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return response


@with_transaction(readonly=True)
@without_check_access
def _read_metrics(request, pool):
    "Return the figures in Prometheus' text format"
    _check_active(pool)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(collect_figures()))
    return generate_latest(registry)


@with_transaction(readonly=True)
@without_check_access
def _read_troubles(request, pool):
    "Return the time, and since when what has not worked for its time"
    _check_active(pool)
    settings = pool.get('gnuhealth.orthanc.operation')(1)
    figures = collect_figures()
    troubles = find_troubles(settings, figures)
    last = figures.scheduler_run
    if is_scheduler_late(settings, last, figures.moment):
        troubles['scheduler', None] = last
    return figures.moment, troubles


def _check_active(pool):
    if not is_active(pool):
        abort(HTTPStatus.NOT_FOUND)


def _iso(moment):
    return f'{moment.isoformat()}Z'


class _Collector:
    """The figures as metrics

    Parameters
    ----------
    figures : Figures
    """

    def __init__(self, figures):
        self._moment = figures.moment
        self._metrics = [*self._global(figures)]
        for name, text, value in _OF_SERVERS:
            metric = GaugeMetricFamily(
                _PREFIX + name, text, labels=['server', 'label'])
            for found in figures.servers:
                self._add(metric, value(found), [
                        str(found.server.id), found.server.label])
            self._metrics.append(metric)

    def collect(self):
        "Return the metrics, as Prometheus' client asks for them"
        return self._metrics

    def _global(self, figures):
        for name, text, value in [
                ('tasks_waiting', "Tasks of imaging that could start.",
                    figures.tasks),
                ('oldest_task_age_seconds',
                    "Since when the oldest could start.",
                    figures.oldest_task),
                ('worker_run_age_seconds', "Since the last task was started.",
                    figures.worker_run),
                ('scheduler_run_age_seconds', "Since the scheduler last ran.",
                    figures.scheduler_run),
                ]:
            metric = GaugeMetricFamily(_PREFIX + name, text, labels=[])
            self._add(metric, value, [])
            yield metric

    def _add(self, metric, value, labels):
        "Add a number, or the seconds since a time; nothing for None"
        if hasattr(value, 'isoformat'):
            value = (self._moment - value).total_seconds()
        if value is not None:
            metric.add_metric(labels, value)


_OF_SERVERS = [
    ('server_working', "Whether the server works.",
        lambda found: not found.server.failing_since),
    ('server_contact_age_seconds', "Since the server last answered.",
        lambda found: found.server.last_contact),
    ('server_synchronization_age_seconds',
        "Since the last synchronization that succeeded.",
        lambda found: found.server.last_synchronization),
    ('server_changes_not_read', "Changes that are not read yet.",
        lambda found: found.server.lag),
    ('server_failures', "Resources that could not be stored.",
        lambda found: found.failures),
    ('server_notifications_waiting', "Notifications that are not processed.",
        lambda found: found.notifications),
    ('server_oldest_notification_age_seconds',
        "Since the oldest of them was received.",
        lambda found: found.oldest_notification),
    ('server_plugin_contact_age_seconds',
        "Since the plugin last sent something.",
        lambda found: found.server.last_plugin_contact),
    ('server_worklist_update_age_seconds',
        "Since the worklist was last updated through the REST API.",
        lambda found: found.server.last_worklist_update),
    ]
