# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals by routes, wizards and buttons in the audit trail

Whatever refuses raises an error, and every request passes here.  A route that
knows more of what it refuses records this itself.
"""

import logging
from functools import wraps
from http import HTTPStatus

from trytond.model.exceptions import AccessError
from trytond.pool import Pool
from trytond.protocols.wrappers import with_pool
from trytond.transaction import Transaction
from trytond.wsgi import app

from ..common.diagnostics import log_unexpected
from ..common.exceptions import QuarantineError
from ..common.registration import is_own
from ..common.routes import is_active, is_database, our_route
from .trail import AuditEvent, record_event, record_events, refusals_recorded

__all__ = ['record_refusals']

logger = logging.getLogger('trytond.modules.health_orthanc.audit')

_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_PACKAGE = __name__.rpartition('.audit.')[0]
# Records of one call that are recorded
_LIMIT = 20


def record_refusals(dispatch):
    """Record what a request was refused in the audit trail.

    Parameters
    ----------
    dispatch : callable
        Returns the response to a request, or the error.

    Returns
    -------
    callable
    """
    @wraps(dispatch)
    def wrapper(request):
        before = refusals_recorded()
        answer = dispatch(request)
        try:
            if _is_refusal(answer) and refusals_recorded() == before:
                _record(request, answer)
        except Exception as error:
            # The refusal itself must reach the client
            log_unexpected(logger, error, "Refusal not recorded")
        return answer
    wrapper.records_refusals = True
    return wrapper


def _is_refusal(answer):
    if isinstance(answer, Exception) and _status(answer) is None:
        return isinstance(answer, (AccessError, QuarantineError))
    return _status(answer) in _REFUSED


def _status(answer):
    "Return the HTTP status of a response or of an error"
    return getattr(answer, 'status_code', None) or (
        # Of errors of trytond it is something else
        None if isinstance(answer, (AccessError, QuarantineError))
        else getattr(answer, 'code', None))


def _record(request, answer):
    database = (request.view_args or {}).get('database_name')
    route = our_route(request.path)
    call = None if route else _call(request)
    if (route or call) and database and is_database(database):
        _record_in(request, database, answer, route, call)


@with_pool
def _record_in(request, pool, answer, route, call):
    if not is_active(pool):
        return
    with Transaction().start(
            pool.database_name, request.user_id or 0, readonly=True,
            context={'_request': request.context}):
        if route:
            action = 'login' if (
                _status(answer) == HTTPStatus.UNAUTHORIZED) else 'route'
            record_event(AuditEvent(
                    action, 'refused', detail=f'{request.method} {route}'))
        else:
            _record_call(*call)


def _call(request):
    "Return type, name, method and arguments of a remote call"
    kind, _, rest = (request.rpc_method or '').partition('.')
    name, _, method = rest.rpartition('.')
    if kind in {'model', 'wizard'} and name:
        return kind, name, method, request.rpc_params


def _record_call(kind, name, method, arguments):
    pool = Pool()
    try:
        called = pool.get(name, type=kind)
    except KeyError:
        return
    if not _is_ours(called, method):
        return
    if kind == 'wizard':
        event = AuditEvent('wizard', 'refused', detail=name)
        model, ids = _active_records(arguments)
    else:
        # Whoever is not logged in may send any text as method
        known = method in called.__rpc__
        event = AuditEvent(
            'button', 'refused', detail=f'{name} {method}' if known else name)
        model, ids = name, _ids(arguments[0] if arguments else None)
    Entry = pool.get('gnuhealth.imaging_orthanc.audit')
    record_events(Entry.events_of(event, model, ids[:_LIMIT]) or [event])


def _is_ours(called, method):
    "Return whether what was called is of this module"
    return is_own(called) or getattr(
        getattr(called, method, None), '__module__', '').startswith(_PACKAGE)


def _active_records(arguments):
    context = arguments[-1] if arguments else None
    if not isinstance(context, dict):
        return None, []
    return context.get('active_model'), _ids(
        context.get('active_ids') or context.get('active_id'))


def _ids(value):
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, int)]


if not hasattr(app.dispatch_request, 'records_refusals'):
    app.dispatch_request = record_refusals(app.dispatch_request)
