# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx sends images of a real Orthanc, of which GNU Health says whose."""
import re
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from devtools.nginx import LOCATION, Nginx
from devtools.orthanc import Orthanc
from devtools.process import wait_until
from devtools.tryton import MODULE

from . import viewing_inside
from .agent import Agent
from .viewing_site import Site, mixed, parts

TIMEOUT = 60
COOKIE = 'health_orthanc_viewer'
# What is for nginx alone
PRIVATE = {
    'x-accel-redirect', 'x-images-location', 'x-images-forwarded',
    'www-authenticate', 'set-cookie'}


class NginxSite(Site):
    """The site, with nginx in front of it."""
    nginx: Nginx

    @property
    def own_address(self):
        return super().own_address.replace(self.server.url, self.nginx.url)

    def frame(self, name, number=0):
        return f'{self.file(name, number)}/frames/1'

    def asked(self):
        "Return how many images trytond was asked for"
        return self.server.process.log.read_text(
            errors='replace').count('/frames/1')

    def raw(self, path, cookie, **headers):
        "Send a path as it stands; return status, headers and content"
        connection = HTTPConnection(
            '127.0.0.1', int(self.nginx.url.rpartition(':')[2]),
            timeout=TIMEOUT)
        try:
            connection.putrequest('GET', path)
            connection.putheader('Cookie', f'{COOKIE}={cookie}')
            for name, value in headers.items():
                connection.putheader(name.replace('_', '-'), value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope='module')
def site(prepared_tryton) -> Iterator[NginxSite]:
    tryton = prepared_tryton('sqlite', MODULE).copy('nginx')
    with Orthanc(plugins=['dicomweb']) as archive, Orthanc(
            plugins=['dicomweb']) as other:
        tryton.sections = {
            'web': {'num_proxies': '1'},
            MODULE: {'nginx_locations': f'{archive.url} {LOCATION}'}}
        with tryton.server() as server, Agent(tryton) as agent, (
                Nginx(server.port, archive)) as nginx:
            NginxSite.nginx = nginx
            yield NginxSite(server, agent, archive, other)
    tryton.drop()


def cookie_of(browser):
    return browser.cookies.get_dict()[COOKIE]


def check_private(answer):
    assert not PRIVATE & {name.lower() for name in answer.headers}


def test_frames_come_from_nginx(site):
    "The first one, and one each second, asks GNU Health"
    browser = site.open('doctor')
    before = site.asked()
    for _ in range(3):
        for number, dataset in enumerate(site.files['own']):
            answer = site.get(browser, site.frame('own', number))
            assert answer.status_code == 200
            assert parts(answer) == [dataset.PixelData]
            assert answer.headers['Content-Type'].startswith(
                'multipart/related')
            assert answer.headers['Cache-Control'] == 'private, no-store'
            assert answer.headers['X-Content-Type-Options'] == 'nosniff'
            assert 'sandbox' in answer.headers['Content-Security-Policy']
            # Of the parts, too
            assert site.archive.url.encode() not in answer.content
            assert f'{site.root}/studies'.encode() in answer.content
            check_private(answer)
    assert site.asked() - before == 1
    assert (site.users['doctor'], 'success', site.uid('own')) in site.call(
        viewing_inside.viewed)


def test_other_images_come_from_nginx(site):
    "GNU Health says of each where it is"
    browser = site.open('doctor')
    for accept, start in [
            ('image/jpeg', b'\xff\xd8'), ('image/png', b'\x89PNG')]:
        answer = site.get(
            browser, f"{site.file('own')}/rendered",
            headers={'Accept': accept})
        assert answer.headers['Content-Type'] == accept
        assert answer.content.startswith(start)
        check_private(answer)
    assert len(parts(site.get(browser, f"studies/{site.uid('own')}"))) == 4
    answer = site.server.url + site.root.removeprefix(site.nginx.url)
    # As nginx is told; others are not in front of it
    told = browser.get(
        f"{answer}/{site.file('own')}/rendered", timeout=TIMEOUT,
        headers={'X-Images-By-Nginx': 'yes', 'Cookie': (
                f'{COOKIE}={cookie_of(browser)}')})
    assert told.headers['X-Accel-Redirect'] == (
        f"{LOCATION}/{site.file('own')}/rendered")


