// The example of docs/live.md in a real browser, against a real server that is stopped and started again.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { it } from "node:test";
import { chromium } from "playwright-core";
import { Server } from "./server.mjs";

const EXAMPLE = readFileSync(new URL("../examples/live.js", import.meta.url), "utf8").trim();
const WAIT = { timeout: 20_000 };

it("is the one that the documentation shows", () => {
  const page = readFileSync(new URL("../../docs/live.md", import.meta.url), "utf8");
  assert.ok(page.includes(EXAMPLE), "docs/live.md shows another example");
});

it("follows a player's streams and state, and continues after a restart", async () => {
  const server = await Server.start();
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"],
  });
  try {
    const page = await browser.newPage();
    // The page of the server, so that its origin and its content security policy hold.
    await page.goto(server.url);
    const start = async () => {
      const call = async (method, path, token) => {
        const headers =
          token === undefined ? { "Content-Type": "application/json" } : { Authorization: `Bearer ${token}` };
        const body = method === "POST" ? "{}" : undefined;
        return (await fetch(`/api/v1${path}`, { method, headers, body })).json();
      };
      const token = (await call("POST", "/auth/guest")).tokens.access_token;
      const { epoch, streams } = await call("GET", "/me/streams", token);
      const positions = Object.fromEntries(streams.map(({ stream, head }) => [stream, head]));
      globalThis.seen = { events: [], states: 0, resyncs: [], ends: [] };
      globalThis.end = globalThis.follow({
        url: location.origin,
        token: async () => token,
        epoch,
        positions,
        onEvent: (event) => globalThis.seen.events.push(event.data.title.en),
        onState: () => {
          globalThis.seen.states += 1;
        },
        onResync: (stream) => globalThis.seen.resyncs.push(stream),
        onEnd: (code) => globalThis.seen.ends.push(code),
      });
    };
    await page.evaluate(`${EXAMPLE.replace("export function", "globalThis.follow = function")}`);
    await page.evaluate(start);
    await page.waitForFunction(() => globalThis.seen.states > 0, null, WAIT);

    const announce = (text) => {
      const title = { en: text };
      return server.admin("POST", "/notifications", { to: "all", type: "test", priority: "low", title, body: title });
    };
    const seen = (count) => page.waitForFunction((it) => globalThis.seen.events.length === it, count, WAIT);
    await announce("first");
    await seen(1);
    await server.end();
    await server.run();
    await announce("second");
    await seen(2);
    const { events, resyncs, ends } = await page.evaluate(() => {
      globalThis.end();
      return globalThis.seen;
    });
    assert.deepEqual({ events, resyncs, ends }, { events: ["first", "second"], resyncs: [], ends: [] });
  } finally {
    await browser.close();
    await server.stop();
  }
});
