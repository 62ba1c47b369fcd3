/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

/** The page that `lm serve` shows: writes with its models, alone or side by side. */

import { byId } from "./elements.ts";
import { Column } from "./playground_column.ts";
import { ServerClient, ServerError, type Settings } from "./server_client.ts";
import { attempt, say } from "./status.ts";

const prompt = byId("prompt", HTMLTextAreaElement);
const go = byId("go", HTMLButtonElement);
const stop = byId("stop", HTMLButtonElement);
const beside = byId("beside", HTMLInputElement);
const secret = byId("secret", HTMLInputElement);
const place = byId("columns", HTMLElement);

const client = new ServerClient();
let models: string[] = [];
const columns: Column[] = [];

/** Seed of the text on the page: a candidate that is chosen continues with it. */
let seed = 0;

/** Returns the number in a field; undefined if it is empty. */
function numberIn(id: string): number | undefined {
  const { value } = byId(id, HTMLInputElement);
  return value === "" ? undefined : Number(value);
}

function settings(): Settings {
  const stop = byId("stopText", HTMLInputElement).value.replaceAll("\\n", "\n");
  return {
    temperature: numberIn("temperature"),
    top_k: numberIn("topK"),
    top_p: numberIn("topP"),
    max_tokens: numberIn("maxTokens"),
    stop: stop === "" ? undefined : stop,
    seed,
  };
}

/** Tasks under way. */
let running = 0;

/** Does something that the button Stop ends. */
function run(task: () => Promise<unknown>): Promise<void> {
  return attempt(async () => {
    running++;
    stop.disabled = false;
    try {
      await task();
    } finally {
      if (--running === 0) stop.disabled = true;
    }
  });
}

async function write(): Promise<void> {
  seed = numberIn("seed") ?? Math.floor(2 ** 32 * Math.random());
  say(`Writing with seed ${seed}.`);
  const given = settings();
  await Promise.all(columns.map((column) => column.write(prompt.value, given)));
  if (running === 1) say(`Written with seed ${given.seed}.`);
}

/** Shows one column, or two. */
function arrange(): void {
  const count = beside.checked ? 2 : 1;
  for (const column of columns.splice(count)) {
    column.stop();
    column.element.remove();
  }
  while (columns.length < count) {
    const model = models[columns.length] ?? models[0]!;
    columns.push(new Column({ client, models, settings, run }, model));
    place.append(columns.at(-1)!.element);
  }
}

/** Asks for the models, and for the secret if the server wants one. */
async function open(): Promise<void> {
  client.token = secret.value;
  try {
    models = await client.models();
  } catch (error) {
    if (!(error instanceof ServerError) || error.status !== 401) throw error;
    byId("secretLabel", HTMLElement).hidden = false;
    secret.focus();
    return say(
      secret.value === "" ? "This server asks for its token." : error.message,
    );
  }
  byId("secretLabel", HTMLElement).hidden = true;
  byId("besideLabel", HTMLElement).hidden = models.length < 2;
  byId("alone", HTMLElement).hidden = models.length > 1;
  go.disabled = false;
  arrange();
  say("Choose, then press Write.");
}

byId("write", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  run(write);
});
prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  run(write);
});
stop.addEventListener(
  "click",
  () => columns.forEach((column) => column.stop()),
);
beside.addEventListener("change", arrange);
secret.addEventListener("change", () => attempt(open));
attempt(open);
