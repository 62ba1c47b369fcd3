/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

/**
 * The page: what the reader does becomes calls of a session in a worker, and its
 * events become charts and texts.
 */

import type { Opened, PresetName, SessionEvent } from "@lm/core/worker";
import {
  deviceNote,
  keepVerdicts,
  knownVerdicts,
  timesNote,
} from "./device_note.ts";
import { byId, download, make } from "./elements.ts";
import { LossChart } from "./loss_chart.ts";
import { SessionWorker } from "./session_worker.ts";
import { attempt, say } from "./status.ts";
import { canLoad, loadText, readOwn, type TextName } from "./texts.ts";
import { Writer } from "./writer.ts";

const controls = {
  text: byId("text", HTMLSelectElement),
  preset: byId("preset", HTMLSelectElement),
  device: byId("device", HTMLSelectElement),
  steps: byId("steps", HTMLInputElement),
  train: byId("train", HTMLButtonElement),
  over: byId("over", HTMLButtonElement),
  causal: byId("causal", HTMLInputElement),
  save: byId("save", HTMLButtonElement),
  saveText: byId("saveText", HTMLButtonElement),
  ownText: byId("ownText", HTMLTextAreaElement),
};
const where = byId("where", HTMLElement);
const progress = byId("progress", HTMLElement);
const samples = byId("samples", HTMLElement);

const chart = new LossChart(byId("chart", SVGSVGElement));
const writer = new Writer(() => session!);

/** Most samples on the page; the oldest go. */
const MOST_SAMPLES = 9;

/** State of the session. */
type State = "idle" | "starting" | "training" | "paused" | "ended";
let state: State = "idle";
let session: SessionWorker | undefined;
/** The text that the session trains on. */
let text = "";
let tokenizer: Opened["tokenizer"] | undefined;
/** The session's device, and why it was chosen; undefined if it was asked for. */
let device: Opened["device"] | undefined;
let why: string | undefined;
let parameters = 0;
/** The last step that was done, and the one at which training ends. */
let step = 0;
let maxSteps = 0;
let heldBackLoss = NaN;
/** The worker that counts n-grams for the chart; undefined until the first steps are done. */
let counter: SessionWorker | undefined;

/** Leaves a state that failed: what was trained can still be saved, a session that did not open is gone. */
function recover(): void {
  if (state === "starting") end();
  enter(session === undefined ? "idle" : "ended");
}

function enter(next: State): void {
  state = next;
  controls.train.textContent = {
    idle: "Train",
    starting: "Starting …",
    training: "Pause",
    paused: "Resume",
    ended: "Train on",
  }[state];
  const isOpen = state !== "idle" && state !== "starting";
  controls.train.disabled = state === "starting";
  writer.enable(isOpen);
  controls.over.disabled = controls.save.disabled = !isOpen;
  controls.saveText.disabled = !isOpen || text === "";
  for (const choice of [controls.text, controls.preset, controls.device]) {
    choice.disabled = state !== "idle";
  }
}

/** Opens a session in a new worker: from random numbers, or from a checkpoint. */
async function open(
  checkpoint?: Uint8Array<ArrayBuffer>,
  { canTrain = true, last }: {
    readonly canTrain?: boolean;
    readonly last?: number;
  } = {},
): Promise<Opened> {
  end();
  enter("starting");
  session = SessionWorker.start(take);
  device = undefined;
  why = controls.device.value === "auto" ? "" : undefined;
  const maximum = Number(controls.steps.value);
  const fresh = {
    preset: controls.preset.value as PresetName,
    model: { mask: mask() },
    train: { maxSteps: maximum, evalInterval: 50, sampleInterval: 100 },
  };
  const opened = await session.call("open", {
    ...(checkpoint === undefined ? fresh : {
      checkpoint,
      train: last === undefined ? {} : { maxSteps: last },
    }),
    text: canTrain ? text : undefined,
    device: controls.device.value as "auto" | "wasm" | "webgpu",
    verdicts: knownVerdicts(),
    evalTokens: 2 ** 14,
    sample: { maxNewTokens: 160, temperature: 0.9, topK: 10 },
  });
  step = opened.step;
  maxSteps = opened.train?.maxSteps ?? step;
  controls.causal.checked = opened.model.mask === "causal";
  showMask();
  chart.setLastStep(maxSteps);
  ({ device, parameters } = opened);
  await showDevice();
  return opened;
}

async function showDevice(): Promise<void> {
  if (device === undefined) return; // not open yet
  const note = await deviceNote(device, why);
  where.textContent = `${parameters.toLocaleString("en")} parameters. ${note}`;
}

/** Trains until the last step; pauses are in between. */
async function train(opened: Opened): Promise<void> {
  enter("training");
  say("Training.");
  tokenizer = opened.tokenizer;
  await session!.call("train");
  enter("ended");
  say(`Done: ${step.toLocaleString("en")} steps.`);
  if (writer.isEmpty) await writer.writePrompt();
}

/** Measures models that count, in a worker of their own: training goes on meanwhile. */
async function showBaselines(): Promise<void> {
  counter = SessionWorker.start(() => {});
  const names = new Map([[1, "unigram"], [2, "bigram"], [3, "trigram"], [
    5,
    "5-gram",
  ]]);
  for (const [order, name] of names) {
    const [baseline] = await counter.call("baselines", {
      ...{ text, tokenizer: tokenizer!, orders: [order] },
    });
    chart.addCounting(`${name} ${baseline!.loss.toFixed(2)}`, baseline!.loss);
  }
  counter.end();
}

