/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */
'use strict';

const js = require('@eslint/js');

const names = (...found) => Object.fromEntries(
    found.map(name => [name, 'readonly']));
const COMMON = names(
    'AbortController', 'Blob', 'DOMException', 'Intl', 'TextDecoder',
    'TextEncoder', 'module');

module.exports = [
    js.configs.recommended,
    {
        languageOptions: {ecmaVersion: 2022, sourceType: 'script'},
        rules: {
            'eqeqeq': 'error',
            'indent': ['error', 4, {SwitchCase: 0, ignoredNodes: ['*']}],
            'max-len': ['error', 79],
            'no-alert': 'error',
            'no-implied-eval': 'error',
            'no-shadow': 'error',
            'no-var': 'error',
            'prefer-const': 'error',
            'quotes': 'off',
            'semi': 'error',
            'strict': ['error', 'safe'],
            // Names and tags are shown as text
            'no-restricted-properties': ['error',
                {property: 'innerHTML'}, {property: 'outerHTML'},
                {property: 'insertAdjacentHTML'}, {property: 'html'}],
        },
    },
    {
        // What must run without a browser knows nothing of the page
        files: ['sao_custom/src/**'],
        languageOptions: {globals: {...COMMON, ...names('XMLHttpRequest')}},
    },
    {
        files: [
            'sao_custom/custom.js', 'sao_custom/src/custom.mjs',
            'sao_custom/src/widget/**'],
        languageOptions: {globals: {
            ...COMMON, ...names(
                'Sao', 'XMLHttpRequest', 'document', 'jQuery', 'window')}},
    },
    {
        files: ['tests/javascript/**'],
        languageOptions: {
            sourceType: 'commonjs',
            globals: {
                ...COMMON, ...names(
                    'Buffer', 'global', 'setImmediate', 'setTimeout')},
        },
    },
    {
        files: ['**/*.mjs'],
        languageOptions: {sourceType: 'module'},
    },
];
