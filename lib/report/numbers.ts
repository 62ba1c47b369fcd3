/** Numbers as they are shown to people. */

/** Formats a count: 1,200. */
export function count(value: number): string {
  return value.toLocaleString("en");
}

/** Formats a number with three significant digits, without trailing zeros. */
export function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** Formats a number with three significant digits, or as 1.2e4 if it is very large or very small. */
export function short(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e4 || size < 1e-3
    ? value.toExponential(1).replace("e+", "e").replace(".0e", "e")
    : digits(value);
}

/** Formats a number in at most four characters and a letter: 950, 5.8k, 58k, 1.2M. */
export function compact(value: number): string {
  const [unit, letter] = value < 1e3
    ? [1, ""]
    : value < 1e6
    ? [1e3, "k"]
    : value < 1e9
    ? [1e6, "M"]
    : [1e9, "G"];
  const scaled = value / unit;
  return (scaled < 10 && unit > 1 ? scaled.toFixed(1) : scaled.toFixed(0)) +
    letter;
}

/** Formats a difference as +0.0031; a value that rounds to 0 has no sign. */
export function signed(value: number, places = 4): string {
  const text = value.toFixed(places);
  if (Number(text) === 0) return text.replace("-", "");
  return value > 0 ? `+${text}` : text;
}

/** Formats seconds as 0:42, 12:34 or 1:02:03. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60];
  const hours = Math.floor(whole / 3600);
  if (hours > 0) parts.unshift(hours);
  return parts.map((part, place) =>
    place === 0 ? String(part) : String(part).padStart(2, "0")
  ).join(":");
}

/** Returns true if a text is a number or empty: 1,200, 3e-4, 46k, 1:02:03, +0.31 ± 0.02. */
export function isNumber(text: string): boolean {
  return /^([-+\d][\d.,:e-]*[kMG]?(\s±\s[\d.]+)?)?$/.test(text);
}