/** Takes an event of the session. */
function take(event: SessionEvent): void {
  switch (event.kind) {
    case "steps": {
      chart.addBatches(event.steps);
      const { loss, tokensPerSecond, ...last } = event.steps.at(-1)!;
      step = last.step;
      progress.textContent = [
        `step ${step.toLocaleString("en")} of ${maxSteps.toLocaleString("en")}`,
        `loss ${loss.toFixed(3)}`,
        ...Number.isNaN(heldBackLoss)
          ? []
          : [`on text held back ${heldBackLoss.toFixed(3)}`],
        `${Math.round(tokensPerSecond).toLocaleString("en")} tokens a second`,
      ].join(" · ");
      if (counter === undefined) attempt(showBaselines);
      break;
    }
    case "eval":
      heldBackLoss = event.valLoss;
      chart.addEvaluation({ step: event.step, loss: event.valLoss });
      break;
    case "sample":
      byId("noSamples", HTMLElement).hidden = true;
      samples.prepend(
        make(
          "li",
          {},
          make("b", {}, `step ${event.step.toLocaleString("en")}`),
          make("pre", {}, sampleText(event.text)),
        ),
      );
      if (samples.childElementCount > MOST_SAMPLES) samples.lastChild!.remove();
      attempt(() => writer.attend());
      break;
    case "measuring":
      say(`Comparing the GPU with the CPU: ${event.description} …`);
      break;
    case "measured":
      keepVerdicts(event);
      why = timesNote(event);
      if (state === "training") say("Training.");
      attempt(showDevice);
      break;
    case "moved": {
      ({ step, device } = event);
      chart.forget(step);
      const isCpu = device.kind === "wasm";
      if (isCpu) why = undefined; // the GPU was lost
      const place = isCpu ? "CPU" : "GPU";
      say(
        `Training continues on the ${place} from step ${step}: ${event.reason}`,
      );
      attempt(showDevice);
      break;
    }
    case "token":
      writer.take(event);
  }
}

/** Returns a sample without empty lines around it; a sample of nothing else shows them. */
function sampleText(text: string): string {
  return text.trim() || text.replaceAll("\n", "⏎");
}

function mask(): "causal" | "none" {
  return controls.causal.checked ? "causal" : "none";
}

function showMask(): void {
  byId("broken", HTMLElement).hidden = controls.causal.checked;
}

/** Starts from random numbers. */
async function start(): Promise<void> {
  say("Loading the text …");
  text = await loadText(controls.text.value as TextName);
  writer.fitPrompt(text);
  clear();
  say("Opening the device …");
  await train(await open());
}

/** Trains for as many steps again. */
async function trainOn(): Promise<void> {
  const last = step + Number(controls.steps.value);
  const checkpoint = await session!.call("save");
  await train(await open(checkpoint, { last }));
}

/** Opens a checkpoint; it can train on the chosen text if its tokenizer knows the text. */
async function load(file: File): Promise<void> {
  const checkpoint = new Uint8Array(await file.arrayBuffer());
  clear();
  const name = controls.text.value as TextName;
  text = await loadText(name).catch(() => "");
  let reason = "";
  try {
    await open(checkpoint, { canTrain: text !== "" });
  } catch (error) {
    // The text may not fit the checkpoint; without one the checkpoint can still write.
    reason = (error as Error).message;
    text = "";
    await open(checkpoint, { canTrain: false });
  }
  enter("ended");
  controls.train.disabled = text === "";
  say(
    `Loaded ${file.name}, ${step.toLocaleString("en")} steps.` +
      (reason === ""
        ? ""
        : ` It can write, but not train on this text: ${reason}`),
  );
}

/** Ends the session. */
function end(): void {
  session?.end();
  session = undefined;
}

/** Ends the session and empties the page. */
function clear(): void {
  end();
  counter?.end();
  counter = undefined;
  heldBackLoss = NaN;
  progress.textContent = "";
  samples.replaceChildren();
  chart.clear();
  writer.clear();
}

/** Does what the first button says. */
async function press(): Promise<void> {
  switch (state) {
    case "idle":
      return await start();
    case "training":
      enter("paused");
      say("Paused.");
      return await session!.call("pause");
    case "paused":
      enter("training");
      say("Training.");
      return await session!.call("resume");
    case "ended":
      return await trainOn();
  }
}

/** Calls `take` with each file that is chosen in a field, also with the same one again. */
function onFile(id: string, take: (file: File) => void): void {
  const input = byId(id, HTMLInputElement);
  input.addEventListener("change", () => {
    const [file] = input.files!;
    input.value = "";
    if (file !== undefined) take(file);
  });
}

byId("setup", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(press, recover);
});
controls.over.addEventListener("click", () => {
  clear();
  enter("idle");
  say("Choose, then press Train.");
});
controls.causal.addEventListener("change", () =>
  attempt(async () => {
    showMask();
    if (session === undefined) return;
    await session.call("setMask", mask());
    chart.markChange(step);
  }));
controls.save.addEventListener(
  "click",
  () =>
    attempt(async () =>
      download("checkpoint.safetensors", await session!.call("save"))
    ),
);
controls.saveText.addEventListener("click", () => download("text.txt", text));
onFile("load", (file) => attempt(() => load(file), recover));
controls.preset.addEventListener("change", () => {
  controls.steps.value = controls.preset.selectedOptions[0]!.dataset["steps"]!;
});
controls.text.addEventListener("change", () => {
  byId("own", HTMLElement).hidden = controls.text.value !== "own";
});
onFile("ownFile", (file) => attempt(() => readOwn(file)));
controls.ownText.addEventListener("drop", (event) => {
  const [file] = event.dataTransfer!.files;
  if (file === undefined) return; // a text, which goes where it is dropped
  event.preventDefault();
  attempt(() => readOwn(file));
});

if (!canLoad) {
  controls.text.options[0]!.remove();
}
enter("idle");
