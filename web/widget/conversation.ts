/** The conversation itself: questions, answers as they come, what this device remembers, what to do when it fails. */
import { type Api, type Problem, problem } from "./api";
import { type Canned, match } from "./canned";
import { el } from "./dom";
import type { Text } from "./i18n";
import { type Around, type AnswerView, chips, mine, questionOf, theirs } from "./messages";
import type { Message, Source } from "./types";

const NEAR_END = 80; // pixels: a reader this close to the end wants to see what follows

// HTTP's statuses of what the site's owner alone can change, and of what passes.
const OFF = /^40[34]$/;
const BUSY = /^(409|429|50[23])$/;

export interface Surroundings extends Around {
  api: Api;
  log: HTMLElement;
  /** An answer is under way, or no longer. */
  busy(is: boolean): void;
  /** The site takes no questions; `text` says it. */
  shut(text: Text): void;
}

export interface Conversation {
  ask(question: string): void;
  stop(leaving?: boolean): void;
  /** Show what this device remembers; fetch the prepared answers. */
  begin(): void;
  reset(): void;
  /** Greet, perhaps again, in another language or with other words; not where something was said. */
  greet(): void;
}

interface Run {
  id: string;
  abort: AbortController;
  stopped?: boolean;
  view: AnswerView;
  message: Message;
}

