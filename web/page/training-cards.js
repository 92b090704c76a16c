// @ts-check
// How trainings go on, what is known, and a question tried.
import { ask } from "./buying.js";
import { byId, el, outsideLink } from "./dom.js";
import { count, day, t } from "./i18n.js";
import { findings, folded, isOpen, jobFacts } from "./training-parts.js";

/** @typedef {import("./training.js").Training} Page */

const EARLIER = 5;
const RETRYABLE = ["partial", "failed", "cancelled"];

/** @param {string} text */
const muted = (text) => el("p", { className: "muted" }, text);

/** @param {Page} page */
export function jobCard(page) {
  if (!page.jobs.length) return page.section("job", "jobTitle", muted(t(page.isLoaded ? "noJob" : "working")));
  const earlier = page.jobs.filter((job) => !page.shown.includes(job)).slice(0, EARLIER);
  return page.section("job", "jobTitle", ...page.shown.map((job) => jobPart(page, job)),
    earlier.length ? folded("earlier", t("earlier"), el("ul", { className: "reasons" }, ...earlier.map((each) =>
      el("li", {}, `${day(each.created_at, page.zone)} · ${t(`s${each.status}`)} · ${count(each.fetched)} ${t("quotePages")}`)))) : null);
}

/**
 * @param {Page} page
 * @param {any} job
 */
function jobPart(page, job) {
  /** @param {string} what @param {string} text */
  const change = (what, text) => page.button(`${what}-${job.job_id}`, text, { onclick: () => page.once(`${what}-${job.job_id}`, async () => {
    await page.api(`/api/v1/train/jobs/${encodeURIComponent(job.job_id)}/${what}`, { method: "POST" });
    await page.load();
  }) });
  const canRetry = RETRYABLE.includes(job.status) && job.kind !== "refresh";
  return el("div", { className: "part" }, ...jobFacts(job, page.pages[job.job_id] ?? [], page.zone),
    page.mayTrain && el("div", { className: "row" }, isOpen(job) && change("cancel", t("cancelJob")),
      canRetry && change("retry", t(job.status !== "cancelled" && job.failed ? "retryJob" : "resumeJob"))));
}

/** @param {Page} page */
export function documentsCard(page) {
  if (!page.documents.length) return page.section("documents", "documentsTitle", muted(t(page.isLoaded ? "noDocuments" : "working")));
  const rows = page.documents.map((each) => el("tr", {},
    el("td", {}, (each.url && outsideLink(each.url, [each.title || each.url])) || each.title), el("td", {}, t(`d${each.kind}`)),
    el("td", {}, count(each.chunk_count)), el("td", {}, day(each.updated_at, page.zone)),
    page.mayTrain && el("td", {}, page.button(`forget-${each.document_id}`, t("forget"), { "aria-label": `${t("forget")}: ${each.title}`, onclick: () => forget(page, each) }))));
  const heads = ["document", "kind", "passages", "learnt"].map((key) => el("th", { scope: "col" }, t(key)));
  return page.section("documents", "documentsTitle",
    el("table", { className: "learnt" }, el("thead", {}, el("tr", {}, ...heads, page.mayTrain && el("td", {}))), el("tbody", {}, ...rows)),
    page.further && page.button("more", t("more"), { onclick: () => page.once("more", () => showMore(page)) }));
}

/** @param {Page} page */
async function showMore(page) {
  const { siteId } = page;
  const more = await page.api(page.ofSite(`/api/v1/documents?status=active&limit=50&cursor=${encodeURIComponent(page.further ?? "")}`));
  if (siteId !== page.siteId) return;
  page.documents = page.documents.concat(more.items);
  page.further = more.next_cursor;
  page.refresh("documents");
}

/**
 * @param {Page} page
 * @param {any} document
 */
function forget(page, document) {
  const path = page.ofSite(`/api/v1/documents/${encodeURIComponent(document.document_id)}`);
  ask(t("forget"), [el("p", {}, el("strong", {}, document.title)), el("p", {}, t("forgetAsk"))], { label: t("forget"), explain: (error) => page.explain(error), act: async () => {
    await page.api(path, { method: "DELETE" });
    /** @type {HTMLDialogElement} */ (byId("dialog")).close();
    await page.load();
    page.notice(t("forgotten"));
  } });
}

/** @param {Page} page */
export function tryCard(page) {
  const question = page.field("question", "input", { type: "text", required: true, maxLength: 2000 });
  return page.section("try", "tryTitle", muted(t("tryLead")), el("form", { className: "ask", onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    page.once("search", () => search(page, question.value));
  } }, el("label", {}, t("question"), question), page.button("search", t("search"), { type: "submit" })), foundPart(page));
}

/**
 * @param {Page} page
 * @param {string} query
 */
async function search(page, query) {
  const { siteId } = page;
  page.found = null;
  page.refresh("found");
  const base = page.config.inference_url || page.me.inference_url || "";
  const found = await page.api("/api/v1/search", { body: { site_id: siteId, query, limit: 5 } }, base);
  if (siteId !== page.siteId) return;
  page.found = found;
  page.refresh("found");
}

/** @param {Page} page */
export const foundPart = (page) => el("div", { id: "found" }, ...(page.found ? findings(page.found) : []));
