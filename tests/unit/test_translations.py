# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How translations follow the strings of the module."""
import polib
import pytest

from devtools.translations import merge, problems

FIELD = 'field:gnuhealth.example,name:'
VIEW = 'view:gnuhealth.example:'


def _entry(context: str, text: str, translation: str = '', *flags: str
        ) -> polib.POEntry:
    return polib.POEntry(
        msgctxt=context, msgid=text, msgstr=translation, flags=list(flags))


def pofile(*entries: tuple[str, ...]) -> polib.POFile:
    """Return a file with entries of context, text, translation, flags."""
    file = polib.POFile()
    file.extend(_entry(*entry) for entry in entries)
    return file


def content(file: polib.POFile) -> list[tuple]:
    return [
        (entry.msgctxt, entry.msgid, entry.msgstr, entry.fuzzy)
        for entry in file]


def test_known_translations_are_kept():
    old = pofile((FIELD, "Name", "Nombre"), (VIEW, "Name", "Apellido"))
    merged = merge(pofile((VIEW, "Name"), (FIELD, "Name")), old, 'es')
    assert content(merged) == [
        (FIELD, "Name", "Nombre", False), (VIEW, "Name", "Apellido", False)]


def test_new_strings_are_untranslated():
    old = pofile((FIELD, "Name", "Nombre"))
    merged = merge(
        pofile((FIELD, "Name"), (VIEW, "Name"), (VIEW, "Details")), old, 'es')
    assert content(merged)[1:] == [
        (VIEW, "Details", '', False), (VIEW, "Name", '', False)]


def test_strings_that_are_gone_are_removed():
    old = pofile((FIELD, "Name", "Nombre"), (VIEW, "Details", "Detalles"))
    merged = merge(pofile((FIELD, "Name")), old, 'es')
    assert content(merged) == [(FIELD, "Name", "Nombre", False)]


def test_changed_strings_are_fuzzy():
    old = pofile((VIEW, "The server failed.", "Falló el servidor."))
    merged = merge(pofile((VIEW, "The server has failed.")), old, 'es')
    assert content(merged) == [
        (VIEW, "The server has failed.", "Falló el servidor.", True)]
    assert merged[0].previous_msgid == "The server failed."


def test_one_translation_goes_to_one_changed_string():
    old = pofile((VIEW, "New Study", "Estudio nuevo"))
    merged = merge(
        pofile((VIEW, "New Study A"), (VIEW, "New Study B")), old, 'es')
    assert [entry.fuzzy for entry in merged] == [True, False]


def test_merged_files_are_read_again(tmp_path):
    path = tmp_path / 'es.po'
    merged = merge(
        pofile((FIELD, "Name")), pofile((FIELD, "Name", "Año")), 'es')
    merged.save(str(path))
    assert content(polib.pofile(str(path))) == content(merged)
    assert 'SPDX-License-Identifier' in path.read_text(encoding='utf-8')


@pytest.mark.parametrize('text, translation', [
        ("Name", "Nombre"),
        ("%(count)s of %(total)s", "%(total)s, de ellos %(count)s"),
        ("100 %% of {ServerURL}", "100 %% de {ServerURL}"),
        ])
def test_right_translations(text, translation):
    strings = pofile((FIELD, text))
    assert not list(problems(strings, pofile((FIELD, text, translation))))


@pytest.mark.parametrize('text, translation', [
        ("%(count)s images", "imágenes"),
        ("%(count)s images", "%(cuenta)s imágenes"),
        ("%(count)s images", "%(count)d imágenes"),
        ("as in {StudyInstanceUID}", "como {UID}"),
        ("images", "%(count)s imágenes"),
        ])
def test_placeholders_that_differ(text, translation):
    problem, = problems(
        pofile((FIELD, text)), pofile((FIELD, text, translation)))
    assert problem == f'placeholders differ: {FIELD} {text!r}'


def test_what_is_lacking_stale_fuzzy_or_untranslated():
    strings = pofile((FIELD, "Name"), (FIELD, "Date"), (FIELD, "Time"))
    translations = pofile(
        (FIELD, "Name"), (FIELD, "Date", "Fecha", 'fuzzy'),
        (FIELD, "Hour", "Hora"))
    assert list(problems(strings, translations)) == [
        f"lacking: {FIELD} 'Time'",
        f"stale: {FIELD} 'Hour'",
        f"fuzzy: {FIELD} 'Date'",
        f"untranslated: {FIELD} 'Name'",
        ]
