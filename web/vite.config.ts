import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** The files of a folder and its folders. */
function filesIn(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesIn(path) : [path];
  });
}

/** Writes compressed copies beside the files, which the server sends as they are. */
function precompress(): Plugin {
  return {
    name: "precompress",
    apply: "build",
    closeBundle() {
      for (const path of filesIn("dist").filter((it) => /\.(html|js|css|svg|json)$/.test(it))) {
        const content = readFileSync(path);
        const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
        writeFileSync(`${path}.br`, brotliCompressSync(content, quality));
        writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
      }
    },
  };
}

/**
 * For hosts such as Netlify, which take the headers of a site from a file: those that the server sends by itself. A page
 * that is built for another origin may connect to it.
 */
function headersFile(): Plugin {
  return {
    name: "headers-file",
    apply: "build",
    closeBundle() {
      const server = process.env["VITE_API_URL"];
      if (server === undefined && process.env["NETLIFY"] === undefined) return;
      const origin =
        server === undefined ? "" : ` ${new URL(server).origin} ${new URL(server).origin.replace("http", "ws")}`;
      const policy = [
        "default-src 'none'",
        ...["script", "style", "img", "font", "manifest"].map((it) => `${it}-src 'self'`),
        `connect-src 'self'${origin}`,
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
      ].join("; ");
      const all = [
        `Content-Security-Policy: ${policy}`,
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: no-referrer",
        "Cross-Origin-Opener-Policy: same-origin",
      ];
      const assets = "/assets/*\n  Cache-Control: public, max-age=31536000, immutable\n";
      writeFileSync("dist/_headers", `/*\n${all.map((it) => `  ${it}\n`).join("")}${assets}`);
    },
  };
}

export default defineConfig({
  plugins: [react(), headersFile(), precompress()],
  build: {
    target: "es2022",
    // The content security policy forbids data: URLs and inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 300,
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
  css: { modules: { localsConvention: "camelCaseOnly" } },
});
