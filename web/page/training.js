// @ts-check
// The page where an assistant is taught: a quote, trainings as they go on, what it knows, a question tried.
import { json, Problem } from "./api.js";
import { ask } from "./buying.js";
import { byId, el, outsideLink } from "./dom.js";
import { TRAINING } from "./i18n-training.js";
import { count, day, t, teach } from "./i18n.js";
import { Page } from "./page.js";
import { findings, isOpen, jobFacts, quoteFacts } from "./training-parts.js";

/** Between looks at a training: at first often, then so that the smallest plan's rate leaves room for more. */
const LOOK_MS = 1000, MOST_LOOK_MS = 4000;
const MOST_BYTES = 20_000_000;
const KINDS = /** @type {const} */ (["Website", "Text", "Qa", "Files"]);
/** The most often first. */
const RHYTHMS = ["daily", "weekly", "monthly"];

class Training extends Page {
  /** @param {any} config */
  constructor(config) {
    super(config, "training");
    /** @type {any[]} */ this.sites = [];
    /** @type {any[]} */ this.plans = [];
    this.siteId = "";
    /** @type {(typeof KINDS)[number]} */ this.kind = "Website";
    /** What stands in the fields, kept while the page is drawn anew. */
    this.url = "";
    /** @type {any} */ this.quote = null;
    /** @type {any[]} */ this.jobs = [];
    /** @type {any[]} */ this.pages = [];
    /** @type {any[]} */ this.documents = [];
    /** @type {string | null} */ this.further = null;
    /** @type {any[]} */ this.schedules = [];
    /** @type {any} */ this.found = null;
    this.question = "";
    this.watching = false;
  }

  get mayTrain() { return ["owner", "admin", "editor"].includes(this.me?.role); }
  get site() { return this.sites.find((each) => each.site_id === this.siteId); }
  /** How often the plan reads a site again by itself. */
  get rhythms() {
    const at = RHYTHMS.indexOf(this.plans.find((each) => each.plan === this.me?.plan)?.resync);
    return at === -1 ? [] : RHYTHMS.slice(at);
  }

  /** @param {string} path */
  ofSite(path) { return `${path}${path.includes("?") ? "&" : "?"}site_id=${encodeURIComponent(this.siteId)}`; }

  async start() {
    this.draw();
    if (!this.session.signedIn) return;
    await this.act(async () => {
      this.me = await this.api("/api/v1/me");
      const [sites, plans] = await Promise.all([this.api("/api/v1/sites?limit=100"), this.api("/api/v1/plans")]);
      this.sites = sites.items;
      this.plans = plans.items;
      await this.turnTo(new URLSearchParams(location.search).get("site_id") ?? this.me.tenant.default_site_id ?? "");
    });
  }

  /** @param {string} siteId */
  async turnTo(siteId) {
    this.siteId = this.sites.some((each) => each.site_id === siteId) ? siteId : this.sites[0]?.site_id ?? "";
    this.quote = this.found = null;
    this.url = "";
    await this.load();
    const [domain] = this.site?.domains ?? [];
    this.url = this.jobs.find((job) => job.url)?.url ?? (domain ? `https://${domain}/` : "");
    this.draw();
  }

  /** Everything of the site anew. */
  async load() {
    const [jobs, documents, schedules] = await Promise.all([this.api(this.ofSite("/api/v1/train/jobs?limit=6")),
      this.api(this.ofSite("/api/v1/documents?limit=20")), this.api(this.ofSite("/api/v1/train/schedules"))]);
    this.jobs = jobs.items;
    this.documents = documents.items;
    this.further = documents.next_cursor;
    this.schedules = schedules.items;
    await this.loadPages();
    this.draw();
    this.watch();
  }

  /** The latest training, and those before it that have not ended. */
  get shown() { return this.jobs.filter((job, at) => !at || isOpen(job)); }

