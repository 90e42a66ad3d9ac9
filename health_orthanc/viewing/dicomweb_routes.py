# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""DICOMweb of the servers, under the rights of GNU Health (PS3.18)"""

import logging
import shutil
import tempfile
import threading
import zlib
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus
from urllib.parse import urlencode

from werkzeug.exceptions import HTTPException, abort
from werkzeug.wrappers import Response
from werkzeug.wsgi import ClosingIterator

from trytond.i18n import gettext
from trytond.protocols.wrappers import (
    set_max_request_size, with_pool, with_transaction)
from trytond.transaction import Transaction
from trytond.wsgi import app

from ..common.access_log import hide_queries
from ..common.diagnostics import log_unexpected
from ..common.exceptions import describe
from ..common.routes import (
    browser_language, check_same_origin, is_active, json_response,
    known_database, limit_silence)
from ..core.dicomweb.annotation import AnnotationError, read_annotation
from ..core.dicomweb.headers import (
    forwarded, request_headers, response_headers)
from ..core.dicomweb.multipart import MultipartError, join_parts, split_parts
from ..core.dicomweb.query import QueryError, parse_query, parse_study_search
from ..core.dicomweb.resource_path import PIXELS, parse_path
from ..core.orthanc.errors import NotFound, OrthancError, ServerFault
from ..core.secrets import SecretUnavailable
from .memory import metadata
from .nginx_routes import (
    answer_for_study, asks_for_study, find_location, hand_over)
from .rights import in_name_of
from .session import COOKIE, cookie_path
from .viewer_access import Access, Refusal

__all__ = ['dicom_web']

logger = logging.getLogger('trytond.modules.health_orthanc.viewing')

hide_queries()

# Bytes of what a viewer stores at once, and of them those that are kept in
# memory while the others arrive
_STORED_SIZE = 2**26
_KEPT_SIZE = 2**20
_storing = threading.BoundedSemaphore(2)
# Seconds to wait for a place, and until the viewer may try again
_PATIENCE = 10
# Studies that are described in one request
_DESCRIBED = 50
# Bytes of the metadata of a series, compressed, that are kept
_KEPT_SIZE = 2**21
_JSON = 'application/dicom+json'
_HEADERS = {
    'Cache-Control': 'private, no-store',
    # A file that a browser would run otherwise
    'Content-Security-Policy': "default-src 'none'; sandbox",
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Vary': 'Accept, Accept-Encoding, Cookie',
    'X-Content-Type-Options': 'nosniff',
    }
# What the viewer has asked for wrongly, and not the server
_OF_REQUEST = {400, 406, 409, 413, 415, 416}


def _in_words(func):
    "Answer what is refused or fails with a message in the user's language"
    @wraps(func)
    def wrapper(request, pool, **options):
        try:
            return func(request, pool, **options)
        except Refusal as refusal:
            status, message = refusal.status, refusal.message
        except (QueryError, MultipartError, AnnotationError) as error:
            status, message = HTTPStatus.BAD_REQUEST, _describe(
                request, pool, error)
        except NotFound as error:
            status, message = HTTPStatus.NOT_FOUND, _describe(
                request, pool, error)
        except ServerFault as error:
            status = error.status if error.status in _OF_REQUEST else (
                HTTPStatus.BAD_GATEWAY)
            message = _describe(request, pool, error)
        except (OrthancError, SecretUnavailable) as error:
            status, message = HTTPStatus.BAD_GATEWAY, _describe(
                request, pool, error)
        except HTTPException:
            raise
        except Exception as error:
            # trytond would answer with its text
            log_unexpected(logger, error, "Request of a viewer")
            status, message = HTTPStatus.INTERNAL_SERVER_ERROR, _describe(
                request, pool, error)
        response = json_response(request, {'message': message}, status)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers['Retry-After'] = str(_PATIENCE)
        return response
    return wrapper


@app.route(
    '/<database_name>/orthanc/dicomweb/<int(max=2147483647):server>'
    '/dicom-web/<path:path>', methods={'GET', 'POST'})
