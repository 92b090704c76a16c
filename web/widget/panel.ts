/** The panel: its frame, opening and closing, focus, keys, full screen on phones. The rest is the conversation's. */
import { apiOf } from "./api";
import { conversationOf } from "./conversation";
import { el } from "./dom";
import { say as sayIn, type Text } from "./i18n";
import { button } from "./messages";
import css from "./panel.css";
import { storeOf } from "./store";
import type { Mount, Panel } from "./types";

const CLOSE = "M6 6l12 12M18 6L6 18";
const RESET = "M4 4v6h6M4 10a8 8 0 1 1 0 4";
const SEND = "M4 12h14M12 5l7 7-7 7";
const STOP = "M7 7h10v10H7z";
const PHONE = "(max-width:480px),(max-height:480px)";
const FOCUSABLE = "a, button:not(:disabled), textarea:not(:disabled), [tabindex='0']";
const HIGHEST = 120; // pixels of the input

const mount: Mount = (shell) => {
  const { boot, host, root, launcher, emit, icon } = shell;
  const { config } = boot;
  const mode = host.className; // as the loader began, whatever the options say since
  const isInline = mode === "inline";
  const store = storeOf(boot.site_id);
  const api = apiOf(boot, store);
  const phone = matchMedia(PHONE);
  const sheet = new CSSStyleSheet();
  let begun = false;
  let unread = 0;
  let answering = false;

  const say = (text: Text): string => sayIn(shell.locale(), text);
  const isFull = (): boolean => phone.matches && !isInline;
  const title = el("h2");
  const log = el("div", { className: "log", role: "log", tabIndex: 0 });
  const input = el("textarea", { rows: 1, maxLength: 2000, enterKeyHint: "send", oninput: fit });
  const send = el("button", { className: "icon send" });
  const form = el("form", {}, input, send);
  const caution = el("small");
  const reset = button("", icon(RESET), () => panel.reset());
  const shut = button("", icon(CLOSE), () => panel.close());
  const badge = el("span", { role: "status" });
  const head = el("div", { className: "head" }, title, reset, !isInline && shut);
  const frame = el("section", { hidden: true, tabIndex: -1 }, head, log, form, caution);

  const conversation = conversationOf({
    shell: {
      ...shell,
      emit(event, detail) {
        if (event === "answer" && frame.hidden) unread++;
        drawState();
        emit(event, detail);
      },
    },
    store,
    api,
    log,
    say,
    async rate({ id = "" }, rating, comment) {
      await api.rate(id, rating, comment);
      emit("feedback", { id, rating, comment });
    },
    busy(is) {
      answering = is;
      drawState();
    },
    shut(text) {
      input.disabled = send.disabled = true;
      log.append(el("p", { className: "notice", role: "alert" }, say(text)));
    },
  });

  const name = (button: HTMLElement, text: string): void => void (button.title = button.ariaLabel = text);

  function draw(): void {
    const { style } = frame;
    const { theme, position, radius } = config;
    frame.lang = shell.locale();
    frame.className = `panel ${mode} ${position} ${theme}`;
    badge.className = `badge ${position}`;
    frame.role = isInline ? "region" : "dialog";
    style.setProperty("--fill", launcher.style.backgroundColor || "#1f4e79");
    style.setProperty("--on", launcher.style.color);
    style.borderRadius = `${Math.min(Number(radius) || 0, 32)}px`;
    style.fontFamily = launcher.style.fontFamily;
    title.textContent = frame.ariaLabel = log.ariaLabel = config.title || say("title");
    input.placeholder = input.ariaLabel = config.placeholder || say("placeholder");
    caution.textContent = say("caution");
    launcher.ariaHasPopup = "dialog";
    name(reset, say("reset"));
    name(shut, say("close"));
    drawState();
  }

  /** What depends on being open, on the screen and on what is going on. */
  function drawState(): void {
    const isOpen = !frame.hidden;
    frame.ariaModal = String(isFull());
    log.ariaBusy = String(answering);
    launcher.ariaExpanded = String(isOpen);
    launcher.hidden = isOpen && (isFull() || mode !== "popup");
    badge.textContent = unread ? say("unread").replace("{n}", String(unread)) : "";
    name(send, say(answering ? "stop" : "send"));
    send.replaceChildren(icon(answering ? STOP : SEND));
  }

  function fit(): void {
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight + 2, HIGHEST)}px`;
  }

  const panel: Panel = {
    open(focus) {
      if (!focus && !isInline && (store.session.folded || isFull())) return;
      if (frame.hidden) {
        frame.hidden = false;
        unread = 0;
        store.note({ folded: false });
        if (!begun) conversation.begin();
        begun = true;
        if (isFull()) history.pushState({ ...history.state, noren: true }, "");
        emit("open", undefined);
      }
      drawState();
      log.scrollTop = log.scrollHeight;
      // On a touch screen the keyboard would cover what there is to read.
      if (focus) (matchMedia("(pointer: coarse)").matches ? frame : input).focus();
    },
    close() {
      if (frame.hidden || isInline) return;
      const hadFocus = root.activeElement;
      frame.hidden = true;
      store.note({ folded: true });
      drawState();
      if (hadFocus) launcher.focus();
      if (history.state?.noren) history.back();
      emit("close", undefined);
    },
    reset() {
      conversation.reset();
      input.disabled = send.disabled = false;
      input.focus();
    },
    refresh() {
      draw();
      if (begun) conversation.greet();
    },
  };

  form.onsubmit = (event) => {
    const question = input.value.trim();
    event.preventDefault();
    if (answering) return conversation.stop();
    if (!question) return;
    input.value = "";
    fit();
    conversation.ask(question);
  };
  input.onkeydown = (event) => {
    // While words are being composed, Enter chooses among them; Safari says so by 229 alone.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!answering) form.requestSubmit();
  };

  /** In full screen the focus goes round. */
  function goRound(event: KeyboardEvent): void {
    const all = [...frame.querySelectorAll<HTMLElement>(FOCUSABLE)].filter((each) => each.offsetParent);
    const at = root.activeElement;
    const next = event.shiftKey ? (at === all[0] || at === frame) && all.at(-1) : at === all.at(-1) && all[0];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
  for (const type of ["keydown", "keyup", "keypress"]) {
    root.addEventListener(type, (given) => {
      const event = given as KeyboardEvent;
      event.stopPropagation(); // the page's own shortcuts are not meant while somebody types here
      if (type !== "keydown" || event.isComposing) return;
      if (event.key === "Escape") panel.close();
      if (event.key === "Tab" && isFull()) goRound(event);
    });
  }
  addEventListener("popstate", () => {
    if (isFull() && !history.state?.noren) panel.close();
  });
  phone.onchange = drawState;

  launcher.onclick = () => (frame.hidden ? panel.open(true) : panel.close());
  sheet.replaceSync(css);
  root.adoptedStyleSheets.push(sheet);
  root.append(frame, badge);
  draw();
  return panel;
};

(window as { norenMount?: Mount }).norenMount = mount;
