/** What the widget keeps on the device. Where a browser keeps nothing, the chat works all the same. */
import type { Message } from "./types";

const MOST = 50;
const DAYS_7 = 7 * 24 * 3600 * 1000;

/** What ends with the tab's session: tokens never stay longer. */
interface Session {
  token?: string;
  /** Milliseconds since the epoch. */
  expires?: number;
  /** Of the conversation on the server. */
  key?: string;
  /** The visitor has closed a panel that opens by itself. */
  folded?: boolean;
}

export interface Store {
  readonly session: Session;
  /** Change the session's data and keep it. */
  note(change: Session): void;
  messages(): Message[];
  keep(messages: Message[]): void;
}

/** The store of one site. */
export function storeOf(siteId: string): Store {
  const name = `noren.${siteId}`;
  const session = read<Session>(() => sessionStorage, name) ?? {};
  return {
    session,
    note(change) {
      write(() => sessionStorage, name, Object.assign(session, change));
    },
    messages() {
      const kept = read<{ at: number; messages: Message[] }>(() => localStorage, name);
      return kept && Date.now() - kept.at < DAYS_7 && Array.isArray(kept.messages) ? kept.messages : [];
    },
    keep(messages) {
      write(() => localStorage, name, messages.length ? { at: Date.now(), messages: messages.slice(-MOST) } : null);
    },
  };
}

function read<Kept>(storage: () => Storage, name: string): Kept | null {
  try {
    return JSON.parse(storage().getItem(name) ?? "null") as Kept | null;
  } catch {
    return null;
  }
}

function write(storage: () => Storage, name: string, value: unknown): void {
  try {
    if (value === null) storage().removeItem(name);
    else storage().setItem(name, JSON.stringify(value));
  } catch {
    // full, or not allowed: then it lasts as long as the page
  }
}