@known_database
@set_max_request_size(_STORED_SIZE)
@with_pool
@_in_words
def dicom_web(request, pool, server, path):
    """Search, show or store what the user of the viewer may.

    ``/<database>/orthanc/dicomweb/<server>/dicom-web/…`` with the cookie of
    the viewer. What is passed on to Orthanc is listed in `parse_path`.

    Parameters
    ----------
    request : Request
    pool : Pool
    server : int
        The id.
    path : str

    Returns
    -------
    Response
        If it is refused or fails, JSON with a ``message``: 401 without a
        valid cookie, 403 for a study that the user may not see, 404 for what
        there is not, 503 while others store.
    """
    resource = parse_path(request.method, path)
    if resource is None:
        _authenticate(request, pool, server)
        raise NotFound
    if resource.kind == 'store':
        return _store(request, pool, server, resource)
    if resource.kind == 'search_studies':
        return _search(request, pool, server)
    return _pass_on(request, pool, server, resource)


def _pass_on(request, pool, server, resource):
    query = parse_query(resource, _pairs(request))
    client = _recall_client(request, pool, server, resource)
    headers = _headers(request, pool, server, resource.kind)
    if asks_for_study(request):
        return answer_for_study(client, headers.get('Forwarded'))
    if client is None:
        client = _get_client(request, pool, server, resource)
    location = find_location(request, client, resource)
    if location and 'Forwarded' in headers:
        return hand_over(location, resource, query, headers['Forwarded'])
    if resource.kind == 'metadata' and resource.series and not (
            resource.instance):
        return _describe_series(
            request, (pool.database_name, server), resource, query, client,
            headers)
    return _respond(request, client.dicom_web(
            'GET', resource.path, query=query, headers=headers))


def _describe_series(request, place, resource, query, client, headers):
    """Return metadata, which are kept as long as the series does not change.

    All that they depend on is in their key; who may see them was checked.
    """
    state = client.series_state(resource.series) if (
        request.accept_encodings['gzip']) else None
    key = (
        *place, client.url, resource.path, query, headers['Accept'],
        headers.get('Forwarded'))
    kept_state, body, type_ = metadata.get(key) or (None, None, None)
    if state and state == kept_state:
        return Response(body, content_type=type_, headers={
                **_HEADERS, 'Content-Encoding': 'gzip'})
    response = _respond(request, client.dicom_web(
            'GET', resource.path, query=query, headers=headers))
    if state and response.headers.get('Content-Encoding') == 'gzip':
        response.response = ClosingIterator(_keep(
                response.response, key, state, response.content_type),
            response.response.close)
    return response


def _keep(pieces, key, state, type_):
    "Yield the pieces, and keep them once all are there"
    body = bytearray()
    for piece in pieces:
        if len(body) <= _KEPT_SIZE:
            body += piece
        yield piece
    if len(body) <= _KEPT_SIZE:
        metadata.set(key, (state, bytes(body), type_))


def _get_access(request, pool, server):
    """Return what the session of the request may have of a server.

    Raises
    ------
    Refusal
    """
    if not is_active(pool):
        abort(HTTPStatus.NOT_FOUND)
    Session = pool.get('gnuhealth.imaging_orthanc.viewer_session')
    cookie = request.cookies.get(COOKIE)
    if found := Session.identify(cookie) if cookie else None:
        return Access(pool.database_name, *found, server)
    with Transaction().set_context(language=browser_language(request, pool)):
        raise Refusal(
            HTTPStatus.UNAUTHORIZED,
            gettext('health_orthanc.msg_viewing_login'))


_authenticate = with_transaction(readonly=True)(_get_access)


def _recall_client(request, pool, server, resource):
    """Return the client if the study was allowed a moment ago, or None.

    The session is looked up each time, because it ends with that of the
    client.
    """
    cookie = request.cookies.get(COOKIE)
    if not cookie or not is_active(pool):
        return None
    Session = pool.get('gnuhealth.imaging_orthanc.viewer_session')
    database = pool.database_name
    found = Session.look_up(database, cookie)
    return Access(database, *found, server).recall(
        resource.study, resource.kind in PIXELS) if found else None


