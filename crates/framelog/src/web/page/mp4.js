// What a browser doesn't tell of an MP4, or must be told: how many pictures, and the codec string, from its boxes. Plays nothing.

/** The media type of a film, or null until the whole `moov` is there. */
export function mediaType(bytes) {
  const tables = tablesOf(bytes);
  if (tables === null) return null;
  for (const stsd of tables.flatMap((stbl) => within(bytes, stbl, 'stsd'))) {
    // Version, flags and number of entries come first.
    for (const entry of boxes(bytes, stsd.begin + 8, stsd.end)) {
      const codec = codecOf(bytes, entry);
      if (codec) return `video/mp4; codecs="${codec}"`;
    }
  }
  return 'video/mp4';
}

/** How many pictures a film has that is not in fragments. */
export function pictures(bytes) {
  const [stsz] = (tablesOf(bytes) ?? []).flatMap((stbl) => within(bytes, stbl, 'stsz'));
  return stsz ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(stsz.begin + 8) : 0;
}

/** The sample tables of all tracks; null until they are there. */
function tablesOf(bytes) {
  const moov = boxes(bytes, 0, bytes.length).find((box) => box.type === 'moov');
  return !moov || moov.end > bytes.length ? null : within(bytes, moov, 'trak', 'mdia', 'minf', 'stbl');
}

/** All the boxes that begin there; the last may end behind the bytes. */
function boxes(bytes, begin, end) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = [];
  while (begin + 8 <= end) {
    const type = String.fromCharCode(...bytes.subarray(begin + 4, begin + 8));
    const isLong = view.getUint32(begin) === 1 && begin + 16 <= end;
    const size = isLong ? Number(view.getBigUint64(begin + 8)) : view.getUint32(begin);
    if (size < 8) break; // nothing that a recorder writes
    found.push({ type, begin: begin + (isLong ? 16 : 8), end: begin + size });
    begin += size;
  }
  return found;
}

function within(bytes, box, type, ...deeper) {
  const found = boxes(bytes, box.begin, box.end).filter((inner) => inner.type === type);
  return deeper.length ? found.flatMap((inner) => within(bytes, inner, ...deeper)) : found;
}

/** Of a sample entry (ISO/IEC 14496-15, RFC 6381): its configuration stands behind 78 bytes of what all video has. */
function codecOf(bytes, entry) {
  for (const box of boxes(bytes, entry.begin + 78, entry.end)) {
    const record = bytes.subarray(box.begin, box.end);
    if (box.type === 'avcC') return `${entry.type}.${[...record.subarray(1, 4)].map(hex).join('')}`;
    if (box.type === 'hvcC') return `${entry.type}.${hevc(record)}`;
  }
  return null;
}

const hex = (byte) => byte.toString(16).padStart(2, '0').toUpperCase();

/** ISO/IEC 14496-15, annex E.3. */
function hevc(record) {
  const space = ['', 'A', 'B', 'C'][record[1] >> 6];
  const tier = record[1] & 0x20 ? 'H' : 'L';
  let compatible = 0;
  for (let bit = 0; bit < 32; bit += 1) {
    if (record[2 + (bit >> 3)] & (0x80 >> (bit & 7))) compatible += 2 ** bit;
  }
  const constraints = [...record.subarray(6, 12)];
  while (constraints.length && constraints.at(-1) === 0) constraints.pop();
  return [`${space}${record[1] & 0x1f}`, compatible.toString(16).toUpperCase(), `${tier}${record[12]}`, ...constraints.map((byte) => byte.toString(16).toUpperCase())].join('.');
}
