// @ts-check
// The page of plans, payments and credits.
import { json, Problem } from "./api.js";
import { banners } from "./banners.js";
import { balanceFacts, cardName, chart, features, history as entryTable, planName, planPrice, standing } from "./billing-parts.js";
import { ask, buyPackage, cancelPlan, choosePlan, dayOf, isLive, outcome, portal, wanted } from "./buying.js";
import { byId, el } from "./dom.js";
import { BILLING } from "./i18n-billing.js";
import { count, language, money, price, t, teach } from "./i18n.js";
import { Page } from "./page.js";

/** Seconds between looks whether a payment has arrived: a minute in all. */
const LOOKS = [0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 8, 10, 10];

export class Billing extends Page {
  /** @param {any} config */
  constructor(config) {
    super(config, "billing");
    /** @type {any[]} */ this.plans = [];
    /** @type {any} */ this.credits = null;
    /** @type {any[]} */ this.packages = [];
    /** @type {any[]} */ this.entries = [];
    /** @type {string | null} */ this.older = null;
    /** @type {any} */ this.subscription = null;
    /** @type {any[]} */ this.cards = [];
  }

  get currency() { return this.me?.tenant?.currency ?? "JPY"; }
  get isOwner() { return this.me?.role === "owner"; }

  /** @param {string | null} iso */
  day(iso) { return dayOf(iso, this.zone); }

  /** @param {Record<string, string>} texts */
  name(texts) { return texts[language] || texts.en || Object.values(texts)[0] || ""; }

  async start() {
    this.draw();
    const query = new URLSearchParams(location.search);
    if (!this.session.signedIn) { // what was asked for comes after the sign-in
      await this.act(async () => { this.plans = (await this.api("/api/v1/plans")).items; });
      return this.draw();
    }
    history.replaceState(null, "", location.pathname);
    if (!(await this.load())) return;
    if (query.has("paid")) await this.act(() => this.arrived(wanted()));
    else if (query.has("cancelled")) this.notice(t("notPaid"));
    const order = query.get("order");
    if (order && this.isOwner) await this.act(() => this.order(order, query.has("payment_intent") || query.has("redirect_status")));
  }

  /** Everything anew; whether that worked. */
  async load() {
    return this.act(async () => {
      this.me = await this.api("/api/v1/me");
      const nothing = Promise.resolve(null);
      const [plans, credits, packages, entries, subscription, cards] = await Promise.all([
        this.api("/api/v1/plans"), this.api("/api/v1/credits/balance"), this.api("/api/v1/credits/packages"),
        this.api("/api/v1/credits/transactions?limit=10"), this.isOwner ? this.api("/api/v1/subscription") : nothing,
        this.isOwner ? this.api("/api/v1/billing/cards") : nothing,
      ]);
      this.plans = plans.items;
      this.credits = credits;
      this.packages = packages.items;
      this.entries = entries.items;
      this.older = entries.next_cursor;
      this.subscription = subscription;
      this.cards = cards?.items ?? [];
      this.draw();
    });
  }

  /**
   * Somebody is back from Stripe's page: look until what they paid for is there.
   * @param {import("./buying.js").Wanted} wish
   */
  async arrived(wish) {
    if (wish.order) return this.order(wish.order, true);
    this.notice(t("waitingPayment"));
    const before = this.me.plan;
    const isThere = await this.look(async () => {
      this.me = await this.api("/api/v1/me");
      return wish.plan ? this.me.plan === wish.plan : this.me.plan !== before;
    });
    if (isThere) await this.load();
    this.notice(isThere ? t("paidPlan", { plan: planName(this.me.plan) }) : t("stillWaiting"));
  }

  /**
   * How an order stands.
   * @param {string} orderId
   * @param {boolean} isBack from the bank or Stripe's page: it may take a moment
   */
  async order(orderId, isBack) {
    const path = `/api/v1/credits/purchases/${encodeURIComponent(orderId)}`;
    let answer = await this.api(path);
    const isOpen = () => ["pending", "requires_action"].includes(answer.payment.status);
    if (isBack && isOpen()) {
      this.notice(t("waitingPayment"));
      const isOver = await this.look(async () => {
        answer = await this.api(path);
        return !isOpen();
      });
      if (!isOver) return this.notice(t("stillWaiting"));
    }
    await outcome(this, answer, "");
  }

  /** @param {() => Promise<boolean>} check */
  async look(check) {
    for (const seconds of LOOKS) {
      await new Promise((done) => { setTimeout(done, seconds * 1000); });
      try {
        if (await check()) return true;
      } catch (error) {
        if (!(error instanceof Problem) || (error.status && error.status < 429)) throw error;
      }
    }
    return false;
  }

