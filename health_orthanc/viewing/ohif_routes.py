# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes that serve the OHIF viewer

Its files are those of a program that everybody can download; they hold nothing
of patients, and need no session.
"""

import secrets
from http import HTTPStatus
from urllib.parse import quote

from werkzeug.exceptions import abort
from werkzeug.wrappers import Response
from werkzeug.wsgi import FileWrapper

from trytond.i18n import gettext
from trytond.protocols.wrappers import with_pool, with_transaction
from trytond.transaction import Transaction
from trytond.wsgi import app

from ..common.routes import browser_language, is_active, known_database
from ..core.installed_viewer import (
    PAGE, configuration_script, content_security_policy, render_page)
from .ohif import files_path, get_viewer, pages_path
from .session import COOKIE

__all__ = ['configuration', 'file', 'page']

_HEADERS = {
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    }
# The path holds the revision: there is never another content
_FOREVER = 'public, max-age=31536000, immutable'


@app.route(
    '/<database_name>/orthanc/viewer/files/<revision>/<path:name>',
    methods={'GET'})
@known_database
@with_pool
def file(request, pool, revision, name):
    """Send a file of the viewer, compressed if the browser takes it.

    Parameters
    ----------
    request : Request
    pool : Pool
    revision : str
        Of the viewer.
    name : str
        Only the files that the viewer's manifest lists are sent.

    Returns
    -------
    Response
        404 for all others, and for those of another revision.
    """
    viewer = _viewer(pool)
    found = viewer.files.get(name)
    if not found or revision != viewer.revision or name == PAGE:
        abort(HTTPStatus.NOT_FOUND)
    headers = {
        **_HEADERS,
        'Cache-Control': _FOREVER,
        'Content-Security-Policy': content_security_policy(
            evaluates=found.evaluates),
        'Vary': 'Accept-Encoding',
        }
    response = Response(content_type=found.content_type, headers=headers)
    response.set_etag(found.etag)
    if request.if_none_match.contains(found.etag):
        response.status_code = HTTPStatus.NOT_MODIFIED
        return response
    path = found.path
    if found.compressed and request.accept_encodings['gzip']:
        path = path.with_name(f'{path.name}.gz')
        response.headers['Content-Encoding'] = 'gzip'
    return _with_content(response, path)


def _with_content(response, path):
    try:
        opened = path.open('rb')
    except OSError:
        # Another revision is being installed
        abort(HTTPStatus.NOT_FOUND)
    response.content_length = path.stat().st_size
    # An open file alone is sent line by line
    response.response = FileWrapper(opened, 2**16)
    response.direct_passthrough = True
    response.call_on_close(opened.close)
    return response


@app.route(
    '/<database_name>/orthanc/viewer/<int:server>/app-config.js',
    methods={'GET'})
@known_database
@with_pool
def configuration(request, pool, server):
    """Send the configuration of the viewer for a server.

    Parameters
    ----------
    request : Request
    pool : Pool
    server : int

    Returns
    -------
    Response
    """
    _viewer(pool)
    database = pool.database_name
    language, texts = _texts(request, pool)
    script = configuration_script(
        pages_path(database, server),
        f"/{quote(database, safe='')}/orthanc/dicomweb/{server}/dicom-web",
        language, texts)
    return Response(
        script, content_type='text/javascript; charset=utf-8',
        headers={**_HEADERS, 'Cache-Control': 'no-store'})


@with_transaction(readonly=True)
def _texts(request, pool):
    "Return the language of the person and what they may have to be told"
    Session = pool.get('gnuhealth.imaging_orthanc.viewer_session')
    User = pool.get('res.user')
    user = Session.check(request.cookies.get(COOKIE, ''))
    chosen = User(user).language if user else None
    language = chosen.code if chosen else browser_language(request, pool)
    with Transaction().set_context(language=language):
        return language, {
            HTTPStatus.UNAUTHORIZED.value: gettext(
                'health_orthanc.msg_viewer_login'),
            HTTPStatus.FORBIDDEN.value: gettext(
                'health_orthanc.msg_viewer_forbidden'),
            HTTPStatus.BAD_GATEWAY.value: gettext(
                'health_orthanc.msg_viewer_unreachable'),
            HTTPStatus.GATEWAY_TIMEOUT.value: gettext(
                'health_orthanc.msg_viewer_unreachable'),
            }


@app.route(
    '/<database_name>/orthanc/viewer/<int:server>/', methods={'GET'},
    defaults={'route': ''})
@app.route(
    '/<database_name>/orthanc/viewer/<int:server>/<path:route>',
    methods={'GET'})
@known_database
@with_pool
def page(request, pool, server, route):
    """Send the page of the viewer, which has several routes of its own.

    Parameters
    ----------
    request : Request
    pool : Pool
    server : int
    route : str

    Returns
    -------
    Response
    """
    viewer = _viewer(pool)
    database = pool.database_name
    nonce = secrets.token_urlsafe(16)
    content = render_page(
        viewer.page, files_path(database, viewer.revision),
        pages_path(database, server), nonce)
    return Response(
        content, content_type='text/html; charset=utf-8', headers={
            **_HEADERS,
            'Cache-Control': 'no-store',
            'Content-Security-Policy': content_security_policy(nonce),
            'Cross-Origin-Opener-Policy': 'same-origin',
            })


def _viewer(pool):
    viewer = get_viewer() if is_active(pool) else None
    return viewer or abort(HTTPStatus.NOT_FOUND)
