import { describe, expect, it } from "vitest";
import { formatNumber } from "./numbers";
import { formatAgo, formatSpan } from "./time";

const units = { day: " d", hour: " h", minute: " min", second: " s" };
const korean = { day: "일", hour: "시간", minute: "분", second: "초" };

describe("formatNumber", () => {
  it.each([
    [0, "0"],
    [0.15, "0.15"],
    [0.7, "0.7"],
    [1.25, "1.25"],
    [9, "9"],
    [100.00000000000001, "100"],
    [12.34, "12.3"],
    [999.99, "999.9"],
    [1000, "1.00k"],
    [9996, "9.99k"],
    [999_999, "999k"],
    [1_234_567, "1.23M"],
    [4.2e12, "4.20T"],
    [1e36, "1.00e36"],
    [1.7976931348623157e308, "1.79e308"],
    [Number.POSITIVE_INFINITY, "∞"],
    [-21, "−21"],
  ])("writes %s shortly as %s", (value, text) => expect(formatNumber(value, "short")).toBe(text));

  it.each([
    [999, "999"],
    [9996, "9.99e3"],
    [1e15, "1.00e15"],
    [999_999, "9.99e5"],
  ])("writes %s scientifically as %s", (value, text) => expect(formatNumber(value, "scientific")).toBe(text));

  it.each([
    [9999, "9,999"],
    [10_000, "1.00만"],
    [1_234_567, "123만"],
    [15e15, "1.50경"],
    [123_456_789, "1.23억"],
    [2e52, "2.00e52"],
  ])("writes %s in Korean myriads as %s", (value, text) => expect(formatNumber(value, "myriads")).toBe(text));

  it.each([
    [0, "0.0"],
    [30, "30.0"],
    [999.96, "999.9"],
    [1000, "1.00k"],
  ])("writes %s with a decimal below a thousand as %s", (value, text) =>
    expect(formatNumber(value, "short", true)).toBe(text),
  );

  it("never shows more than there is", () => {
    for (let value = 0.01; value < 1e30; value *= 1.37) {
      const [, digits, exponent] = /^([\d.]+)(?:e(\d+))?$/.exec(formatNumber(value, "scientific")) ?? [];
      expect(Number(digits) * 10 ** Number(exponent ?? 0)).toBeLessThanOrEqual(value * (1 + 1e-9));
    }
  });
});

describe("formatSpan", () => {
  it.each([
    [0, "0 s"],
    [0.2, "1 s"],
    [61, "1 min 1 s"],
    [3600, "1 h"],
    [3661, "1 h 1 min"],
    [90_000, "1 d 1 h"],
    [Number.POSITIVE_INFINITY, "∞"],
  ])("writes %s seconds as %s", (seconds, text) => expect(formatSpan(seconds, units)).toBe(text));

  it("writes no space before a Korean unit", () => expect(formatSpan(90_061, korean)).toBe("1일 1시간"));
});

describe("formatAgo", () => {
  it.each([
    [-5, "now", "지금"],
    [59.9, "now", "지금"],
    [60, "1 minute ago", "1분 전"],
    [3599, "59 minutes ago", "59분 전"],
    [7200, "2 hours ago", "2시간 전"],
    [86_400, "1 day ago", "1일 전"],
    [34.5 * 86_400, "34 days ago", "34일 전"],
  ])("writes %s seconds ago as %s", (seconds, english, korean) => {
    expect(formatAgo(seconds, "en")).toBe(english);
    expect(formatAgo(seconds, "ko")).toBe(korean);
  });
});
