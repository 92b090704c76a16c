// @ts-check
// What the pages of a member have in common: who is here, the platform's API, notices, the bar at the top.
import { json, Problem } from "./api.js";
import { Session } from "./auth.js";
import { advice } from "./chat.js";
import { byId, el } from "./dom.js";
import { language, LANGUAGES, speak, t } from "./i18n.js";

const TENANT = "noren.tenant";

/**
 * The page's own texts in the language in use, and the choice of another one.
 * @param {() => void} redraw once another language is in use
 */
export function showTexts(redraw) {
  document.documentElement.lang = language;
  /** @param {string} name @param {(node: HTMLElement, text: string) => void} put */
  const each = (name, put) => document.querySelectorAll(`[data-${name}]`).forEach((node) => {
    const element = /** @type {HTMLElement} */ (node);
    put(element, t(element.dataset[name] ?? ""));
  });
  each("text", (node, text) => { node.textContent = text; });
  each("label", (node, text) => node.setAttribute("aria-label", text));
  each("hint", (node, text) => node.setAttribute("placeholder", text));
  const select = /** @type {HTMLSelectElement} */ (byId("language"));
  select.replaceChildren(...LANGUAGES.map(({ code, name }) => el("option", { value: code, selected: code === language }, name)));
  select.onchange = () => {
    speak(select.value);
    byId("notices").replaceChildren();
    redraw();
  };
}

/** What is shown as it stands: in the person's language already. */
export class Said extends Error {}

export class Page {
  /**
   * @param {any} config
   * @param {string} title key of its text
   */
  constructor(config, title) {
    this.config = config;
    this.title = title;
    this.session = new Session(config);
    /** @type {any} what GET /api/v1/me said */
    this.me = null;
  }

  get zone() { return this.me?.tenant?.timezone ?? "Asia/Tokyo"; }

  /**
   * Ask an API as who is signed in.
   * @param {string} path
   * @param {import("./api.js").Options} [options]
   * @param {string} [base] the API; the platform's by default
   */
  async api(path, options = {}, base = this.config.platform_url) {
    const token = await this.session.accessToken();
    const tenant = sessionStorage.getItem(TENANT);
    const who = token ? { authorization: `Bearer ${token}`, ...(tenant && { "x-tenant-id": tenant }) } : {};
    return json(base + path, { ...options, headers: { ...who, ...options.headers } });
  }

  /**
   * Do something; whether it worked. What went wrong is shown.
   * @param {() => Promise<void> | void} work
   */
  async act(work) {
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        this.session.forget();
        this.me = null;
        this.draw();
      }
      this.notice(this.explain(error), "error");
      return false;
    }
  }

  /**
   * What went wrong and what to do about it.
   * @param {unknown} error
   */
  explain(error) { return error instanceof Said ? error.message : advice(error); }

  /**
   * @param {string} text
   * @param {string} [kind]
   * @param {...(HTMLElement | null | false | "")} actions
   */
  notice(text, kind = "", ...actions) {
    const box = el("div", { className: `notice ${kind}`, role: kind === "error" ? "alert" : "status" }, el("p", {}, text),
      ...actions.map((each) => each || null));
    byId("notices").replaceChildren(box);
    box.scrollIntoView({ block: "nearest" });
  }

  /** The page as things are now; each page draws its own content after this. */
  draw() {
    document.title = `${t(this.title)} · Noren`;
    showTexts(() => this.draw());
    const here = location.pathname + location.search;
    byId("account").replaceChildren(...(this.session.signedIn
      ? [el("span", { className: "who" }, this.me?.user?.email ?? ""), el("a", { className: "nav", href: "/" }, t("toChat"))]
      : [el("a", { className: "nav", href: "/" }, t("toChat")), el("button", { type: "button", className: "primary", onclick: () => this.session.leave("sign-in", here) }, t("signIn"))]));
  }

  /**
   * @param {string} id
   * @param {string} title
   * @param {...(Node | string | null | undefined | false)} children
   */
  section(id, title, ...children) {
    return el("section", { className: "card", id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, t(title)), ...children);
  }
}
