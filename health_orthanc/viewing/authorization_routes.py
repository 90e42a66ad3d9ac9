# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Web service of Orthanc's authorization plugin

https://orthanc.uclouvain.be/book/plugins/authorization.html
"""

import logging
from functools import wraps
from http import HTTPStatus

from werkzeug.exceptions import HTTPException, abort

from trytond.protocols.wrappers import (
    set_max_request_size, with_pool, with_transaction)
from trytond.wsgi import app

from ..audit.trail import AuditEvent, record_event
from ..common.diagnostics import log_unexpected
from ..common.routes import is_active, json_response, known_database
from ..core.orthanc.access_request import (
    AccessRequest, RequestError, TokenRequest, parse_body, parse_credentials)
from .authorization import AuthorizationService

__all__ = ['create_token', 'decode', 'get_profile', 'validate']

logger = logging.getLogger('trytond.modules.health_orthanc.viewing')

_ROOT = '/<database_name>/orthanc/authorization'
# Bytes of a question
_SIZE = 2**16


def _answer(request, value, status=HTTPStatus.OK):
    response = json_response(request, value, status)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers['WWW-Authenticate'] = 'Basic realm="Orthanc"'
    return response


def _question(readonly=True):
    """Let only the plugin ask, and only what it can ask.

    The function gets the service of its server and the body, and returns the
    answer, or None if it is refused.
    """
    def decorator(func):
        @wraps(func)
        def wrapper(request, pool, **options):
            try:
                answer = with_transaction(readonly=readonly)(_ask)(
                    request, pool, func)
            except RequestError as error:
                return _answer(
                    request, {'message': f"Not understood: {error}"},
                    HTTPStatus.BAD_REQUEST)
            except HTTPException as error:
                if error.code == HTTPStatus.UNAUTHORIZED:
                    return _answer(
                        request, {'message': "Wrong identifier or key"},
                        HTTPStatus.UNAUTHORIZED)
                raise
            except Exception as error:
                # trytond would answer with its text
                log_unexpected(logger, error, "Authorization plugin")
                return _answer(
                    request, {'message': "Internal error"},
                    HTTPStatus.INTERNAL_SERVER_ERROR)
            if answer is None:
                return _answer(
                    request, {'message': "Refused"}, HTTPStatus.FORBIDDEN)
            return _answer(request, answer)
        return known_database(
            set_max_request_size(_SIZE)(with_pool(wrapper)))
    return decorator


def _ask(request, pool, func):
    if not is_active(pool):
        abort(HTTPStatus.NOT_FOUND)
    server = _authenticate(request, pool)
    body = parse_body(request.get_data())
    # Earlier versions have another name for it
    for name in ['server-id', 'identifier']:
        if body.get(name) not in [None, '', server.identifier]:
            raise RequestError(f"{name} of another server")
    return func(AuthorizationService(server), body)


def _authenticate(request, pool):
    Server = pool.get('gnuhealth.orthanc.config')
    given = request.authorization
    server = Server.check_authorization_key(
        given.username, given.password) if (
            given and given.type == 'basic') else None
    if server is None:
        # Before anybody looks for a user of this name
        record_event(AuditEvent(
                'login', 'refused', detail='authorization plugin'))
        abort(HTTPStatus.UNAUTHORIZED)
    return server


@app.route(f'{_ROOT}/tokens/validate', methods={'POST'})
@_question()
def validate(service, body):
    """Return whether a request to Orthanc is allowed.

    ``POST /<database>/orthanc/authorization/tokens/validate``
    """
    return service.validate(
        parse_credentials(body), AccessRequest.from_body(body))


@app.route(f'{_ROOT}/user/get-profile', methods={'POST'})
@_question()
def get_profile(service, body):
    """Return what somebody may do with all images of Orthanc.

    ``POST /<database>/orthanc/authorization/user/get-profile``
    """
    return service.profile(parse_credentials(body))


@app.route(f'{_ROOT}/tokens/decode', methods={'POST'})
@_question()
def decode(service, body):
    """Return which study a token is for.

    ``POST /<database>/orthanc/authorization/tokens/decode``
    """
    return service.decode(parse_credentials(body))


@app.route(f'{_ROOT}/tokens/<kind>', methods={'PUT'})
@_question(readonly=False)
def create_token(service, body):
    """Return a further token for the person and study of a token.

    ``PUT /<database>/orthanc/authorization/tokens/<kind>``; ``id`` in the body
    is the token.
    """
    token = service.renew(TokenRequest.from_body(body))
    return token and {'token': token, 'url': None}
