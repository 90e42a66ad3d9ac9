/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Our boards, of two rows of panels, fit a screen */

import {add_style} from './style.mjs';

const MODULE_PREFIX = 'health_orthanc.';
const PANEL_CLASS = 'health-orthanc-panel';
// Pixels above the panels, and in each panel above its content
const ABOVE = 184;
const HEADING = 46;
const TABS = 110;
const PANEL = `.${PANEL_CLASS}`;
const PANEL_STYLE = `
${PANEL} {
    height: calc((100vh - ${ABOVE}px) / 2) !important; margin-bottom: 4px;
    overflow: hidden; }
${PANEL} .panel-body { padding: 4px 8px; }
${PANEL} .filter-box { display: none !important; }
${PANEL} .graph { min-height: 0; }
${PANEL} .treeview {
    height: calc((100vh - ${ABOVE}px) / 2 - ${TABS}px) !important; }`;

/** Return the height of a graph in a panel. */
export function graph_height(window_height) {
    return Math.max((window_height - ABOVE) / 2 - HEADING, 120);
}

/** Return the label of a value at the axis: no fraction of a count.

    Values below one keep two digits, so that they are not all 0.
*/
export function tick_label(value, whole, language) {
    if (whole && !Number.isInteger(value)) {
        return '';
    }
    const rounded = Math.abs(value) < 1 ?
        Number(value.toPrecision(2)) : Math.round(value * 10) / 10;
    return rounded.toLocaleString(language, {'maximumFractionDigits': 6});
}

/** Return whether all values of a graph are counts. */
export function are_whole(columns) {
    return columns.slice(1).every(([, ...values]) => values.every(
        value => !value || Number.isInteger(value)));
}

/** Let our boards fit the screen. */
export function fit_boards() {
    const {Board, Graph} = Sao.View;
    const panel = Board.Action.prototype;
    const init = panel.init;
    panel.init = function(view, attributes) {
        init.call(this, view, attributes);
        if (attributes.name.startsWith(MODULE_PREFIX)) {
            add_style('board', PANEL_STYLE);
            this.el.addClass(PANEL_CLASS);
        }
    };
    const chart = Graph.Chart.prototype;
    const make_config = chart._c3_config;
    chart._c3_config = function(data) {
        const config = make_config.call(this, data);
        return this.el.closest(PANEL).length ?
            fit_graph(config, data.columns) : config;
    };
}

function fit_graph(config, columns) {
    const whole = are_whole(columns);
    const language = Sao.i18n.BC47(Sao.i18n.getlang());
    config.size = {'height': graph_height(window.innerHeight)};
    config.padding = {'right': 24};
    config.axis.y = {
        'min': 0,
        'padding': {'bottom': 0},
        'tick': {'format': value => tick_label(value, whole, language)},
    };
    return config;
}
