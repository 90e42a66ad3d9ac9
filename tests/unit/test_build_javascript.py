# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the web client's file is built from its modules."""
from pathlib import Path

import pytest

from devtools import build_javascript
from devtools.build_javascript import BUILT, SOURCES, BuildError, build, main

LICENSE = """\
/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

"""
ONE = "/** One */\nexport const ONE = 1;\n"
TWO = "import {TWO} from './two.mjs';\n"


def write(folder: Path, **modules: str) -> Path:
    """Write modules, the license before each; ``a__b`` is ``a/b.mjs``."""
    for name, code in modules.items():
        path = folder / f"{name.replace('__', '/')}.mjs"
        path.parent.mkdir(exist_ok=True)
        path.write_text(LICENSE + code, encoding='utf-8')
    return folder


def test_committed_file_is_fresh():
    assert BUILT.read_text(encoding='utf-8') == build(SOURCES)
    assert main(['--check']) == 0


def test_stale_file_is_found_and_written(tmp_path, monkeypatch, capsys):
    stale = tmp_path / 'custom.js'
    stale.write_text("// old")
    monkeypatch.setattr(build_javascript, 'BUILT', stale)
    assert main(['--check']) == 1
    assert "custom.js" in capsys.readouterr().err
    assert stale.read_text() == "// old"
    assert main([]) == 0
    assert main(['--check']) == 0
    assert stale.read_bytes() == BUILT.read_bytes()


def test_version_and_license_are_at_the_top(tmp_path):
    top = build(write(tmp_path, custom="f();\n")).split('*/')[0]
    version, = [
        line for line in (
            SOURCES.parents[1] / 'health_orthanc' / 'tryton.cfg'
            ).read_text().splitlines() if line.startswith('version=')]
    assert f"health_orthanc {version.removeprefix('version=')} " in top
    assert 'SPDX-License-Identifier: GPL-3.0-or-later' in top
    assert "Built from sao_custom/src by ./dev build; do not edit." in top


def test_modules_follow_those_that_they_import(tmp_path):
    built = build(write(
            tmp_path, one=ONE,
            custom="import {two} from './a/two.mjs';\n\nf(two);\n",
            a__two="/* Two */\n\nimport {\n    ONE} from '../one.mjs';\n\n"
            "export async function two() {\n    return ONE + 1;\n}\n"))
    _, _, code = built.partition("'use strict';\n")
    assert code == """
// --- one.mjs

/** One */
const ONE = 1;

// --- a/two.mjs

/* Two */

async function two() {
    return ONE + 1;
}

// --- custom.mjs

f(two);

}());
"""
    assert built.count('SPDX-License-Identifier') == 1


@pytest.mark.parametrize('modules, message', [
        ({'custom': "import * as one from './one.mjs';\n"},
            "custom.mjs: not supported: import * as one"),
        ({'custom': "import {ONE as one} from './one.mjs';\n"},
            "custom.mjs: not supported: import {ONE as one}"),
        ({'custom': "export default 1;\n"}, "not supported: export default"),
        ({'custom': "import {TWO} from './one.mjs';\n"},
            "custom.mjs: one.mjs does not export TWO"),
        ({'custom': TWO},
            "custom.mjs: no module two.mjs"),
        ({'custom': "import {ONE} from './one.mjs';\nclass ONE {}\n"},
            "ONE is declared in custom.mjs and one.mjs"),
        ({'custom': "f();\n"}, "not imported: one.mjs"),
        ({'custom': TWO,
            'two': "import {ONE} from './one.mjs';\nexport const TWO = 2;\n",
            'one': TWO + ONE},
            "circular import: custom.mjs → two.mjs → one.mjs → two.mjs"),
        ])
def test_what_cannot_be_joined_is_refused(tmp_path, modules, message):
    write(tmp_path, **{'one': ONE, **modules})
    with pytest.raises(BuildError) as error:
        build(tmp_path)
    assert message in str(error.value)


def test_a_module_without_the_license_is_refused(tmp_path):
    (tmp_path / 'custom.mjs').write_text("f();\n")
    with pytest.raises(BuildError, match="SPDX header is missing"):
        build(tmp_path)
