/** How large numbers are written. */
export type Notation = "short" | "scientific" | "myriads";

const SHORT = ["", "k", "M", "B", "T", "Qa", "Qi", "Sx", "Sp", "Oc", "No", "Dc"];
/** The Korean units of ten thousand: man, eok, jo, gyeong, hae, ja, yang, gu, gan, jeong, jae, geuk. */
const MYRIADS = ["", "만", "억", "조", "경", "해", "자", "양", "구", "간", "정", "재", "극"];

/** Three significant digits, without rounding up to the next unit: 999.96 stays below 1,000. */
function threeDigits(value: number): string {
  const decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
  const factor = 10 ** decimals;
  return (Math.floor(value * factor + 1e-9) / factor).toFixed(decimals);
}

function scientific(value: number): string {
  let exponent = Math.floor(Math.log10(value));
  // The logarithm may be off by one at powers of ten.
  if (10 ** exponent > value) exponent -= 1;
  if (10 ** (exponent + 1) <= value) exponent += 1;
  return `${threeDigits(Math.min(value / 10 ** exponent, 9.99))}e${exponent}`;
}

function grouped(value: number, size: number, units: readonly string[]): string {
  let index = 0;
  let scaled = value;
  while (scaled >= size && index < units.length - 1) {
    scaled /= size;
    index += 1;
  }
  if (scaled >= size) return scientific(value);
  const text = size === 10_000 && scaled >= 100 ? Math.floor(scaled).toLocaleString("en") : threeDigits(scaled);
  return `${text}${units[index] ?? ""}`;
}

/** A number such as a cost or a rate. Below 1,000 it has one decimal if `decimal`, or if it is not whole. */
export function formatNumber(value: number, notation: Notation, decimal = false): string {
  if (!Number.isFinite(value)) return "∞";
  if (value < 0) return `−${formatNumber(-value, notation, decimal)}`;
  if (value < 1000) {
    // Sums of costs may miss a whole number by a rounding.
    const whole = Math.round(value);
    if (!decimal && Math.abs(value - whole) <= whole * 1e-12) return String(whole);
    if (decimal) return (Math.floor(value * 10 + 1e-9) / 10).toFixed(1);
    const factor = value < 10 ? 100 : 10;
    return String(Math.floor(value * factor + 1e-9) / factor);
  }
  if (notation === "scientific") return scientific(value);
  return notation === "myriads" ? grouped(value, 10_000, MYRIADS) : grouped(value, 1000, SHORT);
}
