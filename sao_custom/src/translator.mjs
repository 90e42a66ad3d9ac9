/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in the language of the person */

import {DE} from './texts/de.mjs';
import {EN} from './texts/en.mjs';
import {ES} from './texts/es.mjs';
import {FR} from './texts/fr.mjs';
import {PT} from './texts/pt.mjs';

export const TEXTS = {en: EN, de: DE, es: ES, fr: FR, pt: PT};

/**
 * Return a function that looks up texts.
 *
 * @param {string} language - code like `de` or `de_AT`; English is used where
 *     it is empty or has no texts
 * @returns {function(string, Object=): string} takes the key of a text and
 *     the values of its placeholders
 */
export function translator(language) {
    const texts = TEXTS[(language || '').slice(0, 2).toLowerCase()] ||
        TEXTS.en;
    return (key, values={}) => texts[key].replace(
        /\{(\w+)\}/g, (_, name) => values[name]);
}