  async loadPages() {
    const [job] = this.jobs;
    this.pages = job ? (await this.api(`/api/v1/train/jobs/${encodeURIComponent(job.job_id)}/pages?limit=100`)).items : [];
  }

  /** Follow the trainings that are open until they have ended. */
  async watch() {
    if (this.watching) return;
    this.watching = true;
    for (let wait = LOOK_MS; this.jobs.some(isOpen); wait = Math.min(wait * 1.2, MOST_LOOK_MS)) {
      await new Promise((done) => { setTimeout(done, wait); });
      try {
        let ended = false;
        for (const { job_id: id } of this.jobs.filter(isOpen)) {
          const job = await this.api(`/api/v1/train/jobs/${encodeURIComponent(id)}`);
          this.jobs = this.jobs.map((each) => (each.job_id === id ? job : each));
          ended ||= !isOpen(job);
        }
        if (!ended) {
          byId("job")?.replaceWith(this.jobCard());
          continue;
        }
        this.watching = false;
        return void await this.act(() => this.load());
      } catch (error) {
        if (!(error instanceof Problem) || (error.status && error.status < 429)) break;
        wait = (error.document.retry_after ?? 4) * 1000;
      }
    }
    this.watching = false;
  }

  draw() {
    super.draw();
    byId("banners").replaceChildren();
    if (!this.me || !this.sites.length) {
      const guest = !this.session.signedIn && el("p", { className: "notice" }, t("trainingSignIn"));
      return byId("content").replaceChildren(...(guest ? [guest] : []));
    }
    byId("content").replaceChildren(this.teachCard(), this.jobCard(), this.documentsCard(), this.tryCard());
  }

  teachCard() {
    const sites = this.sites.length > 1 && el("div", { className: "ask" }, el("label", {}, t("site"), el("select", {
      onchange: (/** @type {Event} */ event) => this.act(() => this.turnTo(/** @type {HTMLSelectElement} */ (event.target).value)),
    }, ...this.sites.map((each) => el("option", { value: each.site_id, selected: each.site_id === this.siteId }, each.name)))));
    if (!this.mayTrain) return this.section("teach", "teachTitle", el("p", { className: "lead" }, t("teachLead")), sites, el("p", { className: "muted" }, t("viewerOnly")));
    const kinds = el("div", { className: "kinds", role: "group", "aria-label": t("teachTitle") }, ...KINDS.map((kind) => el("button", {
      type: "button", "aria-pressed": String(kind === this.kind), onclick: () => { this.kind = kind; this.draw(); },
    }, t(`k${kind}`))));
    return this.section("teach", "teachTitle", el("p", { className: "lead" }, t("teachLead")), sites, kinds,
      { Website: () => this.websiteForm(), Text: () => this.wordsForm("text"), Qa: () => this.wordsForm("qa"), Files: () => this.filesForm() }[this.kind]());
  }