def test_metadata_comes_from_gnu_health(site):
    browser = site.open('doctor')
    answer = site.get(browser, f"{site.file('own')}/metadata")
    assert answer.status_code == 200
    assert f'{site.root}/studies' in answer.text
    assert site.archive.url not in answer.text


def test_who_may_not_see_a_study(site):
    "Also while somebody else sees it"
    clerk, doctor, nurse = map(site.open, ['clerk', 'doctor', 'nurse'])
    path = site.frame('unlinked')
    for _ in range(2):
        assert site.get(clerk, path).status_code == 200
        for browser in [doctor, nurse]:
            answer = site.get(browser, path)
            assert answer.status_code == 403
            assert "may not see" in answer.json()['message']
            check_private(answer)
    for cookie in ['', 'x', cookie_of(clerk)[:-1]]:
        status, _, content = site.raw(
            f'{site.root.removeprefix(site.nginx.url)}/{path}', cookie)
        assert status == 401
        assert b'Log in' in content
    for name in ['own', 'stranger']:
        assert site.get(doctor, site.frame(name)).status_code == 200
    assert site.get(doctor, site.frame('elsewhere')).status_code == 403


@pytest.mark.release
@pytest.mark.parametrize('login', ['nurse', 'doctor', 'clerk'])
def test_rights_are_those_of_the_records(site, login):
    from .test_dicomweb import PATHS, STUDIES, check_rights
    check_rights(site, login, STUDIES, len(PATHS))


def test_locations_are_internal(site):
    cookie = cookie_of(site.open('clerk'))
    path = site.file('own')
    for start in [
            LOCATION, '/%5forthanc/main', '/%5Forthanc%2Fmain', '/' + LOCATION,
            f'/x/..{LOCATION}', f'/x/%2e%2e{LOCATION}', f'/.{LOCATION}',
            f'/x/..%2f{LOCATION[1:]}', '/_orthanc//main', LOCATION.upper()]:
        for end in [
                '', '/', f'/{path}', f'/{path}/frames/1', '/../../system',
                '/%2e%2e/system', '/..%2f..%2fsystem', f'/{path};x']:
            status, headers, content = site.raw(
                start + end, cookie, X_Images_By_Nginx='yes',
                X_Accel_Redirect=f'{LOCATION}/{path}',
                X_Original_URL=f'{LOCATION}/{path}')
            assert status in {400, 404, 405}, start + end
            # trytond answers what lies outside of it
            if start == LOCATION and end.startswith(('/s', '/;')):
                assert status == 404
            assert b'ApiVersion' not in content
            assert b'DICM' not in content
    for path in ['/_orthanc/rights', '/_orthanc/rights/']:
        status, _, content = site.raw(path, cookie)
        assert status in {404, 405}
        assert b'main' not in content


def test_a_study_does_not_open_another(site):
    browser = site.open('doctor')
    assert site.get(browser, site.frame('own')).status_code == 200
    cookie = cookie_of(browser)
    root = site.root.removeprefix(site.nginx.url)
    for path in mixed(site.file('own'), site.file('unlinked')):
        answer = site.get(browser, path)
        assert answer.status_code in {404, 400} or not (
            answer.content.strip(b'[] \r\n')), path
    own, other = site.uid('own'), site.frame('unlinked')
    series = site.files['own'][0].SeriesInstanceUID
    for path in [
            f'studies/{own}/../../{other}', f'studies/{own}/..%2f..%2f{other}',
            f'studies/{own}/%2e%2e/%2e%2e/{other}',
            f'studies/{own}/series/{series}/../../../../{other}',
            f'studies/{own}//{other}', f'studies/{own};/../{other}',
            f'studies/{own}%00/{other}', f'studies/{own}%0a/{other}',
            f'studies/{own},{other.split("/")[1]}/'
            + other.split('/', 2)[2], f'studies/{own}/{other}',
            f'studies/{own}%3f/../../{other}', f'/{other}', other,
            f'studies/{own}/series/{series}/instances/1/frames/1/../../'
            f'../../../../../../{other}']:
        status, headers, content = site.raw(f'{root}/{path}', cookie)
        assert status in {301, 308, 400, 403, 404}, path
        assert site.files['unlinked'][0].PixelData not in content
        assert b'ApiVersion' not in content


