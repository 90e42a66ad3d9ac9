# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates that would need much memory or time.

They are rendered in a process of its own, with limits of the operating
system: without those of the templates it would be killed.
"""

import itertools
import json
import subprocess
import sys

import pytest

from trytond.modules.health_orthanc.core.worklist import expressions
from trytond.modules.health_orthanc.core.worklist import item as worklist
from trytond.modules.health_orthanc.core.worklist.expressions import Budget
from trytond.modules.health_orthanc.core.worklist.template import (
    TemplateError, compile_template, render_text)

MEMORY = 96 << 20  # beyond what the process has before it renders
CPU = 60  # seconds

RENDER = '''
import json, resource, sys
from trytond.modules.health_orthanc.core.worklist.template import (
    TemplateError, compile_template, render_text)
from trytond.modules.health_orthanc.core.worklist.item import render
sources = json.load(sys.stdin)
variables = {'A': 'a' * 9000, 'B': '', 'L': ['b'] * 1000}
with open('/proc/self/statm') as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + %d,) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (%d,) * 2)
for source in sources:
    try:
        text = render_text(compile_template(source), variables)
        print('text', len(text), flush=True)
    except TemplateError as error:
        print(error.kind, flush=True)
''' % (MEMORY, CPU)


def doubled(first, step, count=60):
    return '{% with ' + '; '.join(
        f'x{i} = ' + (step.format(f'x{i - 1}') if i else first)
        for i in range(count)) + ' %}'


HOSTILE = [
    # Texts
    "${len('%s'.replace('a', '%s').replace('b', '%s'))}" % (
        'a' * 1200, 'b' * 1200, 'c' * 1200),
    "${len('%s'.join(['%s'.join(L), '%s'.join(L)]))}" % (
        ('y' * 1200,) * 3),
    doubled("'a' * 1", '{0} + {0}') + '{% end %}',
    doubled('A', '{0} + {0}') + '{% end %}',
    doubled("'a'", "'%s%s%s%s' % ({0}, {0}, {0}, {0})") + '{% end %}',
    doubled("'aa'", "{0}.replace('a', 'aaaaaaaaaaaaaaaa')") + '{% end %}',
    doubled("'a'", "str([{0}, {0}])") + '{% end %}',
    doubled("'a'", "'.'.join([{0}, {0}, {0}])") + '{% end %}',
    "${'%999999999d' % 1}", "${'%*d' % (999999999, 1)}",
    "${A.ljust(999999999)}", "${A.zfill(999999999)}",
    "${'{:>999999999}'.format(1)}", "${A * 999999999}",
    "${A.replace('a', A)}", "${A.join(L)}",
    "${my.strftime('%s')}" % ('%c' * 1000),
    # Numbers
    '${round(1, -999999999)}', '${9 ** 9 ** 9}', '${1 << 999999999}',
    doubled('1', '{0} + {0}', 2000) + '{% end %}',
    '${int(A)}',
    # Lists
    '${[a for a in A for b in A for c in A]}', '${[A] * 999999999}',
    doubled('[A]', '[{0}, {0}]') + '{% if x59 == x58 %}{% end %}{% end %}',
    doubled('L', '{0} + {0}') + '{% end %}',
    doubled('L', 'list(zip({0}, {0}))') + '{% end %}',
    doubled('[A]', 'sorted([{0}, {0}])') + '${max(x59)}{% end %}',
    '${len(list(A))}', "${len(A.split('a'))}",
    '{% with x = list(A); y = list(A) %}{% end %}' * 300,
    # Loops
    '{% for a in A %}{% for b in A %}{% for c in A %}{% end %}{% end %}'
    '{% end %}',
    '{% for a in A %}' + '$B' * 9000 + '{% end %}',
    '{% for a in A %}' + '{% choose %}{% end %}' * 3000 + '{% end %}',
    '{% for a in A %}' + 'x{# #}' * 9000 + '{% end %}',
    '{% for a in L %}' * 30 + '{% end %}' * 30,
    '{% for a in A %}' + '{% if B %}{% end %}' * 3000 + '{% end %}',
    # Sources
    '{% if A %}' * 5000 + '{% end %}' * 5000,
    '{%a' * 30000, '{#' * 40000, '{% if A' + ' ' * 90000 + 'x %}{% end %}',
    '${' + '-' * 90000 + '1}', '${' + '(' * 90000 + ')' * 90000 + '}',
    '${' + '[' * 900 + ']' * 900 + '}', '${"' + '\\' * 90000,
    ]


def test_no_template_needs_much_memory_or_time():
    done = subprocess.run(
        [sys.executable, '-c', RENDER], input=json.dumps(HOSTILE),
        capture_output=True, text=True)
    results = done.stdout.splitlines()
    assert len(results) == len(HOSTILE), (results, done.stderr[-500:])
    assert done.returncode == 0
    for source, result in zip(HOSTILE, results):
        assert result.startswith('template_'), source[:70]


@pytest.mark.parametrize('source', [
        HOSTILE[0], HOSTILE[1], doubled('A', '{0} + {0}') + '{% end %}',
        '{% for a in A %}{% for b in A %}{% end %}{% end %}'])
def test_long_values_are_refused(source):
    template = compile_template(source)
    with pytest.raises(TemplateError) as raised:
        render_text(template, {'A': 'a' * 9000, 'L': ['b'] * 9})
    assert raised.value.kind == 'template_length'


def test_a_rendering_has_a_time_limit():
    clock = itertools.count().__next__
    template = compile_template(
        '{% for a in A %}${a.upper()}{% end %}')
    with pytest.raises(TemplateError) as raised:
        render_text(template, {'A': 'abcdefgh'}, budget=Budget(clock))
    assert raised.value.kind == 'template_time'
    assert render_text(template, {'A': 'ab'}, budget=Budget(lambda: 0)) == (
        'AB')


@pytest.mark.parametrize('error', [MemoryError, RecursionError])
def test_lack_of_memory_is_an_error_of_the_template(monkeypatch, error):
    def lack(*args):
        raise error

    monkeypatch.setitem(
        expressions._EVALUATORS, expressions.ast.Name, lack)
    with pytest.raises(TemplateError) as raised:
        render_text(compile_template('\n${A}'), {'A': 'a'})
    assert (raised.value.kind, raised.value.line) == ('template_length', 2)


def test_lack_of_memory_for_the_item_is_an_error_of_the_template(
        monkeypatch):
    def lack(*args):
        raise MemoryError

    monkeypatch.setattr(worklist, 'complete', lack)
    with pytest.raises(TemplateError) as raised:
        worklist.check_template('(0008,1030) LO [x]', 'dump2dcm', None)
    assert raised.value.kind == 'template_length'


@pytest.mark.parametrize('text, kind', [
        ('(0010,0010) LO [' + ' ' * 150_000 + 'x', 'result_syntax'),
        ('(0008,1030) LO [a]' + ' #' * 70_000 + ' x]', 'result_comment')])
def test_long_lines_are_read_in_one_pass(text, kind):
    # These patterns once went over each space for each other
    with pytest.raises(TemplateError) as raised:
        worklist.parse_dump(text, masked=True)
    assert raised.value.kind == kind
