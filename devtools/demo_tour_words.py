# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tour in the language of the demo.

Its texts are translated in ``devtools/tour``.  What is on the screen is not:
there it stands in English between stars, and is shown as the screens show it.
"""
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polib

from . import demo_languages, hospital
from .demo_tour import EXAMINE_LAST, LABEL, NEXT_IMAGES, STEPS, WALKS
from .translations import FOLDER, SOURCE_LANGUAGE
from .tryton import ROOT

__all__ = ['MORE', 'NOT_SAID', 'SAID', 'Words', 'texts', 'translation_path']

TEXTS = Path(__file__).with_name('tour')
UPLOAD_TEXTS = ROOT / 'sao_custom' / 'src' / 'texts'
# Whose words are on the screens; the first that has one is asked
MODULES = ['health_imaging', 'health']
# How the context of a label begins, where it is translated in several ways
CONTEXTS = {
    "Birth Date": 'field:gnuhealth.imaging_orthanc.',
    "Candidate": 'field:gnuhealth.imaging_orthanc.',
    "Check": 'wizard_button:gnuhealth.imaging_orthanc.upload_image_data,',
    "Configuration": 'model:ir.ui.menu,name:',
    "Contradiction": 'selection:gnuhealth.imaging_orthanc.study,',
    "Done": 'model:ir.action.act_window.domain,name:act_step_form_',
    "Health": 'model:ir.ui.menu,name:gnuhealth_menu',
    "Incomplete": 'model:ir.action.act_window.domain,name:act_step_form_',
    "Overdue": 'model:ir.action.act_window.domain,name:act_step_form_',
    "Request": 'wizard_button:gnuhealth.patient.imaging.test.request,',
    "Requested": 'selection:gnuhealth.imaging.test.request,state:',
    "Review": 'model:ir.ui.menu,name:menu_review',
    "Start": 'model:ir.model.button,string:step_start_button',
    "To Review": 'model:ir.ui.menu,name:',
    "Unlinked": 'model:ir.action.act_window.domain,name:',
    }
# A message, and what is in it
COMPOSED = {
    "Fill in: Station AE Title":
        ("Fill in: %(fields)s.", {'fields': "Station AE Title"}),
    }
SELECT_FOLDER = "Select Folder"
# On the screen as they are
UNCHANGED = {
    '{disc}', "Irrtum, Otto", *(role.login for role in hospital.ROLES)}

# Of the page, beside the walks
MORE = (
    "*administrator* sees below *Health*, *Configuration*, "
    "*Medical Imaging*, *Orthanc* that all works, or what does not. "
    "*privacy* sees there who saw whose images.")
FRAME = [
    "A tour of GNU Health with Orthanc",
    "It is morning in a small hospital. Each of the five walks takes about "
    "two minutes, in any order. Nobody here exists.",
    "To continue as somebody else, log out at the top right.",
    "Web client",
    "Password",
    "Login",
    "Who",
    "The devices",
    "Images of {count} patients are still to come.",
    "The next ones arrive within {minutes} min.",
    "All images of this morning have arrived.",
    "You see:",
    "More",
    MORE,
    "What you change stays until the demo is started with {option}.",
    "User",
    ]
SAID = "Images were sent: {patient}."
NOT_SAID = "Nothing was sent: {error}."
# Why a device sends nothing
ERRORS = [
    "nobody is waiting",
    "all images have arrived",
    "{accession} is not on the worklist of {aetitle}",
    ]


def texts() -> Iterator[str]:
    """Yield all English texts of the tour."""
    yield from FRAME
    yield from [NEXT_IMAGES, EXAMINE_LAST, SAID, NOT_SAID, *ERRORS]
    for walk in WALKS:
        yield from [walk.title, walk.shows]
    yield from (step.text for step in STEPS)


def translation_path(language: str) -> Path:
    return TEXTS / f'{language}.po'


class Words:
    """What the tour says in a language.

    Parameters
    ----------
    language
        One of `demo_languages.LANGUAGES`.
    """

    def __init__(self, language: str):
        self.language = language
        self._labels = dict.fromkeys(UNCHANGED)
        self._texts: dict[str, str] = {}
        if language != SOURCE_LANGUAGE:
            self._texts = {
                entry.msgid: entry.msgstr for entry in polib.pofile(
                    str(translation_path(language)))}
            self._labels = self._find_labels()

    def text(self, english: str) -> str:
        """Return a text with the labels on the screen between stars.

        Raises
        ------
        LookupError
            It is not translated, or has a label that is on no screen.
        """
        if self.language == SOURCE_LANGUAGE:
            return english
        return LABEL.sub(
            lambda found: f'*{self._labels[found[1]]}*', self._texts[english])

    def error(self, text: str, values: Mapping[str, str]) -> str:
        """Return why a device sends nothing, in English if a program says it.
        """
        return self._texts.get(text, text).format(**values) if (
            text in ERRORS) else text

    def act(self, act: Sequence[str]) -> list[str]:
        """Return what a program does, by the labels of this language."""
        return [self._labels.get(part) or part for part in act]

    def _find_labels(self) -> dict[str, str]:
        wanted = {
            label for text in texts() for label in LABEL.findall(text)}
        wanted.update(
            part for step in STEPS for _, *parts in step.acts
            for part in parts)
        names = demo_languages.names(self.language)
        found = {label: label for label in UNCHANGED}
        # People who keep their names
        found.update({label: label for label in _people() & wanted})
        found.update({
                english: name for english, name in names.items()
                if english in wanted})
        found.update({
                button: self._texts[button]
                for button in [NEXT_IMAGES, EXAMINE_LAST]})
        found[SELECT_FOLDER] = self._upload_text('folder')
        found.update(self._typed(names))
        screens = _Screens(self.language)
        for label in sorted(wanted - found.keys()):
            if label in COMPOSED:
                message, values = COMPOSED[label]
                found[label] = (screens.find(message) % {
                        name: screens.find(value)
                        for name, value in values.items()}).rstrip('.')
            elif translated := screens.find(label):
                found[label] = translated
        return found

    @staticmethod
    def _typed(names: dict[str, str]) -> dict[str, str]:
        """Return what is typed to find a patient, and a study type."""
        return {
            "Esimerkki": names["Esimerkki, Aki"].partition(',')[0],
            "CT": names["CT of the Head"].split()[0]}

    def _upload_text(self, name: str) -> str:
        """Return a text of the upload in the web client."""
        code = self.language.partition('_')[0]
        path = UPLOAD_TEXTS / f'{code}.mjs'
        return re.search(rf'\b{name}: "(.*?)"', path.read_text())[1]


def _people() -> set[str]:
    from . import demo_morning
    return {
        f'{person.family}, {person.given}'
        for person in [*hospital.PATIENTS, *demo_morning.PEOPLE]}


class _Screens:
    """What is on the screens in a language."""

    def __init__(self, language: str):
        import trytond.modules
        folder = Path(trytond.modules.__file__).parent
        self._files = [polib.pofile(str(path)) for path in [
                FOLDER / f'{language}.po', *(
                    folder / module / 'locale' / f'{language}.po'
                    for module in MODULES)]]

    def find(self, label: str) -> str | None:
        """Return what a label is on the screen, None if it is none.

        What is not translated is in English on the screen, too.

        Raises
        ------
        LookupError
            There are several: `CONTEXTS` has to say which is meant.
        """
        context = CONTEXTS.get(label, '')
        for file in self._files:
            found = {
                label if entry.fuzzy else entry.msgstr or label
                for entry in file if entry.msgid == label
                and entry.msgctxt.startswith(context)}
            if len(found) > 1:
                raise LookupError(f"{label}: {sorted(found)}")
            if found:
                return found.pop()
        return None