  websiteForm() {
    const address = el("input", { type: "url", name: "url", value: this.url, required: true, placeholder: "https://", autocomplete: "url" });
    const look = el("button", { type: "submit", className: "primary" }, t("getQuote"));
    const form = el("form", { className: "ask", onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      this.url = address.value;
      look.disabled = true;
      look.textContent = t("looking");
      this.act(async () => {
        this.quote = await this.api("/api/v1/train/estimate", { body: { site_id: this.siteId, url: this.url } });
        byId("notices").replaceChildren();
      }).then(() => this.draw());
    } }, el("label", {}, t("address"), address), look);
    return el("div", {}, form, this.quote && this.quoteCard(), this.schedules.length ? this.scheduleList() : null);
  }

  quoteCard() {
    const facts = quoteFacts(this.quote).filter((each) => each instanceof Node);
    if (!this.quote.pages) return el("div", { className: "quote" }, ...facts);
    const { rhythms } = this;
    const every = el("select", { name: "schedule" }, el("option", { value: "" }, t("never")), ...rhythms.map((each) => el("option", { value: each }, t(each))));
    const force = el("input", { type: "checkbox", name: "force" });
    const go = el("button", { type: "button", className: "primary", onclick: () => this.begin("/api/v1/train/url", {
      url: this.url, force_retrain: force.checked, ...(every.value && { schedule: every.value }) }, go) }, t("train"));
    return el("div", { className: "quote" }, ...facts,
      rhythms.length ? el("div", { className: "ask" }, el("label", {}, t("again"), every)) : null,
      el("label", { className: "tick" }, force, t("force")), el("div", { className: "row" }, go));
  }

  scheduleList() {
    return el("details", {}, el("summary", {}, t("schedules")), el("ul", { className: "reasons" }, ...this.schedules.map((each) => el("li", { className: "row" },
      t("scheduleLine", { url: each.url, every: t(each.schedule), date: day(each.due_at, this.zone) }),
      el("button", { type: "button", onclick: () => this.act(async () => {
        await this.api(`/api/v1/train/schedules/${encodeURIComponent(each.schedule_id)}`, { method: "DELETE" });
        await this.load();
      }) }, t("stopSchedule"))))));
  }

  /** @param {"text" | "qa"} kind */
  wordsForm(kind) {
    const isPair = kind === "qa";
    const title = el("input", { type: "text", required: true, maxLength: 300 });
    const text = el("textarea", { required: true, maxLength: isPair ? 10_000 : 200_000 });
    const go = el("button", { type: "submit", className: "primary" }, t("teach"));
    return el("form", { onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      const body = isPair ? { pairs: [{ question: title.value, answer: text.value }] } : { texts: [{ title: title.value, text: text.value }] };
      this.begin(`/api/v1/train/${kind}`, body, go);
    } }, el("div", { className: "ask" }, el("label", {}, t(isPair ? "question" : "title"), title)),
    el("div", { className: "ask" }, el("label", {}, t(isPair ? "answer" : "text"), text)), go);
  }

  filesForm() {
    const picker = el("input", { type: "file", multiple: true, required: true, accept: ".pdf,.docx,.txt,.md,.html,.htm,.csv" });
    const go = el("button", { type: "submit", className: "primary" }, t("teach"));
    return el("form", { onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      this.act(async () => {
        const files = [];
        for (const file of picker.files ?? []) files.push({ upload_id: await this.upload(file), name: file.name });
        await this.begin("/api/v1/train/files", { files }, go);
      });
    } }, el("div", { className: "ask" }, el("label", {}, t("files"), picker)), go);
  }

  /**
   * Put a file into the bucket; its upload's id.
   * @param {File} file
   */
  async upload(file) {
    if (file.size > MOST_BYTES) throw new Problem({ detail: t("tooLargeFile", { name: file.name }) });
    this.notice(t("uploading", { name: file.name }));
    const place = await this.api("/api/v1/train/uploads", { body: { site_id: this.siteId } });
    const form = new FormData();
    for (const [name, value] of Object.entries(place.fields)) form.append(name, String(value));
    form.append("file", file);
    const answer = await fetch(place.url, { method: "POST", body: form, credentials: "omit" }).catch(() => null);
    if (!answer?.ok) throw new Problem({ detail: t("uploadFailed", { name: file.name }) });
    return place.upload_id;
  }

  /**
   * Begin a training.
   * @param {string} path
   * @param {Record<string, unknown>} body
   * @param {HTMLButtonElement} button
   */
  async begin(path, body, button) {
    button.disabled = true;
    await this.act(async () => {
      await this.api(path, { body: { site_id: this.siteId, ...body }, headers: { "idempotency-key": crypto.randomUUID() } });
      this.quote = null;
      await this.load();
      this.notice(t("started"));
      byId("job").scrollIntoView({ block: "nearest" });
    });
    button.disabled = false;
  }

  jobCard() {
    if (!this.jobs.length) return this.section("job", "jobTitle", el("p", { className: "muted" }, t("noJob")));
    const earlier = this.jobs.filter((job) => !this.shown.includes(job));
    return this.section("job", "jobTitle", ...this.shown.map((job, at) => this.jobPart(job, at ? [] : this.pages)),
      earlier.length ? el("details", {}, el("summary", {}, t("earlier")), el("ul", { className: "reasons" }, ...earlier.map((each) =>
        el("li", {}, `${day(each.created_at, this.zone)} · ${t(`s${each.status}`)} · ${count(each.fetched)} ${t("quotePages")}`)))) : null);
  }

  /**
   * @param {any} job
   * @param {any[]} pages
   */
  jobPart(job, pages) {
    /** @param {string} what */
    const change = (what) => () => this.act(async () => {
      await this.api(`/api/v1/train/jobs/${encodeURIComponent(job.job_id)}/${what}`, { method: "POST" });
      await this.load();
    });
    const retry = ["partial", "failed", "cancelled"].includes(job.status) && job.kind !== "refresh";
    return el("div", { className: "part" }, ...jobFacts(job, pages, this.zone),
      this.mayTrain && el("div", { className: "row" }, isOpen(job) && el("button", { type: "button", onclick: change("cancel") }, t("cancelJob")),
        retry && el("button", { type: "button", onclick: change("retry") }, t("retryJob"))));
  }

  documentsCard() {
    if (!this.documents.length) return this.section("documents", "documentsTitle", el("p", { className: "muted" }, t("noDocuments")));
    const rows = this.documents.map((each) => el("tr", {},
      el("td", {}, (each.url && outsideLink(each.url, [each.title || each.url])) || each.title), el("td", {}, t(`d${each.kind}`)),
      el("td", {}, count(each.chunk_count)), el("td", {}, day(each.updated_at, this.zone)),
      this.mayTrain && el("td", {}, el("button", { type: "button", "aria-label": `${t("forget")}: ${each.title}`, onclick: () => this.forget(each) }, t("forget")))));
    const heads = ["document", "kind", "passages", "learnt"].map((key) => el("th", { scope: "col" }, t(key)));
    return this.section("documents", "documentsTitle", el("table", { className: "learnt" }, el("thead", {}, el("tr", {}, ...heads, this.mayTrain && el("td", {}))), el("tbody", {}, ...rows)),
      this.further && el("button", { type: "button", onclick: () => this.act(async () => {
        const more = await this.api(this.ofSite(`/api/v1/documents?limit=50&cursor=${encodeURIComponent(this.further ?? "")}`));
        this.documents = this.documents.concat(more.items);
        this.further = more.next_cursor;
        this.draw();
      }) }, t("more")));
  }

  /** @param {any} document */
  forget(document) {
    ask(t("forget"), [el("p", {}, el("strong", {}, document.title)), el("p", {}, t("forgetAsk"))], { label: t("forget"), act: async () => {
      await this.api(this.ofSite(`/api/v1/documents/${encodeURIComponent(document.document_id)}`), { method: "DELETE" });
      /** @type {HTMLDialogElement} */ (byId("dialog")).close();
      await this.load();
      this.notice(t("forgotten"));
    } });
  }

  tryCard() {
    const question = el("input", { type: "text", name: "question", value: this.question, required: true, maxLength: 2000 });
    const go = el("button", { type: "submit" }, t("search"));
    return this.section("try", "tryTitle", el("p", { className: "muted" }, t("tryLead")), el("form", { className: "ask", onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      this.question = question.value;
      go.disabled = true;
      this.act(async () => {
        const base = this.config.inference_url || this.me.inference_url || "";
        this.found = await this.api("/api/v1/search", { body: { site_id: this.siteId, query: this.question, limit: 5 } }, base);
      }).then(() => { byId("try").replaceWith(this.tryCard()); });
    } }, el("label", {}, t("question"), question), go), ...(this.found ? findings(this.found) : []));
  }
}

teach(TRAINING);
await new Training(await json("/config.json")).start();
