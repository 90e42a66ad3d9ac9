# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results that nobody has read survive updates of GNU Health's module."""
import datetime as dt

import pytest

from . import inside, misfiled
from .agent import Agent

PATIENT = 'TSTREAD', "Muster", "Erika", 'f', dt.date(1964, 8, 12)


@pytest.mark.release
@pytest.mark.parametrize('backend', ['postgresql', 'sqlite'])
@pytest.mark.parametrize('before', [True, False])
def test_an_update_of_gnu_health(make_tryton, backend, before):
    "Its column for who has evaluated a study stays optional"
    tryton = make_tryton(backend)
    with Agent(tryton) as agent:
        order, *_ = agent.call(
            misfiled.add_order, agent.call(inside.add_patient, *PATIENT))
        results = [
            agent.call(misfiled.add_unread_result, order)] if before else []
    tryton.update('health_imaging')
    with Agent(tryton) as agent:
        assert agent.call(misfiled.may_be_empty, misfiled.RESULT, 'doctor')
        results.append(agent.call(misfiled.add_unread_result, order))
        assert [
            (r['id'], r['doctor'], r['orthanc_report_state'])
            for r in agent.call(
                inside.read, misfiled.RESULT, [('request', '=', order)],
                ['id', 'doctor', 'orthanc_report_state'])] == [
            (id_, None, 'unreported') for id_ in results]
        assert agent.call(misfiled.report_template).startswith(
            'health_orthanc/')
