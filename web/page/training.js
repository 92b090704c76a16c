// @ts-check
// The page where an assistant is taught: which site, what the API says of it, what is drawn anew when.
import { json, Problem } from "./api.js";
import { byId, el, keepPlace } from "./dom.js";
import { TRAINING } from "./i18n-training.js";
import { has, t, teach } from "./i18n.js";
import { Page } from "./page.js";
import { documentsCard, foundPart, jobCard, tryCard } from "./training-cards.js";
import { isOpen, reasonText } from "./training-parts.js";
import { quotePart, schedulesPart, teachCard } from "./training-teach.js";

/** Between looks at a training: at first often, then so that the smallest plan's rate leaves room for more. */
const LOOK_MS = 1000, MOST_LOOK_MS = 4000;
/** Each so many looks the examples of what was not read are loaded anew. */
const LOOKS_AN_EXAMPLE = 4;
/** Where the API says nothing of it: after a refusal that will pass. */
const PAUSE_S = 4;
/** The most often first. */
const RHYTHMS = ["daily", "weekly", "monthly"];

export class Training extends Page {
  /** @param {any} config */
  constructor(config) {
    super(config, "training");
    /** @type {any[]} */ this.sites = [];
    /** @type {any[]} */ this.plans = [];
    this.siteId = "";
    this.isLoaded = false;
    /** @type {"Website" | "Text" | "Qa" | "Files"} */ this.kind = "Website";
    /** @type {Record<string, any>} made once, whatever is drawn anew around them: so what was typed or chosen stays */
    this.fields = {};
    /** @type {Set<string>} what is being done now, and not to be begun again meanwhile */
    this.doing = new Set();
    /** @type {{url: string, force: boolean, facts: any} | null} with what it was asked for */
    this.quote = null;
    /** How often to read the site again. */
    this.schedule = "";
    /** @type {any[]} */ this.jobs = [];
    /** @type {Record<string, any[]>} some pages of the jobs that are shown */
    this.pages = {};
    /** @type {any[]} */ this.documents = [];
    /** @type {string | null} */ this.further = null;
    /** @type {any[]} */ this.schedules = [];
    /** @type {any} */ this.found = null;
    this.watching = false;
    /** @type {Record<string, () => HTMLElement>} what is drawn by itself, by its id */
    this.parts = {
      quote: () => quotePart(this), schedules: () => schedulesPart(this), job: () => jobCard(this), documents: () => documentsCard(this), found: () => foundPart(this),
    };
  }

  get mayTrain() { return ["owner", "admin", "editor"].includes(this.me?.role); }
  get site() { return this.sites.find((each) => each.site_id === this.siteId); }
  /** The latest training, and those before it that have not ended. */
  get shown() { return this.jobs.filter((job, at) => !at || isOpen(job)); }
  /** How often the plan reads a site again by itself. */
  get rhythms() {
    const at = RHYTHMS.indexOf(this.plans.find((each) => each.plan === this.me?.plan)?.resync);
    return at === -1 ? [] : RHYTHMS.slice(at);
  }

  /** @param {string} path */
  ofSite(path) { return `${path}${path.includes("?") ? "&" : "?"}site_id=${encodeURIComponent(this.siteId)}`; }

  /**
   * A field of a form, always the same.
   * @template {"input" | "textarea"} K
   * @param {string} name
   * @param {K} tag
   * @param {Record<string, any>} properties
   * @returns {HTMLElementTagNameMap[K]}
   */
  field(name, tag, properties) { return (this.fields[name] ??= el(tag, { ...properties, "data-keep": name })); }

  /**
   * A button for something that must not be begun twice.
   * @param {string} name as given to `once`
   * @param {string} text
   * @param {Record<string, any>} properties
   */
  button(name, text, properties) {
    return el("button", { type: "button", "data-keep": name, "aria-disabled": String(this.doing.has(name)), ...properties }, text);
  }

  /**
   * Do something unless it is being done.
   * @param {string} name
   * @param {() => Promise<void>} work
   */
  async once(name, work) {
    if (this.doing.has(name)) return;
    this.doing.add(name);
    this.showDoing();
    await this.act(work);
    this.doing.delete(name);
    this.showDoing();
  }

  showDoing() {
    for (const each of byId("content").querySelectorAll("button[data-keep]")) {
      each.setAttribute("aria-disabled", String(this.doing.has(each.getAttribute("data-keep") ?? "")));
    }
  }

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

  /** @param {string} wanted a site's id */
  async turnTo(wanted) {
    this.siteId = this.sites.some((each) => each.site_id === wanted) ? wanted : this.sites[0]?.site_id ?? "";
    this.quote = this.found = this.further = null;
    this.jobs = this.documents = this.schedules = [];
    this.isLoaded = false;
    const { siteId } = this;
    const address = this.field("url", "input", { type: "url", required: true, placeholder: "https://", autocomplete: "url" });
    address.value = "";
    this.draw();
    await this.load();
    if (siteId !== this.siteId || address.value) return;
    const [domain] = this.site?.domains ?? [];
    address.value = this.jobs.find((job) => job.url)?.url ?? (domain ? `https://${domain}/` : "");
  }

