// @ts-check
// What an assistant is taught: a site's pages after a quote, texts, questions with answers, files.
import { byId, el } from "./dom.js";
import { day, t } from "./i18n.js";
import { Said } from "./page.js";
import { folded, quoteFacts } from "./training-parts.js";

/** @typedef {import("./training.js").Training} Page */

const MOST_BYTES = 20_000_000, MOST_FILES = 50;
const KINDS = /** @type {const} */ (["Website", "Text", "Qa", "Files"]);

/** @param {Page} page */
export function teachCard(page) {
  const lead = el("p", { className: "lead" }, t("teachLead"));
  const sites = page.sites.length > 1 && el("div", { className: "ask" }, el("label", {}, t("site"), el("select", {
    "data-keep": "site", onchange: (/** @type {Event} */ event) => page.act(() => page.turnTo(/** @type {HTMLSelectElement} */ (event.target).value)),
  }, ...page.sites.map((each) => el("option", { value: each.site_id, selected: each.site_id === page.siteId }, each.name)))));
  if (!page.mayTrain) return page.section("teach", "teachTitle", lead, sites, el("p", { className: "muted" }, t("viewerOnly")));
  const kinds = el("div", { className: "kinds", role: "group", "aria-label": t("teachTitle") }, ...KINDS.map((kind) => el("button", {
    type: "button", "data-keep": kind, "aria-pressed": String(kind === page.kind), onclick: () => { page.kind = kind; page.draw(); },
  }, t(`k${kind}`))));
  const forms = { Website: () => websiteForm(page), Text: () => wordsForm(page, "text"), Qa: () => wordsForm(page, "qa"), Files: () => filesForm(page) };
  return page.section("teach", "teachTitle", lead, sites, kinds, forms[page.kind]());
}

/** @param {Page} page */
function websiteForm(page) {
  const address = page.field("url", "input", {});
  const force = page.field("force", "input", { type: "checkbox" });
  const form = el("form", { onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    estimate(page, address.value, force.checked);
  } }, el("div", { className: "ask" }, el("label", {}, t("address"), address), page.button(looking(page), t("getQuote"), { type: "submit", className: "primary" })),
  el("label", { className: "tick" }, force, t("force")));
  return el("div", {}, form, quotePart(page), schedulesPart(page));
}

/** @param {Page} page */
const looking = (page) => `look-${page.siteId}`;

/**
 * Ask for a quote, which is kept with what it is for.
 * @param {Page} page
 * @param {string} url
 * @param {boolean} force
 */
async function estimate(page, url, force) {
  const { siteId } = page;
  await page.once(looking(page), async () => {
    page.quote = null;
    page.schedule = "";
    page.refresh("quote");
    const facts = await page.api("/api/v1/train/estimate", { body: { site_id: siteId, url, force_retrain: force } });
    if (siteId !== page.siteId) return;
    page.quote = { url, force, facts };
    byId("notices").replaceChildren();
  });
  page.refresh("quote");
}

/** @param {Page} page */
export function quotePart(page) {
  if (page.doing.has(looking(page))) return el("p", { id: "quote", className: "muted", role: "status" }, t("looking"));
  if (!page.quote) return el("div", { id: "quote" });
  const { url, force, facts } = page.quote;
  const shown = [el("p", {}, el("strong", {}, t("quoteFor", { url })), force && ` ${t("forced")}`), ...quoteFacts(facts)];
  if (!facts.pages) return el("div", { id: "quote", className: "quote" }, ...shown);
  const every = el("select", { name: "schedule", "data-keep": "schedule", onchange: () => { page.schedule = every.value; } },
    ...["", ...page.rhythms].map((each) => el("option", { value: each, selected: each === page.schedule }, t(each || "never"))));
  const go = page.button("train", t("train"), { className: "primary", onclick: () => page.once("train", async () => {
    await begin(page, "/api/v1/train/url", { url, force_retrain: force, ...(page.schedule && { schedule: page.schedule }) });
    page.quote = null;
    page.refresh("quote");
  }) });
  return el("div", { id: "quote", className: "quote" }, ...shown,
    page.rhythms.length ? el("div", { className: "ask" }, el("label", {}, t("again"), every)) : null, el("div", { className: "row" }, go));
}

