// Texts: the NFC rule of "Encoding", and the line and text types of "Kinds", in docs/protocol.md.

import { Invalid } from "./invalid.mjs";

// The ranges of the code points whose age in Unicode's DerivedAge.txt is at most 3.2, in base 36:
// by turns the distance from the last range's end to the next one's start, and to its end.
const ASSIGNED =
  "0 f4 2 h t 2l 3 1q i 27 h f 5 1 5 0 4 0 6 6 2 0 2 j 2 17 2 12 a 3q 2 1y 2 11 3 1 7 f y 11 3 6 2 " +
  "12 2 1 7 g 2 m 2 9 c q 6 4 o 0 f 0 4 0 2 p 6 l b 3x 3 e 2 d 2 t 4 q 1i 1d 9c 2 2 1g 3 h 3 4 4 o " +
  "h 2 2 7 3 1 3 l 2 6 2 0 4 3 3 0 2 6 3 1 3 2 a 0 5 1 2 4 3 k 8 0 3 5 5 1 3 l 2 6 2 1 2 1 2 1 3 0 " +
  "2 4 5 1 3 2 c 3 2 0 8 e d 2 2 6 2 0 2 2 2 l 2 6 2 1 2 4 3 9 2 2 2 2 3 0 g 0 6 9 i 2 2 7 3 1 3 l " +
  "2 6 2 1 3 3 3 7 4 1 3 2 9 1 5 1 2 2 5 a i 1 2 5 4 2 2 3 4 1 2 0 2 1 4 1 4 2 4 7 2 2 5 4 4 2 2 3 " +
  "a 0 g b f 2 2 7 2 2 2 m 2 9 2 4 5 6 2 2 2 3 8 1 a 1 5 9 j 1 2 7 2 2 2 m 2 9 2 4 5 6 2 2 2 3 8 1 " +
  "8 0 2 1 5 9 j 1 2 7 2 2 2 m 2 f 5 5 3 2 2 3 a 0 9 1 5 9 j 1 2 h 4 n 2 8 2 0 3 6 4 0 5 5 2 0 2 7 " +
  "j 2 d 1l 5 s 12 1 2 0 3 1 2 0 3 0 7 3 2 6 2 2 2 0 2 0 3 1 2 c 2 2 3 4 2 0 2 5 3 9 3 1 z 1z 2 x 7 " +
  "q 5 7 2 z 2 e 3 0 1d x 2 4 2 1 2 6 4 3 7 p 1z 11 b 14 3 0 5 2h 6 1v 6 29 7 6 2 1q 2 0 2 3 3 6 2 " +
  "0 2 3 3 12 2 0 2 3 3 u 2 0 2 3 3 6 2 0 2 3 3 6 2 6 2 m 2 u 2 0 2 3 3 6 2 12 2 i 7 r 10 2c d hh a " +
  "s 4 28 g c 2 6 c m a j d c 2 2 2 1 d 2k 4 9 n e 2 9 7 2f 9 15 11z 4b 5 2h 7 l 3 5 3 11 3 5 3 7 2 " +
  "0 2 0 2 0 2 u 3 1g 2 e 2 d 3 5 2 i 3 2 2 8 2 2a 5 0 8 4 7 7 3 q i h v q m 1m 3 e 8 1c d fy 1e 12 " +
  "q a m 4e 2 7n 3 1 2 2s 3 9 3c 3 2 3 3 r 2 y 2 0 2 3 4 0 2 6 3 1f 4 n 2 d i r 5 lr ox p 2 2g d 5x " +
  "r b 5 1r 2 2d 3 2u 6 13 5 2l 2 13 1l 18 4 z e 16 4 24 5 1a 2 3a 5 2q 3 u 2 52t 23 g4l 2j wc 4 1i " +
  "1fe 8mb 2l 6r1 3 1m 46 6 d 4 6 p 2 4 2 0 2 1 2 1 2 2z y a4 h 1r 3 1h 9 18 4 f h 3 d m 3 9 2 i 2 " +
  "3 5 4 2 3q 3 0 2 59 4 5 3 5 3 5 3 2 4 6 2 6 b 6 ld u 2 3 d q 52 11 3 11 148j 6t b 12 4 4z f7 2c " +
  "2 1y 2 1 3 0 3 1 3 3 2 b 2 0 2 3 2 1 2 1s 2 3 3 7 2 6 2 r 2 3 2 4 2 0 4 6 2 9d 5 81 5 1d 7wf wyg " +
  "g16 f1 15t 1 1ekf 1 1ekf 1 1ekf 1 1ekf 1 1ekf 1 1ekf 1 1ekf 1 1ekf 1 1ekf 1 1ekf 1 1ekf 1 2 0 v " +
  "2n 1egv 2t4x";

const starts = [];
const ends = [];
const steps = ASSIGNED.split(" ").map((digits) => parseInt(digits, 36));
for (let at = 0, i = 0; i < steps.length; i += 2) {
  starts.push((at += steps[i]));
  ends.push((at += steps[i + 1]));
}

/** Return whether Unicode 3.2 assigned a code point. */
export function isOld(point) {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= point) low = middle;
    else high = middle;
  }
  return point <= ends[low];
}

/** Return whether a text is in NFC, as Unicode 3.2 saw it. */
export function isNormal(text) {
  const old = Array.from(text, (one) => (isOld(one.codePointAt(0)) ? one : "\ufffd")).join("");
  return old.normalize("NFC") === old;
}

const CONTROL = /[\u{0}-\u{1f}\u{7f}-\u{9f}]/u;
const CONTROL_IN_TEXT = /[\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}]/u;
const HIDDEN = [
  [0xad], [0x34f], [0x61c], [0x115f, 0x1160], [0x17b4, 0x17b5], [0x200b], [0x200e, 0x200f],
  [0x2028, 0x202e], [0x2060, 0x206f], [0x3164], [0xe000, 0xf8ff], [0xfdd0, 0xfdef], [0xfeff],
  [0xffa0], [0xfff0, 0xfffc], [0xfffe, 0xffff], [0x1bca0, 0x1bca3], [0x1d173, 0x1d17a],
  [0xe0000, 0x10ffff],
];

/** Return whether the document lists a code point as hidden. */
export function isHidden(point) {
  if (point > 0xffff && (point & 0xffff) >= 0xfffe) return true;
  return HIDDEN.some(([first, last = first]) => point >= first && point <= last);
}

function shown(control) {
  return (least, most) => (value, where) => {
    if (typeof value !== "string") throw new Invalid(where, "not text");
    const points = Array.from(value, (one) => one.codePointAt(0));
    if (points.length < least || points.length > most) {
      throw new Invalid(where, `${points.length} characters, not ${least} to ${most}`);
    }
    if (control.test(value)) throw new Invalid(where, "a control character");
    const hidden = points.find(isHidden);
    if (hidden !== undefined) throw new Invalid(where, `a hidden character, ${hidden}`);
  };
}

/** Checks of lines and of texts with so many code points. */
export const line = shown(CONTROL);
export const text = shown(CONTROL_IN_TEXT);
