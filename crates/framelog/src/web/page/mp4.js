// What a browser doesn't tell of an MP4, or must be told: when a picture is shown, and the codec string, from its boxes. Plays nothing.

/** The media type of a film, or null until the whole `moov` is there. */
export function mediaType(bytes) {
  const moov = moovOf(bytes);
  if (!moov) return null;
  for (const stsd of within(bytes, moov, 'trak', 'mdia', 'minf', 'stbl', 'stsd')) {
    // Version, flags and number of entries come first.
    for (const entry of boxes(bytes, stsd.begin + 8, stsd.end)) {
      const codec = codecOf(bytes, entry);
      if (codec) return `video/mp4; codecs="${codec}"`;
    }
  }
  return 'video/mp4';
}

/** When the picture is shown that is decoded last, in seconds, of a film of one track that is not in fragments: others may be shown after it. */
export function lastDecodedS(bytes) {
  const moov = moovOf(bytes);
  const one = (...path) => {
    const [box] = within(bytes, moov, 'trak', ...path);
    return box && new DataView(bytes.buffer, bytes.byteOffset + box.begin, box.end - box.begin);
  };
  const mdhd = one('mdia', 'mdhd');
  const timescale = mdhd.getUint32(mdhd.getUint8(0) === 1 ? 20 : 12);
  const decoded = runs(one('mdia', 'minf', 'stbl', 'stts')).reduce((sum, [count, delta]) => sum + count * delta, 0);
  const lastDelta = runs(one('mdia', 'minf', 'stbl', 'stts')).at(-1)[1];
  const later = runs(one('mdia', 'minf', 'stbl', 'ctts')).at(-1)?.[1] ?? 0;
  return (decoded - lastDelta + later - editOf(one('edts', 'elst'))) / timescale;
}

/** Where in the media a film begins (ISO/IEC 14496-12, 8.6.6). */
function editOf(elst) {
  if (!elst) return 0;
  const isLong = elst.getUint8(0) === 1;
  for (let entry = 0; entry < elst.getUint32(4); entry += 1) {
    const begin = isLong ? Number(elst.getBigInt64(8 + entry * 20 + 8)) : elst.getInt32(8 + entry * 12 + 4);
    if (begin >= 0) return begin; // else it is an empty one
  }
  return 0;
}

/** The runs of a table: how many samples, and what they have in common. */
function runs(table) {
  return Array.from({ length: table?.getUint32(4) ?? 0 }, (_, run) => [table.getUint32(8 + run * 8), table.getInt32(12 + run * 8)]);
}

function moovOf(bytes) {
  const moov = boxes(bytes, 0, bytes.length).find((box) => box.type === 'moov');
  return !moov || moov.end > bytes.length ? null : moov;
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