/** @param {Page} page */
export function schedulesPart(page) {
  if (!page.schedules.length) return el("div", { id: "schedules" });
  return el("div", { id: "schedules" }, folded("schedules", t("schedules"), el("ul", { className: "reasons" }, ...page.schedules.map((each) => {
    const name = `schedule-${each.schedule_id}`;
    return el("li", { className: "row" }, t("scheduleLine", { url: each.url, every: t(each.schedule), date: day(each.due_at, page.zone) }),
      page.mayTrain && page.button(name, t("stopSchedule"), { onclick: () => page.once(name, async () => {
        await page.api(`/api/v1/train/schedules/${encodeURIComponent(each.schedule_id)}`, { method: "DELETE" });
        await page.load();
      }) }));
  }))));
}

/**
 * @param {Page} page
 * @param {"text" | "qa"} kind
 */
function wordsForm(page, kind) {
  const isPair = kind === "qa";
  const title = page.field(`${kind}-title`, "input", { type: "text", required: true, maxLength: 300 });
  const text = page.field(`${kind}-text`, "textarea", { required: true, maxLength: isPair ? 10_000 : 200_000 });
  return el("form", { onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    const said = [title.value, text.value];
    const body = isPair ? { pairs: [{ question: said[0], answer: said[1] }] } : { texts: [{ title: said[0], text: said[1] }] };
    page.once(kind, async () => {
      await begin(page, `/api/v1/train/${kind}`, body);
      if (title.value === said[0] && text.value === said[1]) title.value = text.value = "";
    });
  } }, el("div", { className: "ask" }, el("label", {}, t(isPair ? "question" : "title"), title)),
  el("div", { className: "ask" }, el("label", {}, t(isPair ? "answer" : "text"), text)), page.button(kind, t("teach"), { type: "submit", className: "primary" }));
}

/** @param {Page} page */
function filesForm(page) {
  const picker = page.field("files", "input", { type: "file", multiple: true, required: true, accept: ".pdf,.docx,.txt,.md,.html,.htm,.csv" });
  return el("form", { onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    page.once("upload", async () => {
      const chosen = [...picker.files ?? []], { siteId } = page;
      if (chosen.length > MOST_FILES) throw new Said(t("tooManyFiles", { most: MOST_FILES }));
      const large = chosen.find((file) => file.size > MOST_BYTES);
      if (large) throw new Said(t("tooLargeFile", { name: large.name }));
      const files = [];
      for (const file of chosen) files.push({ upload_id: await upload(page, siteId, file), name: file.name });
      await begin(page, "/api/v1/train/files", { site_id: siteId, files });
      picker.value = "";
    });
  } }, el("div", { className: "ask" }, el("label", {}, t("files"), picker)), page.button("upload", t("teach"), { type: "submit", className: "primary" }));
}

/**
 * Put a file into the bucket; its upload's id.
 * @param {Page} page
 * @param {string} siteId
 * @param {File} file
 * @returns {Promise<string>}
 */
async function upload(page, siteId, file) {
  page.notice(t("uploading", { name: file.name }));
  const place = await page.api("/api/v1/train/uploads", { body: { site_id: siteId } });
  const form = new FormData();
  for (const [name, value] of Object.entries(place.fields)) form.append(name, String(value));
  form.append("file", file);
  const answer = await fetch(place.url, { method: "POST", body: form, credentials: "omit" }).catch(() => null);
  if (!answer?.ok) throw new Said(t("uploadFailed", { name: file.name }));
  return place.upload_id;
}

/**
 * Begin a training.
 * @param {Page} page
 * @param {string} path
 * @param {Record<string, unknown>} body
 */
async function begin(page, path, body) {
  await page.api(path, { body: { site_id: page.siteId, ...body }, headers: { "idempotency-key": crypto.randomUUID() } });
  await page.load();
  page.notice(t("started"));
  byId("job").scrollIntoView({ block: "nearest" });
}
