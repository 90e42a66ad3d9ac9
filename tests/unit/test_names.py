# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether two names are one person's."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.dicom.values import NameGroup
from trytond.modules.health_orthanc.core.matching.names import (
    compare_names, normalize_words)
from trytond.modules.health_orthanc.core.matching.verdicts import (
    Reason, Verdict)

EQUAL, DIFFERS, MISSING = Verdict.EQUAL, Verdict.DIFFERS, Verdict.MISSING


def compare(ours, theirs):
    """Compare names that are written as PN, several divided by ``/``."""
    return compare_names(
        [NameGroup.parse(name) for name in ours.split('/')], theirs)


def both_ways(one, other):
    found = compare(one, other), compare(other, one)
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize('one, other', [
        ("Muster^Erika", "MUSTER^ERIKA"),
        ("Muster^Erika^Maria", "Muster^Erika Maria"),
        ("Muster^Erika^^Dr^Jr", "Muster^Erika"),
        ("Muster^Dr Erika", "Muster^Erika"),
        ("Müller^Jürgen", "Mueller^Juergen"),
        ("Müller^Jürgen", "MULLER^JURGEN"),
        ("Øvrebø^Åse", "OVREBO^ASE"),
        ("Łukasiewicz^Józef", "LUKASIEWICZ^JOZEF"),
        ("Yılmaz^İbrahim", "YILMAZ^IBRAHIM"),
        ("Nguyễn^Thị Hoa", "NGUYEN^THI HOA"),
        ("García López^Juan", "Lopez Garcia^Juan"),
        ("Smith-Jones^Ann", "SMITH JONES^ANN"),
        ("O'Brien^Mary", "OBRIEN^MARY"),
        ("van den Berg^Jan", "VANDENBERG^JAN"),
        ("van den Berg^Jan", "Berg^Jan"),
        ("de la Cruz^María de los Ángeles", "CRUZ^MARIA ANGELES"),
        ("Al-Haddad^Omar", "HADDAD^OMAR"),
        ("Al-Haddad^Omar", "ALHADDAD^OMAR"),
        ("عبد الله^أحمد", "عبدالله^احمد"),
        ("Фёдоров^Пётр", "ФЕДОРОВ^ПЕТР"),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ", "やまだ^たろう"),
        ("王^小明", "王小明"),
        # As many devices write them, in one component
        ("García López^Juan", "GARCIA LOPEZ JUAN"),
        ("García López^Juan", "JUAN GARCIA LOPEZ"),
        ])
def test_one_name_in_several_spellings(one, other):
    finding = both_ways(one, other)
    assert (finding.verdict, finding.agreement) == (EQUAL, 1)
    assert finding.reason is None


@pytest.mark.parametrize('one, other', [
        ("Hassan^Ali", "Ali^Hassan"),
        ("García López^Juan", "JUAN^GARCIA LOPEZ"),
        ("van den Berg^Jan", "JAN^VANDENBERG"),
        ])
def test_family_and_given_name_may_be_swapped(one, other):
    finding = both_ways(one, other)
    assert (finding.verdict, finding.reason) == (EQUAL, Reason.SWAPPED)


@pytest.mark.parametrize('one, other', [
        ("García López^Juan", "García^Juan"),
        ("García López^Juan", "López^Juan"),
        ("García López^Juan", "Juan García"),
        ("Muster^Erika^Maria", "Muster^Erika"),
        ("Muster^Erika Maria", "Muster^Erika M."),
        ("Muster^Erika", "Muster^E"),
        ("Nguyễn^Thị Hoa", "Nguyen^Hoa"),
        ])
def test_part_of_a_name_agrees_in_part(one, other):
    finding = both_ways(one, other)
    assert (finding.verdict, finding.reason) == (MISSING, Reason.PART)
    assert 0.5 < finding.agreement < 1


@pytest.mark.parametrize('other', ["Muster", "^Erika", "M^E"])
def test_one_word_says_little(other):
    finding = both_ways("Muster^Erika", other)
    assert (finding.verdict, finding.reason) == (MISSING, Reason.PART)
    assert finding.agreement < 0.5


@pytest.mark.parametrize('one, other', [
        ("Muster^Erika", "Mutser^Erika"),
        ("Muster^Erika", "Muster^Erik"),
        ("Muster^Erika", "Erika^Mustre"),
        ("Hassan^Mohamed", "HASAN^MUHAMMAD"),
        ("Ivanov^Alexander", "Iwanow^Aleksandr"),
        ("Khan^Lakshmi", "KHAN^LAXMI"),
        ("van den Berg^Jan", "VANDENBREG^JAN"),
        ("Papadopoulos^Georgios", "PAPADOPOULOS^GEO"),
        ])
