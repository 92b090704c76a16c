/** The inference API as a visitor may use it: a short-lived token, questions with their answers' events, feedback. */
import type { Canned } from "./canned";
import type { Store } from "./store";
import type { Boot } from "./types";

/** What went wrong, as the API named it; `network` where it could not be reached, `broken` where it made no sense. */
export interface Problem extends Error {
  code: string;
  status: number;
  /** Seconds to wait before trying again. */
  retry_after: number;
}

/** The error that a problem document tells of. */
export const problem = (told: object): Problem => Object.assign(new Error(), { code: "broken", status: 0, retry_after: 0 }, told);

/** An event of an answer: `meta`, `delta`, `done` or `error`. Its data come from outside: nothing in them is certain. */
export interface Frame {
  event: string;
  data: { [name: string]: unknown };
}

interface Options {
  method?: string;
  body?: object;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  keepalive?: boolean;
}

export interface Api {
  ask(question: string, once: string, signal: AbortSignal): AsyncGenerator<Frame>;
  /** End an answer. `leaving`: the page is going away. */
  cancel(id: string, leaving?: boolean): void;
  rate(id: string, rating: number, comment: string): Promise<unknown>;
  canned(): Promise<Canned[]>;
  /** A prepared answer was shown. */
  hit(id: string): void;
}

const SOON = 30_000; // milliseconds before its end in which a token is no longer used

export function apiOf({ api, site_key, embed_id }: Boot, store: Store): Api {
  const { session } = store;
  let renewing: Promise<void> | undefined;

  /** Send a request; throws a Problem unless the answer is a good one. */
  const send = async (path: string, { body, headers, ...options }: Options): Promise<Response> => {
    const url = `${api}/api/v1/${path}?site_key=${encodeURIComponent(site_key)}`;
    const request = {
      method: body ? "POST" : "GET",
      credentials: "omit" as const,
      ...options,
      headers: body ? { "content-type": "application/json", ...headers } : headers,
      body: body && JSON.stringify(body),
    };
    const response = await fetch(url, request).catch((error) => {
      throw options.signal?.aborted ? error : problem({ code: "network" });
    });
    if (response.ok) return response;
    throw problem({ ...(await response.json().catch(() => {})), status: response.status });
  };

  /** A fresh token; by the old one the server knows the device again. */
  const renew = (): Promise<void> =>
    (renewing ??= send("embed/visitor", { body: { embed_id, token: session.token } })
      .then((answer) => answer.json())
      .then(({ token, expires_in }) => store.note({ token, expires: Date.now() + expires_in * 1000 }))
      .finally(() => (renewing = undefined)));

  const call = async (path: string, options: Options = {}): Promise<Response> => {
    const attempt = (): Promise<Response> =>
      send(path, { ...options, headers: { ...options.headers, authorization: `Bearer ${session.token}` } });
    if (!options.keepalive && !(Date.now() < session.expires! - SOON)) await renew();
    return attempt().catch((error) => {
      if (error.status !== 401) throw error;
      return renew().then(attempt);
    });
  };

  const post = (path: string, keepalive?: boolean): void =>
    void call(path, { method: "POST", keepalive }).catch(() => {});

  return {
    async *ask(question, once, signal) {
      const ask = (): Promise<Response> =>
        call("chat", {
          body: { message: question, stream: true, session_key: session.key },
          headers: { "idempotency-key": once },
          signal,
        });
      const response = await ask().catch((error) => {
        // The conversation may be gone from the server: deleted, or too old.
        if (error.code !== "not_found" || !session.key) throw error;
        store.note({ key: undefined });
        return ask();
      });
      yield* frames(response.body!);
    },
    cancel: (id, leaving) => post(`chat/${id}/cancel`, leaving),
    rate: (id, rating, comment) => call(`chat/${id}/feedback`, { body: { rating, comment } }),
    async canned() {
      const { items } = await (await call("canned")).json();
      return items;
    },
    hit: (id) => post(`canned/${id}/hits`),
  };
}

async function* frames(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<Frame> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (buffer + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/);
    buffer = blocks.pop()!;
    for (const block of blocks) {
      const [, event, data] = /^event: *(\w+)\r?\ndata:([^\r\n]*)/.exec(block) ?? [];
      if (event) yield { event, data: JSON.parse(data!) };
    }
  }
}
