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
 * Why a page, or a list of pages, was not read.
 * @param {string} reason
 */
export const reasonText = (reason) => {
  const key = [reason, reason.split("_")[0]].find((each) => has(`r_${each}`));
  return key ? t(`r_${key}`) : reason;
};

/**
 * Something folded away.
 * @param {string} key by which it is known when it is drawn anew
 * @param {string} summary
 * @param {...(Node | string | null | undefined | false)} children
 */
export const folded = (key, summary, ...children) => el("details", {}, el("summary", { "data-keep": key }, summary), ...children);

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
const skippedFacts = (quote, left) => (left ? folded("left-out", `${t("quoteSkipped")} (${count(left)})`, el("ul", { className: "reasons" },
  ...quote.skipped.map((/** @type {any} */ each) => el("li", {}, `${reasonText(each.reason)}: ${count(each.count)} `, each.example && el("span", { className: "muted" }, each.example))))) : "");

/**
 * What is to be expected of a training, and what it takes.
 * @param {any} quote
 * @returns {(Node | string)[]}
 */
export function quoteFacts(quote) {
  /** @param {string} title @param {string} value @param {string} low @param {string} high */
  const figure = (title, value, low, high) => el("div", {}, el("span", { className: "muted" }, t(title)), el("p", { className: "big" }, value),
    low !== high && el("span", { className: "muted" }, t("between", { low, high })));
  const [price, priceLow, priceHigh] = [quote.cost_local, quote.cost_local_low, quote.cost_local_high].map((each) => money(each, quote.currency));
  const hasVectors = Boolean(quote.embedding_model);
  const left = quote.skipped.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + each.count, 0);
  const label = `${t("quotePages")}: ${count(quote.pages)} · ${t("quoteSkipped")}: ${count(left)}`;
  if (!quote.pages) return [el("p", { className: "notice", role: "status" }, t(quote.is_cut ? "e_no_room" : "quoteNothing")), skippedFacts(quote, left)];
  return [
    el("div", { className: "row" }, figure("quotePages", count(quote.pages), count(quote.pages_low), count(quote.pages_high)),
      figure("quoteTokens", count(quote.tokens), count(quote.tokens_low), count(quote.tokens_high)),
      hasVectors ? figure("quoteCost", price, priceLow, priceHigh) : el("div", {}, el("span", { className: "muted" }, t("cost")), el("p", {}, t("noCost")))),
    strip([["changed", quote.pages - quote.unchanged], ["unchanged", quote.unchanged], ["skipped", left]], label),
    hasVectors ? el("p", { className: "muted" }, `${t("included")} ${t("allowanceLeft", { left: count(quote.embedding_tokens_left) })}`) : "",
    quote.unchanged ? el("p", { className: "muted" }, t("quoteUnchanged", { count: count(quote.unchanged) })) : "",
    skippedFacts(quote, left),
    quote.include?.length ? el("p", { className: "muted" }, t("quoteOnly", { paths: quote.include[0] })) : "",
    quote.is_cut ? el("p", { className: "notice" }, t("quoteCut", { count: count(quote.max_pages) })) : "",
    quote.is_growing ? el("p", { className: "muted" }, t("quoteGrowing")) : "",
    quote.may_exceed_quota ? el("p", { className: "notice" }, t(quote.exceeds_quota ? "quoteTooMuch" : "quotePerhapsTooMuch")) : "",
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
    el("p", { className: "row" }, el("strong", {}, t(`s${job.status}`)), el("span", {}, t("progress", { done: count(done), all: count(all) })),
      el("span", { className: "muted" }, t("begun", { date: day(job.created_at, zone) }), job.attempt > 1 && ` · ${t("attempt", { count: count(job.attempt) })}`)),
    error && el("p", { className: "notice error" }, error),
    job.is_cut ? el("p", { className: "notice" }, t("jobCut", { count: count(job.max_pages) })) : null,
    strip(parts, t("progress", { done: count(done), all: count(all) })),
    el("ul", { className: "key" }, ...parts.map(([name, value]) => el("li", {}, el("i", { className: name }), el("strong", {}, count(value)), ` ${t(`c${name}`)}`))),
    job.chunks ? el("p", { className: "muted" }, t("chunksTokens", { chunks: count(job.chunks), tokens: count(job.tokens) }),
      job.embedded_chunks ? ` · ${t("embedded", { count: count(job.embedded_chunks), tokens: count(job.embedding_tokens) })}` : null) : null,
    named ? folded(`why-${job.job_id}`, t("whyNot", { count: count(named) }), el("ul", { className: "reasons" },
      ...reasons.map(([reason, value]) => el("li", {}, `${reasonText(reason)}: `, el("strong", {}, count(value)), el("ul", {},
        ...unread.filter((page) => page.reason === reason).map((page) => el("li", { className: "muted" }, page.name))))))) : null,
  ];
}

/**
 * What a question finds.
 * @param {any} found
 */
export function findings(found) {
  if (!found.index_version) return [el("p", { className: "notice", role: "status" }, t("nothingLearnt"))];
  if (!found.is_answered) return [el("p", { className: "notice", role: "status" }, t("notFound"))];
  const percent = count(Math.round(found.confidence * 100));
  return [el("p", { role: "status" }, t("found"), " ", el("span", { className: "muted" }, t("sure", { percent }))),
    el("ul", { className: "passages" }, ...found.passages.map((/** @type {any} */ each) => el("li", {},
      (each.url && outsideLink(each.url, [each.title || each.url])) || el("strong", {}, each.title), el("p", {}, each.snippet))))];
}
