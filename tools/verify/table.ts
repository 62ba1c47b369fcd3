/** Formats the outcome of a file as text for people. */

import { type Check, type Measure, passes } from "./comparison.ts";
import type { Outcome } from "./verify_file.ts";

const units: Readonly<Record<Measure, string>> = {
  relative: "of the largest",
  each: "of each",
  absolute: "absolute",
  mean: "on average",
  count: "numbers",
};

/** Returns a table of quantity, worst error, tolerance and verdict; then what was not compared. */
export function formatOutcome(file: string, outcome: Outcome): string {
  const { report, notUnderstood, passed } = outcome;
  const lines = [`${file}: ${passed ? "ok" : "FAILED"}`];
  if (report.checks.length > 0) {
    const rows = [
      ["quantity", "worst error", "tolerance", "", ""],
      ...report.checks.map(rowOf),
    ];
    lines.push(...align(rows));
  }
  for (const check of report.checks) {
    if (!passes(check)) {
      lines.push(`  missed: ${check.quantity}: ${check.where}`);
    }
  }
  for (const remark of report.remarks) lines.push(`  not compared: ${remark}`);
  if (notUnderstood !== undefined) {
    lines.push(`  not understood: ${notUnderstood}`);
  }
  return lines.join("\n");
}

function rowOf(check: Check): string[] {
  const { quantity, error, tolerance: { limit, measure } } = check;
  return [
    quantity,
    format(error),
    format(limit),
    units[measure],
    passes(check) ? "ok" : "MISSED",
  ];
}

function format(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toExponential(1);
}

/** Aligns the first column to the left and numbers to the right. */
function align(rows: readonly string[][]): string[] {
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((row) => row[column]!.length))
  );
  return rows.map((row) =>
    `  ${
      row.map((cell, column) =>
        column === 1 || column === 2
          ? cell.padStart(widths[column]!)
          : cell.padEnd(widths[column]!)
      ).join("  ")
    }`.trimEnd()
  );
}
