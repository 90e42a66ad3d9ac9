# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that nginx sends itself

The module answers which image a viewer may have, by ``X-Accel-Redirect``, and
nginx fetches it from Orthanc.  For frames, of which a study has hundreds,
nginx asks whether the session may have the study, and remembers it for a
second.  This is done for the servers that trytond's configuration lists, if
nginx says with the request that it can.
"""

import logging
import re
from functools import lru_cache
from http import HTTPStatus

from werkzeug.wrappers import Response

from trytond.config import config

from ..core.dicomweb.resource_path import PIXELS
from ..core.orthanc.errors import InvalidAddress
from ..core.orthanc.refusal import RefusingClient
from ..core.orthanc.url import normalize_url

__all__ = ['answer_for_study', 'asks_for_study', 'find_location', 'hand_over']

logger = logging.getLogger('trytond.modules.health_orthanc.viewing')

# nginx sets it, and replaces what a client has sent
_ABLE = 'X-Images-By-Nginx'
_FORWARDED, _LOCATION_NAME = 'X-Images-Forwarded', 'X-Images-Location'
_LOCATION = re.compile('(/[A-Za-z0-9_-]+)+')


def find_location(request, client, resource):
    """Return where nginx finds the images of a request.

    Parameters
    ----------
    request : Request
    client : OrthancClient
        Of the server.
    resource : Resource

    Returns
    -------
    str or None
        The internal location; None if the module has to send them.
    """
    if resource.kind not in PIXELS or request.headers.get(_ABLE) != 'yes':
        return None
    return _location_of(client)


def _location_of(client):
    if isinstance(client, RefusingClient):
        return None
    return _locations(config.get(
            'health_orthanc', 'nginx_locations', default='')).get(client.url)


@lru_cache(1)
def _locations(text):
    "Return the location of each URL"
    found = {}
    for line in filter(str.strip, text.splitlines()):
        url, _, location = line.strip().partition(' ')
        location = location.strip()
        try:
            url = normalize_url(url)
        except InvalidAddress:
            url = None
        if url and _LOCATION.fullmatch(location):
            found[url] = location
        else:
            logger.warning(
                "nginx_locations: not the URL of a server and a location of "
                "nginx: %s", line.strip())
    return found


def hand_over(location, resource, query, forwarded):
    """Return the response that lets nginx send the images.

    Parameters
    ----------
    location : str
    resource : Resource
    query : str
        Encoded.
    forwarded : str
        ``Forwarded`` of the request to Orthanc.

    Returns
    -------
    Response
        nginx adds the headers that all images have.
    """
    address = f'{location}/{resource.path}'
    response = Response(headers={
            'X-Accel-Redirect': f'{address}?{query}' if query else address,
            _FORWARDED: forwarded})
    # That of Orthanc
    del response.headers['Content-Type']
    return response


def asks_for_study(request):
    """Return whether nginx only asks if a session may have a study.

    Parameters
    ----------
    request : Request

    Returns
    -------
    bool
    """
    return request.headers.get(_ABLE) == 'study'


def answer_for_study(client, forwarded):
    """Return the response to nginx.

    Parameters
    ----------
    client : OrthancClient or None
        Of the server, if the study was allowed a moment ago.  What was not is
        checked and recorded, when nginx asks for the image itself.
    forwarded : str or None
        ``Forwarded`` of requests to Orthanc.

    Returns
    -------
    Response
        Without the location if the module has to be asked for images.
    """
    response = Response(status=HTTPStatus.NO_CONTENT)
    location = _location_of(client) if client and forwarded else None
    if location:
        response.headers[_LOCATION_NAME] = location
        response.headers[_FORWARDED] = forwarded
    return response
