# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo in a language: its people, studies, orders and users.

The people keep their identifiers and birth dates, so that all else of the
hospital stays as it is.  Some keep their names: patients come from everywhere.
"""
import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from proteus import Model

from . import demo_morning, hospital

__all__ = ['LANGUAGES', 'Words', 'load', 'names', 'use']

LATIN_1 = 'ISO_IR 100'
UTF_8 = 'ISO_IR 192'


@dataclass(frozen=True)
class Words:
    """What the demo's hospital is called, and what is in it.

    Attributes
    ----------
    names
        Family name, given name and character set of patients, by PUID.
    physician
        Given and family name.
    study_types, comments
        Names of study types, and clinical information of their orders, by
        code.
    descriptions
        Of studies, by modality.
    roles
        Names of users, by login.
    texts
        What is written about the orders of a morning, by the English text.
    """
    institution: str
    names: Mapping[str, tuple[str, str, str]]
    physician: tuple[str, str]
    study_types: Mapping[str, str]
    comments: Mapping[str, str]
    descriptions: Mapping[str, str]
    roles: Mapping[str, str]
    texts: Mapping[str, str]


GERMAN = Words(
    institution="Beispielklinik Süd",
    names={
        'MUS310ERI': ("Muster", "Erika", LATIN_1),
        'EJE482JUA': ("Beispiel-Größer", "Jürgen", LATIN_1),
        'EXE105ZOE': ("Müsterchen", "Zoë", UTF_8),
        'PRI268IVA': ("Probst von Beispielhausen", "Götz", LATIN_1),
        'SAM017KOF': ("Mustermann", "Björn", UTF_8),
        'ESI649AKI': ("Vorbild", "Käthe", LATIN_1),
        },
    physician=("Cora", "Musterfrau"),
    study_types={
        'CT-HEAD': "CT Schädel",
        'MR-KNEE': "MRT Knie",
        'XR-CHEST': "Röntgen Thorax",
        'US-ABDOMEN': "Sonographie Abdomen",
        'CT-ABDOMEN': "CT Abdomen",
        'XR-HAND': "Röntgen Hand",
        'NM-BONE': "Skelettszintigraphie",
        },
    comments={
        'CT-HEAD': "Sturz auf Glatteis, seither Kopfschmerzen.\n"
            "Blutung? Nimmt Gerinnungshemmer.",
        'MR-KNEE': "Beim Fußball verdreht, Schwellung. Meniskusriss?",
        'XR-CHEST': "Husten seit drei Wochen, Fieber. Infiltrat?",
        'US-ABDOMEN': "Schmerzen im rechten Oberbauch. Gallensteine?",
        },
    descriptions={
        'CT': "CT Schädel nativ", 'MR': "MRT Schädel",
        'CR': "Röntgen Thorax", 'US': "Sonographie Abdomen",
        'SR': "Befundbericht"},
    roles={
        'physician': "Dr. Cora Musterfrau",
        'radiographer': "Medizinische Technologin für Radiologie",
        'clerk': "Bildverwaltung",
        'administrator': "Administrator der Bildgebung",
        'privacy': "Datenschutzbeauftragte",
        },
    texts={
        "Cough for three weeks": "Husten seit drei Wochen",
        "Fall from a ladder": "Sturz von der Leiter",
        "Left hand instead of the right one": "Linke statt rechter Hand",
        "Appendicitis?": "Appendizitis?",
        "Headache, fever": "Kopfschmerzen, Fieber",
        "Hives after iodinated contrast in 2019":
            "Nesselsucht nach jodhaltigem Kontrastmittel 2019",
        "The images show the patient before her":
            "Die Bilder zeigen die Patientin vor ihr",
        "Gallbladder without stones. Liver and kidneys unremarkable.":
            "Gallenblase ohne Steine. Leber und Nieren unauffällig.",
        "Scanned twice": "Doppelt aufgenommen",
        })

SPANISH = Words(
    institution="Clínica de Ejemplo",
    names={
        'MUS310ERI': ("Muestra Peña", "Begoña", LATIN_1),
        'EJE482JUA': ("Ejemplo Núñez", "Juan José", LATIN_1),
        'EXE105ZOE': ("Ejemplo Ibáñez", "Zoé", UTF_8),
        'PRI268IVA': ("Modelo Güell", "Íñigo", LATIN_1),
        'SAM017KOF': ("Muestra", "Ramón", UTF_8),
        'ESI649AKI': ("Prueba Ordóñez", "Nicolás", LATIN_1),
        },
    physician=("Cora", "Muestra Señal"),
    study_types={
        'CT-HEAD': "TC de cráneo",
        'MR-KNEE': "RM de rodilla",
        'XR-CHEST': "Radiografía de tórax",
        'US-ABDOMEN': "Ecografía de abdomen",
        'CT-ABDOMEN': "TC de abdomen",
        'XR-HAND': "Radiografía de la mano",
        'NM-BONE': "Gammagrafía ósea",
        },
    comments={
        'CT-HEAD': "Caída en la calle, cefalea desde entonces.\n"
            "¿Hemorragia? Toma anticoagulantes.",
        'MR-KNEE': "Torsión jugando al fútbol, inflamación. ¿Menisco?",
        'XR-CHEST': "Tos desde hace tres semanas, fiebre. ¿Neumonía?",
        'US-ABDOMEN': "Dolor en el hipocondrio derecho. ¿Cálculos?",
        },
    descriptions={
        'CT': "TC de cráneo", 'MR': "RM de cráneo",
        'CR': "Radiografía de tórax", 'US': "Ecografía de abdomen",
        'SR': "Informe"},
    roles={
        'physician': "Dra. Cora Muestra",
        'radiographer': "Técnica en radiología",
        'clerk': "Gestión de imágenes",
        'administrator': "Administración de imágenes",
        'privacy': "Delegada de protección de datos",
        },
    texts={
        "Cough for three weeks": "Tos desde hace tres semanas",
        "Fall from a ladder": "Caída de una escalera",
        "Left hand instead of the right one":
            "Mano izquierda en lugar de la derecha",
        "Appendicitis?": "¿Apendicitis?",
        "Headache, fever": "Cefalea, fiebre",
        "Hives after iodinated contrast in 2019":
            "Urticaria tras contraste yodado en 2019",
        "The images show the patient before her":
            "Las imágenes son de la paciente anterior",
        "Gallbladder without stones. Liver and kidneys unremarkable.":
            "Vesícula sin cálculos. Hígado y riñones sin alteraciones.",
        "Scanned twice": "Adquirido dos veces",
        })

FRENCH = Words(
    institution="Clinique de l'Exemple",
    names={
        'MUS310ERI': ("Échantillon", "Hélène", LATIN_1),
        'EJE482JUA': ("Exemple-Lefèvre", "François", LATIN_1),
        'EXE105ZOE': ("Exemple", "Zoé", UTF_8),
        'PRI268IVA': ("Modèle", "Noël", LATIN_1),
        'SAM017KOF': ("d'Essai", "Gaël", UTF_8),
        'ESI649AKI': ("Témoin", "Anaïs", LATIN_1),
        },
    physician=("Cora", "Échantillon"),
    study_types={
        'CT-HEAD': "Scanner cérébral",
        'MR-KNEE': "IRM du genou",
        'XR-CHEST': "Radiographie du thorax",
        'US-ABDOMEN': "Échographie de l'abdomen",
        'CT-ABDOMEN': "Scanner abdominal",
        'XR-HAND': "Radiographie de la main",
        'NM-BONE': "Scintigraphie osseuse",
        },
    comments={
        'CT-HEAD': "Chute sur le verglas, céphalées depuis.\n"
            "Hémorragie ? Sous anticoagulants.",
        'MR-KNEE': "Entorse au football, épanchement. Ménisque ?",
        'XR-CHEST': "Toux depuis trois semaines, fièvre. Pneumonie ?",
        'US-ABDOMEN': "Douleur de l'hypocondre droit. Lithiase ?",
        },
    descriptions={
        'CT': "Scanner cérébral", 'MR': "IRM cérébrale",
        'CR': "Radiographie du thorax", 'US': "Échographie abdominale",
        'SR': "Compte rendu"},
    roles={
        'physician': "Dr Cora Échantillon",
        'radiographer': "Manipulatrice radio",
        'clerk': "Gestion des images",
        'administrator': "Administration de l'imagerie",
        'privacy': "Déléguée à la protection des données",
        },
    texts={
        "Cough for three weeks": "Toux depuis trois semaines",
        "Fall from a ladder": "Chute d'une échelle",
        "Left hand instead of the right one":
            "Main gauche au lieu de la droite",
        "Appendicitis?": "Appendicite ?",
        "Headache, fever": "Céphalées, fièvre",
        "Hives after iodinated contrast in 2019":
            "Urticaire après un contraste iodé en 2019",
        "The images show the patient before her":
            "Les images sont de la patiente précédente",
        "Gallbladder without stones. Liver and kidneys unremarkable.":
            "Vésicule sans calcul. Foie et reins sans particularité.",
        "Scanned twice": "Acquis deux fois",
        })

PORTUGUESE = Words(
    institution="Clínica do Exemplo",
    names={
        'MUS310ERI': ("Amostra da Conceição", "Luzia", LATIN_1),
        'EJE482JUA': ("Exemplo Gonçalves", "João", LATIN_1),
        'EXE105ZOE': ("Exemplo", "Zoé", UTF_8),
        'PRI268IVA': ("Modelo Guimarães", "Antônio", LATIN_1),
        'SAM017KOF': ("Amostra", "Sebastião", UTF_8),
        'ESI649AKI': ("Padrão", "Inês", LATIN_1),
        },
    physician=("Cora", "Amostra"),
    study_types={
        'CT-HEAD': "TC de crânio",
        'MR-KNEE': "RM do joelho",
        'XR-CHEST': "Radiografia de tórax",
        'US-ABDOMEN': "Ultrassonografia do abdome",
        'CT-ABDOMEN': "TC de abdome",
        'XR-HAND': "Radiografia da mão",
        'NM-BONE': "Cintilografia óssea",
        },
    comments={
        'CT-HEAD': "Queda na rua, cefaleia desde então.\n"
            "Hemorragia? Em uso de anticoagulante.",
        'MR-KNEE': "Torção no futebol, edema. Lesão do menisco?",
        'XR-CHEST': "Tosse há três semanas, febre. Pneumonia?",
        'US-ABDOMEN': "Dor no hipocôndrio direito. Cálculos?",
        },
    descriptions={
        'CT': "TC de crânio", 'MR': "RM de crânio",
        'CR': "Radiografia de tórax", 'US': "Ultrassonografia do abdome",
        'SR': "Laudo"},
    roles={
        'physician': "Dra. Cora Amostra",
        'radiographer': "Técnica em radiologia",
        'clerk': "Gestão de imagens",
        'administrator': "Administração de imagens",
        'privacy': "Encarregada da proteção de dados",
        },
    texts={
        "Cough for three weeks": "Tosse há três semanas",
        "Fall from a ladder": "Queda de uma escada",
        "Left hand instead of the right one": "Mão esquerda em vez da direita",
        "Appendicitis?": "Apendicite?",
        "Headache, fever": "Cefaleia, febre",
        "Hives after iodinated contrast in 2019":
            "Urticária após contraste iodado em 2019",
        "The images show the patient before her":
            "As imagens são da paciente anterior",
        "Gallbladder without stones. Liver and kidneys unremarkable.":
            "Vesícula biliar sem cálculos. Fígado e rins sem alterações.",
        "Scanned twice": "Adquirido duas vezes",
        })

# English is what the hospital is made of
LANGUAGES: dict[str, Words | None] = {
    'en': None, 'de': GERMAN, 'es': SPANISH, 'fr': FRENCH,
    'pt_BR': PORTUGUESE}


# What `use` changes, in English: the names of an object, and their values
_ENGLISH = [
    (of, name, copy.copy(getattr(of, name))) for of, name in [
        (hospital, 'INSTITUTION'), (hospital, 'PHYSICIAN'),
        (hospital, 'COMMENTS'), (hospital, 'DESCRIPTIONS'),
        (hospital, 'PATIENTS'), (hospital, 'STUDY_TYPES'),
        (hospital, 'ROLES'), (demo_morning, 'TEXTS'),
        (demo_morning, 'STUDY_TYPES')]]


def _use_english() -> None:
    for of, name, english in _ENGLISH:
        now = getattr(of, name)
        # Others have imported the same list
        if isinstance(english, list):
            now[:] = english
        elif isinstance(english, dict):
            now.clear()
            now.update(english)
        else:
            setattr(of, name, english)


def use(language: str) -> None:
    """Put what is of a language into `hospital`, for this process."""
    _use_english()
    words = LANGUAGES[language]
    if words is None:
        return
    hospital.INSTITUTION = words.institution
    hospital.PHYSICIAN = words.physician
    hospital.COMMENTS.update(words.comments)
    hospital.DESCRIPTIONS.update(words.descriptions)
    hospital.PATIENTS[:] = [
        _renamed(person, words) for person in hospital.PATIENTS]
    hospital.STUDY_TYPES[:] = [
        dataclasses.replace(
            kind, name=words.study_types.get(kind.code, kind.name))
        for kind in hospital.STUDY_TYPES]
    demo_morning.TEXTS.update(words.texts)
    demo_morning.STUDY_TYPES[:] = [
        dataclasses.replace(
            kind, name=words.study_types.get(kind.code, kind.name))
        for kind in demo_morning.STUDY_TYPES]
    hospital.ROLES[:] = [
        dataclasses.replace(
            role, name=words.roles.get(role.login, role.name))
        for role in hospital.ROLES]


def _renamed(person: hospital.Person, words: Words) -> hospital.Person:
    if person.puid not in words.names:
        return person
    family, given, charset = words.names[person.puid]
    return dataclasses.replace(
        person, family=family, given=given, pn=f'{family}^{given}',
        charset=charset)


def names(language: str) -> dict[str, str]:
    """Return what is called otherwise in a language, by what it is in English.

    These are patients and the physician, as GNU Health shows them, study
    types, and what is written about the orders of a morning.
    """
    words = LANGUAGES[language]
    if words is None:
        return {}
    english = {name: value for _, name, value in _ENGLISH}
    types = [
        kind for of, name, kinds in _ENGLISH if name == 'STUDY_TYPES'
        for kind in kinds]
    return {
        **{_listed(person.given, person.family):
            _listed(renamed.given, renamed.family)
            for person in english['PATIENTS']
            for renamed in [_renamed(person, words)]},
        _listed(*english['PHYSICIAN']): _listed(*words.physician),
        **{kind.name: words.study_types.get(kind.code, kind.name)
            for kind in types},
        **words.texts,
        }


def _listed(given: str, family: str) -> str:
    return f'{family}, {given}'


def load(language: str) -> None:
    """Have all users work in a language; proteus is connected as admin."""
    Lang = Model.get('ir.lang')
    lang, = Lang.find([('code', '=', language)])
    if language != 'en':
        lang.click('load_translations')
    for user in Model.get('res.user').find([]):
        user.language = lang
        user.save()
