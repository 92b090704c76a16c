// @ts-check
// The page: who is here, in which workspace, with what left; the chat is in chat.js.
import { json, Problem } from "./api.js";
import { Session } from "./auth.js";
import { banners } from "./banners.js";
import { advice, Chat, guestToken } from "./chat.js";
import { byId, el } from "./dom.js";
import { count, day, t } from "./i18n.js";
import { showTexts } from "./page.js";

const GUEST = "noren.guest";
const TENANT = "noren.tenant";
const INVITATION = "noren.invitation";

class Page {
  /** @param {any} config */
  constructor(config) {
    this.config = config;
    this.session = new Session(config);
    /** Signed in, as far as the page has shown. */
    this.member = false;
    /** @type {any} what GET /api/v1/me said */
    this.me = null;
    /** @type {any} the latest figures of the quota */
    this.quota = null;
    this.chat = new Chat({
      url: (path) => (config.inference_url || this.me?.inference_url || "") + path,
      headers: () => this.headers(),
      guest: () => !this.session.signedIn,
      onQuota: (quota) => { // what is left for all guests together says nothing to one
        this.quota = this.session.signedIn ? quota : null;
        this.drawStanding();
      },
      onSignIn: () => this.session.leave("sign-in"),
      onRefused: () => { sessionStorage.removeItem(GUEST); this.signedOut(); },
    });
  }

  /** @returns {Promise<Record<string, string>>} */
  async headers() {
    const token = await this.session.accessToken();
    if (token) {
      const tenant = sessionStorage.getItem(TENANT);
      return { authorization: `Bearer ${token}`, ...(tenant && { "x-tenant-id": tenant }) };
    }
    this.signedOut();
    let guest = sessionStorage.getItem(GUEST);
    if (!guest) {
      guest = await guestToken(`${this.config.inference_url}/api/v1/visitor-tokens`);
      sessionStorage.setItem(GUEST, guest);
    }
    return { authorization: `Bearer ${guest}` };
  }

  async start() {
    const query = new URLSearchParams(location.search);
    if (location.pathname === "/invite" && query.has("token")) {
      sessionStorage.setItem(INVITATION, query.get("token") ?? "");
      history.replaceState(null, "", "/");
    }
    try {
      const back = await this.session.comeBack();
      if (back) return location.replace(back);
    } catch {
      this.notice("signInFailed", "error");
    }
    this.draw();
    if (this.session.signedIn) await this.load();
    this.offer();
    await this.chat.restore();
  }

  /** What a link in a mail brought the person here for. */
  offer() {
    this.offerInvitation();
  }

  /** @returns {Promise<void>} */
  async load() {
    this.member = true;
    try {
      if (!(await this.session.accessToken())) return this.signedOut();
      this.me = await json(`${this.config.platform_url}/api/v1/me`, { headers: await this.headers() });
      const chats = this.me.remaining?.chats;
      this.quota = chats && { chats_used: chats.used, chats_limit: chats.limit, resets_at: chats.resets_at };
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return this.signedOut();
      if (error instanceof Problem && error.status === 403 && sessionStorage.getItem(TENANT)) {
        sessionStorage.removeItem(TENANT); // no longer a member there, or without a seat
        if (error.code === "membership_frozen") this.notice("membership_frozen", "error");
        return this.load();
      }
      this.notice(advice(error), "error");
    }
    this.draw();
  }

  /** A sign-in is over without having been ended here; nothing to a guest. */
  signedOut() {
    if (!this.member) return;
    this.member = false;
    this.session.forget();
    this.chat.remember("");
    this.me = this.quota = null;
    sessionStorage.removeItem(TENANT);
    this.draw();
    this.notice("sessionOver", "error");
  }

  async signOut() {
    sessionStorage.clear();
    await this.session.signOut();
  }

  /** Everything that depends on who is here or on the language. */
  draw() {
    showTexts(() => {
      this.draw();
      this.offer();
    });
    byId("mailbox").hidden = !this.config.mailbox_url;
    this.drawAccount();
    this.drawStanding();
    this.chat.draw();
  }

