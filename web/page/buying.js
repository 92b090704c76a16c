// @ts-check
// Buying: the dialogs in which a plan is chosen or ended and a package is paid.
import { Problem } from "./api.js";
import { cardName, planName } from "./billing-parts.js";
import { advice } from "./chat.js";
import { byId, el } from "./dom.js";
import { count, day, price, t } from "./i18n.js";

const WANTED = "noren.billing.wanted";
const LIVE = ["active", "trialing", "past_due", "unpaid"];

/** @typedef {import("./billing.js").Billing} Page */
/** @typedef {{plan?: string, order?: string}} Wanted what somebody who left for Stripe's page will have when they are back */

/** @param {any} subscription */
export const isLive = (subscription) => LIVE.includes(subscription?.status);

/**
 * Leave for a page of Stripe's; what is wanted there is looked for on the way back.
 * @param {string} url
 * @param {Wanted} [wanted]
 */
export function goTo(url, wanted) {
  if (!/^https?:\/\//.test(url)) throw new Error("no address");
  if (wanted) sessionStorage.setItem(WANTED, JSON.stringify(wanted));
  location.assign(url);
}

/** @returns {Wanted} */
export function wanted() {
  const kept = JSON.parse(sessionStorage.getItem(WANTED) ?? "{}");
  sessionStorage.removeItem(WANTED);
  return kept;
}

/**
 * A dialog with a title, contents, a button that closes it and perhaps one that does something.
 * @param {string} title
 * @param {(Node | null)[]} contents
 * @param {{label: string, act: () => Promise<void>, explain?: (error: unknown) => string} | null} action
 */
export function ask(title, contents, action = null) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("dialog"));
  const trouble = el("div", { role: "alert" });
  const close = el("button", { type: "button", onclick: () => dialog.close() }, t("close"));
  const go = action && el("button", { type: "submit", className: "primary", id: "go" }, action.label);
  const form = el("form", { noValidate: false, onsubmit: async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!action || !go || go.disabled) return;
    const label = go.textContent;
    go.disabled = true;
    go.textContent = t("working");
    trouble.replaceChildren();
    try {
      await action.act();
    } catch (error) {
      trouble.replaceChildren(el("p", { className: "notice error" }, (action.explain ?? advice)(error)));
    }
    go.disabled = false;
    go.textContent = label;
  } }, ...contents.filter((each) => each !== null), trouble, el("div", { className: "row" }, close, go));
  dialog.replaceChildren(el("h2", { id: "dialog-title" }, title), form);
  if (!dialog.open) dialog.showModal();
  return { dialog, trouble, go };
}

/**
 * @param {Page} page
 * @param {any} plan
 */
export async function choosePlan(page, plan) {
  const { subscription, currency } = page;
  if (!isLive(subscription)) {
    const { url } = await page.api("/api/v1/checkout", { body: { plan: plan.plan }, headers: { "idempotency-key": crypto.randomUUID() } });
    return goTo(url, { plan: plan.plan });
  }
  if (!plan.prices[currency]) return cancelPlan(page);
  const dearer = plan.prices[subscription.currency ?? currency] >= subscription.amount;
  /** @type {(HTMLElement | null)[]} */
  const lines = [];
  if (dearer) {
    const preview = await page.api(`/api/v1/subscription/preview?plan=${encodeURIComponent(plan.plan)}`);
    lines.push(el("p", {}, t("upgradeNow")), el("ul", {}, ...preview.lines.map((/** @type {any} */ each) =>
      el("li", {}, `${each.description}: ${price(each.amount, preview.currency)}`))),
    el("p", {}, el("strong", {}, t("dueNow", { price: price(Math.max(0, preview.amount_due), preview.currency) }))));
  } else lines.push(el("p", {}, t("dueNothing", { date: page.day(subscription.current_period_end) })), seats(page, plan));
  ask(t("changeTo", { plan: planName(plan.plan) }), lines, { label: t("confirm"), act: async () => {
    const changed = await page.api("/api/v1/subscription", { method: "PATCH", body: { plan: plan.plan } });
    closeDialog();
    await page.load();
    if (changed.client_secret) page.notice(t("bankAsks"), "error", el("button", { type: "button", className: "primary", onclick: () => page.act(() => portal(page)) }, t("confirmAtBank")));
    else if (changed.plan === plan.plan) page.notice(t("changeDone", { plan: planName(plan.plan) }));
    else page.notice(t("changeLater", { date: page.day(changed.current_period_end) }));
  } });
}

/**
 * What a plan with fewer seats than members means; nothing where there are enough.
 * @param {Page} page
 * @param {any} plan
 */
const seats = (page, plan) => (plan && page.me.remaining.members.used > plan.limits.members ? el("p", {}, t("cancelFreeze")) : null);

/** @param {Page} page */
export function cancelPlan(page) {
  const date = page.day(page.subscription.current_period_end);
  ask(t("cancelPlan"), [el("p", {}, t("cancelAsk", { date })), seats(page, page.plans.find((each) => !each.prices[page.currency]))], { label: t("cancelPlan"), act: async () => {
    await page.api("/api/v1/subscription", { method: "DELETE" });
    closeDialog();
    await page.load();
    page.notice(t("cancelDone", { date }));
  } });
}

/** @param {Page} page */
export async function portal(page) {
  goTo((await page.api("/api/v1/billing/portal", { method: "POST" })).url);
}