  draw() {
    super.draw();
    byId("banners").replaceChildren(...banners(this.me, () => this.act(() => portal(this)), this.credits?.balance.debt ?? 0));
    if (!this.me || !this.credits) {
      const guest = !this.session.signedIn && el("p", { className: "notice" }, t("billingSignIn"));
      return byId("content").replaceChildren(...[guest, this.plans.length ? this.planGrid() : null].filter((each) => each instanceof Node));
    }
    byId("content").replaceChildren(...[this.planCard(), this.planGrid(), this.creditCard(), this.isOwner && this.settingsCard(),
      this.isOwner && this.cardsCard(), this.historyCard()].filter((each) => each instanceof Node));
  }

  planCard() {
    const { subscription: sub, me } = this;
    const plan = this.plans.find((each) => each.plan === me.tenant.plan);
    const live = isLive(sub);
    const lines = [];
    if (live && sub.status === "trialing") lines.push(t("trialUntil", { date: this.day(sub.current_period_end) }));
    if (live && sub.cancel_at_period_end) lines.push(t("planEnds", { date: this.day(sub.current_period_end) }));
    else if (live && sub.next_plan) lines.push(t("planTurns", { plan: planName(sub.next_plan), date: this.day(sub.current_period_end) }));
    else if (live) lines.push(t("nextPayment", { date: this.day(sub.current_period_end), price: price(sub.amount, sub.currency) }));
    const back = live && (sub.cancel_at_period_end || sub.next_plan);
    const buttons = this.isOwner ? el("div", { className: "row" },
      back && el("button", { type: "button", className: "primary", onclick: () => this.act(() => this.resume()) }, t("resumePlan")),
      live && !sub.cancel_at_period_end && el("button", { type: "button", onclick: () => this.act(() => cancelPlan(this)) }, t("cancelPlan")),
      sub?.subscription_id && el("button", { type: "button", onclick: () => this.act(() => portal(this)) }, t("portal"))) : el("p", { className: "muted" }, t("ownerOnly"));
    return this.section("plan", "currentPlan",
      el("p", { className: "row" }, el("span", { className: "big" }, planName(me.tenant.plan)), plan && el("span", {}, planPrice(plan, this.currency))),
      ...lines.map((text) => el("p", {}, text)), standing(me), buttons);
  }

  async resume() {
    await this.api("/api/v1/subscription/resume", { method: "POST" });
    await this.load();
    this.notice(t("resumeDone"));
  }

  planGrid() {
    const mine = this.me?.tenant?.plan;
    const { subscription: sub } = this;
    return this.section("plans", "choosePlan", el("ul", { className: "grid" }, ...this.plans.map((plan) => {
      const isFree = !plan.prices[this.currency];
      const isMine = plan.plan === mine;
      const isNext = sub?.next_plan === plan.plan || (isFree && sub?.cancel_at_period_end);
      const choosable = this.isOwner && !isMine && !isNext && (!isFree || isLive(sub));
      return el("li", { className: `offer ${isMine ? "mine-now" : ""}` },
        el("h3", {}, planName(plan.plan)), el("strong", {}, planPrice(plan, this.currency)), features(plan.limits),
        isMine && el("span", { className: "now" }, t("chosen")),
        choosable && el("button", { type: "button", className: plan.prices[this.currency] > (isLive(sub) ? sub.amount : 0) ? "primary" : "", onclick: () => this.act(() => choosePlan(this, plan)) }, t("choose", { plan: planName(plan.plan) })));
    })));
  }

  /** @param {any} offer */
  packageFacts(offer) {
    const each = t("perCredit", { price: money(offer.price.amount / 10 ** (offer.price.currency === "USD" ? 2 : 0) / offer.credits_amount, offer.price.currency) });
    return `${each} · ${offer.valid_days ? t("lastDays", { count: count(offer.valid_days) }) : t("lastForever")}`;
  }

  creditCard() {
    const { balance, usage } = this.credits;
    const offers = this.packages.map((offer) => el("li", { className: "offer" },
      this.name(offer.marketing_highlight) && el("span", { className: "tag" }, this.name(offer.marketing_highlight)),
      el("h4", {}, this.name(offer.display_name)), el("strong", {}, price(offer.price.amount, offer.price.currency)),
      el("span", { className: "muted" }, this.name(offer.description)), el("span", { className: "muted" }, this.packageFacts(offer)),
      this.isOwner && el("button", { type: "button", className: "primary", onclick: () => this.act(() => buyPackage(this, offer)), "aria-label": `${t("buy")}: ${this.name(offer.display_name)}` }, t("buy"))));
    return this.section("credits", "creditsTitle", ...balanceFacts(balance, this.zone),
      el("h3", {}, t("last30")), chart(usage.daily, this.zone),
      el("h3", {}, t("packagesTitle")), offers.length ? el("ul", { className: "grid loose" }, ...offers) : el("p", { className: "muted" }, t("noPackages")));
  }

