# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A WSGI application that copies from Orthanc, and does nothing else.

What passes images on in Python cannot be faster.
"""
import os

from werkzeug.wsgi import ClosingIterator

from trytond.modules.health_orthanc.core.orthanc.client import OrthancClient

_client = OrthancClient(
    os.environ['ORTHANC_URL'], os.environ['ORTHANC_USER'],
    os.environ['ORTHANC_PASSWORD'])


def app(environ, start_response):
    answer = _client.dicom_web(
        'GET', environ['PATH_INFO'].partition('/dicom-web/')[2],
        query=environ['QUERY_STRING'], headers={
            'Accept': environ.get('HTTP_ACCEPT', '*/*'),
            'Accept-Encoding': environ.get('HTTP_ACCEPT_ENCODING', '')})
    start_response(f'{answer.status} OK', [
            (name, answer.headers[name])
            for name in ['Content-Type', 'Content-Length', 'Content-Encoding']
            if name in answer.headers])
    return ClosingIterator(answer.pieces(), answer.close)
