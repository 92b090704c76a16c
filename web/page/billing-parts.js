// @ts-check
// How plans, credits and their history look. Nothing here asks a server.
import { el } from "./dom.js";
import { count, day, price, t } from "./i18n.js";

const SVG = "http://www.w3.org/2000/svg";
const DAYS = 30;
const WIDTH = 600, HEIGHT = 90;

/** @param {string} plan */
export const planName = (plan) => plan.charAt(0).toUpperCase() + plan.slice(1);

/**
 * @param {any} plan
 * @param {string} currency
 */
export const planPrice = (plan, currency) => t("perMonthShort", { price: price(plan.prices[currency] ?? 0, currency) });

/**
 * What a plan allows.
 * @param {any} limits
 */
export function features(limits) {
  /** @type {[string, number | undefined][]} */
  const rows = [["fChats", limits.chats_per_month], ["fPerDay", limits.requests_per_day_per_site], ["fAtOnce", limits.concurrent_chats],
    ["fMembers", limits.members], ["fSites", limits.sites], ["fFreeCredits", limits.free_credits_per_month], ["fTrial", limits.trial_days]];
  return el("ul", {}, ...rows.map(([key, value]) => (value ? el("li", {}, t(key, { count: count(value) })) : null)));
}

/**
 * What is left now.
 * @param {any} me
 */
export function standing(me) {
  const { chats, members } = me.remaining;
  const zone = me.tenant.timezone;
  const label = t("chatsOfMonth", { left: count(chats.remaining), limit: count(chats.limit) });
  return el("div", {},
    el("p", { className: "row" }, el("meter", { min: 0, max: Math.max(1, chats.limit), low: chats.limit / 10, value: chats.remaining, "aria-label": label }),
      label, chats.resets_at && el("span", { className: "muted" }, t("renews", { date: day(chats.resets_at, zone) }))),
    el("p", { className: "muted" }, `${t("membersUsed", { used: count(members.used), limit: count(members.limit) })} · ${t("creditsLeft", { count: count(me.remaining.credits) })}`));
}

/**
 * @param {any} balance
 * @param {string} zone
 */
export function balanceFacts(balance, zone) {
  const rows = ["granted", "bonus", "purchased", "held", "debt"].filter((name) => balance[name] || name === "purchased");
  return [
    el("p", { className: "big" }, t("balanceNow", { count: count(balance.current) })),
    el("dl", { className: "facts" }, ...rows.flatMap((name) => [el("dt", {}, t(name)),
      el("dd", {}, (name === "held" || name === "debt" ? "−" : "") + count(balance[name]))])),
    balance.next_expiry ? el("p", { className: "muted" }, t("expiry", { date: day(balance.next_expiry, zone) })) : null,
    balance.estimated_days_left != null ? el("p", { className: "muted" }, t("daysLeft", { count: count(balance.estimated_days_left) })) : null,
  ];
}

/**
 * The last 30 days as bars, and as a table for who can't see them.
 * @param {{day: string, credits: number}[]} daily
 * @param {string} zone
 */
export function chart(daily, zone) {
  const used = new Map(daily.map((each) => [each.day, each.credits]));
  const names = Array.from({ length: DAYS }, (_, index) => {
    const at = new Date(Date.now() - (DAYS - 1 - index) * 86_400_000);
    return new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit", timeZone: zone }).format(at);
  });
  const values = names.map((name) => used.get(name) ?? 0);
  const total = values.reduce((sum, value) => sum + value, 0);
  if (!total) return el("p", { className: "muted" }, t("noUse"));
  const top = Math.max(...values);
  const step = WIDTH / DAYS;
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": t("last30Sum", { count: count(total) }) },
    svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    ...values.map((value, index) => {
      const height = value ? Math.max(2, ((HEIGHT - 2) * value) / top) : 0;
      const bar = svg("rect", { x: index * step + 2, y: HEIGHT - height, width: step - 4, height });
      bar.append(svg("title", {}, `${shortDay(names[index])}: ${count(value)}`));
      return bar;
    }));
  // Words stand outside the picture, so that they stay readable where it is narrow.
  const foot = el("div", { className: "row apart muted", "aria-hidden": "true" }, el("span", {}, shortDay(names[0])), el("span", {}, shortDay(names[DAYS - 1])));
  const rows = names.map((name, index) => [name, values[index]]).filter(([, value]) => value);
  return el("div", {}, el("span", { className: "muted", "aria-hidden": "true" }, count(top)), picture, foot, el("table", { className: "hidden" },
    el("caption", {}, t("last30")),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, t("dayColumn")), el("th", { scope: "col" }, t("creditsColumn")))),
    el("tbody", {}, ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, shortDay(String(name))), el("td", {}, count(Number(value))))))));
}

/** @param {string} name `2026-11-20` */
const shortDay = (name) => day(`${name}T00:00:00Z`, "UTC");

/**
 * @param {any[]} entries
 * @param {string} zone
 */
export function history(entries, zone) {
  if (!entries.length) return el("p", { className: "muted" }, t("noHistory"));
  const heads = ["whenColumn", "whatColumn", "creditsColumn", "balanceColumn"];
  return el("div", { className: "scroll", tabIndex: 0, role: "group", "aria-label": t("historyTitle") },
    el("table", { className: "history" },
      el("thead", {}, el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, t(name))))),
      el("tbody", {}, ...entries.map((each) => el("tr", {},
        el("td", {}, day(each.occurred_at, zone)),
        el("td", {}, t(`t${each.type}`) + (each.type === "PURCHASE" && each.paid ? ` (${price(each.paid, each.currency)})` : "")),
        el("td", { className: each.credits > 0 ? "plus" : "" }, (each.credits > 0 ? "+" : "") + count(each.credits)),
        el("td", {}, each.balance_after == null ? "" : count(each.balance_after)))))));
}

/** @param {any} card */
export const cardName = (card) => t("savedCard", { brand: planName(card.brand), last4: card.last4 });

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 */
function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}
