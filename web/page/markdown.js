// @ts-check
// Markdown to DOM. Text becomes text nodes and a fixed set of elements; there is no way from a string to markup.
import { el, outsideLink } from "./dom.js";

// Each alternative stops at its own delimiter, so that matching is linear in the text's length.
const INLINE =
  /(`+)([^`]+)\1|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|(!?)\[([^[\]]*)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>"'`*()[\]（）「」、。]+)/g;
const FENCE = /^\s{0,3}(```+|~~~+)/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^\s*>\s?(.*)$/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const ROW = /^\s*\|(.*)\|\s*$/;
const DIVIDER = /^[\s|:-]+$/;

/**
 * @param {string} text
 * @returns {(Node | string)[]}
 */
function inline(text) {
  /** @type {(Node | string)[]} */
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, , code, strong, emphasis, image, label, target, bare] = match;
    parts.push(text.slice(end, match.index));
    end = match.index + whole.length;
    if (code !== undefined) parts.push(el("code", {}, code));
    else if (strong !== undefined) parts.push(el("strong", {}, ...inline(strong)));
    else if (emphasis !== undefined) parts.push(el("em", {}, ...inline(emphasis)));
    else if (bare !== undefined) parts.push(outsideLink(bare, [bare]) ?? whole);
    else parts.push(outsideLink(target, [(image ? "🖼 " : "") + (label || target)]) ?? whole); // a picture is never loaded
  }
  parts.push(text.slice(end));
  return parts;
}

/** @param {string[]} lines */
function paragraph(lines) {
  const parts = lines.flatMap((line, index) => (index ? [el("br"), ...inline(line)] : inline(line)));
  return el("p", {}, ...parts);
}

/**
 * Lines of one list; those indented further become lists inside.
 * @param {string[]} lines
 */
function list(lines) {
  const first = /** @type {RegExpExecArray} */ (ITEM.exec(lines[0]));
  const numbered = /\d/.test(first[2]);
  const root = el(numbered ? "ol" : "ul");
  if (numbered) /** @type {HTMLOListElement} */ (root).start = Number.parseInt(first[2], 10);
  for (let i = 0; i < lines.length; ) {
    const match = /** @type {RegExpExecArray} */ (ITEM.exec(lines[i++]));
    const item = el("li", {}, ...inline(match[3]));
    const inner = [];
    while (i < lines.length && indent(lines[i]) > first[1].length) inner.push(lines[i++]);
    if (inner.length) item.append(list(inner));
    root.append(item);
  }
  return root;
}

/** @param {string} line */
const indent = (line) => line.length - line.trimStart().length;

/** @param {string[]} lines */
function table(lines) {
  const rows = lines.map((line) => /** @type {RegExpExecArray} */ (ROW.exec(line))[1].split("|").map((cell) => cell.trim()));
  const headed = lines.length > 1 && DIVIDER.test(lines[1]);
  const body = el("tbody");
  const root = el("table", {}, headed && el("thead", {}, row(rows[0], "th")), body);
  for (const cells of headed ? rows.slice(2) : rows) body.append(row(cells, "td"));
  return el("div", { className: "scroll" }, root);
}

/**
 * @param {string[]} cells
 * @param {"th" | "td"} tag
 */
const row = (cells, tag) => el("tr", {}, ...cells.map((cell) => el(tag, {}, ...inline(cell))));

/**
 * @param {string} text Markdown from a model: hostile until shown otherwise.
 * @param {number} [depth]
 * @returns {DocumentFragment}
 */
export function render(text, depth = 0) {
  const root = document.createDocumentFragment();
  const lines = text.split(/\r?\n/);
  let i = 0;
  /** @param {RegExp} kind */
  const take = (kind) => {
    const from = i;
    while (i < lines.length && kind.test(lines[i])) i += 1;
    return lines.slice(from, i);
  };
  while (i < lines.length) {
    const line = lines[i];
    const fence = FENCE.exec(line);
    const heading = HEADING.exec(line);
    if (fence) {
      const from = (i += 1);
      while (i < lines.length && !lines[i].trimStart().startsWith(fence[1])) i += 1;
      root.append(el("pre", { tabIndex: 0 }, el("code", {}, lines.slice(from, i).join("\n"))));
      i += 1;
    } else if (heading) {
      root.append(el("p", { className: "heading", role: "heading", "aria-level": Math.min(6, heading[1].length + 1) }, ...inline(heading[2])));
      i += 1;
    } else if (RULE.test(line)) {
      root.append(el("hr"));
      i += 1;
    } else if (ITEM.test(line)) root.append(list(take(ITEM)));
    else if (ROW.test(line)) root.append(table(take(ROW)));
    else if (QUOTE.test(line) && depth < 8) {
      const quoted = take(QUOTE).map((each) => /** @type {RegExpExecArray} */ (QUOTE.exec(each))[1]);
      root.append(el("blockquote", {}, render(quoted.join("\n"), depth + 1)));
    } else if (line.trim()) {
      const from = i;
      do i += 1;
      while (i < lines.length && lines[i].trim() && ![FENCE, HEADING, RULE, ITEM, ROW, QUOTE].some((kind) => kind.test(lines[i])));
      root.append(paragraph(lines.slice(from, i)));
    } else i += 1;
  }
  return root;
}
