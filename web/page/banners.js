// @ts-check
// What a workspace has to know of its payments on every page.
import { el } from "./dom.js";
import { count, day, t } from "./i18n.js";

/**
 * @param {any} me what GET /api/v1/me said
 * @param {string | (() => void)} pay where paying is done: an address, or what does it
 * @param {number} [debt] credits owed
 * @returns {HTMLElement[]}
 */
export function banners(me, pay, debt = 0) {
  const tenant = me?.tenant;
  if (!tenant) return [];
  const found = [];
  if (tenant.plan_status === "past_due") {
    const until = tenant.grace_until && new Date(tenant.grace_until) > new Date() ? tenant.grace_until : null;
    const text = until ? t("pastDue", { date: day(until, tenant.timezone) }) : t("pastDueOver");
    const way = typeof pay === "string" ? el("a", { className: "button", href: pay }, t("payPlan"))
      : el("button", { type: "button", className: "primary", onclick: pay }, t("payPlan"));
    found.push(banner(text, me.role === "owner" ? way : el("p", {}, t("pastDueMember"))));
  }
  if (tenant.stop_mode === "billing") found.push(banner(t("stopBilling")));
  if (debt > 0) found.push(banner(t("inDebt", { count: count(debt) })));
  return found;
}

/**
 * @param {string} text
 * @param {...HTMLElement} actions
 */
const banner = (text, ...actions) => el("div", { className: "notice error", role: "alert" }, el("p", {}, text), ...actions);
