# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read in their language."""

import datetime as dt

from lxml import etree

from trytond.i18n import gettext
from trytond.ir.lang import get_parent_language
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from devtools.translations import (
    FOLDER, LANGUAGES, extras, module_strings, problems, read)

from .tools import EXTRAS, MODULE, STUDY, OrthancTestCase, record_id

LABELS = {
    'de': "Geburtsdatum",
    'es': "Fecha de nacimiento",
    'fr': "Date de naissance",
    'pt_BR': "Data de nascimento",
    }
STATUSES = {
    'de': "Nicht verknüpft", 'es': "Sin vincular", 'fr': "Sans lien",
    'pt_BR': "Não vinculado"}
MENUS = {
    'de': "Untersuchungen", 'es': "Estudios", 'fr': "Examens",
    'pt_BR': "Estudos"}
PAGES = {
    'de': "Details", 'es': "Detalles", 'fr': "Détails", 'pt_BR': "Detalhes"}
MESSAGES = {
    'de': "Sie können den Server „PACS“ nicht löschen, weil er Untersuchungen "
    "enthält. Deaktivieren Sie ihn stattdessen.",
    'es': "No puede eliminar el servidor «PACS» porque tiene estudios. "
    "Desactívelo en su lugar.",
    'fr': "Vous ne pouvez pas supprimer le serveur «\xa0PACS\xa0» parce qu'il "
    "contient des examens. Désactivez-le à la place.",
    'pt_BR': "Você não pode excluir o servidor \"PACS\", porque ele tem "
    "estudos. Desative-o em vez disso.",
    }


def load(language):
    "Load what the module ships for a language, as an update does"
    pool = Pool()
    Lang = pool.get('ir.lang')
    lang, = Lang.search([('code', '=', language)])
    lang.translatable = True
    lang.save()
    pool.get('ir.translation').translation_import(
        language, MODULE, [str(FOLDER / f'{language}.po')])


class TranslationsTestCase(OrthancTestCase):
    "Tests of the translations"

    @with_transaction()
    def test_all_is_translated(self):
        strings = module_strings()
        # Modules that are not active lack what ours adds to them, and what
        # an active one has as well is its own
        complete = set(extras()) <= set(EXTRAS)
        others = {
            self._subject(entry) for module in EXTRAS
            for entry in module_strings(module)}
        for language in LANGUAGES:
            translations = read(language)
            known = [
                e for e in translations if self._subject(e) not in others]
            with self.subTest(language=language):
                self.assertEqual([
                        problem for problem in problems(strings, translations)
                        if not problem.startswith("stale")], [])
                if complete:
                    self.assertEqual(list(problems(strings, known)), [])

    @with_transaction()
    def test_brazil_is_a_language(self):
        "Tryton 7.0 knows Portuguese only, which it takes the rest from"
        lang, = Pool().get('ir.lang').search([('code', '=', 'pt_BR')])
        self.assertEqual(lang.name, "Portuguese (Brazil)")
        self.assertEqual(get_parent_language('pt_BR'), 'pt')
        self.assertEqual(lang.strftime(dt.date(2026, 3, 4)), '04/03/2026')
        self.assertEqual(lang.format('%d', 1234, grouping=True), '1.234')

    @with_transaction()
    def test_a_language_that_the_hospital_has_made(self):
        Lang = Pool().get('ir.lang')
        lang, = Lang.search([('code', '=', 'pt_BR')])
        Lang.write([lang], {'name': "Brasil", 'date': '%d.%m.%Y'})
        Lang.__register__(MODULE)
        lang, = Lang.search([('code', '=', 'pt_BR')])
        self.assertEqual((lang.name, lang.date), ("Brasil", '%d.%m.%Y'))

    @staticmethod
    def _subject(entry):
        "Return what a string is about, as a field without its help"
        return entry.msgctxt.partition(':')[2]

    @with_transaction()
    def test_records_and_messages_are_shown_translated(self):
        for language in LANGUAGES:
            load(language)
            with self.subTest(language=language), \
                    Transaction().set_context(language=language):
                self._check_model(language)
                self._check_records(language)

    def _check_model(self, language):
        Study = Pool().get(STUDY)
        fields = Study.fields_get(['patient_birth_date', 'link_status'])
        self.assertEqual(
            fields['patient_birth_date']['string'], LABELS[language])
        self.assertIn(
            ('unlinked', STATUSES[language]),
            map(tuple, fields['link_status']['selection']))
        view = Study.fields_view_get(view_type='form')
        pages = etree.fromstring(view['arch'].encode()).iter('page')
        self.assertIn(
            PAGES[language], [page.get('string') for page in pages])

    def _check_records(self, language):
        Menu = Pool().get('ir.ui.menu')
        self.assertEqual(
            Menu(record_id('menu_study_form')).name, MENUS[language])
        self.assertEqual(
            gettext('health_orthanc.msg_server_delete_studies',
                server="PACS"),
            MESSAGES[language])
