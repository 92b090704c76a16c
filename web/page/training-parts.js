// @ts-check
// How quotes, trainings and findings look. Nothing here asks a server.
import { el, outsideLink } from "./dom.js";
import { count, day, has, money, t } from "./i18n.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
/** What becomes of a job's pages, in the order in which it is drawn. */
const OUTCOMES = ["changed", "unchanged", "removed", "skipped", "failed", "left"];

/** @param {any} job */
export const isOpen = (job) => ["queued", "running", "publishing"].includes(job?.status);

/**
 * Why a page was not read.
 * @param {string} reason
 */
export const reasonText = (reason) => (has(`r_${reason}`) ? t(`r_${reason}`) : reason);

/**
 * A share of a whole as a strip, with the figures below it.
 * @param {[string, number][]} parts classes and numbers
 * @param {string} label
 */
function strip(parts, label) {
  const whole = parts.reduce((sum, [, value]) => sum + value, 0) || 1;
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${WIDTH} 18`, preserveAspectRatio: "none", class: "strip-chart", role: "img", "aria-label": label })) svg.setAttribute(name, value);
  let at = 0;
  for (const [name, value] of parts) {
    const width = value / whole * WIDTH;
    const bar = document.createElementNS(SVG, "rect");
    for (const [key, each] of Object.entries({ x: at, y: 0, width, height: 18, class: name })) bar.setAttribute(key, String(each));
    svg.append(bar);
    at += width;
  }
  return svg;
}

/**
 * What would be left out, and why.
 * @param {any} quote
 * @param {number} left pages
 */
const skippedFacts = (quote, left) => [left && el("details", {}, el("summary", {}, `${t("quoteSkipped")} (${count(left)})`), el("ul", { className: "reasons" },
  ...quote.skipped.map((/** @type {any} */ each) => el("li", {}, `${reasonText(each.reason)}: ${count(each.count)} `, each.example && el("span", { className: "muted" }, each.example)))))];

/**
 * What is to be expected of a training, and what it costs.
 * @param {any} quote
 */
export function quoteFacts(quote) {
  /** @param {string} title @param {number} value @param {number} low @param {number} high */
  const figure = (title, value, low, high) => el("div", {}, el("span", { className: "muted" }, t(title)), el("p", { className: "big" }, count(value)),
    low !== high && el("span", { className: "muted" }, t("between", { low: count(low), high: count(high) })));
  const price = el("div", {}, el("span", { className: "muted" }, t("quoteCost")), ...(quote.embedding_model
    ? [el("p", { className: "big" }, money(quote.cost_local, quote.currency)),
      el("span", { className: "muted" }, t("between", { low: money(quote.cost_usd_low, "USD"), high: money(quote.cost_usd_high, "USD") }))]
    : [el("p", {}, t("noCost"))]));
  const left = quote.skipped.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + each.count, 0);
  const label = `${t("quotePages")}: ${count(quote.pages)} · ${t("quoteSkipped")}: ${count(left)}`;
  if (!quote.pages) return [el("p", { className: "notice", role: "status" }, t("quoteNothing")), ...skippedFacts(quote, left)];
  return [
    el("div", { className: "row" }, figure("quotePages", quote.pages, quote.pages_low, quote.pages_high), figure("quoteTokens", quote.tokens, quote.tokens_low, quote.tokens_high), price),
    strip([["changed", quote.pages - quote.unchanged], ["unchanged", quote.unchanged], ["skipped", left]], label),
    quote.unchanged ? el("p", { className: "muted" }, t("quoteUnchanged", { count: count(quote.unchanged) })) : null,
    ...skippedFacts(quote, left),
    quote.include?.length ? el("p", { className: "muted" }, t("quoteOnly", { paths: quote.include[0] })) : null,
    quote.is_cut ? el("p", { className: "notice" }, t("quoteCut", { count: count(quote.pages) })) : null,
    quote.is_growing ? el("p", { className: "muted" }, t("quoteGrowing")) : null,
    quote.may_exceed_quota ? el("p", { className: "notice" }, t(quote.exceeds_quota ? "quoteTooMuch" : "quotePerhapsTooMuch")) : null,
    el("p", { className: "muted" }, t("quoteSampled", { count: count(quote.sampled) })),
  ];
}

/**
 * How far a training has come.
 * @param {any} job
 * @param {any[]} pages some of it: examples of what was not read
 * @param {string} zone
 */
export function jobFacts(job, pages, zone) {
  const parts = /** @type {[string, number][]} */ (OUTCOMES.map((name) => [name, job[name] ?? 0])).filter(([name, value]) => value && (name !== "left" || isOpen(job)));
  const done = parts.reduce((sum, [name, value]) => sum + (name === "left" ? 0 : value), 0);
  const all = done + (isOpen(job) ? job.left : 0);
  const unread = pages.filter((page) => page.reason && page.status !== "waiting");
  const reasons = Object.entries(job.reasons ?? {}).sort(([, some], [, others]) => others - some);
  const named = reasons.reduce((sum, [, value]) => sum + value, 0);
  const error = job.error && (has(`e_${job.error}`) ? t(`e_${job.error}`) : job.error);
  return [
    el("p", { className: "row" }, el("strong", { role: "status" }, t(`s${job.status}`)), el("span", {}, t("progress", { done: count(done), all: count(all) })),
      el("span", { className: "muted" }, t("begun", { date: day(job.created_at, zone) }), job.attempt > 1 && ` · ${t("attempt", { count: count(job.attempt) })}`)),
    error && el("p", { className: "notice error" }, error),
    job.is_cut ? el("p", { className: "notice" }, t("quoteCut", { count: count(job.max_pages) })) : null,
    strip(parts, t("progress", { done: count(done), all: count(all) })),
    el("ul", { className: "key" }, ...parts.map(([name, value]) => el("li", {}, el("i", { className: name }), el("strong", {}, count(value)), ` ${t(`c${name}`)}`))),
    job.chunks ? el("p", { className: "muted" }, t("chunksTokens", { chunks: count(job.chunks), tokens: count(job.tokens) }),
      job.embedded_chunks ? ` · ${t("embedded", { count: count(job.embedded_chunks), tokens: count(job.embedding_tokens), cost: money(job.cost_usd ?? 0, "USD") })}` : null) : null,
    named ? el("details", {}, el("summary", {}, t("whyNot", { count: count(named) })), el("ul", { className: "reasons" },
      ...reasons.map(([reason, value]) => el("li", {}, `${reasonText(reason)}: `, el("strong", {}, count(value)), el("ul", {},
        ...unread.filter((page) => page.reason === reason).map((page) => el("li", { className: "muted" }, page.name))))))) : null,
  ];
}

/**
 * What a question finds.
 * @param {any} found
 */
export function findings(found) {
  if (!found.is_answered) return [el("p", { className: "notice", role: "status" }, t("notFound"))];
  const percent = count(Math.round(found.confidence * 100));
  return [el("p", { role: "status" }, t("found"), " ", el("span", { className: "muted" }, t("sure", { percent }))),
    el("ul", { className: "passages" }, ...found.passages.map((/** @type {any} */ each) => el("li", {},
      (each.url && outsideLink(each.url, [each.title || each.url])) || el("strong", {}, each.title), el("p", {}, each.snippet ?? each.text))))];
}
