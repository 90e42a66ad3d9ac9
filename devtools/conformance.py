# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the tables of doc/conformance.md.

What they say is not copied from the sources but tried: sample orders are
rendered, and each attribute of them is queried in each way.
"""
import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from trytond.modules.health_orthanc.core.dicom.charsets import find_charset
from trytond.modules.health_orthanc.core.worklist import (
    completion, dump, element_values, item, samples)

from orthanc_plugin.src import gnuhealth, matching, settings

from .tryton import MODULE, ROOT

__all__ = ['PAGE', 'updated']

PAGE = ROOT / 'doc' / 'conformance.md'
VARIABLES = ROOT / MODULE / 'worklist' / 'variables.py'
_BLOCK = r'(<!-- devtools/conformance\.py: {} -->\n).*?(<!-- end -->)'
# The functions that make variables, and which record they read
_READ = {
    '_order_data': "order", 'patient_identity': "patient",
    '_patient_data': "patient", 'template_data': "patient",
    '_step_data': "step"}
# What a template of the hospital may add, by the keyword of its sequence
_CODES = ['RequestedProcedureCodeSequence', 'ScheduledProtocolCodeSequence']
_CODE = {
    'CodeValue': 'SAMPLE', 'CodingSchemeDesignator': '99SAMPLE',
    'CodeMeaning': 'Sample'}
# Defined terms (PS3.3 C.12.1.1.2)
_NUMBERS = [100, 101, 109, 110, 144, 127, 126, 138, 148, 203, 13, 166]
_TERMS = {
    "Single, without code extensions": [
        'ISO_IR 6', *[f'ISO_IR {number}' for number in _NUMBERS]],
    "Single, with code extensions": [
        'ISO 2022 IR 6', *[f'ISO 2022 IR {number}' for number in _NUMBERS]],
    "Multi-byte, with code extensions": [
        f'ISO 2022 IR {number}' for number in [87, 159, 149, 58]],
    "Multi-byte, without code extensions": ['ISO_IR 192', 'GB18030', 'GBK'],
    }
_EMPTY = '–'

Rows = Iterator[tuple[str, ...]]


def updated() -> str:
    """Return the page with its tables as they are now."""
    text = PAGE.read_text()
    for name, rows in TABLES.items():
        pattern = re.compile(_BLOCK.format(name), re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"{PAGE.name} has no place for the {name}")
        head, *body = rows()
        table = ''.join(
            f'| {" | ".join(row)} |\n'
            for row in [head, ('---',) * len(head), *body])
        text = pattern.sub(
            lambda found: found[1] + table + found[2], text)
    return text


# --- Attributes -------------------------------------------------------------


def _attributes() -> Rows:
    """Yield what a worklist item holds."""
    yield ("Attribute", "Tag", "VR", "Type", "Returned", "Read from",
        "Matched by")
    full, sparse = _render(samples.FULL), _render(samples.SPARSE)
    sources = _sources()
    for element in full:
        name = element.keyword
        yield _row(name, '', full, sparse, sources)
        if name == dump.STEP:
            step = full[name].value[0]
            for inner in step:
                yield _row(
                    inner.keyword, '> ', step, sparse[name].value[0], sources)


def _render(values: Mapping[str, Any]) -> Dataset:
    return item.render(item.DEFAULT_TEMPLATE, 'dump2dcm', values).dataset


def _row(
        name: str, indent: str, full: Dataset, sparse: Dataset,
        sources: Mapping[str, str]) -> tuple[str, ...]:
    return (
        indent + name, _tag(name), full[name].VR, _type(name, bool(indent)),
        _returned(name, full, sparse), sources.get(name, _EMPTY),
        ', '.join(_matched(name, bool(indent))) or _EMPTY)


def _tag(name: str) -> str:
    number = tag_for_keyword(name)
    assert number is not None
    return f'({number >> 16:04X},{number & 0xffff:04X})'


def _type(name: str, in_step: bool) -> str:
    """Return the return key type (PS3.4 Table K.6-1)."""
    if name == dump.STEP:
        return '1'
    if name in dump.EMPTY_SEQUENCES:
        return '2'
    keys = completion.STEP_KEYS if in_step else completion.ROOT_KEYS
    return keys.get(name, '3')


def _returned(name: str, full: Dataset, sparse: Dataset) -> str:
    if full[name].VR == 'SQ':
        return "one item" if full[name].value else "empty"
    if name not in sparse:
        return "if known"
    if completion.text_of(sparse, name):
        return "with a value"
    return "may be empty"


def _sources() -> dict[str, str]:
    """Return which record of GNU Health each attribute is read from."""
    found = {}
    for function in ast.parse(VARIABLES.read_text()).body:
        if isinstance(function, ast.FunctionDef) and function.name in _READ:
            for node in ast.walk(function):
                if isinstance(node, ast.Dict):
                    found.update({
                            key.value: _READ[function.name]
                            for key in node.keys
                            if isinstance(key, ast.Constant)})
    found['SpecificCharacterSet'] = "template"
    return found


# --- Matching ---------------------------------------------------------------


def _matched(name: str, in_step: bool) -> Iterator[str]:
    """Yield the kinds of matching of an attribute, apart from universal."""
    part = _sample()[dump.STEP].value[0] if in_step else _sample()
    if part[name].VR == 'SQ':
        if part[name].value:
            yield "sequence"
        return
    if _key(name) in matching.KEYS_IGNORED:
        return
    value = completion.text_of(part, name).partition('\\')[0]
    if value:
        yield from _find_ways(
            part[name].VR, value, _search([dump.STEP] * in_step, name))


def _sample() -> Dataset:
    """Return an item with a value in each attribute."""
    found = _render(samples.FULL)
    for name, part in zip(_CODES, [found, found[dump.STEP].value[0]]):
        code = Dataset()
        for keyword, value in _CODE.items():
            completion.set_value(code, keyword, value)
        completion.set_value(part, name, [code])
    return found


def _search(path: list[str], name: str) -> Callable[[str], bool]:
    """Return a function that says whether a value finds the sample."""
    from tests.unit.plugin_host import decode
    held = json.loads(decode(item.to_file(_sample())))

    def finds(value: str) -> bool:
        query: dict[str, Any] = {_key(name): value}
        for sequence in reversed(path):
            query = {_key(sequence): [query]}
        ignored: list[str] = []
        matches = matching.compile_query(query, ignored=ignored.append)
        return not ignored and matches(held)
    return finds


def _key(name: str) -> str:
    return _tag(name).strip('()').lower()


def _find_ways(
        vr: str, value: str, finds: Callable[[str], bool]) -> Iterator[str]:
    """Yield the kinds of matching (PS3.4 C.2.2.2) that tell values apart."""
    other = _find_other(vr, value)
    if not finds(value) or finds(other):
        return
    yield "value"
    if finds(f'{other}\\{value}') and not finds(f'{other}\\{other}'):
        yield "list"
    if vr in {'DA', 'TM'}:
        if finds(f'{other}-{value}') and not finds(f'{other}-{other}'):
            yield "range"
    elif (finds(f'{value[:1]}*') and finds('?' * len(value))
            and not finds(f'{other[:1]}*')):
        yield "wildcard"


def _find_other(vr: str, value: str) -> str:
    """Return a value of the VR that is another from its beginning on."""
    if vr in {'DA', 'TM'}:
        return {'DA': '19000101', 'TM': '000000'}[vr]
    return ('8' if value[0] == '9' else '9') + value[1:]


def _codes() -> Rows:
    """Yield how the sequences that a template may add are matched."""
    yield "Attribute", "Tag", "VR", "Matched by"
    paths: list[list[str]] = [[_CODES[0]], [dump.STEP, _CODES[1]]]
    for path in paths:
        yield path[-1], _tag(path[-1]), 'SQ', "sequence"
        for name, value in _CODE.items():
            vr, _ = element_values.representation(name)
            ways = _find_ways(vr, value, _search(path, name))
            yield f'> {name}', _tag(name), vr, ', '.join(ways)


# --- Limits -----------------------------------------------------------------


def _lengths() -> Rows:
    """Yield the longest value of each VR, and what becomes of longer ones."""
    yield "VR", "At most", "A longer value"
    used = {element.VR for element in _sample().iterall()}
    for vr, length in element_values.LENGTHS.items():
        if vr in used and vr not in {'DA', 'TM'}:
            yield vr, f'{length:,} characters', _shorten(vr, length)


def _shorten(vr: str, length: int) -> str:
    digit = '1' if vr in {'DS', 'UI'} else 'A'
    try:
        text = element_values.safe_value(vr, digit * (length + 1))
    except element_values.WorklistError:
        return "the step is not on the worklist"
    assert len(text) == length
    return "is cut, on a character boundary"


def _identifiers() -> Rows:
    """Yield what identifies and is never cut."""
    yield "Attribute", "At most"
    for name in sorted(element_values.IDENTIFIERS):
        vr, _ = element_values.representation(name)
        length = element_values.LENGTHS[vr]
        value = '1' * (length + 1)
        try:
            element_values.safe_value(name, value)
        except element_values.WorklistError:
            yield name, f'{length} characters'


def _charsets() -> Rows:
    """Yield the defined terms that a template may name."""
    yield "Kind (PS3.3 C.12.1.1.2)", "Supported", "Not supported"
    for kind, terms in _TERMS.items():
        known = [term for term in terms if _is_known(term)]
        yield (
            kind, _join(known),
            _join([term for term in terms if term not in known]))


def _is_known(term: str) -> bool:
    try:
        find_charset(term)
    except ValueError:
        return False
    return True


def _join(terms: list[str]) -> str:
    return ', '.join(f'`{term}`' for term in terms) or _EMPTY


def _settings() -> Rows:
    """Yield the defaults of the plugin."""
    yield "Limit", "Default", "Changed by"
    default = settings.Settings()
    yield ("age of the worklist that is served while GNU Health does not"
        " answer", f'{default.maximum_age / 3600:g} hours', '`MaximumAge`')
    yield ("interval in which changes are fetched",
        f'{default.refresh_interval:g} seconds', '`RefreshInterval`')
    yield ("wait for an answer of GNU Health",
        f'{default.timeout:g} seconds', '`Timeout`')
    yield ("an answer of GNU Health, of up to 1,000 items",
        f'{gnuhealth.MAXIMUM_ANSWER >> 20} MiB', _EMPTY)


TABLES = {
    'attributes': _attributes, 'codes': _codes, 'lengths': _lengths,
    'identifiers': _identifiers, 'character sets': _charsets,
    'settings': _settings}


if __name__ == '__main__':
    PAGE.write_text(updated())
