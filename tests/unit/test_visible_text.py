# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import time

import pytest

from trytond.modules.health_orthanc.core.dicom.visible_text import visible_text
from trytond.modules.health_orthanc.core.matching.wildcards import (
    is_specific, matches_any)


@pytest.mark.parametrize('text, shown', [
        (None, ''),
        ("Muster, Erika", "Muster, Erika"),
        ("<b>x</b>&amp;", "<b>x</b>&amp;"),
        ("a\r\nb\tc", "a[U+000D][U+000A]b[U+0009]c"),
        ("a\u202eb\u2066c", "a[U+202E]b[U+2066]c"),
        ("a\u200bb\ufeff", "a[U+200B]b[U+FEFF]"),
        ("\ud800", "[U+D800]"),
        ("見本 花子 \U0001f600", "見本 花子 \U0001f600"),
        ])
def test_nothing_hides(text, shown):
    assert visible_text(text) == shown
    assert visible_text(text).encode().decode() == shown


@pytest.mark.parametrize('character', ["x", "\n"])
def test_long_texts_are_cut(character):
    shown = visible_text(character * 10_000, 50)
    assert len(shown) == 50
    assert shown.endswith("…")
    assert visible_text("x" * 50, 50) == "x" * 50


@pytest.mark.parametrize('pattern, text, matches', [
        ('PHANTOM*', 'PHANTOM', True),
        ('PHANTOM*', 'phantom-7', True),
        ('PHANTOM*', 'XPHANTOM', False),
        ('QA?', 'QA1', True),
        ('QA?', 'QA12', False),
        ('[QA]', '[QA]', True),
        ('[QA]', 'Q', False),
        ('Q.A', 'QxA', False),
        ('QA', ' QA ', True),
        ('QA*', 'QA\nx', True),
        ('QA*', None, False),
        ])
def test_wildcards(pattern, text, matches):
    assert matches_any(pattern, [text]) == matches


def test_no_pattern_takes_long():
    start = time.monotonic()
    assert not matches_any('*a' * 30, ['a' * 29 + 'b' * 10_000])
    assert time.monotonic() - start < 1


@pytest.mark.parametrize('pattern, specific', [
        ('*', False), ('?*?', False), ('A*', False), ('* *', False),
        ('QA*', True), ('*Q*A*', True)])
def test_patterns_that_say_enough(pattern, specific):
    assert is_specific(pattern) == specific