export function conversationOf(around: Surroundings): Conversation {
  const { shell, store, api, log, say, busy } = around;
  let messages: Message[] = [];
  let prepared: Canned[] = [];
  let run: Run | undefined;
  let retry: (() => void) | undefined;

  /** Add to the end, and stay there if the reader is. */
  const show = (element: Node, always?: boolean): void => {
    const stay = always || isNearEnd();
    log.append(element);
    if (stay) follow();
  };
  const follow = (): void => void (log.scrollTop = log.scrollHeight);
  const isNearEnd = (): boolean => log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
  const keep = (message: Message): void => {
    messages.push(message);
    store.keep(messages);
  };
  const showMine = (text: string): void => {
    keep({ mine: true, text });
    show(mine(text, around), true);
  };
  const showTheirs = (message: Message): void => {
    const view = theirs(around);
    view.finish(message);
    show(view.element, true);
  };

  function greet(): void {
    if (messages.length) return;
    const { welcome_message, suggested_questions: questions } = shell.boot.config;
    log.replaceChildren();
    if (welcome_message) {
      const view = theirs(around);
      view.write(welcome_message);
      log.append(view.element);
    }
    if (questions.length) log.append(chips(say("suggested"), false, questions.map(String), (at) => ask(questions[at]!)));
  }

  function begin(): void {
    messages = store.messages();
    greet();
    for (const message of messages) {
      if (message.mine) show(mine(message.text, around), true);
      else showTheirs(message);
    }
    api.canned().then((all) => (prepared = all), fail);
  }

  function ask(question: string): void {
    if (run) return;
    retry = undefined;
    for (const passed of log.querySelectorAll(".notice, .chips")) passed.remove();
    showMine(question);
    shell.emit("message", { text: question });
    const { kind, found } = match(question, prepared);
    if (found[0] && kind !== "near") answerWith(found[0]);
    else answer(question, once(), found);
  }

  /** Show a prepared answer. */
  function answerWith({ canned_id, answer: text }: Canned): void {
    const message = { mine: false, text };
    keep(message);
    showTheirs(message);
    api.hit(canned_id);
    shell.emit("answer", { id: "", text, canned_id });
  }

  async function answer(question: string, key: string, near: Canned[]): Promise<void> {
    const view = theirs(around);
    const message: Message = { mine: false, text: "" };
    const current: Run = { id: "", abort: new AbortController(), view, message };
    let frame = 0;
    let isDone = false;
    const paint = (): void => {
      const stay = isNearEnd();
      frame = 0;
      view.write(message.text);
      if (stay) follow();
    };
    run = current;
    busy(true);
    view.write("");
    show(view.element, true);
    try {
      if (!navigator.onLine) throw problem({ code: "network" });
      for await (const { event, data } of api.ask(question, key, current.abort.signal)) {
        const { text, answer, session_key, sources, suggestions } = data;
        if (event === "meta") current.id = String(data.id);
        if (current.stopped) return stopOnServer(current);
        if (event === "meta") store.note({ key: (message.key = session_key as string) });
        if (event === "error") throw problem(data);
        if (event === "delta") message.text += text;
        if (event === "done") {
          isDone = true;
          message.text = String(answer);
          message.id = current.id;
        }
        if (Array.isArray(sources)) message.sources = sources as Source[];
        if (Array.isArray(suggestions)) near = offered(near, suggestions);
        if (message.text) frame ||= requestAnimationFrame(paint);
      }
      if (!isDone) throw problem({});
      finish(current);
      if (near.length) show(chips(say("near"), true, near.map(questionOf), choose));
      shell.emit("answer", { id: current.id, text: message.text, canned_id: "" });
    } catch (error) {
      if (current.stopped) return;
      const trouble = (error as Problem).code ? (error as Problem) : problem({});
      end();
      view.element.remove();
      // With the same key an answer that was made already isn't made again.
      fail(trouble, () => answer(question, trouble.code === "broken" ? once() : key, near));
    } finally {
      cancelAnimationFrame(frame);
    }

    /** What may have been meant stays an offer. */
    function choose(at: number): void {
      showMine(questionOf(near[at]!));
      answerWith(near[at]!);
    }
  }

  /** The answer is as complete as it gets. */
  function finish({ view, message }: Run): void {
    const stay = isNearEnd();
    end();
    view.finish(message);
    keep(message);
    if (stay) follow();
  }

  function end(): void {
    run = undefined;
    busy(false);
  }

  function stop(leaving?: boolean): void {
    const stopping = run;
    if (!stopping) return;
    const { id, message, view } = stopping;
    stopping.stopped = true;
    message.id = id;
    if (id) stopOnServer(stopping, leaving);
    if (message.text) return finish(stopping);
    view.element.remove();
    end();
  }

  function stopOnServer({ id, abort }: Run, leaving?: boolean): void {
    api.cancel(id, leaving);
    abort.abort();
  }

  function fail({ code, status, retry_after }: Problem, again?: () => void): void {
    let wait = Math.ceil(retry_after);
    shell.emit("error", { code });
    if (OFF.test(String(status))) return around.shut(code === "embed_replaced" ? "reload" : "off");
    if (!again) return;
    const isOffline = !navigator.onLine;
    const text: Text = isOffline ? "offline" : status === 402 ? "quota" : BUSY.test(String(status)) ? "wait" : code === "network" ? code : "broken";
    const act = (): void => {
      notice.remove();
      retry = undefined;
      if (!run) again();
    };
    const button = el("button", { type: "button", className: "plain", onclick: act });
    const notice = el("div", { className: "notice" }, el("p", { role: "alert" }, say(text)), el("div", { "aria-live": "off" }, button));
    const count = (): void => {
      button.disabled = wait > 0;
      button.textContent = say("retry") + (wait > 0 ? ` (${wait})` : "");
      if (wait-- > 0) setTimeout(count, 1000);
    };
    count();
    if (isOffline || status === 402) button.remove();
    if (code === "network") retry = act; // and by itself, once the connection is back
    show(notice, true);
  }

  addEventListener("online", () => retry?.());
  addEventListener("pagehide", () => stop(true));

  return {
    ask,
    stop,
    begin,
    greet,
    reset() {
      stop();
      messages = [];
      store.keep(messages);
      store.note({ key: undefined });
      greet();
    },
  };
}

/** The server's offers after our own, none twice. */
function offered(near: Canned[], theirs: { canned_id: string; question: string; answer: string }[]): Canned[] {
  const fresh = theirs.filter(({ canned_id }) => !near.some((each) => each.canned_id === canned_id));
  return [...near, ...fresh.map(({ question, ...each }) => ({ ...each, questions: [question], patterns: [] }))];
}

/** A key by which the server knows a question again that is sent twice. */
const once = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-");
