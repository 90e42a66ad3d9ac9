# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies that await confirmation: they may belong to somebody else

Whoever reviews links sees the images of these studies as of all others.
Physicians see them after they have said that they know: for each study, and
again if another patient is proposed.
"""

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

from ..common.exceptions import UnconfirmedStudyWarning

__all__ = [
    'acknowledge', 'check_confirmed', 'find_withheld', 'is_reviewer']

# Whose task the review is
_REVIEWERS = ['group_imaging_orthanc', 'group_imaging_orthanc_admin']


@without_check_access
def find_withheld(studies):
    """Return the studies whose images the current user has to ask for.

    Parameters
    ----------
    studies : list of Study

    Returns
    -------
    set of Study
    """
    Warning = Pool().get('res.user.warning')
    unconfirmed = {
        _warning_name(s): s for s in studies if s.link_status == 'auto_unsure'}
    if not unconfirmed or not Transaction().user or is_reviewer():
        return set()
    known = {w.name for w in Warning.search([
                ('user', '=', Transaction().user),
                ('name', 'in', list(unconfirmed)),
                ])}
    return {s for name, s in unconfirmed.items() if name not in known}


def _warning_name(study):
    Warning = Pool().get('res.user.warning')
    return Warning.format(
        f'unconfirmed_study,{study.patient}', [study])


def is_reviewer():
    "Return whether the current user reviews links of studies"
    pool = Pool()
    ModelData = pool.get('ir.model.data')
    groups = {
        ModelData.get_id('health_orthanc', name) for name in _REVIEWERS}
    return not groups.isdisjoint(pool.get('res.user').get_groups())


@without_check_access
def check_confirmed(studies):
    """Warn that the images of studies may belong to somebody else.

    Parameters
    ----------
    studies : list of Study

    Raises
    ------
    UnconfirmedStudyWarning
        The user has not yet said that they know.
    """
    for study in sorted(find_withheld(studies), key=lambda s: s.id):
        raise UnconfirmedStudyWarning(
            _warning_name(study), gettext(
                'health_orthanc.msg_unconfirmed_study', study=study.rec_name))
    _keep([s for s in studies if s.link_status == 'auto_unsure'])


@without_check_access
def acknowledge(studies):
    "Record that the current user knows whose the images may be"
    _keep(list(find_withheld(studies)), create=True)


def _keep(studies, create=False):
    """Keep what the user has said.

    Clients store it for one call, unless the user does not want to be warned
    again.
    """
    Warning = Pool().get('res.user.warning')
    user = Transaction().user
    names = [_warning_name(s) for s in studies]
    if create:
        Warning.create([
                {'user': user, 'name': name, 'always': True}
                for name in names])
    elif names:
        Warning.write(Warning.search([
                    ('user', '=', user), ('name', 'in', names),
                    ('always', '=', False)]), {'always': True})
