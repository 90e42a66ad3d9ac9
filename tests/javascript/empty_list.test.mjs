/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* What an empty list says */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {choose_text, explain_empty_lists} from
    '../../sao_custom/src/widget/empty_list.mjs';

const TEXTS = {
    titles: {Today: "No study of today", Uploads: "Nothing uploaded"},
    list: "Studies appear here",
    search: "Nothing fits",
};

test('a tab or panel has its own text', () => {
    assert.equal(choose_text(TEXTS, 'Today', false), "No study of today");
    assert.equal(choose_text(TEXTS, 'All', false), "Studies appear here");
    assert.equal(choose_text(TEXTS, '', false), "Studies appear here");
    assert.equal(choose_text({titles: {}}, 'All', false), '');
});

test('a search that finds nothing is not an empty list', () => {
    assert.equal(choose_text(TEXTS, 'Today', true), "Nothing fits");
});

// Of jQuery, what is used of it
class Element {
    constructor() {
        this.shown = null;
        this.content = '';
    }

    children() {
        return this.child ? Object.assign(this.child, {length: 1}) :
            {length: 0};
    }

    css() {
        return this;
    }

    appendTo(parent) {
        parent.child = this;
        return this;
    }

    text(content) {
        if (content === undefined) {
            return this.content;
        }
        this.content = content;
        return this;
    }

    toggle(shown) {
        this.shown = shown;
    }

    closest() {
        return {children: () => ({text: () => this.title || ''})};
    }
}

class Parser {
    constructor(view) {
        this.view = view;
    }

    _parse_tree() {}
}

class Tree {
    display() {
        return {then: callback => callback()};
    }
}

class Screen {
    constructor(group, tabs=[], entered='') {
        this.group = group;
        this.screen_container = {
            tab_domain: tabs.map(name => [name, [], false]),
            get_tab_index: () => tabs.length - 1,
            get_text: () => entered,
        };
    }

    search_filter() {
        return {then: callback => callback('found')};
    }
}

global.jQuery = Object.assign(() => new Element(), {when: value => value});
global.Sao = {
    Screen, View: {Tree, TreeXMLViewParser: Parser},
};
explain_empty_lists();

function make_view(screen, attributes={empty: JSON.stringify(TEXTS)}) {
    const view = Object.assign(new Tree(), {
        screen, treeview: new Element(), el: new Element()});
    new Parser(view)._parse_tree(null, attributes);
    screen.current_view = view;
    return view;
}

test('nothing is said before the search has ended', () => {
    const screen = new Screen([], ['Today']);
    const view = make_view(screen);
    view.display();
    assert.equal(view.treeview.child.shown, false);
    screen.search_filter('', true);
    view.display();
    assert.equal(view.treeview.child.shown, false);
    assert.equal(screen.search_filter(''), 'found');
    assert.equal(view.treeview.child.shown, true);
    assert.equal(view.treeview.child.content, "No study of today");
});

test('a list with records says nothing', () => {
    const screen = new Screen(['record']);
    const view = make_view(screen);
    screen.search_filter('');
    assert.equal(view.treeview.child.shown, false);
    screen.group = [];
    view.display();
    assert.equal(view.treeview.child.content, "Studies appear here");
});

test('a search is named', () => {
    const screen = new Screen([], [], 'Muster');
    const view = make_view(screen);
    screen.search_filter('Muster');
    assert.equal(view.treeview.child.content, "Nothing fits");
});

test('a list in a form does not search', () => {
    const view = make_view(
        new Screen(Object.assign([], {parent: {}}), [], null));
    view.display();
    assert.equal(view.treeview.child.content, "Studies appear here");
});

test('a choice in a form says nothing of what could be chosen', () => {
    for (const [type, readonly, shown] of [
        ['many2many', false, false], ['many2many', true, true],
        ['one2many', false, true]]) {
        const parent = {model: {fields: {
            servers: {description: {type, readonly}}}}};
        const view = make_view(new Screen(
            Object.assign([], {parent, child_name: 'servers'}), [], null));
        view.display();
        assert.equal(view.treeview.child.shown, shown);
    }
});

test('a panel of a board is known by its title', () => {
    const screen = new Screen([]);
    const view = make_view(screen);
    view.el.title = 'Uploads';
    screen.search_filter('');
    assert.equal(view.treeview.child.content, "Nothing uploaded");
});

test('lists of others stay as they are', () => {
    const screen = new Screen([]);
    const view = make_view(screen, {});
    view.display();
    screen.search_filter('');
    assert.equal(view.treeview.child, undefined);
});
