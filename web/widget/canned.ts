/**
 * When a question is one that a prepared answer is there for. `canned-vectors.json` holds the rules, by their numbers,
 * and the cases that server and widget are both tested by.
 */

export interface Canned {
  canned_id: string;
  questions?: string[];
  patterns: { kind: string; text: string }[];
  answer: string;
}

/** `exact` and `normalized` answer the question; `near` ones are offered. */
export interface Match {
  kind: "exact" | "normalized" | "near" | "none";
  found: Canned[];
}

const EXACT = 3;
const NORMALIZED = 2;
const THRESHOLD = 0.7;
const MOST_OFFERED = 3;
const LONGEST = 1000; // UTF-16 units
const SHORTEST_ALIKE = 3;

const INVISIBLE = /[\p{Cf}\p{Cs}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u180b-\u180f\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/gu;
const COMPOUND = /[\p{No}\u32c0-\u32cb\u3358-\u3370\u33e0-\u33fe]/gu;
const KATAKANA = /[\u30a1-\u30f6\u30fd\u30fe]/g;
const KEPT = /(?![|~∼−])[\p{L}\p{N}\p{Mn}\p{Mc}\p{Sc}#%&@\p{Sm}]/gu;
const BLANK = /[\p{Z}\p{Cc}]+/gu;
const RANGE = /[\p{Pd}~∼−─]/u;
const DIGIT = /^\p{Nd}$/u;
const LATIN = /^(?!÷)[a-zß-\u024f\u1e00-\u1eff]$/;
const NUMBER = /[~.]?[\p{Nd}〇一二三四五六七八九十百千万]+/gu;

/** The question without what doesn't change it: width, case, kana, punctuation (rules 1 to 6). */
export function normalise(text: string): string {
  const plainer = once(text);
  return plainer === text ? text : normalise(plainer);
}

function once(given: string): string {
  const text = given
    .replace(INVISIBLE, "")
    .replace(COMPOUND, " $& ")
    .normalize("NFKC")
    .toLowerCase()
    .replace(KATAKANA, (sign) => String.fromCharCode(sign.charCodeAt(0) - 0x60));
  const out: string[] = [];
  let end = 0;
  for (const { 0: sign, index } of text.matchAll(KEPT)) {
    if (index > end) out.push(bridge(out.at(-1) ?? "", text.slice(end, index), sign));
    out.push(sign);
    end = index + sign.length;
  }
  return out
    .join("")
    .replace(/(?<=\d),(?=\d{3}(?!\d))/g, "")
    .normalize("NFKC");
}

/** What stays of the characters between two that are kept; `before` is "" at the beginning. */
function bridge(before: string, gap: string, after: string): string {
  const solid = gap.replace(BLANK, "");
  const last = solid.slice(-1);
  if (DIGIT.test(after)) {
    if (DIGIT.test(before)) return solid || " ";
    if (last === ".") return ".";
    if (RANGE.test(last)) return "~";
  }
  if (!before) return "";
  if (LATIN.test(after)) {
    if (LATIN.test(before)) return solid === gap ? "" : " ";
    if (DIGIT.test(before)) return "";
  }
  return RANGE.test(solid) ? "~" : "";
}

const exactly = (text: string): string => text.normalize("NFC").trim();
const numbers = (phrase: string): string => (phrase.match(NUMBER) ?? []).join();

/** Pairs of neighbouring characters, each with the how-manieth of its kind it is. */
function grams(phrase: string): Set<string> {
  const signs = [...phrase];
  const pairs = new Set<string>();
  signs.slice(1).forEach((sign, at) => {
    let pair = signs[at] + sign;
    while (pairs.has(pair)) pair += " ";
    pairs.add(pair);
  });
  return pairs;
}

/** Dice's coefficient of two normalised phrases; 0 where they are too short or their numbers differ. */
function likeness(one: string, other: string): number {
  const [mine, theirs] = [grams(one), grams(other)];
  if (Math.min(mine.size, theirs.size) < SHORTEST_ALIKE - 1 || numbers(one) !== numbers(other)) return 0;
  const shared = [...mine].filter((pair) => theirs.has(pair)).length;
  return (2 * shared) / (mine.size + theirs.size);
}

/** How well one text fits: EXACT, NORMALIZED, or from 0 to 1 how alike it is. */
function fitOf(question: string, asked: string, kind: string, text: string): number {
  if (kind === "exact" && exactly(text) === exactly(question)) return EXACT;
  const phrase = normalise(text);
  return kind !== "exact" && asked && phrase === asked ? NORMALIZED : likeness(asked, phrase);
}

/** The prepared answers that fit the question. */
export function match(question: string, all: Canned[]): Match {
  const asked = normalise(question);
  const fits = all
    .filter(() => question.length <= LONGEST)
    .map((each) => {
      const texts = [...each.patterns, ...(each.questions ?? []).map((text) => ({ kind: "normalized", text }))];
      return { each, fit: Math.max(0, ...texts.map(({ kind, text }) => fitOf(question, asked, kind, text))) };
    })
    .filter(({ fit }) => fit >= THRESHOLD)
    .sort((one, other) => other.fit - one.fit);
  const best = fits[0]?.fit ?? 0;
  return {
    kind: best === EXACT ? "exact" : best === NORMALIZED ? "normalized" : best ? "near" : "none",
    found: fits.slice(0, best > 1 ? 1 : MOST_OFFERED).map(({ each }) => each),
  };
}
