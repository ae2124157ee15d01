// Measures the page in Chromium, for bench/page.
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { Server } from "./server.mjs";

const MINUTES = Number(process.env.MINUTES ?? 10);
const server = await Server.start();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
});

/** A page with its connection to the tools of the browser. */
async function open() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const tools = await context.newCDPSession(page);
  await tools.send("Performance.enable");
  return { context, page, tools };
}

async function metric(tools, name) {
  const { metrics } = await tools.send("Performance.getMetrics");
  return metrics.find((it) => it.name === name).value;
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

const paints = [];
for (let round = 0; round < 5; round += 1) {
  const { context, page, tools } = await open();
  await tools.send("Network.enable");
  const network = { offline: false, latency: 150, downloadThroughput: 200_000, uploadThroughput: 93_750 };
  await tools.send("Network.emulateNetworkConditions", network);
  await tools.send("Emulation.setCPUThrottlingRate", { rate: 4 });
  await page.goto(server.url);
  await page.getByTestId("energy").waitFor();
  paints.push(
    await page.evaluate(() => ({
      paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
      playable: performance.now(),
      bytes: performance.getEntriesByType("resource").reduce((sum, it) => sum + it.transferSize, 0),
    })),
  );
  await context.close();
}
const of = (name) => median(paints.map((it) => it[name])).toFixed(0);
console.log("150 ms, 1.6 Mb/s, a quarter of the processor, median of 5:");
console.log(`  first paint ${of("paint")} ms, playable ${of("playable")} ms, ${(of("bytes") / 1000).toFixed(0)} kB`);

const { page, tools } = await open();
await page.goto(server.url);
await page.getByTestId("click").waitFor();
for (let click = 0; click < 15; click += 1) await page.getByTestId("click").click();
await sleep(1500);
await page.getByTestId("buy-hand_crank").click();
await sleep(3000);
const before = await metric(tools, "TaskDuration");
await sleep(30_000);
const spent = ((await metric(tools, "TaskDuration")) - before) / 30;
console.log(`the rising number: ${(spent * 1000).toFixed(1)} ms of processor a second`);

async function heap() {
  await tools.send("HeapProfiler.collectGarbage");
  return (await metric(tools, "JSHeapUsedSize")) / 1e6;
}
const start = await heap();
const nodes = await metric(tools, "Nodes");
const line = [start.toFixed(2)];
for (let minute = 1; minute <= MINUTES; minute += 1) {
  await sleep(60_000);
  line.push((await heap()).toFixed(2));
}
console.log(`heap in MB, each minute: ${line.join(" ")}; DOM nodes ${nodes}, then ${await metric(tools, "Nodes")}`);
await browser.close();
await server.stop();
