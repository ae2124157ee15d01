/** The units of spans as they follow their numbers, with a space where the language has one. */
export interface Units {
  day: string;
  hour: string;
  minute: string;
  second: string;
}

/** A span in its two largest units. */
export function formatSpan(seconds: number, units: Units): string {
  if (!Number.isFinite(seconds)) return "∞";
  const whole = Math.max(0, Math.ceil(seconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), units.day],
    [Math.floor(whole / 3600) % 24, units.hour],
    [Math.floor(whole / 60) % 60, units.minute],
    [whole % 60, units.second],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return `0${units.second}`;
  if (first === 0 && (parts[0]?.[0] ?? 0) > 999) return `${parts[0]?.[0].toLocaleString("en")}${units.day}`;
  const shown = parts.slice(first, first + 2).filter(([count], index) => index === 0 || count > 0);
  return shown.map(([count, unit]) => `${count}${unit}`).join(" ");
}

/** How long ago something was, in its largest unit: "5 minutes ago". */
export function formatAgo(seconds: number, locale: string): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(0, "second");
  const ago = new Intl.RelativeTimeFormat(locale);
  if (whole < 3600) return ago.format(-Math.floor(whole / 60), "minute");
  if (whole < 86_400) return ago.format(-Math.floor(whole / 3600), "hour");
  return ago.format(-Math.floor(whole / 86_400), "day");
}