  drawAccount() {
    const account = byId("account");
    if (!this.session.signedIn) {
      account.replaceChildren(
        el("button", { type: "button", onclick: () => this.session.leave("sign-in") }, t("signIn")),
        el("button", { type: "button", className: "primary", onclick: () => this.session.leave("sign-up") }, t("signUp")));
      return;
    }
    const memberships = this.me?.memberships ?? [];
    const select = memberships.length > 1 && el("select", { "aria-label": t("tenant"), onchange: (/** @type {Event} */ event) => this.switchTo(/** @type {HTMLSelectElement} */ (event.target).value) },
      ...memberships.map((/** @type {any} */ each) => el("option", { value: each.tenant_id, selected: each.tenant_id === this.me.tenant?.tenant_id }, each.name || each.tenant_id)));
    account.replaceChildren(...[
      el("span", { className: "who", title: this.me?.user?.email ?? "" }, this.me?.user?.email ?? ""), select,
      el("a", { href: "/training.html" }, t("training")), el("a", { href: "/billing.html" }, t("billing")),
      el("button", { type: "button", onclick: () => this.signOut() }, t("signOut")),
    ].filter((part) => part !== false));
  }

  /** @param {string} tenantId */
  async switchTo(tenantId) {
    sessionStorage.setItem(TENANT, tenantId);
    this.chat.fresh();
    this.chat.model = "";
    await this.load();
  }

  drawStanding() {
    const parts = [];
    parts.push(el("span", { className: "chip" }, this.session.signedIn ? (this.me?.plan ?? "…") : t("guest")));
    if (this.quota?.chats_limit) {
      const { chats_used: used, chats_limit: limit, resets_at: resets } = this.quota;
      const left = Math.max(0, limit - used);
      const label = t("left", { left: count(left), limit: count(limit) });
      parts.push(el("meter", { min: 0, max: limit, low: limit / 10, value: left, "aria-label": label }), el("span", {}, label));
      if (resets) parts.push(el("span", { className: "muted" }, t("resets", { date: day(resets, this.me?.tenant?.timezone) })));
    }
    const models = this.me?.models ?? [];
    if (models.length > 1) {
      parts.push(el("select", { className: "models", "aria-label": t("model"), onchange: (/** @type {Event} */ event) => { this.chat.model = /** @type {HTMLSelectElement} */ (event.target).value; } },
        el("option", { value: "" }, t("modelOfPlan")),
        ...models.map((/** @type {any} */ each) => el("option", { value: each.id, selected: each.id === this.chat.model }, each.name))));
    }
    byId("banners").replaceChildren(...banners(this.me, "/billing.html"));
    if (this.me?.stop_mode) parts.push(el("strong", { className: "stopped" }, t(this.me.stop_mode === "quota" ? "quota_exceeded" : "suspended")));
    byId("standing").replaceChildren(...parts);
    if (this.session.groups.includes("platform_admin") && this.me?.user?.is_platform_admin === false) this.notice("totp", "", "totp");
  }

  /**
   * @param {string} text a key of the texts, or a sentence
   * @param {string} [kind]
   * @param {string} [name] shown once at a time
   * @param {HTMLElement[]} actions
   */
  notice(text, kind = "", name = text, ...actions) {
    const id = `notice-${name.replace(/\W/g, "")}`;
    document.getElementById(id)?.remove();
    const sentence = /^\w+$/.test(text) ? t(text) : text;
    const box = el("div", { id, className: `notice ${kind}`, role: kind === "error" ? "alert" : "status" }, el("p", {}, sentence), ...actions);
    byId("notices").append(box);
  }

  offerInvitation() {
    const token = sessionStorage.getItem(INVITATION);
    if (!token) return;
    if (!this.session.signedIn) return this.notice("inviteSignIn", "", "invitation");
    const accept = el("button", { type: "button", className: "primary", onclick: async () => {
      accept.disabled = true;
      try {
        const joined = await json(`${this.config.platform_url}/api/v1/invitations/accept`, { body: { token }, headers: await this.headers() });
        sessionStorage.removeItem(INVITATION);
        if (joined?.tenant_id) sessionStorage.setItem(TENANT, joined.tenant_id);
        this.notice("inviteDone", "", "invitation");
        await this.load();
      } catch (error) {
        if (error instanceof Problem && error.status < 500) sessionStorage.removeItem(INVITATION);
        this.notice(advice(error), "error", "invitation");
      }
    } }, t("inviteAccept"));
    this.notice("inviteOffer", "", "invitation", accept);
  }
}

const config = await json("/config.json");
await new Page(config).start();
