# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.worklist.template import (
    TemplateError, compile_template, render_text, unmask)

ANY_TEXT = st.text(st.characters(codec=None))


def rendered(source: str, my: object = None, **variables: object) -> str:
    "Return the text of a template without masks"
    return unmask(render_text(compile_template(source), variables, my))


class Party:
    name = 'Ana'
    born = dt.date(1980, 2, 1)
    tags = ['a', 'b']


@pytest.mark.parametrize('source, expected', [
        ('[$A]', '[a]'),
        ('[${A}]', '[a]'),
        ('$$A', '$A'),
        ('a\\\nb', 'ab'),
        ('{# none #}x', 'x'),
        ('\\{% if %}', '{% if %}'),
        ('{% if A == "a" %}yes{% end %}{% if not A %}no{% end %}', 'yes'),
        ('{% for x in L %}<$x>{% end %}', '<one><two>'),
        ('{% for i, x in enumerate(L) %}$i$x{% end %}', '0one1two'),
        ('{% choose A %}{% when "a" %}1{% end %}{% otherwise %}2{% end %}'
            '{% end %}', '1'),
        ('{% with x = A + "b"; y = x %}$y{% end %}', 'ab'),
        ('$L', 'one\\two'),
        ('${None}', ''),
        ('${len(L)}', '2'),
        ('${A.upper()}', 'A'),
        ('${"^".join(L)}', 'one^two'),
        ('${"%s-%03d" % (A, 7)}', 'a-007'),
        ('${L[0][:2]}', 'on'),
        ('${A if A else "none"}', 'a'),
        ('${A.replace("a", "b")}', 'b'),
        ('${my.name}', 'Ana'),
        ('${my.born}', '1980-02-01'),
        ('${my.born.strftime("%Y%m%d")}', '19800201'),
        ('{% for tag in my.tags %}$tag{% end %}', 'ab'),
        ])
def test_what_templates_can_say(source, expected):
    assert rendered(source, Party(), A='a', L=['one', 'two']) == expected


