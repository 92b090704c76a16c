/** What the loader, the panel and the server agree on. */
import type { NorenEvents, NorenOptions } from "./noren";

export type Locale = "ja" | "ko" | "en";

/** A site's settings as the server publishes them, its defaults filled in. */
export interface WidgetConfig extends Omit<Required<NorenOptions>, "locale"> {
  mode: "popup" | "fixed" | "inline";
  locale: string;
  /** Nothing is stored, and nothing but the loader is fetched, before the visitor opens the chat. */
  consent: boolean;
}

/** What the embed script carries and `/api/v1/embed/config` answers. */
export interface Boot {
  enabled?: boolean;
  site_id: string;
  site_key: string;
  embed_id: string;
  /** Base URL of the inference API, without a slash at its end. */
  api: string;
  config: WidgetConfig;
  bundle: { url: string; integrity: string };
}

/** What the loader hands to the panel. */
export interface Shell {
  boot: Boot;
  host: HTMLElement;
  root: ShadowRoot;
  /** Absent in inline mode, but for consent. */
  launcher: HTMLButtonElement;
  locale(): Locale;
  icon(line: string): SVGElement;
  emit<Name extends keyof NorenEvents>(event: Name, detail: NorenEvents[Name]): void;
}

/** What the loader may ask of the panel. */
export interface Panel {
  /** `focus` false leaves the focus where it is. */
  open(focus?: boolean): void;
  close(): void;
  reset(): void;
  /** The options have changed. */
  refresh(): void;
}

/** `window.norenMount`, which the bundle leaves for the loader. */
export type Mount = (shell: Shell) => Panel;

export interface Source {
  title: string;
  url: string;
}

/** One line of the conversation, as this device keeps it. */
export interface Message {
  mine: boolean;
  text: string;
  /** Of the answer on the server; feedback goes there. Empty for a prepared one. */
  id?: string;
  /** Of the conversation on the server. */
  key?: string;
  sources?: Source[];
  rating?: number;
}
