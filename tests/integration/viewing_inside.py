# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What agents do inside of Tryton for the tests of viewing."""
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

from werkzeug.test import Client
from werkzeug.wrappers import Response

from trytond.modules.health_orthanc.common.client_session import session_key
from trytond.modules.health_orthanc.common.transaction import end_reading
from trytond.modules.health_orthanc.linking.unconfirmed import acknowledge
from trytond.modules.health_orthanc.viewing import session
from trytond.pool import Pool
from trytond.transaction import Transaction
from trytond.wsgi import app

from .inside import STUDY, model

GROUPS = {
    'nobody': [],
    'nurse': ['health.group_health_nursing'],
    'radiographer': ['health_imaging.group_health_imaging'],
    'head': ['health_imaging.group_health_imaging_admin'],
    'doctor': ['health.group_health_doctor'],
    'clerk': ['health_orthanc.group_imaging_orthanc'],
    'administrator': ['health_orthanc.group_imaging_orthanc_admin'],
    }
VIEWER_SESSION = 'gnuhealth.imaging_orthanc.viewer_session'


def make_users():
    "Make a user of each role; return the ids by login"
    ModelData = model('ir.model.data')
    users = model('res.user').create([{
                'name': f"User {login}",
                'login': login,
                'groups': [('add', [
                            ModelData.get_id(*name.split('.'))
                            for name in names])],
                } for login, names in GROUPS.items()])
    return {u.login: u.id for u in users}


def make_user(login, name):
    "Make a user with one group, and return its id"
    user, = model('res.user').create([{
                'name': f"User {login}", 'login': login,
                'groups': [('add', [
                            model('ir.model.data').get_id(*name.split('.')),
                            ])],
                }])
    return user.id


def log_in():
    "Return the key of a new session of the user"
    return model('ir.session').new()


def log_out(key):
    model('ir.session').remove(key)


def issue_ticket(key, study_ids):
    "Return a ticket of the user"
    with session_key(key):
        return Pool().get(VIEWER_SESSION).issue_ticket(
            model(STUDY).browse(study_ids))


def forge_ticket(key, study_ids):
    "Return a ticket as if the user had been allowed to see the studies"
    with patch.object(session, 'check_viewable'):
        return issue_ticket(key, study_ids)


def link(study_id, patient_id, status):
    "Link a study without further ado"
    table = model(STUDY).__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.update(
            [table.patient, table.link_status], [patient_id, status],
            where=table.id == study_id))


def say_known(study_id):
    "Let the user say that they know whose the images may be"
    acknowledge([model(STUDY)(study_id)])


def viewed():
    "Return who has seen or was refused which study"
    Entry = model('gnuhealth.imaging_orthanc.audit')
    return {
        (e.user_id, e.outcome, e.study_uid)
        for e in Entry.search([('action', '=', 'view')])}


def process_uploads(server_id):
    "Import what viewers have stored, without the pause after it"
    Notification = model('gnuhealth.orthanc.notification')
    Notification.process(Notification.search([
                ('server', '=', server_id), ('kind', '=', 'upload'),
                ('processed_at', '=', None)]))


def request(user, study_id, requests):
    """Send requests of a viewer to the routes; return the statuses.

    Parameters
    ----------
    requests : list of dict
        Arguments of `Client.open`; the path is below the server's root.
    """
    database = Transaction().database.name
    with Transaction().set_user(user):
        key = log_in()
        ticket = forge_ticket(key, [study_id])
    Session = model(VIEWER_SESSION)
    cookie, opened = Session.open_ticket(ticket)
    Transaction().commit()
    root = f"/{database}/orthanc/dicomweb/{opened['server']}/dicom-web/"

    def send():
        client = Client(app, Response, use_cookies=False)
        return [
            client.open(**{
                    **options, 'path': root + options['path'], 'headers': {
                        'Cookie': f'{session.COOKIE}={cookie}',
                        'Sec-Fetch-Site': 'same-origin'}}).status_code
            for options in requests]
    end_reading()
    # A thread of its own has a transaction of its own
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(send).result()


def have_plugins(server_id):
    "Let Orthanc have said that it has the authorization plugin and viewers"
    Server = model('gnuhealth.orthanc.config')
    Server.write_progress(
        server_id, plugins='authorization\northanc-explorer-2\n'
        'stone-webviewer')
