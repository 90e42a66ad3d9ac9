/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The packed form of several files: `MULT`, then for each file its length
   (8 bytes, little-endian) and its bytes */

export const MAGIC = [0x4D, 0x55, 0x4C, 0x54];

/**
 * Pack files, or the beginning of each.
 *
 * @param {Blob[]} files
 * @param {number} limit - bytes of each file at most
 * @returns {Promise<Blob>} rejected if a file cannot be read
 */
export async function pack(files, limit=Infinity) {
    const parts = [new Uint8Array(MAGIC)];
    for (const file of files) {
        const blob = limit < file.size ? file.slice(0, limit) : file;
        const length = new DataView(new ArrayBuffer(8));
        length.setBigUint64(0, BigInt(blob.size), true);
        // Read now: an error then belongs to this file
        parts.push(length.buffer, await blob.arrayBuffer());
    }
    return new Blob(parts);
}

/**
 * Join what `pack` returned for several groups of files.
 *
 * @param {Blob[]} packed
 * @returns {Blob}
 */
export function join_packed(packed) {
    return new Blob([
        new Uint8Array(MAGIC),
        ...packed.map(blob => blob.slice(MAGIC.length)),
    ]);
}
