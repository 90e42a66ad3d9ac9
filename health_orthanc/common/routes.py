# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access, activation and answers of the HTTP routes"""

import gzip
import json
import re
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus

from werkzeug.exceptions import HTTPException, abort
from werkzeug.wrappers import Response

from trytond import backend
from trytond.config import config
from trytond.pool import Pool
from trytond.protocols.wrappers import (
    Request, user_application, with_transaction)
from trytond.transaction import Transaction
from trytond.wsgi import app

from .application import APPLICATION, MODULE
from .client_session import session_key

__all__ = [
    'answer_refusals', 'browser_language', 'check_plugin',
    'check_same_origin', 'is_active', 'is_database', 'json_response',
    'known_database', 'limit_silence', 'our_route', 'remember_session']

# Seconds without a byte from the client
_SILENCE = 120
# Names under which HTTP servers give the socket of a request
_SOCKETS = ['werkzeug.socket', 'gunicorn.socket']
_OURS = re.compile('/[^/]+/orthanc/([^/]*)')


def known_database(func):
    """Answer 404 for a database that does not exist.

    trytond itself fails: with a status of 500, and an error in the log.
    """
    @wraps(func)
    def wrapper(request, database_name, *args, **kwargs):
        if not is_database(database_name):
            abort(HTTPStatus.NOT_FOUND)
        return func(request, database_name, *args, **kwargs)
    return wrapper


def is_database(name):
    "Return whether there is a database with a name"
    if name in Pool.database_list():
        return True
    try:
        return bool(backend.Database(name).connect().test())
    except Exception:
        # What drivers raise for a strange name is their own matter
        return False


def our_route(path):
    """Return the name of a route of this module.

    Parameters
    ----------
    path : str
        Of a URL.

    Returns
    -------
    str or None
        None for all other paths.
    """
    match = _OURS.match(path)
    return match[1] if match else None


def answer_refusals(wsgi_app):
    """Answer what is refused before a route of this module is called.

    trytond lets the refusal of a foreign Origin pass to the HTTP server, which
    answers 500.

    Parameters
    ----------
    wsgi_app : callable

    Returns
    -------
    callable
    """
    @wraps(wsgi_app)
    def wrapper(environ, start_response):
        try:
            return wsgi_app(environ, start_response)
        except HTTPException as error:
            if not _OURS.match(environ.get('PATH_INFO', '')):
                raise
            return error(environ, start_response)
    wrapper.answers_refusals = True
    return wrapper


if not hasattr(app.wsgi_app, 'answers_refusals'):
    app.wsgi_app = answer_refusals(app.wsgi_app)


def remember_session(wsgi_app):
    """Let models ask for the session of the client.

    Parameters
    ----------
    wsgi_app : callable

    Returns
    -------
    callable
    """
    @wraps(wsgi_app)
    def wrapper(environ, start_response):
        with session_key(_session_key(environ)):
            return wsgi_app(environ, start_response)
    wrapper.remembers_session = True
    return wrapper


def _session_key(environ):
    authorization = Request(environ).authorization
    if authorization and authorization.type == 'session':
        return authorization.get('session')
    return None


if not hasattr(app.wsgi_app, 'remembers_session'):
    app.wsgi_app = remember_session(app.wsgi_app)


@with_transaction(readonly=True)
@user_application(APPLICATION, json=False)
def check_plugin(request, pool):
    """Check that a plugin sends the request.

    Returns
    -------
    int
        The id of the plugin's user.

    Raises
    ------
    HTTPException
        404 in a database without the module, 403 for other users.
    """
    User = pool.get('res.user')
    if not is_active(pool):
        abort(HTTPStatus.NOT_FOUND)
    group = pool.get('ir.model.data').get_id(MODULE, 'group_orthanc_plugin')
    user = User(Transaction().user)
    if not user.active or group not in User.get_groups():
        abort(HTTPStatus.FORBIDDEN)
    return user.id


def check_same_origin(request):
    """Check that a page of this server sends the request.

    trytond refuses a foreign ``Origin``, but not a request without one.

    Parameters
    ----------
    request : Request

    Raises
    ------
    HTTPException
        403. Requests of programs that are no browsers, which send neither
        header, are refused, too.
    """
    site = request.headers.get('Sec-Fetch-Site')
    if site is None:
        allowed = bool(request.headers.get('Origin'))
    else:
        allowed = site == 'same-origin'
    if not allowed:
        abort(HTTPStatus.FORBIDDEN)


def is_active(pool):
    "Return whether the module is active in a database"
    try:
        pool.get('gnuhealth.orthanc.config')
    except KeyError:
        return False
    return True


def browser_language(request, pool):
    """Return the code of the browser's language, if it is available here.

    Parameters
    ----------
    request : Request
    pool : Pool
        There must be a transaction.

    Returns
    -------
    str
    """
    Lang = pool.get('ir.lang')
    codes = [
        lang.code for lang in Lang.search([('translatable', '=', True)])]
    return request.accept_languages.best_match(codes) or 'en'


@contextmanager
def limit_silence(request):
    """End the request if its client sends nothing for long.

    Other HTTP servers than trytond's own and gunicorn have a limit of their
    own.

    Parameters
    ----------
    request : Request
    """
    sockets = (request.environ.get(name) for name in _SOCKETS)
    socket = next(filter(None, sockets), None)
    if socket is None:
        yield
        return
    former = socket.gettimeout()
    socket.settimeout(config.getint(
            'health_orthanc', 'upload_timeout', default=_SILENCE))
    try:
        yield
    finally:
        socket.settimeout(former)


def json_response(
        request, value, status=HTTPStatus.OK,
        content_type='application/json'):
    """Return a JSON response, compressed if the client accepts gzip.

    Parameters
    ----------
    request : Request
    value : object
        Must be serializable as JSON.
    status : int
    content_type : str

    Returns
    -------
    Response
    """
    body = json.dumps(value, separators=(',', ':')).encode()
    headers = {'Cache-Control': 'no-store'}
    if request.accept_encodings['gzip']:
        # Level 1 is faster, and hardly larger
        body = gzip.compress(body, compresslevel=1)
        headers['Content-Encoding'] = 'gzip'
    return Response(
        body, status=status, content_type=content_type, headers=headers)