@pytest.mark.parametrize('source, kind, line, detail', [
        ('{% python x = 1 %}', 'template_python', 1, 'python'),
        ('\n{% include x.txt %}', 'template_python', 2, 'include'),
        ('{% def f() %}{% end %}', 'template_python', 1, 'def'),
        ('${lambda: 1}', 'template_python', 1, 'Lambda'),
        ('${[x for x in A]}', 'template_python', 1, 'ListComp'),
        ('${(y := 1)}', 'template_python', 1, 'NamedExpr'),
        ('${f"{A}"}', 'template_python', 1, 'JoinedStr'),
        ('${A ** 9}', 'template_python', 1, 'Pow'),
        ('${A * 9}', 'template_python', 1, 'Mult'),
        ('${"%9999d" % 1}', 'template_python', 1, '%'),
        ('${"%*d" % (9999, 1)}', 'template_python', 1, '%'),
        ('${A % 1}', 'template_python', 1, '%'),
        ('${A["__class__"]}', 'template_python', 1, 'Subscript'),
        ('${A[A]}', 'template_python', 1, 'Subscript'),
        ('${b"bytes"}', 'template_python', 1, 'bytes'),
        ('${A.__class__}', 'template_name', 1, '__class__'),
        ('{% if A._x %}{% end %}', 'template_name', 1, '_x'),
        ('{% for _budget in A %}{% end %}', 'template_name', 1, '_budget'),
        ('{% for a.b in A %}{% end %}', 'template_name', 1, ''),
        ('$_budget', 'template_name', 1, '_budget'),
        ('${A.format(1)}', 'template_call', 1, 'format'),
        ('${A.format_map}', 'template_name', 1, 'format_map'),
        ('{% with x = open("/etc/passwd") %}{% end %}',
            'template_call', 1, 'open'),
        ('${getattr(A, "x")}', 'template_call', 1, 'getattr'),
        ('${range(9)}', 'template_call', 1, 'range'),
        ('${type(A)}', 'template_call', 1, 'type'),
        ('${A()}', 'template_call', 1, 'A'),
        ('${my.delete()}', 'template_call', 1, 'delete'),
        ('${A.encode()}', 'template_call', 1, 'encode'),
        ('${A.replace("", A)}', 'template_call', 1, 'replace'),
        ('${A.replace("a", A)}', 'template_call', 1, 'replace'),
        ('${A.ljust(99999)}', 'template_call', 1, 'ljust'),
        ('${A.join(L)}', 'template_call', 1, 'join'),
        ('${my.born.strftime("%99999d")}', 'template_call', 1, 'strftime'),
        ('${max(*L)}', 'template_call', 1, 'max'),
        ('${sorted(L, key=A)}', 'template_call', 1, 'sorted'),
        ('${(A or A)()}', 'template_call', 1, ''),
        ('a\nb\n${1 +}', 'template_syntax', 3, '1 +'),
        ('a\n${', 'template_syntax', 2, '${'),
        ('{% if A %}\n\n{% if A %}', 'template_syntax', 3, 'if'),
        ('{% if A %}{% end %}\n{% end %}', 'template_syntax', 2, 'end'),
        ('{% if A %}\\\n\n{% end %}\\\n{% if A', 'template_syntax', 4, '{%'),
        ('{% while A %}{% end %}', 'template_syntax', 1, 'while'),
        ('{% if %}{% end %}', 'template_syntax', 1, 'if'),
        ('{% for x %}{% end %}', 'template_syntax', 1, 'for x: pass'),
        ('{% for x in A) or (A %}{% end %}', 'template_syntax', 1,
            'for x in A) or (A: pass'),
        ('{% with A %}{% end %}', 'template_syntax', 1, 'A'),
        ('{% when A %}{% end %}', 'template_syntax', 1, 'when'),
        ('\na\x0cb', 'template_character', 2, 'U+000C'),
        ('a\ufdd0', 'template_character', 1, 'U+FDD0'),
        ('a\ud800', 'template_character', 1, 'U+D800'),
        ('$' + 'A' * 100_001, 'template_length', None, ''),
        ('${' + '(' * 300 + ')' * 300 + '}', 'template_syntax', 1, None),
        ('${' + '+'.join(['A'] * 300) + '}', 'template_python', 1, '...'),
        ])
def test_what_templates_cannot_say(source, kind, line, detail):
    with pytest.raises(TemplateError) as raised:
        compile_template(source)
    error = raised.value
    assert (error.kind, error.line) == (kind, line)
    assert detail in {None, error.detail}


@pytest.mark.parametrize('source, kind, line, detail', [
        ('a\n$B', 'template_name', 2, 'B'),
        ('{% if A %}\\\n{% end %}\\\n$B', 'template_name', 3, 'B'),
        ('$open', 'template_name', 1, 'open'),
        ('${A.nothing}', 'template_value', 1, 'A.nothing'),
        ('\n${A.upper}', 'template_value', 2, 'A.upper'),
        ('${A + 1}', 'template_value', 1, 'A + 1'),
        ('${int(A)}', 'template_value', 1, 'int(A)'),
        ('${L[9]}', 'template_value', 1, 'L[9]'),
        ('${[L]}', 'template_value', 1, '[L]'),
        ('${enumerate(L)}', 'template_value', 1, 'enumerate(L)'),
        ('{% for x in A.nothing %}{% end %}', 'template_value', 1,
            'iter(A.nothing)'),
        ('{% for x, y in A %}{% end %}', 'template_value', None, ''),
        ('{% choose %}{% when A.nothing %}{% end %}{% end %}',
            'template_value', 1, 'A.nothing'),
        ('$D', 'template_value', 1, 'D'),
        ('${my.born}', 'template_value', 1, 'my.born'),
        ])
