/** Markdown to DOM: text nodes and a fixed set of elements. No markup, no picture and no script can come of it. */
import { el } from "./dom";

// Each alternative stops at its own delimiter, so that matching is linear in the text's length.
const INLINE =
  /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|!?\[([^[\]]*)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>"'`*()[\]（）「」、。]+)/g;
const FENCE = /^\s{0,3}(```|~~~)/;
const HEADING = /^#{1,6}\s+(.*)/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)/;
const ROW = /^\s*\|(.*)\|\s*$/;
const DIVIDER = /^[\s|:-]+$/;
const QUOTE = /^\s*>\s?(.*)/;
const BLOCKS = [FENCE, HEADING, RULE, ITEM, ROW, QUOTE];
const DEEPEST = 8;

/** A link to a place outside that says where it leads; null where the address is not one that may be followed. */
export function link(address: string, label: string): Node | null {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (!/^(https?|mailto):$/.test(url.protocol) || url.username || url.password) return null;
  const { href, host, pathname } = url;
  const place = host || pathname;
  const anchor = el("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, label || place);
  const isPlain = [address, href, place].includes(label);
  return isPlain ? anchor : el("span", {}, anchor, el("span", { className: "host" }, ` (${place})`));
}

function inline(text: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, code, strong, emphasis, label, target, bare] = match;
    parts.push(text.slice(end, match.index));
    end = match.index + whole.length;
    if (code) parts.push(el("code", {}, code));
    else if (strong) parts.push(el("strong", {}, ...inline(strong)));
    else if (emphasis) parts.push(el("em", {}, ...inline(emphasis)));
    else parts.push(link(bare ?? target!, bare ?? label!) ?? whole); // a picture becomes a link: it is never loaded
  }
  parts.push(text.slice(end));
  return parts;
}

/** Lines of one list; those indented further become lists inside. */
function list(lines: string[]): HTMLElement {
  const [, indent, sign] = ITEM.exec(lines[0]!)!;
  const start = parseInt(sign!);
  const root = start >= 0 ? el("ol", { start }) : el("ul");
  for (let at = 0; at < lines.length; ) {
    const item = el("li", {}, ...inline(ITEM.exec(lines[at++]!)![3]!));
    const from = at;
    while (lines[at] && lines[at]!.search(/\S/) > indent!.length) at++;
    if (at > from) item.append(list(lines.slice(from, at)));
    root.append(item);
  }
  return root;
}

function table(lines: string[]): HTMLElement {
  const headed = DIVIDER.test(lines[1] ?? "");
  const rows = lines.map((line, at) => {
    const cells = ROW.exec(line)![1]!.split("|");
    return el("tr", {}, ...cells.map((cell) => el(headed && !at ? "th" : "td", {}, ...inline(cell.trim()))));
  });
  if (headed) rows.splice(1, 1);
  return el("div", { className: "scroll", tabIndex: 0 }, el("table", {}, ...rows));
}

/** `text` comes from a model: hostile until shown otherwise. */
export function render(text: string, depth = 0): DocumentFragment {
  const root = document.createDocumentFragment();
  const lines = text.split(/\r?\n|[\u2028\u2029]/);
  let at = 0;
  const take = (wanted: (line: string) => unknown): string[] => {
    const from = at;
    while (at < lines.length && wanted(lines[at]!)) at++;
    return lines.slice(from, at);
  };
  const paragraph = (line: string): HTMLElement => {
    const more = take((each) => each.trim() && !BLOCKS.some((kind) => kind.test(each)));
    return el("p", {}, ...inline(line), ...more.flatMap((each) => [el("br"), ...inline(each)]));
  };
  const block = (line: string): Node | false => {
    const fence = FENCE.exec(line)?.[1];
    const heading = HEADING.exec(line)?.[1];
    if (ITEM.test(line) && !RULE.test(line)) return list(take((each) => ITEM.test(each)));
    if (ROW.test(line)) return table(take((each) => ROW.test(each)));
    if (QUOTE.test(line) && depth < DEEPEST) {
      const quoted = take((each) => QUOTE.test(each)).map((each) => QUOTE.exec(each)![1]);
      return el("blockquote", {}, render(quoted.join("\n"), depth + 1));
    }
    at++;
    if (fence) {
      const code = take((each) => !each.trimStart().startsWith(fence));
      at++;
      return el("pre", { tabIndex: 0 }, el("code", {}, code.join("\n")));
    }
    if (heading) return el("p", {}, el("strong", {}, ...inline(heading)));
    if (RULE.test(line)) return el("hr");
    return line.trim() !== "" && paragraph(line);
  };
  while (at < lines.length) root.append(block(lines[at]!) || "");
  return root;
}