@with_transaction(readonly=True)
def _get_client(request, pool, server, resource):
    "Return the client of the server of a study that the user may see"
    access = _get_access(request, pool, server)
    access.check_study(resource.study)
    client = access.client()
    if resource.kind in PIXELS:
        access.record_view(resource.study)
    return client


def _headers(request, pool, server, kind):
    "Return the headers of the request to Orthanc"
    headers = request_headers(kind, request.headers)
    own = forwarded(
        request.host, f'{cookie_path(pool.database_name)}dicomweb/{server}',
        request.is_secure)
    return headers | ({'Forwarded': own} if own else {})


def _respond(request, answer):
    "Return the response that passes an answer of Orthanc on"
    headers = response_headers(answer.headers)
    pieces = _logged(answer.pieces())
    if 'json' in headers['Content-Type'] and (
            'Content-Encoding' not in headers
            and request.accept_encodings['gzip']):
        headers.pop('Content-Length', None)
        headers['Content-Encoding'] = 'gzip'
        pieces = _compress(pieces)
    # What is passed through is all that the HTTP server closes
    return Response(
        ClosingIterator(pieces, answer.close), status=answer.status,
        headers={**_HEADERS, **headers}, direct_passthrough=True)


def _logged(pieces):
    try:
        yield from pieces
    except OrthancError as error:
        # The browser gets less than was promised
        logger.warning("Answer to a viewer: %s", error)
        raise


def _compress(pieces):
    compressor = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    for piece in pieces:
        if packed := compressor.compress(piece):
            yield packed
    yield compressor.flush()


def _search(request, pool, server):
    search = parse_study_search(_pairs(request))
    client, uids = _find_studies(request, pool, server, search)
    headers = _headers(request, pool, server, 'search_studies')
    found = {}
    for start in range(0, len(uids), _DESCRIBED):
        group = uids[start:start + _DESCRIBED]
        query = urlencode([
                ('StudyInstanceUID', ','.join(group)),
                *(('includefield', name) for name in search.fields)])
        for study in _find(request, pool, client, query, headers):
            found.setdefault(_study_uid(study), []).append(study)
    studies = [study for uid in uids for study in found.get(uid, [])]
    return json_response(request, studies, content_type=_JSON)


def _find(request, pool, client, query, headers):
    try:
        return client.search_dicom_web('studies', query, headers)
    except NotFound:
        # Orthanc answers a search with an empty list
        _refuse(request, pool, HTTPStatus.BAD_GATEWAY, 'plugin')


def _study_uid(study):
    values = study.get('0020000D', {}).get('Value')
    return values[0] if values else None


@with_transaction(readonly=True)
def _find_studies(request, pool, server, search):
    access = _get_access(request, pool, server)
    uids = access.search(search)
    return access.client(), uids


def _pairs(request):
    "Return the names and values of the query"
    try:
        return list(request.args.items(multi=True))
    except UnicodeDecodeError:
        # werkzeug expects ASCII, as browsers send it
        raise QueryError("not ASCII") from None


def _store(request, pool, server, resource):
    check_same_origin(request)
    access = _authenticate(request, pool, server)
    _check_may_store(request, pool, access, resource)
    with _received(request) as file, _place_to_store(request, pool):
        annotations = [
            read_annotation(part) for part in split_parts(
                request.headers.get('Content-Type', ''), file.read())]
        _check_each_other(annotations)
        client, author, orthanc_ids = _check_annotations(
            request, pool, access, resource, annotations)
        for annotation in annotations:
            _check_new(request, pool, client, annotation)
        content_type, body = join_parts(
            [annotation.signed(author) for annotation in annotations])
        answer = client.dicom_web(
            'POST', f'studies/{annotations[0].study}', body=body, headers={
                **_headers(request, pool, server, 'store'),
                'Content-Type': content_type})
    try:
        _note_stored(request, pool, access, annotations, orthanc_ids)
    except BaseException:
        answer.close()
        raise
    return _respond(request, answer)