def test_what_does_not_suit_the_values(source, kind, line, detail):
    template = compile_template(source)
    with pytest.raises(TemplateError) as raised:
        render_text(template, {'A': 'a', 'L': ['b'], 'D': {'k': 'v'}})
    error = raised.value
    assert (error.kind, error.line, error.detail) == (kind, line, detail)


LOOPS = '{% for a in A %}{% for b in A %}{% for c in A %}'
ENDS = '{% end %}' * 3


@pytest.mark.parametrize('source', [
        LOOPS + ENDS,
        LOOPS + 'x' + ENDS,
        '{% for a in A %}$A$A$A{% end %}', '{% for a in A %}{% end %}' * 400,
        '${' + '+'.join(['A'] * 60) + '}',
        '{% with b = ' + '+'.join(['A'] * 60) + ' %}{% end %}',
        '{% with ' + ';'.join(
            f'x{i + 1} = x{i} + x{i}' if i else 'x1 = A + A'
            for i in range(60)) + ' %}{% end %}',
        '{% with ' + ';'.join(
            f'x{i + 1} = [x{i}, x{i}]' if i else 'x1 = [A, A]'
            for i in range(60)) + ' %}{% if x60 == [] %}{% end %}{% end %}',
        ])
def test_templates_end(source):
    template = compile_template(source)
    with pytest.raises(TemplateError) as raised:
        render_text(template, {'A': 'a' * 1000})
    assert raised.value.kind == 'template_length'


def test_line_ends_of_any_system():
    assert rendered('a\r\nb\rc') == 'a\nb\nc'


def test_names_are_those_that_are_read():
    template = compile_template(
        '$A{% for x in B %}$x{% end %}{% with y = C %}$y{% end %}$len')
    assert template.names == {'A', 'B', 'C', 'len'}


def test_local_name_is_no_name_outside():
    template = compile_template('{% for x in A %}{% end %}$x')
    assert template.names == {'A', 'x'}


@pytest.mark.parametrize('text', [
        ']', '[x]', '"', '\\', '{', '}', '(0010,0020) LO [x]', '# x', '=x',
        '${A}', '{% if x %}', 'a\n(0010,0020) LO [b]', 'a\r\n', '\0', '\u2028',
        '\x85'])
def test_inserted_text_is_no_syntax(text):
    masked = render_text(compile_template('$A'), {'A': text})
    assert not set('[](){}"#=\\\n\r\0\u2028\x85') & set(masked)
    assert len(unmask(masked)) == len(text)


@given(ANY_TEXT)
def test_any_text_is_inserted_as_one_line(text):
    masked = render_text(compile_template('[$A]'), {'A': text})
    assert masked[0] == '[' and masked[-1] == ']'
    assert not set('[](){}"#=\\:,') & set(masked[1:-1])
    assert len(masked.splitlines()) == 1
    masked.encode()


@given(st.text(st.sampled_from('ab$ {}%#\\\n"()[]._+*1if for in end=')))
def test_any_template_is_taken_or_refused(source):
    try:
        template = compile_template(source)
        render_text(template, {'a': 'x', 'b': ['y', 'z']})
    except TemplateError as error:
        assert error.kind.startswith('template_')


@given(st.lists(st.sampled_from([
                '{% if a %}', '{% end %}', '{% for x in b %}', '$x', '$a',
                '{% choose a %}', '{% when "x" %}', '{% otherwise %}',
                '{% with y = a %}', '${y}', '\n', '\\\n', '{#', '#}', '{%',
                '%}', '${', '}', 'text', '{% choose %}', '{% end if %}'])))
def test_any_order_of_directives_is_taken_or_refused(pieces):
    try:
        template = compile_template(''.join(pieces))
        render_text(template, {'a': 'x', 'b': ['y', 'z']})
    except TemplateError as error:
        assert error.kind.startswith('template_')
