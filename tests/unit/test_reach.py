# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What templates read of records is found before they are rendered."""

import pytest

from trytond.modules.health_orthanc.core.worklist.reach import (
    Reach, check_reach)
from trytond.modules.health_orthanc.core.worklist.template import (
    TemplateError, compile_template)

REACH = Reach({'my': 'order'}, {
        'order': {
            'number': None, 'patient': 'patient', 'steps': 'step',
            'doctor': 'doctor', 'ward': 'ward'},
        'patient': {'party': 'party'},
        'party': {'name': None},
        'step': {'state': None},
        'doctor': {'party': 'party'},
        })


@pytest.mark.parametrize('source', [
        '$my.number', '${my.patient.party.name.upper()}', '$my', '$my.id',
        '${my.ward} ${my.ward.rec_name} ${my.ward.id}',
        '{% for s in my.steps %}$s.state{% end %}',
        '{% for i, s in enumerate(my.steps) %}$i$s.state{% end %}',
        '{% for s, d in zip(my.steps, [my.doctor]) %}'
        '${s.state}${d.party.name}{% end %}',
        '${my.steps[0].state}', '${(my.steps[:1])[0].state}',
        '{% with p = my.patient %}{% with q = p.party %}$q.name{% end %}'
        '{% end %}',
        '${(my.doctor or my.patient).party.name}',
        '${sorted(my.steps)[0].state}', '$A', '${A.upper()}',
        '{% with my = A %}${my.upper()}{% end %}',
        ])
def test_what_may_be_read(source):
    check_reach(compile_template(source), REACH)


@pytest.mark.parametrize('source, line, detail', [
        ('\n$my.secret', 2, 'my.secret'),
        ('${my.patient.diseases}', 1, 'my.patient.diseases'),
        ('${my.patient.party.photo}', 1, 'my.patient.party.photo'),
        ('${my.ward.name}', 1, 'my.ward.name'),
        # Branches that no sample reaches
        ('{% if A == "never" %}\n${my.secret}{% end %}', 2, 'my.secret'),
        ('${A if A else my.secret}', 1, 'my.secret'),
        ('${A or my.secret}', 1, 'my.secret'),
        ('{% if my.secret %}{% end %}', 1, 'my.secret'),
        ('{% if not my.secret == 1 %}{% end %}', 1, 'my.secret'),
        ('{% choose my.secret %}{% end %}', 1, 'my.secret'),
        ('{% choose %}{% when my.secret %}{% end %}{% end %}', 1,
            'my.secret'),
        ('{% for x in my.secret %}{% end %}', 1, 'my.secret'),
        ('{% for s in my.steps %}$s.study{% end %}', 1, 's.study'),
        ('{% for i, s in enumerate(my.steps) %}$s.study{% end %}', 1,
            's.study'),
        ('{% for s, d in zip(my.steps, [my.doctor]) %}$d.state{% end %}', 1,
            'd.state'),
        ('{% for s in A.split() or my.steps %}$s.study{% end %}', 1,
            's.study'),
        ('{% with p = my.patient; q = p.party %}$q.photo{% end %}', 1,
            'q.photo'),
        ('${my.steps[0].study}', 1, 'my.steps[0].study'),
        ('${my.steps[-1:][0].study}', 1, 'my.steps[-1:][0].study'),
        ('${(my.steps + my.steps)[0].study}', 1,
            '(my.steps + my.steps)[0].study'),
        ('${[my, my.patient][1].diseases}', 1,
            '[my, my.patient][1].diseases'),
        ('${max(my.steps).study}', 1, 'max(my.steps).study'),
        ('${max(my, my.patient).diseases}', 1,
            'max(my, my.patient).diseases'),
        ('${list(zip(my.steps, my.steps))[0][1].study}', 1,
            'list(zip(my.steps, my.steps))[0][1].study'),
        ('${str(my.secret)}', 1, 'my.secret'),
        ('${"%s" % my.secret}', 1, 'my.secret'),
        ('${", ".join([my.secret])}', 1, 'my.secret'),
        ('${A.strip(my.secret)}', 1, 'my.secret'),
        ])
def test_what_may_not_be_read(source, line, detail):
    with pytest.raises(TemplateError) as raised:
        check_reach(compile_template(source), REACH)
    error = raised.value
    assert (error.kind, error.line, error.detail) == (
        'template_reach', line, detail)
