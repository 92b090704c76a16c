/** How lines of the conversation look, and what can be done with an answer. */
import type { Canned } from "./canned";
import { el } from "./dom";
import type { Text } from "./i18n";
import { link, render } from "./markdown";
import type { Store } from "./store";
import type { Message, Shell } from "./types";

const UP = "M7 11v9H4v-9zM7 11l4-8a2.5 2.5 0 0 1 2 3v3h6a2 2 0 0 1 2 2l-1 7a2 2 0 0 1-2 2H7";
const DOWN = "M7 13V4H4v9zM7 13l4 8a2.5 2.5 0 0 0 2-3v-3h6a2 2 0 0 0 2-2l-1-7a2 2 0 0 0-2-2H7";
const COPY = "M9 9h11v11H9zM5 15H4V4h11v1";

/** What a line needs of the panel around it. */
export interface Around {
  shell: Shell;
  store: Store;
  say(text: Text): string;
  rate(message: Message, rating: number, comment: string): Promise<unknown>;
}

/** What the visitor said. */
export function mine(text: string, { say }: Around): HTMLElement {
  return el("div", { className: "bubble mine" }, hidden(say("you")), text);
}

/** An answer's place in the conversation. */
export interface AnswerView {
  element: HTMLElement;
  /** Show the text so far; "" shows that it is being written. */
  write(text: string): void;
  /** It is complete: sources, and what can be done with it. */
  finish(message: Message): void;
}

export function theirs({ say, rate, store, shell: { boot, icon } }: Around): AnswerView {
  const text = el("div");
  const element = el("div", { className: "bubble" }, hidden(say("assistant")), text);
  const write = (markdown: string): void =>
    text.replaceChildren(markdown ? render(markdown) : el("span", { className: "dots" }, el("i"), el("i"), el("i")));

  const note = el("small", { role: "status" });
  /** Say what became of it. */
  const tell = (act: Promise<unknown>, text: Text): unknown =>
    act.then(() => text, (): Text => "broken").then((told) => (note.textContent = say(told)));

  const thumb = (message: Message, label: Text, line: string, rating: number): HTMLButtonElement => {
    const press = (): void => {
      message.rating = rating;
      for (const each of element.querySelectorAll("[aria-pressed]")) each.ariaPressed = String(each === thumb);
      element.querySelector("form")?.remove();
      if (rating === 1) element.append(commentForm(message));
    };
    const thumb = button(say(label), icon(line), () => tell(rate(message, rating, "").then(press), "thanks"));
    thumb.ariaPressed = String(message.rating === rating);
    return thumb;
  };
  const commentForm = (message: Message): HTMLElement => {
    const label = say("comment");
    const field = el("textarea", { rows: 2, maxLength: 2000, placeholder: label, "aria-label": label });
    const form = el("form", { className: "comment" }, field, el("button", { className: "plain" }, say("send")));
    form.onsubmit = (event) => {
      event.preventDefault();
      tell(rate(message, 1, field.value.trim()).then(() => form.remove()), "thanks");
    };
    return form;
  };

  return {
    element,
    write,
    finish(message) {
      const { sources = [], id, key } = message;
      const isOurs = id && key === store.session.key; // only who asked may rate: not another tab, nor a later visit
      write(message.text);
      if (sources.length && boot.config.show_sources) {
        const items = sources.map(({ title, url }) => el("li", {}, link(url, title) ?? title));
        element.append(el("div", { className: "sources" }, say("sources"), el("ol", {}, ...items)));
      }
      const copy = button(say("copy"), icon(COPY), () => tell(navigator.clipboard.writeText(message.text), "copied"));
      element.append(
        el(
          "div",
          { className: "actions" },
          isOurs && thumb(message, "helpful", UP, 5),
          isOurs && thumb(message, "unhelpful", DOWN, 1),
          navigator.clipboard && copy, // absent where the page is not on https
          note,
        ),
      );
    },
  };
}

/** A button that is a picture. */
export function button(label: string, picture: Node, act?: () => unknown): HTMLButtonElement {
  return el("button", { type: "button", className: "icon", title: label, "aria-label": label, onclick: act }, picture);
}

/** Questions to choose from; choosing one takes them all away. */
export function chips(label: string, isShown: boolean, questions: string[], choose: (at: number) => void): HTMLElement {
  const buttons = questions.map((question, at) => {
    const act = (): void => {
      group.remove();
      choose(at);
    };
    return el("button", { type: "button", className: "chip", onclick: act }, question);
  });
  const group = el("div", { className: "chips", role: "group", "aria-label": label }, isShown && el("span", {}, label), ...buttons);
  return group;
}

/** The question that a prepared answer is for, as it is shown. */
export function questionOf({ questions, patterns }: Canned): string {
  return questions?.[0] ?? patterns[0]!.text;
}

const hidden = (text: string): HTMLElement => el("span", { className: "hidden" }, text);
