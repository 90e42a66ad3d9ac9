# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several tests do as people do it in a client, through proteus."""

from proteus import Model, Wizard

from devtools.hospital import record_id
from devtools.tryton import PASSWORD

__all__ = [
    'ADD_SERVER', 'CLERK', 'FULL_SYNCHRONIZE', 'GET_NEW_STUDIES', 'LABEL',
    'SERVER', 'add_server', 'connect', 'make_clerk']

ADD_SERVER = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'
GET_NEW_STUDIES = 'gnuhealth.imaging_orthanc.get_new_studies'
FULL_SYNCHRONIZE = 'gnuhealth.imaging_orthanc.full_synchronize'
SERVER = 'gnuhealth.orthanc.config'
LABEL = "Main"
CLERK = 'clerk'


def make_clerk(*groups):
    "Make a user who may look at studies; further groups are XML ids"
    clerk = Model.get('res.user')(name="Clerk", login=CLERK)
    clerk.password = PASSWORD
    for group in ['health_orthanc.group_imaging_orthanc', *groups]:
        clerk.groups.append(Model.get('res.group')(record_id(group)))
    clerk.save()


def add_server(orthanc, **values):
    "Fill in the first page and go on"
    wizard = Wizard(ADD_SERVER)
    connect(wizard, **{
            'label': LABEL, 'domain': orthanc.url, 'user': orthanc.user,
            'password': orthanc.password, **values})
    return wizard


def connect(wizard, **values):
    for name, value in values.items():
        setattr(wizard.form, name, value)
    wizard.execute('connect')
