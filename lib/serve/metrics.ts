// deno-lint-ignore-file camelcase -- Prometheus' names

/** Counters of a server in Prometheus' text format. */

/** Type and description of a metric. */
interface Meaning {
  readonly type: "counter" | "gauge";
  readonly help: string;
}

/** Name of a number. */
export type MetricName =
  | "lm_requests_total"
  | "lm_prompt_tokens_total"
  | "lm_generated_tokens_total"
  | "lm_aborted_total"
  | "lm_first_token_seconds_sum"
  | "lm_first_token_seconds_count"
  | "lm_texts_running"
  | "lm_texts_waiting"
  | "lm_rows";

/** All numbers that the server shows. */
const meanings: Readonly<Record<MetricName, Meaning>> = {
  lm_requests_total: { type: "counter", help: "Responses by route and status" },
  lm_prompt_tokens_total: { type: "counter", help: "Tokens of prompts" },
  lm_generated_tokens_total: { type: "counter", help: "Tokens generated" },
  lm_aborted_total: {
    type: "counter",
    help: "Answers whose client went away before their end",
  },
  lm_first_token_seconds_sum: {
    type: "counter",
    help: "Time from a request to its first token, summed over answers",
  },
  lm_first_token_seconds_count: {
    type: "counter",
    help: "Answers that got a first token",
  },
  lm_texts_running: { type: "gauge", help: "Texts that are generated now" },
  lm_texts_waiting: { type: "gauge", help: "Texts that wait for a row" },
  lm_rows: { type: "gauge", help: "Texts that can be generated at a time" },
};

/** Numbers that the server counts. */
export class Metrics {
  readonly #values = new Map<MetricName, Map<string, number>>();

  /** Adds to a counter. The values of labels must be words of the program, not of a client. */
  add(
    name: MetricName,
    amount = 1,
    labels: Readonly<Record<string, string | number>> = {},
  ): void {
    const values = this.#values.get(name) ?? new Map<string, number>();
    this.#values.set(name, values);
    const pairs = Object.entries(labels).map(([key, value]) =>
      `${key}="${value}"`
    );
    const key = pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
    values.set(key, (values.get(key) ?? 0) + amount);
  }

  /** Returns all numbers as text. */
  text(gauges: Partial<Readonly<Record<MetricName, number>>>): string {
    return Object.entries(meanings).map(([key, { type, help }]) => {
      const name = key as MetricName;
      const values = this.#values.get(name) ??
        new Map([["", gauges[name] ?? 0]]);
      return [
        `# HELP ${name} ${help}.`,
        `# TYPE ${name} ${type}`,
        ...values.entries().map(([labels, value]) =>
          `${name}${labels} ${value}`
        ),
        "",
      ].join("\n");
    }).join("");
  }
}
