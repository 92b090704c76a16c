// @ts-check
// The two APIs: requests, problem documents, server-sent events.

/**
 * @typedef {{type?: string, title?: string, status?: number, code?: string, detail?: string, trace_id?: string,
 *   retry_after?: number, plan?: any, price?: any, upgrade_url?: string, resets_at?: string}} ProblemDocument
 */

/** What went wrong, as an API said it (RFC 9457) or, for `code: "network"`, as the browser did. */
export class Problem extends Error {
  /** @param {ProblemDocument} document */
  constructor(document) {
    super(document.detail || document.title || document.code);
    this.document = document;
    this.code = document.code ?? "internal_error";
    this.status = document.status ?? 0;
  }
}

/**
 * @typedef {{method?: string, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal,
 *   keepalive?: boolean}} Options
 */

/**
 * Send a request; the response if it is good, else a Problem.
 * @param {string} url
 * @param {Options} [options]
 * @returns {Promise<Response>}
 */
export async function send(url, { method, body, headers = {}, signal, keepalive } = {}) {
  let response;
  try {
    response = await fetch(url, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      keepalive,
      credentials: "omit",
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem({ code: "network" });
  }
  if (response.ok) return response;
  const trace = response.headers.get("x-trace-id") ?? undefined;
  const wait = Number(response.headers.get("retry-after")) || undefined;
  const document = await response.json().catch(() => ({}));
  const code = response.status < 500 ? "unknown" : "bad_gateway"; // what stands between answers without a code
  throw new Problem({ code, trace_id: trace, retry_after: wait, ...document, status: response.status });
}

/**
 * @param {string} url
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function json(url, options) {
  const response = await send(url, options);
  return response.status === 204 ? null : response.json();
}

/**
 * The events of a `text/event-stream` answer, as they come.
 * @param {Response} response
 * @returns {AsyncGenerator<{event: string, data: any}>}
 */
export async function* events(response) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      buffer += decoder.decode(value, { stream: !done });
      const blocks = buffer.split(/\r?\n\r?\n/);
      buffer = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {string} block */
function parse(block) {
  let event = "message";
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { event, data: JSON.parse(data.join("\n")) } : null;
}
