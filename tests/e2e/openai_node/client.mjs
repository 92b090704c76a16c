// OpenAI's official Node SDK, unchanged, against the product. Prints one JSON object of what it saw.
//   node client.mjs <folder with node_modules> <base URL>, with OPENAI_API_KEY and WEAK_KEY (without the scope `chat`).
import { createRequire } from "node:module";

const [folder, baseURL] = process.argv.slice(2);
const { OpenAI } = createRequire(`${folder}/`)("openai");
const client = new OpenAI({ baseURL, maxRetries: 0 });
const messages = [{ role: "user", content: "How long is the Tsubame Rail Pass valid?" }];

async function failure(call) {
  try {
    await call();
    return null;
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    const { status, code, type, param, requestID } = error;
    return { name: error.constructor.name, status, code, type, param, request_id: requestID };
  }
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);
const one = await client.models.retrieve(models[0]);

const { data: completion, response } = await client.chat.completions.create({ model: "default", messages }).withResponse();

const chunks = [];
const stream = await client.chat.completions.create({
  model: "default",
  messages,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) chunks.push(chunk);

// The SDK's own accumulator, which checks the chunks as it puts them together.
const runner = client.chat.completions.stream({ model: "default", messages });
const final = await runner.finalChatCompletion();

const embeddings = await client.embeddings.create({ model: "default", input: ["first", "second"], dimensions: 64 });

const aborted = await client.chat.completions.create({ model: "default", messages, stream: true });
for await (const _ of aborted) break; // leaving the loop closes the connection

const create = (changes, options) => client.chat.completions.create({ model: "default", messages, ...changes }, options);
const stranger = new OpenAI({ baseURL, apiKey: "nrn_nobodys", maxRetries: 0 });
const weak = new OpenAI({ baseURL, apiKey: process.env.WEAK_KEY, maxRetries: 0 });
const key = { headers: { "Idempotency-Key": `node-${Date.now()}` } };
const first = await create({}, key);
const again = await create({}, key);

console.log(
  JSON.stringify({
    models,
    one,
    completion,
    request_id: completion._request_id,
    trace_id: response.headers.get("x-trace-id"),
    chunks,
    final,
    embeddings,
    replay: [first.id, again.id],
    errors: {
      stranger: await failure(() => stranger.models.list()),
      weak: await failure(() => weak.chat.completions.create({ model: "default", messages })),
      model: await failure(() => create({ model: "gpt-none" })),
      retrieve: await failure(() => client.models.retrieve("gpt-none")),
      path: await failure(() => client.images.generate({ prompt: "x" })),
      invalid: await failure(() => create({ temperature: 3 })),
      tools: await failure(() => create({ tools: [{ type: "function", function: { name: "f" } }] })),
      reused: await failure(() => create({ messages: [{ role: "user", content: "Other" }] }, key)),
    },
  }),
);