def test_a_name_does_not_become_another_request(site):
    "nginx decodes what it matches"
    cookie = cookie_of(site.open('doctor'))
    name = site.server.tryton.name
    root = site.root.removeprefix(f'{site.nginx.url}/{name}')
    for start in [
            f'/{name}%0d%0aX-Injected:%20yes%0d%0aA:%20',
            f'/{name}%20HTTP/1.1%0d%0aX-Injected:%20yes%0d%0aA:%20',
            f'/%0d%0a%0d%0aGET%20/{name}', f'/{name}%0a', f'/%20{name}',
            f'/{name}%3fx', f'/{name}%23']:
        for end in ['frames/1', 'frames/1%0a', 'frames/1%0d%0aX:%20y']:
            path = f"{start}{root}/{site.file('own')}/{end}"
            status, _, content = site.raw(path, cookie)
            assert status in {400, 401, 404}, path
            assert site.files['own'][0].PixelData not in content


def test_what_nginx_does_not_pass_on(site):
    "Parameters and methods reach GNU Health, which refuses them"
    browser = site.open('doctor')
    assert site.get(browser, site.frame('own')).status_code == 200
    answer = site.get(browser, site.frame('own'), params={'x': '1'})
    assert answer.status_code == 400
    for method in ['POST', 'PUT', 'DELETE']:
        answer = browser.request(
            method, f"{site.root}/{site.frame('own')}", timeout=TIMEOUT)
        assert answer.status_code in {404, 405}
        assert site.files['own'][0].PixelData not in answer.content


def test_what_orthanc_refuses_is_told_in_words(site):
    browser = site.open('doctor')
    path = site.frame('own')
    assert site.get(browser, path).status_code == 200
    answer = site.get(browser, path.replace('/frames/1', '/frames/77'))
    assert answer.status_code == 400
    assert "Orthanc" in answer.json()['message']
    site.archive.kill()
    try:
        answer = site.get(browser, path)
    finally:
        site.archive.start()
    assert answer.status_code == 502
    assert "Orthanc" in answer.json()['message']
    assert site.get(browser, path).status_code == 200


def test_logout_ends_it(site):
    "Within the second for which nginx remembers"
    key = site.call(viewing_inside.log_in, user=site.users['doctor'])
    browser = site.open('doctor', key=key)
    path = site.frame('own')
    for _ in range(3):
        assert site.get(browser, path).status_code == 200
    site.call(viewing_inside.log_out, key)
    assert wait_until(
        lambda: site.get(browser, path).status_code == 401, 10, 0.1)
    assert "Log in" in site.get(browser, path).json()['message']


def test_a_broken_off_answer_frees_nginx(site):
    browser = site.open('doctor')
    for _ in range(100):
        with site.get(browser, site.frame('own'), stream=True) as answer:
            assert answer.status_code == 200
    assert site.get(browser, site.frame('own')).status_code == 200


def test_nothing_is_kept_on_the_disk(site):
    "But for who has just been allowed what, without an image"
    browser = site.open('doctor')
    for _ in range(3):
        site.get(browser, site.frame('own'))
    folder = site.nginx.folder
    assert folder / 'images' in folder.iterdir()
    for name in ['proxy', 'images']:
        for file in (folder / name).rglob('*'):
            if file.is_file():
                assert site.files['own'][0].PixelData not in file.read_bytes()
    assert not re.search(
        '/frames/1 HTTP/1.1" 200', (folder / 'access.log').read_text())