  /** Everything of the site anew; what comes when another one has been chosen is dropped. */
  async load() {
    const { siteId } = this;
    const many = Math.min(Math.max(20, this.documents.length), 100);
    const [jobs, documents, schedules] = await Promise.all([this.api(this.ofSite("/api/v1/train/jobs?limit=50")),
      this.api(this.ofSite(`/api/v1/documents?status=active&limit=${many}`)), this.api(this.ofSite("/api/v1/train/schedules"))]);
    if (siteId !== this.siteId) return;
    this.jobs = jobs.items;
    this.documents = documents.items;
    this.further = documents.next_cursor;
    this.schedules = schedules.items;
    this.isLoaded = true;
    this.refresh("job", "documents", "schedules");
    this.watch();
    await this.loadPages();
    if (siteId === this.siteId) this.refresh("job");
  }

  async loadPages() {
    const { siteId } = this;
    const shown = this.shown.filter((job) => Object.keys(job.reasons ?? {}).length);
    const pages = await Promise.all(shown.map((job) => this.api(`/api/v1/train/jobs/${encodeURIComponent(job.job_id)}/pages?limit=100`)));
    if (siteId === this.siteId) this.pages = Object.fromEntries(shown.map((job, at) => [job.job_id, pages[at].items]));
  }

  /** Follow the trainings that are open until they have ended. */
  async watch() {
    if (this.watching) return;
    this.watching = true;
    let wait = LOOK_MS;
    for (let looks = 1; this.jobs.some(isOpen); looks++) {
      await new Promise((done) => { setTimeout(done, wait); });
      try {
        await this.look(looks % LOOKS_AN_EXAMPLE === 0);
        wait = Math.min(wait * 1.2, MOST_LOOK_MS);
      } catch (error) {
        if (!willPass(error)) {
          await this.act(() => { throw error; });
          break;
        }
        wait = 1000 * (/** @type {Problem} */ (error).document.retry_after ?? PAUSE_S);
      }
    }
    this.watching = false;
  }

  /**
   * Look at what is open once.
   * @param {boolean} withPages
   */
  async look(withPages) {
    const { siteId } = this;
    const open = this.jobs.filter(isOpen).map((job) => this.api(`/api/v1/train/jobs/${encodeURIComponent(job.job_id)}`));
    const looked = await Promise.all(open);
    if (siteId !== this.siteId) return;
    if (looked.some((job) => !isOpen(job))) return void await this.load();
    this.jobs = this.jobs.map((each) => looked.find((job) => job.job_id === each.job_id) ?? each);
    if (withPages) await this.loadPages();
    if (siteId === this.siteId) this.refresh("job");
  }

  /**
   * Draw parts of the page anew, and nothing else.
   * @param {...string} ids
   */
  refresh(...ids) {
    for (const id of ids) {
      const old = byId(id);
      if (old) keepPlace(old, () => old.replaceWith(this.parts[id]()), () => byId(id));
    }
    const [latest] = this.jobs;
    const said = latest ? t(`s${latest.status}`) : "";
    if (byId("progress").textContent !== said) byId("progress").textContent = said; // as a reader says it: when it changes
  }

  draw() {
    super.draw();
    byId("banners").replaceChildren();
    if (!this.me || !this.sites.length) {
      const guest = !this.session.signedIn && el("p", { className: "notice" }, t("trainingSignIn"));
      return byId("content").replaceChildren(...(guest ? [guest] : []));
    }
    keepPlace(byId("content"), () => byId("content").replaceChildren(teachCard(this), jobCard(this), documentsCard(this), tryCard(this)));
    this.refresh();
  }

  /** @param {unknown} error */
  explain(error) {
    if (!(error instanceof Problem) || !has(`p_${error.code}`)) return super.explain(error);
    const about = /** @type {any} */ (error.document);
    if (error.code === "site_unreadable" && !about.reason) return super.explain(error);
    const reason = about.reason ?? "";
    const said = t(`p_${error.code}`, { seconds: about.retry_after ?? PAUSE_S, domains: (about.domains ?? []).join(", "), reason: reasonText(reason) });
    return has(`a_${reason}`) ? `${said} ${t(`a_${reason}`)}` : said;
  }
}

/**
 * Whether trying again later helps: no connection, too often, or a fault on the other side.
 * @param {unknown} error
 */
const willPass = (error) => error instanceof Problem && (!error.status || error.status === 429 || error.status >= 500);

teach(TRAINING);
await new Training(await json("/config.json")).start();
