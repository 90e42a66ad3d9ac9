# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A script for Orthanc's Python plugin that asks as the authorization plugin.

That one is in no Debian.  This reads the same section of the configuration,
sends the same requests to the same web service, and decides by the answers:
written anew from its description, to try GNU Health's side.

https://orthanc.uclouvain.be/book/plugins/authorization.html
"""
import base64
import json
import re
import urllib.request

import orthanc

TIMEOUT = 10
SECTION = json.loads(orthanc.GetConfiguration())['Authorization']
ROOT = SECTION['WebServiceRootUrl'].rstrip('/')
# Programs of viewers, and what they ask without a token
OPEN = {
    'stone-webviewer': ('/stone-webviewer/', '/system'),
    'ohif': ('/ohif/',),
    'orthanc-explorer-2': ('/ui/app/', '/ui/api/configuration'),
    }
METHODS = {
    orthanc.HttpMethod.GET: 'get', orthanc.HttpMethod.POST: 'post',
    orthanc.HttpMethod.PUT: 'put', orthanc.HttpMethod.DELETE: 'delete'}
RESOURCE = re.compile(
    '/(patients|studies|series|instances)/([a-f0-9-]+)(/.*)?')
DICOM_WEB = re.compile('/dicom-web/studies/([.0-9]+)(/.*)?')
LEVELS = {
    'patients': 'patient', 'studies': 'study', 'series': 'series',
    'instances': 'instance'}
UNCHECKED = set(LEVELS.values()) | {'system'}
UNCHECKED.remove(LEVELS[SECTION['CheckedLevel']])


def ask(path, **body):
    "Return an answer of the web service"
    login = f"{SECTION['WebServiceUsername']}:{SECTION['WebServicePassword']}"
    request = urllib.request.Request(
        f'{ROOT}/{path}', data=json.dumps({
                **body, 'server-id': SECTION['WebServiceIdentifier'],
                }).encode(), headers={
                    'Authorization': 'Basic ' + base64.b64encode(
                        login.encode()).decode(),
                    'Content-Type': 'application/json', 'Expect': ''})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return json.load(answer)


def find_tokens(headers, arguments):
    "Return the tokens of a request, as the web service gets them"
    shown = [
        ('Authorization', headers.get('authorization')),
        ('token', headers.get('token')), ('token', arguments.get('token'))]
    return [
        {'token-key': key, 'token-value': value}
        for key, value in shown if value] or [{}]


def required_permissions(method, uri):
    for of, pattern, permissions, *_ in SECTION['Permissions']:
        if of == method and re.fullmatch(pattern, uri):
            return set(permissions.split('|')) if permissions else set()
    return None


def is_permitted(method, uri, tokens):
    "Return whether a user may do it with all resources"
    required = required_permissions(method, uri)
    if required is None:
        return False
    for token in tokens:
        profile = ask('user/get-profile', **token)
        assert type(profile['validity']) is int
        assert isinstance(profile['name'], str)
        if not required or (required & set(profile['permissions'])
                and '*' in profile['authorized-labels']):
            return True
    return False


def find_resources(uri, arguments):
    "Yield level, Orthanc id and DICOM UID of what a URI is about"
    if match := RESOURCE.fullmatch(uri):
        kind, id_ = match[1], match[2]
        yield LEVELS[kind], id_, ''
        if kind in {'series', 'instances'}:
            yield 'study', json.loads(
                orthanc.RestApiGet(f'/{kind}/{id_}/study'))['ID'], ''
        return
    match = DICOM_WEB.fullmatch(uri)
    uid = match[1] if match else (
        arguments.get('0020000D') or arguments.get('StudyInstanceUID')
        if re.fullmatch('/dicom-web/(studies|series|instances)/?', uri)
        else None)
    if uid:
        known = re.fullmatch('[.0-9]+', uid) and orthanc.LookupStudy(uid)
        yield 'study', known or '', uid
    else:
        yield 'system', uri, ''


def is_granted(method, uri, arguments, tokens):
    "Return whether a token grants access to all resources of a URI"
    checked = [
        r for r in find_resources(uri, arguments) if r[0] not in UNCHECKED]
    return bool(checked) and all(
        any(validate(method, *resource, token) for token in tokens)
        for resource in checked)


def validate(method, level, id_, uid, token):
    answer = ask(
        'tokens/validate', **token, **{
            'method': method, 'level': level, 'orthanc-id': id_,
            'dicom-uid': uid})
    assert type(answer['validity']) is int
    assert 0 < answer['validity'] <= 60
    return answer['granted'] is True


def on_request(uri, method, headers, get=None, **_):
    "Return whether Orthanc answers"
    # There are arguments only with GET
    get = get or {}
    method = METHODS[method]
    try:
        if method == 'get' and any(
                uri.startswith(begin)
                for name in SECTION['StandardConfigurations']
                for begin in OPEN[name]):
            return True
        tokens = find_tokens(headers, get)
        return is_permitted(method, uri, tokens) or is_granted(
            method, uri, get, tokens)
    except Exception as error:
        orthanc.LogError(f"Authorization: {type(error).__name__}")
        return False


orthanc.RegisterIncomingHttpRequestFilter(on_request)
