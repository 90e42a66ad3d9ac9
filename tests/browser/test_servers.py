# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import re

import pytest
from playwright.sync_api import expect

from proteus import Model

from devtools.certificates import Authority
from devtools.process import free_port
from devtools.proxy import Proxy

from .clinic import LABEL, SERVER

MENU = ["Health", "Configuration", "Medical Imaging", "Orthanc"]
MASK = '•' * 8


@pytest.fixture
def wizard(administrator):
    administrator.menu(*MENU, "Add Orthanc Server")
    administrator.dialog().wait_for()
    expect(administrator.field('label')).to_be_focused()
    administrator.settle()
    return administrator


def fill(client, clinic, url, **values):
    client.submit("Begin", **{
            'label': "Second", 'domain': url, 'user': clinic.orthanc.user,
            'password': clinic.orthanc.password, **values})


def forget_second():
    server, = Model.get(SERVER).find([('label', '=', "Second")])
    server.delete()


def test_add_server(wizard, clinic):
    with Proxy(clinic.orthanc.url, prefix='/pacs') as proxy:
        fill(wizard, clinic, proxy.url + '/')
        expect(wizard.field('message')).to_have_value(
            clinic.server_added("Second"))
        wizard.press("Close")
        wizard.expect_no_dialog()
        forget_second()


def test_wrong_password(wizard, clinic):
    fill(wizard, clinic, clinic.orthanc.url.replace('127.0.0.1', 'localhost'),
        password='wrong')
    expect_failure(wizard, "rejected the user name or the password")


@pytest.mark.release
def test_refused(wizard, clinic):
    fill(wizard, clinic, f'http://127.0.0.1:{free_port()}')
    expect_failure(wizard, "refused the connection")


def test_no_orthanc(wizard, clinic):
    fill(wizard, clinic, clinic.server.url)
    expect_failure(wizard, "is not Orthanc")


@pytest.mark.release
def test_untrusted_certificate(wizard, clinic):
    with Proxy(clinic.orthanc.url, authority=Authority()) as proxy:
        fill(wizard, clinic, proxy.url)
        expect_failure(wizard, "of the server is not trusted")


@pytest.mark.release
def test_known_server(wizard, clinic):
    fill(wizard, clinic, clinic.orthanc.url)
    expect_failure(wizard, "A server with this URL already exists")


@pytest.mark.release
def test_no_address(wizard, clinic):
    fill(wizard, clinic, 'pacs.example.org')
    expect_failure(wizard, "This URL is not valid")


def expect_failure(client, text):
    message = client.field('message')
    expect(message).to_have_value(re.compile(text))
    # All of it can be read without scrolling.
    assert message.evaluate(
        'box => box.scrollHeight <= box.clientHeight')


@pytest.mark.release
def test_back(wizard, clinic):
    url = f'http://127.0.0.1:{free_port()}'
    fill(wizard, clinic, url)
    wizard.field('message').wait_for()
    wizard.press("Back")
    wizard.field('domain').wait_for()
    wizard.expect_value('domain', url)
    wizard.expect_value('label', "Second")
    wizard.expect_value('user', clinic.orthanc.user)
    wizard.expect_value('password', '')


@pytest.fixture
def server(administrator):
    administrator.menu(*MENU, "Servers")
    administrator.cell("Label", LABEL).dblclick()
    administrator.field('domain').wait_for()
    return administrator


@pytest.mark.release
def test_password_is_masked(server):
    server.expect_value('password', MASK)
    server.press("Show")
    expect(server.field('password')).to_have_attribute('type', 'text')
    server.expect_value('password', MASK)


@pytest.mark.release
def test_synchronize(server, clinic):
    clinic.upload("Gast^Eva")
    server.press("Synchronize")
    expect(server.field('last_result')).to_have_value(
        re.compile("New Studies: 1,.* New Series: 1"))
    expect(server.field('last_synchronization')).not_to_have_value('')
    expect(server.field('last_error')).to_have_count(0)


def test_stopped_server(server, clinic):
    clinic.orthanc.kill()
    try:
        server.press("Synchronize")
        expect(server.field('last_error')).to_have_value(
            re.compile("refused the connection"))
    finally:
        clinic.orthanc.start()
    server.press("Synchronize")
    expect(server.field('last_error')).to_have_count(0)


@pytest.mark.release
def test_get_new_studies(clerk, clinic):
    clinic.upload("Gast^Ida")
    clerk.menu("Health", "Medical Imaging", "Orthanc", "Get New Studies")
    clerk.dialog().wait_for()
    clerk.press("Start")
    expect(clerk.field('message')).to_have_value(re.compile(LABEL))
    clerk.press("Close")
    clerk.expect_no_dialog()
    clerk.menu("Health", "Medical Imaging", "Orthanc", "Studies")
    clerk.filter("Unlinked")
    clerk.search("Gast Ida")
    clerk.expect_column("Patient", "Gast, Ida")