@contextmanager
def _received(request):
    "Yield a file with the body, so that a slow client keeps nobody waiting"
    with tempfile.SpooledTemporaryFile(_KEPT_SIZE) as file:
        with limit_silence(request):
            shutil.copyfileobj(request.stream, file)
        file.seek(0)
        yield file


@contextmanager
def _place_to_store(request, pool):
    "Wait for one of few places: files are in memory while they are stored"
    if not _storing.acquire(timeout=_PATIENCE):
        _refuse(request, pool, HTTPStatus.SERVICE_UNAVAILABLE, 'busy')
    try:
        yield
    finally:
        _storing.release()


@with_transaction(readonly=True)
def _check_may_store(request, pool, access, resource):
    "Check the rights before anything is read"
    access.check_may_store(resource.study)


def _check_each_other(annotations):
    "Check that one file does not replace another, or mix with it"
    modalities = {a.series: a.modality for a in annotations}
    if len({a.instance for a in annotations}) < len(annotations) or any(
            modalities[a.series] != a.modality for a in annotations):
        raise AnnotationError('uid')


@with_transaction(readonly=True)
def _check_annotations(request, pool, access, resource, annotations):
    "Return client, author and the Orthanc ids of the study"
    uid = annotations[0].study
    for annotation in annotations:
        if {annotation.study, resource.study or uid} != {uid}:
            raise AnnotationError('uid')
        author = access.check_annotation(
            annotation.study, annotation.patient_id)
    return access.client(), author, [
        s.orthanc_UID for s in access.studies(uid)]


def _check_new(request, pool, client, annotation):
    """Check that an annotation replaces nothing, and mixes with nothing.

    Orthanc finds resources by their UID alone: one that exists elsewhere
    would hide the other.
    """
    if client.lookup(annotation.instance):
        _refuse(request, pool, HTTPStatus.CONFLICT, 'known')
    series = [
        type_ for type_, _ in client.lookup(annotation.series)]
    if not series:
        return
    own = client.search_dicom_web(
        f'studies/{annotation.study}/series', urlencode(
            {'SeriesInstanceUID': annotation.series}), {})
    modalities = [s.get('00080060', {}).get('Value') for s in own]
    if series != ['Series'] or modalities != [[annotation.modality]]:
        _refuse(request, pool, HTTPStatus.CONFLICT, 'known')


@with_transaction(readonly=True)
def _refuse(request, pool, status, name):
    with Transaction().set_context(language=browser_language(request, pool)):
        raise Refusal(status, gettext(f'health_orthanc.msg_viewing_{name}'))


@with_transaction(readonly=False)
def _note_stored(request, pool, access, annotations, orthanc_ids):
    "Schedule the synchronization of what was stored, and record it"
    Notification = pool.get('gnuhealth.orthanc.notification')
    Notification.schedule_uploaded(access.server, orthanc_ids)
    for annotation in annotations:
        access.record(
            'upload', annotation.study,
            detail=f'{annotation.modality} {annotation.instance}')


@with_transaction(readonly=True)
def _describe(request, pool, error):
    "Return the message for an error"
    Session = pool.get('gnuhealth.imaging_orthanc.viewer_session')
    user = Session.check(request.cookies.get(COOKIE, ''))
    if user:
        with in_name_of(user):
            return _message(error)
    with Transaction().set_context(language=browser_language(request, pool)):
        return _message(error)


def _message(error):
    if isinstance(error, AnnotationError):
        return gettext(f'health_orthanc.msg_viewing_file_{error}')
    if isinstance(error, (QueryError, MultipartError)):
        return gettext('health_orthanc.msg_viewing_request')
    if isinstance(error, NotFound):
        return gettext('health_orthanc.msg_viewing_unknown')
    if isinstance(error, SecretUnavailable):
        return describe('secret')
    if isinstance(error, OrthancError):
        return describe(error.kind, status=error.status or '')
    return describe('internal')
