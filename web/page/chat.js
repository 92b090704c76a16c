// @ts-check
// The conversation: one question at a time, its answer as it comes, what it cost, what to do when it fails.
import { events, json, Problem, send } from "./api.js";
import { byId, el, outsideLink } from "./dom.js";
import { count, day, has, money, price, t } from "./i18n.js";
import { render } from "./markdown.js";

/**
 * @typedef {{url: (path: string) => string, headers: () => Promise<Record<string, string>>, guest: () => boolean,
 *   onQuota: (quota: any) => void, onSignIn: () => void, onRefused: () => void}} Host
 */

// The first try may have been carried out: asking again with its key gets that answer and pays once.
const AGAIN_WITH_SAME_KEY = ["network", "bad_gateway", "in_progress", "timed_out"];
const RETRYABLE = [...AGAIN_WITH_SAME_KEY, "broken", "busy", "rate_limited", "upstream_failed", "internal_error"];
/** @type {Record<string, string>} codes that share a text */
const SAID_AS = { suspended: "suspendedHelp", site_disabled: "suspendedHelp", upstream_cut: "broken", no_model: "busy",
  message_too_long: "too_large", context_length_exceeded: "too_large", stopped: "suspendedHelp" };
const SESSION = "noren.session";
const CANCEL_PATIENCE = 8000; // milliseconds that a stopped answer has to account for itself