/**
 * Choose how to pay a package, then pay it.
 * @param {Page} page
 * @param {any} offer
 */
export function buyPackage(page, offer) {
  const cards = page.cards.filter((each) => each.is_default).concat(page.cards.filter((each) => !each.is_default)).slice(0, 1);
  const email = el("input", { type: "email", name: "email", value: page.me.tenant.billing_email, required: true, autocomplete: "email" });
  const invoiceBox = el("div", { hidden: true }, el("label", { className: "field" }, t("invoiceEmail"), email), el("p", { className: "muted" }, t("invoiceHint")));
  const cost = price(offer.price.amount, offer.price.currency);
  let key = crypto.randomUUID();
  let way = cards.length ? "stored_card" : "stripe";
  /** @param {string} name @param {string} label */
  const choice = (name, label) => el("label", { className: "tick" }, el("input", { type: "radio", name: "way", value: name, checked: name === way, onchange: () => {
    way = name;
    key = crypto.randomUUID();
    invoiceBox.hidden = name !== "invoice";
    email.disabled = name !== "invoice";
    if (shown.go) shown.go.textContent = labels[name];
  } }), label);
  /** @type {Record<string, string>} */
  const labels = { stored_card: t("payNow", { price: cost }), stripe: t("goOn"), invoice: t("orderInvoice") };
  email.disabled = true;
  const contents = [
    el("p", { className: "big" }, cost),
    el("p", { className: "muted" }, page.packageFacts(offer)),
    el("fieldset", {}, el("legend", {}, t("howToPay")), ...cards.map((each) => choice("stored_card", cardName(each))), choice("stripe", t("payPage")), choice("invoice", t("payInvoice"))),
    invoiceBox,
  ];
  const shown = ask(page.name(offer.display_name), contents, { label: labels[way], act: async () => {
    const body = { package_id: offer.package_id, payment_method: way, metadata: { source: "dashboard" },
      payment_details: way === "invoice" ? { invoice_email: email.value } : {} };
    try {
      const answer = await page.api("/api/v1/credits/purchase", { body, headers: { "idempotency-key": key } });
      if (answer.payment.status === "failed") {
        key = crypto.randomUUID(); // the next try is another order
        shown.trouble.replaceChildren(refused(page, answer));
        return;
      }
      await outcome(page, answer, way);
    } catch (error) {
      if (error instanceof Problem && error.status && error.status < 500) key = crypto.randomUUID();
      throw error;
    }
  } });
}

/**
 * Pay a package on Stripe's page.
 * @param {Page} page
 * @param {string} packageId
 */
export async function payOnPage(page, packageId) {
  const body = { package_id: packageId, payment_method: "stripe" };
  const answer = await page.api("/api/v1/credits/purchase", { body, headers: { "idempotency-key": crypto.randomUUID() } });
  goTo(answer.payment.url, { order: answer.purchase.transaction_id });
}

/**
 * Go on with an order as it stands.
 * @param {Page} page
 * @param {any} answer what the API said of the order
 * @param {string} way how it was to be paid, "" if that is long ago
 */
export async function outcome(page, { purchase, payment, account }, way) {
  if (payment.status === "requires_action" && payment.url && way) return goTo(payment.url, { order: purchase.transaction_id });
  if (payment.status === "pending" && payment.url && way === "stripe") return goTo(payment.url, { order: purchase.transaction_id });
  closeDialog();
  await page.load();
  switch (payment.status) {
    case "completed":
      return page.notice(t("paidCredits", { count: count(purchase.credits_added), balance: count(account.new_balance) }));
    case "requires_action":
      if (payment.url) return page.notice(t("bankAsks"), "error", link(payment.url, "confirmAtBank"));
      return page.notice(t("bankNoPage"), "error", onPage(page, purchase.package_id));
    case "pending":
      if (way === "invoice") return page.notice(t("invoiceSent"), "", payment.url && link(payment.url, "openInvoice"));
      return page.notice(t("orderOpen"), "", payment.url && link(payment.url, "goOn"));
  }
  byId("notices").replaceChildren(payment.error_message ? refused(page, { purchase, payment }) : el("p", { className: "notice" }, t("orderGone")));
}

/**
 * Why a payment failed, in the bank's words, and what to do about it.
 * @param {Page} page
 * @param {any} answer
 */
function refused(page, { purchase, payment }) {
  return el("div", { className: "notice error", role: "alert" }, el("p", {}, t("declined", { why: payment.error_message })),
    el("p", {}, t("declinedHelp")), el("div", { className: "row" }, onPage(page, purchase.package_id)));
}

/**
 * @param {Page} page
 * @param {string} packageId
 */
const onPage = (page, packageId) => el("button", { type: "button", onclick: () => page.act(() => payOnPage(page, packageId)) }, t("payOnPage"));

/**
 * @param {string} url
 * @param {string} label
 */
const link = (url, label) => (/^https?:\/\//.test(url) ? el("a", { className: "button", href: url }, t(label)) : null);

function closeDialog() {
  /** @type {HTMLDialogElement} */ (byId("dialog")).close();
}

/**
 * A day in the workspace's zone; nothing where there is none.
 * @param {string | null} iso
 * @param {string} zone
 */
export const dayOf = (iso, zone) => (iso ? day(iso, zone) : "—");
