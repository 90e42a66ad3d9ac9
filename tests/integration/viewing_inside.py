# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What agents do inside of Tryton for the tests of viewing."""
from trytond.modules.health_orthanc.common.client_session import session_key
from trytond.pool import Pool
from trytond.transaction import Transaction

from .inside import SERVER, STUDY, model

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


def forge_session(key, server_id, study_ids):
    "Return a ticket as if the user had been allowed to see the studies"
    Session = Pool().get(VIEWER_SESSION)
    user = Transaction().user
    with Transaction().set_context(_check_access=False):
        import trytond.modules.health_orthanc.viewing.session as viewing
        viewing._check_viewable = lambda studies: None
        with session_key(key), Transaction().set_user(user):
            Study = model(STUDY)
            studies = Study.browse(study_ids) or Study.search(
                [('server', '=', server_id)], limit=1)
            return Session.issue_ticket(studies)


def link(study_id, patient_id, status):
    "Link a study without further ado"
    table = model(STUDY).__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.update(
            [table.patient, table.link_status], [patient_id, status],
            where=table.id == study_id))


def set_active(server_id, active):
    model(SERVER).write([model(SERVER)(server_id)], {'active': active})
