/**
 * What a page loads first: the launcher, `window.Noren`, and the panel's script as soon as somebody means to use it.
 * It shall stay under 2 kB, so what can wait until then is the panel's.
 */
import { icon } from "./icon";
import css from "./launcher.css";
import type { NorenApi } from "./noren";
import type { Boot, Locale, Mount, Panel, Shell } from "./types";

const BUBBLE = "M21 12a8 8 0 0 1-11.8 7L4 20l1-5.2A8 8 0 1 1 21 12z";
const TEXTS: Record<Locale, [open: string, unavailable: string]> = {
  ja: ["チャットを開く", "利用できません"],
  ko: ["채팅 열기", "이용 불가"],
  en: ["Open chat", "Not available"],
};

/** Put the widget into the page. `own` is the element that brought it. Once a page, however often it is called. */
export function start(boot: Boot, own: HTMLOrSVGScriptElement | null): void {
  const early = window.Noren ?? [];
  if (!Array.isArray(early)) return;
  const { config } = boot;
  const { consent, mode } = config;
  const inline = mode === "inline";
  const listeners: { [name: string]: Set<(detail: never) => void> } = {};
  const launcher = document.createElement("button");
  const host = document.createElement("noren-chat");
  // Open: a closed root keeps no script out, but it does keep out accessibility checkers.
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  let panel: Promise<Panel> | undefined;

  // Each listener by itself: an error of the page's own must not end an answer.
  const emit: Shell["emit"] = (event, detail) =>
    listeners[event]?.forEach((listener) => queueMicrotask(() => listener(detail as never)));

  const locale = (): Locale => {
    const wanted = [config.locale, document.documentElement.lang, ...navigator.languages, "en"].join();
    return /\b(ja|ko|en)\b/.exec(wanted)![1] as Locale;
  };

  const load = (): Promise<Panel> =>
    (panel ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const { url, integrity } = boot.bundle;
      script.onload = () => {
        resolve((window as { norenMount?: Mount }).norenMount!({ boot, host, root, launcher, emit, locale, icon }));
        draw();
      };
      script.onerror = () => {
        panel = undefined;
        reject();
      };
      script.crossOrigin = "";
      script.integrity = integrity;
      script.nonce = own?.nonce ?? "";
      // A page that asks for Trusted Types lets this policy through by `trusted-types noren`.
      const rules = { createScriptURL: () => url };
      script.src = ((window as TrustedTypes).trustedTypes?.createPolicy("noren", rules) ?? rules).createScriptURL("");
      document.head.append(script);
    }));
  const preload = (): unknown => load().catch(() => {});
  const use = (act: keyof Panel, focus = true): unknown =>
    load().then(
      (it) => it[act](focus),
      () => {
        (launcher.lastChild as Text).data = TEXTS[locale()][1];
        emit("error", { code: "bundle" });
      },
    );

  function draw(): void {
    const { bubble_icon_url: address, color_primary: fill, font, launcher_text: text, position } = config;
    // By the shares of red, green and blue (WCAG 2.2).
    const light = [0.2126, 0.7152, 0.0722].reduce((sum, part, at) => sum + part * ((parseInt(fill.slice(2 * at + 1, 2 * at + 3), 16) + 14) / 269) ** 2.4, 0);
    launcher.style.backgroundColor = fill;
    launcher.style.color = light > 0.179 ? "#000" : "#fff"; // the one that reaches 4.5:1, whatever the colour
    launcher.style.fontFamily = font;
    launcher.className = `launcher ${position} ${mode}`;
    launcher.ariaLabel = text || TEXTS[locale()][0];
    const picture = icon(BUBBLE);
    launcher.replaceChildren(picture, text);
    if (/^https?:/.test(address) && (panel || !consent)) {
      const image = new Image(26, 26);
      image.onload = () => picture.replaceWith(image);
      image.alt = "";
      image.src = address;
    }
  }

  const api: NorenApi = {
    open: () => use("open"),
    close: () => panel && use("close"),
    reset: () => use("reset"),
    setOptions(options: Options) {
      // What is known, and of the kind that the server's own is.
      const known: Options = config as never;
      for (const name in known) if (options[name]?.constructor === known[name]?.constructor) known[name] = options[name];
      draw();
      if (panel) use("refresh");
    },
    on(event, listener) {
      const those = (listeners[event] ??= new Set());
      those.add(listener);
      return () => those.delete(listener);
    },
    push: ([name, ...parameters]) => (api[name] as ((...given: unknown[]) => void) | undefined)?.(...parameters),
  };

  sheet.replaceSync(css);
  root.adoptedStyleSheets = [sheet];
  host.className = mode;
  if (consent || !inline) root.append(launcher);
  launcher.onclick = () => use("open");
  draw();
  window.Noren = api;
  // Each by itself, as above: a command that makes no sense stops nothing else.
  early.forEach((each) => queueMicrotask(() => api.push(each)));

  const place = (): void => {
    const slot = inline && document.querySelector("[data-noren]");
    if (inline && !slot && own?.closest("body")) own.after(host);
    else (slot || document.body).append(host);
    if (consent) return;
    launcher.onpointerenter = launcher.onfocus = preload;
    if (mode !== "popup") use("open", false);
    else window.requestIdleCallback?.(preload);
  };
  if (document.body) place();
  else addEventListener("DOMContentLoaded", place);
}

interface Options {
  [name: string]: object | undefined;
}

interface TrustedTypes {
  trustedTypes?: { createPolicy<Rules>(name: string, rules: Rules): { createScriptURL(url: string): string } };
}
