/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The attributes of views that not all clients know */

const ATTRIBUTES = ['lines', 'code', 'day_start', 'day_end', 'empty'];
const CLIENT = 'urn:health_orthanc:client';

/** Let SAO's parser of views read attributes in our namespace, too. */
export function read_namespace() {
    const parser = Sao.View.XMLViewParser.prototype;
    const node_attributes = parser._node_attributes;
    parser._node_attributes = function(node) {
        const attributes = node_attributes.call(this, node);
        const widget = node.getAttributeNS(CLIENT, 'widget');
        if (widget && (widget in Sao.View.FormXMLViewParser.WIDGETS)) {
            attributes.widget = widget;
        }
        for (const name of ATTRIBUTES) {
            const value = node.getAttributeNS(CLIENT, name);
            if (value) {
                attributes[name] = value;
            }
        }
        return attributes;
    };
}