def test_slips_make_names_similar_but_not_equal(one, other):
    finding = both_ways(one, other)
    assert (finding.verdict, finding.reason) == (DIFFERS, Reason.SIMILAR)
    assert 0.4 < finding.agreement < 0.8


@pytest.mark.parametrize('one, other', [
        ("Muster^Erika", "Muster^Max"),
        ("Muster^Erika", "Beispiel^Erika"),
        ("Muster^E", "Muster^M"),
        ("García López^Juan Carlos", "García López^Pedro"),
        ("かき^はな", "がぎ^ばな"),
        ("王^伟", "李^伟"),
        ("Иванов^Сергей", "Petrov^Andrey"),
        ])
def test_other_names_differ(one, other):
    finding = both_ways(one, other)
    assert finding.verdict is DIFFERS
    assert finding.agreement <= 0.2


@pytest.mark.parametrize('one, other', [
        ("Иванов^Сергей", "Ivanov^Sergey"),
        ("Щербаков^Юрий", "SHCHERBAKOV^YURY"),
        ("Παπαδόπουλος^Γεώργιος", "Papadopoulos^Georgios"),
        ("محمد^علي", "Mohamed^Ali"),
        ("الحداد^عائشة", "Haddad^Aisha"),
        ("王^小明", "Wang^Xiaoming"),
        ("やまだ^たろう", "Yamada^Taro"),
        ("김^민준", "Kim^Minjun"),
        ])
def test_other_letters_that_read_alike_agree_in_part(one, other):
    finding = both_ways(one, other)
    assert (finding.verdict, finding.reason) == (MISSING, Reason.SCRIPT)
    assert 0.5 < finding.agreement < 1


def test_characters_that_tell_no_sound_are_not_compared():
    finding = both_ways("山田^太郎", "Yamada^Taro")
    assert finding.verdict is MISSING
    assert finding.reason is Reason.UNREADABLE_SCRIPT
    assert finding.agreement is None


@pytest.mark.parametrize('ours', [
        "Yamada^Tarou", "山田^太郎", "やまだ^たろう"])
def test_any_group_of_a_pn_will_do(ours):
    finding = compare(ours, "YAMADA^TAROU=山田^太郎=やまだ^たろう")
    assert finding.verdict is EQUAL


def test_groups_in_one_script_are_asked_first():
    finding = compare("山田^太郎", "Suzuki^Ichiro=鈴木^一郎")
    assert finding.verdict is DIFFERS


def test_maiden_name_is_a_name():
    finding = compare("Schmidt^Anna/Müller^Anna", "MUELLER^ANNA")
    assert (finding.verdict, finding.reason) == (EQUAL, Reason.OTHER_NAME)


def test_nickname_alone_is_not():
    finding = compare("García^José/^Pepe", "PEPE")
    assert finding.verdict is MISSING
    assert finding.agreement < 0.5


@pytest.mark.parametrize('ours', ["", "^", "???"])
@pytest.mark.parametrize('theirs', [None, "", "^^", "???^??", "=="])
def test_no_name_is_missing(ours, theirs):
    for finding in [compare(ours, theirs), compare("Muster^Erika", theirs)]:
        assert (finding.verdict, finding.agreement) == (MISSING, None)


WORDS = st.text(st.sampled_from("aeéüßßkmØ 'İжي山か-.ñ"), max_size=6)
PNS = st.lists(WORDS, min_size=1, max_size=3).map('^'.join)


@given(PNS, PNS)
def test_names_are_compared_both_ways_alike(one, other):
    finding = both_ways(one, other)
    assert finding.agreement is None or 0 <= finding.agreement <= 1
    assert (finding.agreement == 1) == (finding.verdict is EQUAL)


@given(st.text(), st.text())
def test_a_name_is_equal_to_itself(family, given_name):
    name = NameGroup.parse(f'{family}^{given_name}'.replace('=', ''))
    finding = compare_names(
        [name], '^'.join([name.family, name.given, name.middle]))
    words = normalize_words(f'{name.family} {name.given} {name.middle}')
    if words:
        assert finding.verdict is EQUAL


@given(st.text())
def test_folded_words_are_folded(text):
    words = normalize_words(text)
    assert normalize_words(' '.join(words)) == words
