// The example of docs/client.md, built and run against a real server.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { pathToFileURL } from "node:url";
import { build } from "vite";
import { Server } from "./server.mjs";

const EXAMPLE = new URL("../examples/watch.ts", import.meta.url).pathname;

it("plays as the documentation shows", async () => {
  const folder = mkdtempSync(join(tmpdir(), "idlewatt-example-"));
  const lib = { entry: EXAMPLE, formats: ["es"], fileName: "watch" };
  await build({
    configFile: false,
    logLevel: "error",
    publicDir: false,
    build: { lib, outDir: folder, target: "node20" },
  });
  const { watch } = await import(pathToFileURL(join(folder, "watch.js")).href);
  const server = await Server.start();
  try {
    const lines = [];
    await watch(server.url, (line) => lines.push(line));
    assert.match(lines[0], /^playing as Guest \d+$/);
    assert.deepEqual(lines.slice(1), ["energy 15", "rate 0.15"]);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

it("is the one that the documentation shows", () => {
  const page = readFileSync(new URL("../../docs/client.md", import.meta.url), "utf8");
  assert.ok(page.includes(readFileSync(EXAMPLE, "utf8").trim()), "docs/client.md shows another example");
});