  settingsCard() {
    const { account, auto_purchase: auto } = this.credits;
    const overage = el("input", { type: "checkbox", checked: account.overage, onchange: () => this.act(async () => {
      await this.api("/api/v1/credits/overage", { method: "PATCH", body: { enabled: overage.checked } });
      account.overage = overage.checked;
      this.notice(t("saved"));
    }).then((done) => { if (!done) overage.checked = account.overage; }) });
    const enabled = el("input", { type: "checkbox", name: "enabled", checked: auto.enabled, disabled: !this.cards.length && !auto.enabled });
    /** @param {string} name @param {string} label @param {number} least */
    const field = (name, label, least) => el("label", {}, t(label), el("input", { type: "number", name, value: auto[name], min: String(least), step: "1", required: true, inputMode: "numeric" }));
    const form = el("form", { onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      const given = new FormData(form);
      const body = { enabled: enabled.checked, ...Object.fromEntries(["threshold", "amount", "monthly_cap"].map((name) => [name, Number(given.get(name))])) };
      this.act(async () => {
        this.credits.auto_purchase = await this.api("/api/v1/credits/auto-purchase", { method: "PATCH", body });
        this.notice(t("saved"));
      });
    } },
    el("label", { className: "tick" }, enabled, t("autoLabel")),
    !this.cards.length && el("p", { className: "muted" }, t("autoNoCard")),
    el("div", { className: "fields" }, field("threshold", "autoThreshold", 0), field("amount", "autoAmount", 1), field("monthly_cap", "autoCap", 1)),
    el("p", { className: "muted" }, t("autoHint")), el("button", { type: "submit" }, t("save")));
    return this.section("settings", "overageTitle", el("label", { className: "tick" }, overage, t("overageLabel")),
      el("p", { className: "muted" }, t("overageHint", { count: count(this.me.limits.credits_per_overage_chat) })), el("h3", {}, t("autoTitle")), form);
  }

  cardsCard() {
    const rows = this.cards.map((card) => el("li", {},
      el("span", { className: "name" }, cardName(card), " ", el("span", { className: "muted" }, t("expires", { month: String(card.exp_month).padStart(2, "0"), year: card.exp_year }))),
      card.is_default ? el("span", { className: "tag" }, t("isDefault"))
        : el("button", { type: "button", onclick: () => this.act(() => this.changeCard(card, "PATCH")), "aria-label": `${t("makeDefault")}: ${cardName(card)}` }, t("makeDefault")),
      el("button", { type: "button", "aria-label": `${t("removeCard")}: ${cardName(card)}`, onclick: () => ask(t("removeCard"), [el("p", {}, cardName(card)), el("p", {}, t("removeAsk"))],
        { label: t("removeCard"), act: async () => { await this.changeCard(card, "DELETE"); /** @type {HTMLDialogElement} */ (byId("dialog")).close(); } }) }, t("removeCard"))));
    return this.section("cards", "cardsTitle", rows.length ? el("ul", { className: "cards" }, ...rows) : el("p", { className: "muted" }, t("noCards")),
      el("button", { type: "button", onclick: () => this.act(() => portal(this)) }, t("portal")));
  }

  /**
   * @param {any} card
   * @param {"PATCH" | "DELETE"} method
   */
  async changeCard(card, method) {
    const body = method === "PATCH" ? { is_default: true } : undefined;
    await this.api(`/api/v1/billing/cards/${encodeURIComponent(card.payment_method_id)}`, { method, body });
    await this.load();
  }

  historyCard() {
    return this.section("history", "historyTitle", entryTable(this.entries, this.zone),
      this.older && el("button", { type: "button", onclick: () => this.act(async () => {
        const more = await this.api(`/api/v1/credits/transactions?limit=50&cursor=${encodeURIComponent(this.older ?? "")}`);
        this.entries = this.entries.concat(more.items);
        this.older = more.next_cursor;
        this.draw();
      }) }, t("olderEntries")));
  }
}

teach(BILLING);
await new Billing(await json("/config.json")).start();