export class Chat {
  /** @param {Host} host */
  constructor(host) {
    this.host = host;
    this.log = byId("log");
    this.status = byId("status");
    this.input = /** @type {HTMLTextAreaElement} */ (byId("message"));
    this.button = /** @type {HTMLButtonElement} */ (byId("send"));
    this.sessionKey = "";
    /** What the person chose; "" leaves it to the plan. */
    this.model = "";
    /** @type {{id: string, abort: AbortController, stopped: boolean} | null} */
    this.running = null;
    /** @type {Record<string, string>} */
    this.lastHeaders = {};
    byId("composer").onsubmit = (event) => {
      event.preventDefault();
      if (this.running) this.stop();
      else this.submit();
    };
    this.input.onkeydown = (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !this.running) {
        event.preventDefault();
        this.submit();
      }
    };
    this.input.oninput = () => this.fit();
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing && this.running) this.stop();
    });
    window.addEventListener("pagehide", () => {
      if (this.running) this.cancel(this.running.id, true);
    });
    byId("fresh").onclick = () => this.fresh();
    this.draw();
  }

  /** Texts that the language decides. */
  draw() {
    this.button.textContent = this.running ? t("stop") : t("send");
    this.button.classList.toggle("stop", this.running !== null);
    if (!this.log.querySelector(".turn")) this.welcome();
  }

  welcome() {
    const guest = this.host.guest();
    const examples = (guest ? ["example1", "example2", "example3"] : []).map((key) =>
      el("button", { type: "button", className: "example", onclick: () => this.ask(t(key)) }, t(key)));
    const sub = guest ? "helloGuest" : "helloMember";
    this.log.replaceChildren(el("div", { className: "welcome" },
      el("p", { className: "hello" }, t("hello")), el("p", { className: "muted" }, t(sub)), el("div", { className: "examples" }, ...examples)));
  }

  fresh() {
    if (this.running) this.stop();
    this.remember("");
    this.log.replaceChildren();
    this.draw();
    this.input.focus();
  }

  /**
   * The conversation's key; "" before its first answer.
   * @param {string} key
   */
  remember(key) {
    this.sessionKey = key;
    sessionStorage.setItem(SESSION, key);
  }

  /** Show the conversation that this tab was in, if the server still has it for this person. */
  async restore() {
    const key = sessionStorage.getItem(SESSION);
    if (!key) return;
    try {
      const url = this.host.url(`/api/v1/sessions/${encodeURIComponent(key)}`);
      const session = await json(url, { headers: await this.host.headers() });
      if (this.running || this.sessionKey) return; // the person was quicker
      this.remember(key);
      this.log.replaceChildren(...session.messages.map((/** @type {any} */ past) => {
        const { turn, answer } = bubbles(past.message);
        answer.append(render(past.answer));
        turn.append(el("div", { className: "foot" }, ...sourcesOf(past), past.model, this.feedback(past.id)));
        return turn;
      }));
      this.draw();
      this.follow(true);
    } catch {
      sessionStorage.removeItem(SESSION);
    }
  }

  fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight + 2}px`;
  }

  submit() {
    const message = this.input.value.trim();
    if (!message || this.running) return;
    this.input.value = "";
    this.fit();
    this.ask(message);
  }

  /**
   * @param {string} message
   * @param {string} [key] the Idempotency-Key: the same again where the first try may have been carried out
   * @param {HTMLElement} [failed] the turn that this one replaces
   */
  async ask(message, key = crypto.randomUUID(), failed) {
    if (this.running) return;
    this.log.querySelector(".welcome")?.remove();
    const { turn, answer } = bubbles(message);
    if (failed) failed.replaceWith(turn);
    else this.log.append(turn);
    answer.append(el("span", { className: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")));
    this.follow(true);
    const run = (this.running = { id: "", abort: new AbortController(), stopped: false });
    const fresh = this.sessionKey;
    this.draw();
    this.status.textContent = t("writing");
    let text = "";
    /** @type {unknown} */
    let failure = null;
    let meta = null;
    let done = null;
    let frame = 0;
    const paint = () => {
      frame = 0;
      const near = this.near();
      answer.replaceChildren(render(text));
      this.follow(near);
    };
    try {
      const headers = (this.lastHeaders = await this.host.headers());
      const body = { message, stream: true, session_key: this.sessionKey || undefined, model: this.model || undefined };
      const response = await send(this.host.url("/api/v1/chat"), {
        body, headers: { ...headers, "idempotency-key": key, accept: "text/event-stream" }, signal: run.abort.signal });
      for await (const { event, data } of events(response)) {
        if (event === "meta") {
          meta = data;
          run.id = data.id;
          if (fresh === this.sessionKey) this.remember(data.session_key ?? "");
          if (run.stopped) this.cancel(run.id);
        } else if (event === "delta") {
          text += data.text ?? "";
          frame ||= requestAnimationFrame(paint);
        } else if (event === "done") {
          done = data;
          text = data.answer ?? text;
        } else if (event === "error") throw new Problem(data);
      }
      if (!done && !run.stopped) throw new Problem({ code: "broken" });
    } catch (error) {
      failure = error;
    }
    cancelAnimationFrame(frame);
    const near = this.near();
    paint();
    if (run.stopped) answer.append(el("p", { className: "muted" }, t("stopped")));
    if (done) this.account(turn, { ...meta, ...done });
    this.status.textContent = text ? t("answered", { answer: answer.textContent ?? "" }) : "";
    if (failure && !run.stopped) this.fail(turn, answer, failure, message, key);
    this.running = null;
    this.draw();
    this.follow(near);
  }

  near() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 80;
  }

  /** @param {boolean} wanted */
  follow(wanted) {
    if (wanted) this.log.scrollTop = this.log.scrollHeight;
  }

  /** End the answer: the server stops the model, and says what was made until then. */
  stop() {
    const run = this.running;
    if (!run || run.stopped) return;
    run.stopped = true;
    this.status.textContent = t("stopped");
    if (run.id) this.cancel(run.id);
    setTimeout(() => run.abort.abort(), CANCEL_PATIENCE);
  }

  /**
   * @param {string} id
   * @param {boolean} [keepalive] the page is going away
   */
  cancel(id, keepalive = false) {
    if (!id) return;
    const url = this.host.url(`/api/v1/chat/${encodeURIComponent(id)}/cancel`);
    send(url, { method: "POST", headers: this.lastHeaders, keepalive }).catch(() => {});
  }

  /**
   * What the answer came from and what it used.
   * @param {HTMLElement} turn
   * @param {any} done
   */
  account(turn, done) {
    if (done.quota) this.host.onQuota(done.quota);
    const foot = el("div", { className: "foot" });
    foot.append(...sourcesOf(done));
    const used = done.tokens_consumed ?? {};
    const tokens = t("tokens", { input: count(used.input ?? 0), output: count(used.output ?? 0) });
    const local = done.cost_local;
    const cost = local ? `${money(local.amount, local.currency)} (${money(done.cost_usd, "USD")})` : done.cost_usd !== undefined && money(done.cost_usd, "USD");
    const seconds = done.latency_ms !== undefined && `${count(Math.round(done.latency_ms / 100) / 10)} s`;
    if (done.finish_reason === "length") foot.append(el("p", { className: "limit" }, t("cutAtLimit")));
    const tried = done.route?.fallbacks_tried ?? [];
    /** @type {[string, string | false][]} */
    const rows = [["model", done.model_used && `${done.model_used} · ${done.provider ?? ""}`], ["route", [done.route?.tier, done.route?.reason].filter(Boolean).join(" · ")],
      ["tokensUsed", tokens], ["cost", cost || false], ["duration", seconds], ["trace", done.trace_id]];
    const summary = [done.model_used || t("canned"), tokens, cost, tried.length > 0 && t("fallback")].filter(Boolean).join(" · ");
    foot.append(el("details", { className: "usage" }, el("summary", {}, summary),
      el("dl", {}, ...rows.filter(([, value]) => value).flatMap(([key, value]) => [el("dt", {}, t(key)), el("dd", {}, value)]))));
    foot.append(this.feedback(done.id));
    turn.append(foot);
  }

  /** @param {string} id */
  feedback(id) {
    const thanks = el("span", { role: "status", className: "muted" });
    const stars = [1, 2, 3, 4, 5].map((rating) => el("button", {
      type: "button", className: "star", "aria-label": t("stars", { count: rating }), "aria-pressed": "false",
      onclick: async () => {
        const url = this.host.url(`/api/v1/chat/${encodeURIComponent(id)}/feedback`);
        try {
          await json(url, { body: { rating }, headers: await this.host.headers() });
          stars.forEach((star, index) => {
            star.classList.toggle("on", index < rating);
            star.ariaPressed = String(index + 1 === rating);
          });
          thanks.textContent = t("thanks");
        } catch (error) {
          thanks.textContent = advice(error);
        }
      } }, "★"));
    return el("div", { className: "stars", role: "group", "aria-label": t("rate") }, ...stars, thanks);
  }

  /**
   * @param {HTMLElement} turn
   * @param {HTMLElement} answer
   * @param {unknown} error
   * @param {string} message
   * @param {string} key
   */
  fail(turn, answer, error, message, key) {
    const problem = error instanceof Problem ? error : new Problem({ code: "broken" });
    const { document: about, code } = problem;
    const guest = this.host.guest();
    const box = el("div", { className: "notice error", role: "alert" }, el("p", {}, advice(problem, guest)));
    if (code === "quota_exceeded" && !guest) box.append(...offer(about));
    if (problem.status === 401) this.host.onRefused();
    if ((problem.status === 401 && !guest) || (code === "quota_exceeded" && guest)) {
      box.append(el("button", { type: "button", onclick: this.host.onSignIn }, t("signIn")));
    } else if (RETRYABLE.includes(code) || problem.status === 401 || problem.status >= 500) {
      const again = AGAIN_WITH_SAME_KEY.includes(code) ? key : undefined;
      box.append(el("button", { type: "button", onclick: () => this.ask(message, again, turn) }, t("retry")));
    }
    if (about.trace_id) box.append(el("p", { className: "muted trace" }, `${t("trace")}: ${about.trace_id}`));
    answer.append(box);
  }
}

/**
 * The places that an answer rests on, folded away; nothing where there are none.
 * @param {{ sources?: any[] }} answered
 * @returns {HTMLElement[]}
 */
function sourcesOf({ sources = [] }) {
  if (!sources.length) return [];
  const items = sources.map((source) => el("li", {},
    outsideLink(source.url ?? "", [source.title || source.url]) ?? source.title ?? "",
    source.snippet && el("div", { className: "muted" }, source.snippet)));
  const summary = el("summary", {}, t("sources", { count: sources.length }));
  return [el("details", { className: "sources" }, summary, el("ol", {}, ...items))];
}

/**
 * A question and the room for its answer.
 * @param {string} message
 */
function bubbles(message) {
  const answer = el("div", { className: "answer" });
  const turn = el("article", { className: "turn" },
    el("div", { className: "mine" }, el("span", { className: "hidden" }, `${t("you")}: `), message),
    el("div", { className: "theirs" }, el("span", { className: "hidden" }, `${t("assistant")}: `), answer));
  return { turn, answer };
}

/**
 * What went wrong and what to do about it, in the person's language.
 * @param {unknown} error
 * @param {boolean} [guest]
 */
export function advice(error, guest = false) {
  if (!(error instanceof Problem)) return t("broken");
  const { code, document: about } = error;
  if (code === "quota_exceeded" && guest) return t("quotaGuest");
  if (error.status === 401 && !guest) return t("unauthenticated");
  const values = { seconds: about.retry_after ?? 5, detail: about.detail ?? about.title ?? code };
  const key = SAID_AS[code] ?? code;
  return t(has(key) ? key : "unknown", values);
}

/**
 * The plan that would fit, for who may buy it.
 * @param {import("./api.js").ProblemDocument} about
 */
function offer(about) {
  const parts = [];
  const plan = typeof about.plan === "string" ? about.plan : about.plan?.plan;
  const cost = about.price;
  if (plan && cost) parts.push(el("p", {}, t("quotaPlan", { plan, price: price(cost.amount, cost.currency) })));
  if (about.resets_at) parts.push(el("p", {}, t("quotaResets", { date: day(about.resets_at) })));
  if (about.upgrade_url && /^(https?:\/\/|\/)/.test(about.upgrade_url)) {
    parts.push(el("a", { className: "button", href: about.upgrade_url }, t("upgrade")));
  }
  return parts;
}

/**
 * @param {string} url
 * @returns {Promise<string>} a token for somebody who is not signed in
 */
export async function guestToken(url) {
  return (await json(url, { body: {} })).token;
}
