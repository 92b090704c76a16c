/** What a page that carries the widget may use: `window.Noren`. See docs/widget.md. */

/** What `setOptions` may change; another name, or a value of another type, is ignored. */
export interface NorenOptions {
  theme?: "light" | "dark" | "auto";
  /** `#rrggbb`. The text on it is black or white, whichever can be read. */
  color_primary?: string;
  bubble_icon_url?: string;
  position?: "bottom-right" | "bottom-left";
  /** Pixels. */
  radius?: number;
  font?: string;
  title?: string;
  placeholder?: string;
  welcome_message?: string;
  suggested_questions?: string[];
  locale?: "ja" | "ko" | "en";
  show_sources?: boolean;
  launcher_text?: string;
}

/** The widget's events and what their listeners are given. */
export interface NorenEvents {
  open: void;
  close: void;
  /** The visitor has asked. */
  message: { text: string };
  /** An answer is complete. `id` is empty and `canned_id` set where it was a prepared one. */
  answer: { id: string; text: string; canned_id: string };
  /** `code` as the API names it, or `network`, `broken`, `bundle`. */
  error: { code: string };
  /** 5 for a thumb up, 1 for a thumb down. */
  feedback: { id: string; rating: number; comment: string };
}

export interface NorenApi {
  open(): void;
  close(): void;
  /** Begin a new conversation; what this device kept of the old one is removed. */
  reset(): void;
  setOptions(options: NorenOptions): void;
  /** Listen; the answer takes the listener away again. */
  on<Name extends keyof NorenEvents>(event: Name, listener: (detail: NorenEvents[Name]) => void): () => void;
  /** Do one of the above by name; see `Window.Noren`. */
  push(command: NorenCommand): void;
}

/** A method's name and its arguments: `["open"]`, `["on", "answer", listener]`. */
export type NorenCommand = [name: "open" | "close" | "reset" | "setOptions" | "on", ...parameters: unknown[]];

declare global {
  interface Window {
    /** Before the script is there, an array of commands may stand here: `(window.Noren ||= []).push(["open"])`. */
    Noren?: NorenApi | NorenCommand[];
  }
}
